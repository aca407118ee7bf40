"""Ask the target more than the vectors: a case with one input moved, or one with other numbers.

The library judges what comes back.  Derivation: derivations/using-the-oracle.md
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from refmeta.arrays import Array, replace_fields
from refmeta.oracle.judge import Outcome
from refmeta.oracle.suite import EXTREME, Case, Expected
from refmeta.tolerance import max_per_task

__all__ = ["LOOSER", "Ask", "moved", "varied"]

Ask = Callable[[Case], Outcome]  # what the target answers to a case, judged
LOOSER, WIDTH = 100.0, 0.3
REFUSALS = (ArithmeticError, ValueError, TypeError, np.linalg.LinAlgError)


def moved(case: Case, inputs: dict[str, Any], parts: Sequence[str] = ()) -> Case | None:
    """The case with other inputs, judged by the library in some parts, or in all; None if it refuses them or has no finite answer.

    Its tolerance is that of the case, a hundredfold: what is asked is whether a result is right at all.
    """
    other = _accepted(case, inputs)
    return None if other is None else _judged(case, other, parts)


def _judged(case: Case, other: Case, parts: Sequence[str]) -> Case | None:
    """The other case with the library's answers; None if one is refused or not finite."""
    try:
        with np.errstate(all="ignore"):
            values = {part: np.asarray(case.about.answer(part, other.problem), float) for part in parts or case.about.parts}
    except REFUSALS:
        return None
    if not all(np.isfinite(value).all() for value in values.values()):
        return None
    expected = {part: _expected(case, part, value) for part, value in values.items()}
    return replace_fields(other, expected=expected, problem=other.problem)  # with the problem that is made already


def _accepted(case: Case, inputs: dict[str, Any]) -> Case | None:
    """The case with other inputs, nothing expected; None if the library refuses them."""
    as_lists = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in inputs.items()}
    flags = tuple(flag for flag in case.flags if flag == EXTREME)
    other = replace_fields(case, id=f"{case.id}, moved", input=as_lists, flags=flags, expected={}, discriminates={})
    other.__dict__.pop("problem", None)
    try:
        with np.errstate(all="ignore"):
            other.problem  # noqa: B018
    except REFUSALS:
        return None
    return other


def _expected(case: Case, part: str, value: Array) -> Expected:
    """A value of the library with the condition of the case that was moved, and the scale of either."""
    before = case.expected[part]
    rows = value if case.about.parts[part].by_task else value[None]
    kappa, scale = LOOSER * np.max(before.kappa, initial=1.0), np.maximum(max_per_task(rows), np.max(before.scale))
    return Expected(value, np.full(len(scale), kappa), scale, 0)


@lru_cache(maxsize=1024)
def varied(case: Case, seed: int, parts: tuple[str, ...] = ()) -> Case | None:
    """A case of the same sizes with other numbers: every array of floats is varied in turn where the library takes it.

    An array is multiplied entry by entry; if it is refused, its rows are made to add to 1, or M becomes DMD.
    """
    other = _with_other_numbers(case, seed)
    if other is not None and (judged := _judged(case, other, parts)) is not None:
        return judged
    return _varied(case, seed, lambda case, inputs: moved(case, inputs, parts))


@lru_cache(maxsize=1024)
def _with_other_numbers(case: Case, seed: int) -> Case | None:
    """The case with every float input varied, nothing expected."""
    return _varied(case, seed, _accepted)


def _varied(case: Case, seed: int, accepts: Callable[[Case, dict[str, Any]], Case | None]) -> Case | None:
    """The case with every float input varied, if that is accepted.  Arrays that are equal stay equal."""
    rng, given = np.random.default_rng(seed), case.arguments()
    inputs, found = given, None
    for name, value in given.items():
        if isinstance(value, float) or isinstance(value, np.ndarray) and value.dtype.kind == "f":
            twins = _equal_to(value, given) or [name]
            others = (case.about.joined({**inputs, **dict.fromkeys(twins, other)}) for other in _variations(value, rng))
            for each in others:
                if (other := accepts(case, each)) is not None:
                    inputs, found = each, other
                    break
    return accepts(case, given) if found is None else found


def _equal_to(value: Any, inputs: dict[str, Any]) -> list[str]:
    """The names of the arrays that equal an array: a batch that was drawn where it is used stays one."""
    same: Callable[[Any], bool] = lambda x: isinstance(x, np.ndarray) and x.dtype.kind == "f" and np.array_equal(x, value)
    return [name for name, x in inputs.items() if same(x)] if np.ndim(value) else []


def _variations(value: Any, rng: np.random.Generator) -> Iterator[Any]:
    """Other numbers with the signs and zeros of these: free ones, probabilities, a symmetric matrix; a number."""
    factors = 1 + WIDTH * rng.uniform(-1, 1, np.shape(value))
    if np.ndim(value) == 0:
        yield from (float(value * factors), float(value * (1 - abs(factors - 1))))
        return
    free = value * factors
    yield free
    with np.errstate(all="ignore"):
        yield free / np.sum(free, axis=-1, keepdims=True)
    if np.ndim(value) > 1 and value.shape[-1] == value.shape[-2]:
        D = np.concatenate([factors[..., :-1, 0], np.ones((*value.shape[:-2], 1))], axis=-1)
        yield D[..., :, None] * value * D[..., None, :]
