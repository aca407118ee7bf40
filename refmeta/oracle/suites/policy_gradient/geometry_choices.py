"""What implementations choose in the geometry of the policy, the right alternative first.  Derivation: derivations/policy-geometry.md

An alternative is what `variants` computes instead of what is right; None is what is right.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.suites.policy_gradient.solution_choices import damped, diagonal_of, scaled_to

__all__ = ["DIRECTIONS", "DIVERGENCES", "FAMILIES_OF_GEOMETRY", "FISHERS"]
FISHERS: dict[str, Callable[..., tuple[Array, bool]] | None] = {
    "d (diag pi - pi pi^T)": None,
    "scores not centred, d diag pi": lambda d, pi, x, y, A: (d * pi * x, False),
    "d pi pi^T": lambda d, pi, x, y, A: (d * pi * np.sum(pi * x, axis=-1, keepdims=True), False),
    "d (diag pi + pi pi^T)": lambda d, pi, x, y, A: (d * pi * (x + np.sum(pi * x, axis=-1, keepdims=True)), False),
    "actions even, scores of pi": lambda d, pi, x, y, A: (d * y / pi.shape[-1], True),
    "sum over actions without pi": lambda d, pi, x, y, A: (d * y, True),
    "pi^2": lambda d, pi, x, y, A: (d * pi**2 * y, True),
    "weighted by A^2 (of score times advantage)": lambda d, pi, x, y, A: (d * pi * A() ** 2 * y, True),
    "weighted by |A|": lambda d, pi, x, y, A: (d * pi * np.abs(np.real(A())) * y, True),
    "its diagonal": lambda d, pi, x, y, A: (d * pi * (1 - pi) * x, False),
    "identity": lambda d, pi, x, y, A: (x + 0 * d, False),
    "slopes of pi, not of log pi": lambda d, pi, x, y, A: (d * pi * pi * pi * y, True),
    "scores of the mean over actions, outer product": lambda d, pi, x, y, A: (d * np.mean(y, axis=-1, keepdims=True) / pi.shape[-1], True),
    "weighted by A": lambda d, pi, x, y, A: (d * pi * A() * y, True),
    "the mean over states of v": lambda d, pi, x, y, A: (d * pi * (y - np.mean(y, axis=-2, keepdims=True)), True),
    "sqrt pi": lambda d, pi, x, y, A: (d * np.sqrt(pi) * y, True),
    "absolute visits squared, d^2": lambda d, pi, x, y, A: (d**2 * pi * y, True),
    "sqrt of the visits": lambda d, pi, x, y, A: (np.sqrt(d) * pi * y, True),
    "of the likeliest action": lambda d, pi, x, y, A: (d * y * (np.real(pi) == np.max(np.real(pi), -1, keepdims=True)), True),
}
DIRECTIONS: dict[str, Callable[..., Array] | None] = {
    "v": None,
    "v of norm 1": lambda v, theta, F: F(v / max(np.linalg.norm(v), 1e-12)),
    "v over its squared norm": lambda v, theta, F: F(v / max(v @ v, 1e-12)),
    "theta": lambda v, theta, F: F(theta),
    "v^2": lambda v, theta, F: F(v**2),
    "twice, F F v": lambda v, theta, F: _again(v, F),
    "v (v F v)": lambda v, theta, F: v * np.sum(v * F(v), axis=-1, keepdims=True),
    "v times F v": lambda v, theta, F: v * F(v),
    "the first entry of v alone": lambda v, theta, F: F(v * (np.arange(len(v)) == 0)),
    "mean over the tasks": lambda v, theta, F: 0 * F(v) + np.mean(F(v), axis=0),
    "sum over the tasks": lambda v, theta, F: 0 * F(v) + np.sum(F(v), axis=0),
}


def _again(v: Array, F: Callable[[Array], Array]) -> Array:
    """F F v, task by task."""
    columns = np.stack([F(e) for e in np.eye(len(v))], axis=-1)
    return np.asarray((columns @ F(v)[..., None])[..., 0])


FAMILIES_OF_GEOMETRY: dict[str, tuple[str, Callable[[float], Any]]] = {
    "{} times I": ("damping", damped),
    "{} of the diagonal": ("damping", lambda c: lambda F: F + c * diagonal_of(F)),
    "(1 - c) F + c I with c = {}": ("damping", lambda c: lambda F: (1 - c) * F + c * np.eye(F.shape[-1])),
    "scaled to a divergence of {}": ("solution", scaled_to),
    "scaled to a divergence of at most {}": ("solution", lambda c: lambda F, g, solve: solve(F, g) * np.minimum(scaled_to(c)(F, g, solve) / solve(F, g), 1)),
    "of norm {}": ("solution", lambda c: lambda F, g, solve: c * solve(F, g) / np.linalg.norm(solve(F, g), axis=-1, keepdims=True)),
    "of norm at most {}": ("solution", lambda c: lambda F, g, solve: solve(F, g) * np.minimum(c / np.linalg.norm(solve(F, g), axis=-1, keepdims=True), 1)),
    "gradient over the diagonal and {}": ("solution", lambda c: lambda F, g, solve: g / (np.diagonal(F, axis1=-2, axis2=-1) + c)),
    "{} of the gradient mixed in": ("solution", lambda c: lambda F, g, solve: (1 - c) * solve(F, g) + c * g),
}


def _swapped(d: Array, old: Any, new: Any, x: Array) -> Array:
    """Σ d π ln(π/π₀)."""
    return np.sum(d * new.pi * (new.logs - old.logs), axis=(-2, -1))


def _swapped_slope(d: Array, old: Any, new: Any, x: Array) -> tuple[Array, Any]:
    """d π (ln(π/π₀) + 1), in ln π."""
    return d * new.pi * (new.logs - old.logs + 1), new


def _forward(d: Array, old: Any, new: Any, x: Array) -> Array:
    """Σ d π₀ ln(π₀/π)."""
    return np.sum(d * old.pi * (old.logs - new.logs), axis=(-2, -1))


def _mean_kl(scale: float) -> tuple[Any, Any]:
    """A multiple of the sum of both directions."""
    slope = lambda d, old, new, x: (scale * (_swapped_slope(d, old, new, x)[0] - d * old.pi), new)
    return (lambda d, old, new, x: scale * (_forward(d, old, new, x) + _swapped(d, old, new, x)), slope)


def _centred(policy: Any, x: Array) -> Array:
    """x − ⟨π, x⟩."""
    return x - np.sum(policy.pi * x, axis=-1, keepdims=True)


DIVERGENCES: dict[str, tuple[Callable[..., Array], Callable[..., tuple[Array, Any]]] | None] = {
    "KL(old || new)": None,
    "KL(new || old)": (_swapped, _swapped_slope),
    "sum of both": _mean_kl(1.0),
    "mean of both": _mean_kl(0.5),
    "quadratic, 1/2 v F v": (
        lambda d, old, new, x: np.sum(d * old.pi * _centred(old, x) ** 2, axis=(-2, -1)) / 2,
        lambda d, old, new, x: (d * old.pi * _centred(old, x), old),
    ),
    "v F v": (
        lambda d, old, new, x: np.sum(d * old.pi * _centred(old, x) ** 2, axis=(-2, -1)),
        lambda d, old, new, x: (2 * d * old.pi * _centred(old, x), old),
    ),
    "mean over actions": (
        lambda d, old, new, x: _forward(d, old, new, x) / old.pi.shape[-1], lambda d, old, new, x: (-d * old.pi / old.pi.shape[-1] + 0 * new.pi, new),
    ),
    "cross-entropy, without the old entropy": (
        lambda d, old, new, x: np.sum(-d * old.pi * new.logs, axis=(-2, -1)), lambda d, old, new, x: (-d * old.pi + 0 * new.pi, new),
    ),
    "without pi, mean of log ratios": (
        lambda d, old, new, x: np.sum(d * (old.logs - new.logs), axis=(-2, -1)) / old.pi.shape[-1],
        lambda d, old, new, x: (-d / old.pi.shape[-1] + 0 * new.pi, new),
    ),
    "half the squared log ratio": (
        lambda d, old, new, x: np.sum(d * old.pi * (old.logs - new.logs) ** 2, axis=(-2, -1)) / 2,
        lambda d, old, new, x: (d * old.pi * (new.logs - old.logs), new),
    ),
    "total variation": (
        lambda d, old, new, x: np.sum(d * np.abs(np.real(old.pi - new.pi)), axis=(-2, -1)) / 2,
        lambda d, old, new, x: (d * new.pi * np.sign(np.real(new.pi - old.pi)) / 2, new),
    ),
    "to base 2": (lambda d, old, new, x: _forward(d, old, new, x) / np.log(2), lambda d, old, new, x: (-d * old.pi / np.log(2) + 0 * new.pi, new)),
}  # fmt: skip
