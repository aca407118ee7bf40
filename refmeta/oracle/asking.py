"""Ask the target more than the vectors: a case with one input moved, or one with other numbers.

The library judges what comes back.  Derivation: derivations/using-the-oracle.md
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from refmeta.arrays import Array, replace_fields
from refmeta.oracle.judge import Outcome
from refmeta.oracle.suite import Case, Expected
from refmeta.tolerance import max_per_task

__all__ = ["LOOSER", "Ask", "moved", "varied"]

Ask = Callable[[Case], Outcome]  # what the target answers to a case, judged
LOOSER, WIDTH = 100.0, 0.3


def moved(case: Case, inputs: dict[str, Any]) -> Case | None:
    """The case with other inputs, judged by the library; None if the library refuses them or has no finite answer.

    Its tolerance is that of the case, a hundredfold: what is asked is whether a result is right at all.
    """
    as_lists = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in inputs.items()}
    other = replace_fields(case, id=f"{case.id}, moved", input=as_lists, flags=(), expected={}, discriminates={})
    other.__dict__.pop("problem", None)
    try:
        with np.errstate(all="ignore"):
            values = {part: np.asarray(case.about.answer(part, other.problem), float) for part in case.about.parts}
    except (ArithmeticError, ValueError, TypeError, np.linalg.LinAlgError):
        return None
    if not all(np.isfinite(value).all() for value in values.values()):
        return None
    return replace_fields(other, expected={part: _expected(case, part, value) for part, value in values.items()})


def _expected(case: Case, part: str, value: Array) -> Expected:
    """A value of the library with the condition of the case that was moved, and the scale of either."""
    before = case.expected[part]
    rows = value if case.about.parts[part].by_task else value[None]
    kappa, scale = LOOSER * np.max(before.kappa, initial=1.0), np.maximum(max_per_task(rows), np.max(before.scale))
    return Expected(value, np.full(len(scale), kappa), scale, 0)


def varied(case: Case, seed: int) -> Case | None:
    """A case of the same sizes with other numbers: every array of floats is varied in turn where the library takes it.

    An array is multiplied entry by entry; if it is refused, its rows are made to add to 1, or M becomes DMD.
    """
    rng, inputs, last = np.random.default_rng(seed), case.arguments(), None
    for name, value in inputs.items():
        if not isinstance(value, np.ndarray) and not isinstance(value, float) or np.asarray(value).dtype.kind != "f":
            continue
        for other in _variations(value, rng):
            if (new := moved(case, inputs | {name: other})) is not None:
                inputs, last = inputs | {name: other}, new
                break
    return last


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
