"""What implementations choose for the policy itself, the right alternative first.  Derivation: derivations/softmax-policies.md

An alternative is what `readings` computes instead of what is right; None is what is right.
"""

from collections.abc import Callable

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Choices

__all__ = ["FAMILIES_OF_POLICIES", "POLICIES", "at_least", "at_most", "more"]

Changed = Callable[[Array], tuple[Array, Array]]
"""π of the softmax to another π that need not add to 1, and d ln of it by d ln of the softmax."""


def at_least(low: float) -> Changed:
    """max(π, c)."""
    return lambda pi: (np.where(np.real(pi) < low, low, pi), 1.0 * (np.real(pi) >= low))


def at_most(high: float) -> Changed:
    """min(π, c)."""
    return lambda pi: (np.where(np.real(pi) > high, high, pi), 1.0 * (np.real(pi) <= high))


def _between(low: float) -> Changed:
    """π within c and 1 − c."""
    return lambda pi: (np.where(np.real(pi) < low, low, np.where(np.real(pi) > 1 - low, 1 - low, pi)), 1.0 * (np.abs(np.real(pi) - 0.5) <= 0.5 - low))


def more(c: float) -> Changed:
    """π + c."""
    return lambda pi: (pi + c, pi / (pi + c))


def _power(c: float) -> Changed:
    """π to a power."""
    return lambda pi: (pi**c, c + 0 * pi)


def _greedy(pi: Array) -> tuple[Array, Array]:
    """1 for the likeliest action."""
    return 1.0 * (np.real(pi) == np.max(np.real(pi), axis=-1, keepdims=True)) + 1e-300, 0 * pi


CHANGED: dict[str, tuple[Changed, bool] | None] = {
    "no": None,
    **{f"at least {low:g}": (at_least(low), False) for low in (0.01, 0.05, 0.1)},
    **{f"at least {low:g}, normalised again": (at_least(low), True) for low in (0.05, 0.1)},
    "at most 0.9": (at_most(0.9), False),
    "within 0.1 and 0.9": (_between(0.1), False),
    "within 0.1 and 0.9, normalised again": (_between(0.1), True),
    **{f"{c:g} more": (more(c), False) for c in (1e-6, 1e-3, 0.01)},
    "pi^2, normalised again": (_power(2.0), True),
    "greedy": (_greedy, False),
    "uniform": (lambda pi: (0 * pi + 1 / pi.shape[-1], 0 * pi), False),
}
POLICIES: Choices = {"probabilities changed": CHANGED}
FAMILIES_OF_POLICIES = {
    "at least {}": ("probabilities changed", lambda c: (at_least(c), False)),
    "at least {}, normalised again": ("probabilities changed", lambda c: (at_least(c), True)),
    "at most {}": ("probabilities changed", lambda c: (at_most(c), False)),
    "within {0} and 1 - {0}": ("probabilities changed", lambda c: (_between(c), False)),
    "{} more": ("probabilities changed", lambda c: (more(c), False)),
    "{} more, normalised again": ("probabilities changed", lambda c: (more(c), True)),
    "{} of the uniform": ("noise in the policy", lambda c: c),
    "{} instead of 1": ("logits times", lambda c: c),
}
