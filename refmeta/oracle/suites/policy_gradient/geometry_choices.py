"""What implementations choose in the geometry of the policy, the right alternative first.  Derivation: derivations/policy-geometry.md

An alternative is what `variants` computes instead of what is right; None is what is right.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array

__all__ = ["DIVERGENCES", "FISHERS", "SOLUTIONS"]

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
}


def _steps(count: int) -> Callable[..., Array]:
    """The result of a few steps of conjugate gradients from 0."""

    def solution(F: Array, g: Array, solve: Any) -> Array:
        return np.stack([_conjugate(M, b, count) for M, b in zip(F, g, strict=True)])

    return solution


def _conjugate(M: Array, b: Array, count: int) -> Array:
    """k steps of conjugate gradients on M x = b, from 0."""
    x, rest, p = 0 * b, b, b
    for _ in range(count):
        if not np.any(rest):
            break
        step = (rest @ rest) / (p @ M @ p)
        x, new = x + step * p, rest - step * (M @ p)
        p, rest = new + (new @ new) / (rest @ rest) * p, new
    return x


SOLUTIONS: dict[str, Callable[..., Array] | None] = {
    "of least norm": None,
    "the gradient itself": lambda F, g, solve: g,
    "negative": lambda F, g, solve: -solve(F, g),
    "of norm 1": lambda F, g, solve: solve(F, g) / np.linalg.norm(solve(F, g), axis=-1, keepdims=True),
    "divided by sqrt(g x)": lambda F, g, solve: solve(F, g) / np.sqrt(np.sum(g * solve(F, g), axis=-1, keepdims=True)),
    "times sqrt(2/(g x))": lambda F, g, solve: solve(F, g) * np.sqrt(2 / np.sum(g * solve(F, g), axis=-1, keepdims=True)),
    "gradient over the diagonal": lambda F, g, solve: g / np.diagonal(F, axis1=-2, axis2=-1),
    "F^2 for F": lambda F, g, solve: solve(F, solve(F, g)),
    "F for its inverse": lambda F, g, solve: (F @ g[..., None])[..., 0],
    "F^(1/2) for F": lambda F, g, solve: _root(F, g),
    **{f"{k} steps of conjugate gradients": _steps(k) for k in (1, 2, 3, 4)},
}


def _root(F: Array, g: Array) -> Array:
    """F^(−1/2) g."""
    values, vectors = np.linalg.eigh(F)
    inverse = np.where(values > 1e-12 * np.max(values), 1 / np.sqrt(np.abs(values) + (values <= 0)), 0)
    return np.einsum("nij,nj,nkj,nk->ni", vectors, inverse, vectors, g)


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
