"""The right result passed through a function: normalised, clipped, only its signs.

Derivation: derivations/using-the-oracle.md
"""

from collections.abc import Callable, Sequence

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.diagnosis.factors import scaled, wrong_pairs
from refmeta.oracle.diagnosis.numbers import number_text
from refmeta.oracle.judge import JudgeSettings, Outcome, right_result
from refmeta.oracle.match import Candidate, Match, match_of, matching
from refmeta.oracle.suite import Case

__all__ = ["transform_matches"]

Transform = Callable[[Array], Array]
Clip = Callable[[Array, float], Array]
FEWEST = 4


def _over(size: Callable[[Array], Array | float]) -> Transform:
    """The result over its size, 0 where that is 0."""
    return lambda x: x / np.where(np.asarray(size(x)) > 0, size(x), np.inf)


def _row_norms(x: Array) -> Array:
    """‖row‖ of every row."""
    return np.linalg.norm(x.reshape(len(x), -1), axis=1).reshape((-1,) + (1,) * (x.ndim - 1))


TRANSFORMS: dict[str, Transform] = {
    "divided by its norm": _over(lambda x: float(np.linalg.norm(x))),
    "each row divided by its norm": _over(_row_norms),
    "divided by its largest entry": _over(lambda x: float(np.max(np.abs(x), initial=0.0))),
    "divided by its norm + 1": lambda x: x / (1 + np.linalg.norm(x)),
    "only its signs": np.sign,
    "its magnitudes": np.abs,
    "squared": np.square,
    "without its negative entries": lambda x: np.maximum(x, 0),
    "tanh of it": np.tanh,
    "its exponential": lambda x: np.exp(np.minimum(x, 50)),
    "less the mean of its entries": lambda x: x - np.mean(x),
    "each row less the mean of its entries": lambda x: x - np.mean(x, axis=-1, keepdims=True),
}
CLIPS: dict[str, tuple[Clip, Callable[[Array], float]]] = {
    "every entry clipped to ±": (lambda x, c: np.clip(x, -c, c), lambda x: float(np.max(np.abs(x)))),
    "clipped to the norm ": (lambda x, c: x * min(1.0, c / max(float(np.linalg.norm(x)), 1e-300)), lambda x: float(np.linalg.norm(x))),
    "every row clipped to the norm ": (
        lambda x, c: x * np.minimum(1.0, c / np.maximum(_row_norms(x), 1e-300)), lambda x: float(np.max(_row_norms(x)))
    ),
}  # fmt: skip


def transform_matches(failing: Sequence[Outcome], settings: JudgeSettings) -> list[Match]:
    """The right result through a function of it, if need be times a factor, or clipped to a bound that the results have."""
    wrong = wrong_pairs(failing, settings)
    if not wrong or max(pair.got.size for pair in wrong) < FEWEST or any(not pair.got.ndim for pair in wrong):
        return []
    found: list[Match] = []
    for what, transform in TRANSFORMS.items():
        base = match_of(f"the right result, {what}", _through(transform, settings), failing)
        found += [*matching([base], failing, settings), *scaled(base._replace(what=base.what + ","), failing, settings)]
    candidates = [_clipped(what, clip, max(bound(pair.got) for pair in wrong), failing, settings) for what, (clip, bound) in CLIPS.items()]
    return found + matching(candidates, failing, settings)


def _through(transform: Transform, settings: JudgeSettings) -> Candidate:
    """The right result through a function."""

    def value(case: Case, name: str) -> Array | None:
        right = right_result(case, name, settings)
        with np.errstate(all="ignore"):
            return np.asarray(transform(right)) if right.ndim else None

    return value


def _clipped(what: str, clip: Clip, bound: float, failing: Sequence[Outcome], settings: JudgeSettings) -> Match:
    """The right result clipped to a bound, which is rounded to nine digits."""
    bound = float(f"{bound:.9g}")
    return match_of(f"the right result, {what}{number_text(bound)}", _through(lambda x: clip(x, bound), settings), failing)
