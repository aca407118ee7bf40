"""Returns of every step, as implementations compute them.  Derivation: derivations/sampled-meta-gradients.md"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.suites.surrogates.rewards import following, is_last
from refmeta.sampling.returns import discounted_sum

__all__ = ["RETURNS", "StepRewards", "returns"]


class StepRewards(NamedTuple):
    """What a return is made of: rewards, baseline and mask (N, M, H), γ, λ, and a number if an alternative has one."""

    r: Array
    b: Array
    mask: Array
    gamma: float
    lam: float
    number: float = 0.0


def _bootstrap(s: StepRewards, instead: bool = False) -> Array:
    """G and the discounted baseline of the last step, which stands for the rest or replaces the last reward."""
    last = is_last(s.mask)
    return discounted_sum(np.where(last, s.b if instead else s.r + s.gamma * s.b, s.r), s.gamma)


def _bootstrap_at_horizon(s: StepRewards) -> Array:
    """G + γ^(H−t) b of step H."""
    return discounted_sum(s.r, s.gamma) + s.gamma ** np.arange(s.r.shape[-1], 0, -1.0) * s.b[..., -1:]


def _gae(s: StepRewards, lam: float, ends: bool = False) -> Array:
    """Σ (γλ)ᵏ δ, δ = r + γb' − b; b of the last step stands for the next if `ends`."""
    after = np.where(is_last(s.mask), s.b, following(s.b)) if ends else following(s.b)
    return discounted_sum((s.r + s.gamma * after - s.b) * s.mask, s.gamma * lam)


def _n_steps(s: StepRewards, n: int) -> Array:
    """n rewards, and then the baseline."""
    G, r, b = 0 * s.r, s.r, s.b
    for k in range(n):
        G, r, b = G + s.gamma**k * r, following(r), following(b)
    return G + s.gamma**n * b


def _flat(s: StepRewards) -> Array:
    """To go through the ends of trajectories."""
    return discounted_sum(s.r.reshape(len(s.r), -1), s.gamma).reshape(s.r.shape)


def _flat_steps(s: StepRewards) -> Array:
    """To go through the ends of trajectories, steps that were not taken left out."""
    out = 0 * s.r
    for i, m in enumerate(s.mask.astype(bool)):
        out[i][m] = discounted_sum(s.r[i][m][None], s.gamma)[0]
    return out


def _whole(s: StepRewards, gamma: float) -> Array:
    """The return of the whole trajectory for each of its steps."""
    return 0 * s.r + np.sum(gamma ** np.arange(s.r.shape[-1]) * s.r, axis=-1, keepdims=True)


RETURNS: dict[str, Callable[[StepRewards], Array]] = {
    "to go": lambda s: discounted_sum(s.r, s.gamma), "reward": lambda s: s.r,
    "whole": lambda s: _whole(s, s.gamma), "whole alone": lambda s: _whole(s, s.gamma), "whole undiscounted": lambda s: _whole(s, 1.0),
    "from the start": lambda s: discounted_sum(s.gamma ** np.arange(s.r.shape[-1]) * s.r, 1.0),
    "undiscounted": lambda s: discounted_sum(s.r, 1.0), "after": lambda s: discounted_sum(s.r, s.gamma) - s.r,
    "next": lambda s: following(discounted_sum(s.r, s.gamma)), "one step": lambda s: s.r + s.gamma * following(s.b),
    "two steps": lambda s: _n_steps(s, 2), "gae": lambda s: s.b + _gae(s, s.lam), "gae ends": lambda s: s.b + _gae(s, s.lam, True),
    "gae bare": lambda s: _gae(s, s.lam), "gae of": lambda s: s.b + _gae(s, s.number), "td ends": lambda s: s.b + _gae(s, 0.0, True),
    "past": lambda s: discounted_sum(s.r[..., ::-1], s.gamma)[..., ::-1], "discounted reward": lambda s: s.gamma ** np.arange(s.r.shape[-1]) * s.r,
    "bootstrapped": _bootstrap, "bootstrapped at H": _bootstrap_at_horizon, "bootstrapped instead": lambda s: _bootstrap(s, True),
    "once more": lambda s: s.gamma * discounted_sum(s.r, s.gamma), "squared": lambda s: discounted_sum(s.r, s.gamma**2),
    "of": lambda s: discounted_sum(s.r, s.number), "through ends": _flat, "through ends, steps": _flat_steps,
    "mean to go": lambda s: discounted_sum(s.r, s.gamma) / np.maximum(discounted_sum(1.0 * s.mask, 1.0), 1.0),
    "over steps left": lambda s: discounted_sum(s.r, s.gamma) / np.arange(s.r.shape[-1], 0, -1),
    "normalised to go": lambda s: discounted_sum(s.r, s.gamma) * (1 - s.gamma),
}  # fmt: skip


def returns(kind: Any, s: StepRewards) -> Array:
    """The return of each step, (N, M, H)."""
    name, *number = kind if isinstance(kind, tuple) else (kind,)
    return RETURNS[name](s._replace(number=number[0] if number else 0.0))
