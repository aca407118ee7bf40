"""KL penalties from the actions of a batch, in any arithmetic.  Derivation: derivations/sampled-policy-gradients.md"""

from collections.abc import Callable
from typing import NamedTuple

from refmeta.oracle.decimals import Number, Vector, exp

__all__ = ["PENALTIES", "PenaltyStep", "kl_k1", "kl_k2", "kl_k3", "reference"]


class PenaltyStep(NamedTuple):
    """What a penalty reads of one step: γᵗ, l_t = ln π_θ − ln π_ref, and the logarithm of the ratio, x_t = ln π_θ − ln π_sampled."""

    discount: Number
    log_ratio: Number
    now: Number


def kl_k1(s: PenaltyStep) -> Number:
    """γᵗ l exp(x)."""
    return s.discount * s.log_ratio * exp(s.now)


def kl_k2(s: PenaltyStep) -> Number:
    """γᵗ ½l² exp(x)."""
    return s.discount * s.log_ratio * s.log_ratio / 2 * exp(s.now)


def kl_k3(s: PenaltyStep) -> Number:
    """γᵗ (exp(−l) + l − 1) exp(x)."""
    return s.discount * (exp(-s.log_ratio) + s.log_ratio - 1) * exp(s.now)


PENALTIES: dict[str, Callable[[PenaltyStep], Number]] = {f.__name__: f for f in (kl_k1, kl_k2, kl_k3)}


def reference(theta_sampled: Vector) -> Vector:
    """The parameters of the reference policy: half of those that drew the batch."""
    return [t / 2 for t in theta_sampled]
