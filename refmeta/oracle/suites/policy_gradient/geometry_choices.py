"""What implementations choose in the geometry of the policy, the right alternative first.  Derivation: derivations/policy-geometry.md

An alternative is what `variants` computes instead of what is right; None is what is right.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array

__all__ = ["DAMPINGS", "DIRECTIONS", "DIVERGENCES", "FAMILIES_OF_GEOMETRY", "FISHERS", "SOLUTIONS", "damped", "scaled_to"]

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
        step = (rest @ rest) / max(p @ M @ p, 1e-300)
        x, new = x + step * p, rest - step * (M @ p)
        p, rest = new + (new @ new) / (rest @ rest) * p, new
    return x


def scaled_to(divergence: float) -> Callable[..., Array]:
    """x √(2δ/(xᵀF x)), the step of TRPO."""
    return lambda F, g, solve: solve(F, g) * np.sqrt(2 * divergence / np.sum(g * solve(F, g), axis=-1, keepdims=True))


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
    **{f"{k} steps of conjugate gradients": _steps(k) for k in (1, 2, 3, 4, 5, 10)},
    "mean F of all tasks": lambda F, g, solve: solve(0 * F + np.mean(F, axis=0), g),
    "sum of F over all tasks": lambda F, g, solve: solve(0 * F + np.sum(F, axis=0), g),
    "F of the first task": lambda F, g, solve: solve(0 * F + F[:1], g),
    "F of the next task": lambda F, g, solve: solve(np.roll(F, -1, axis=0), g),
    "mean gradient of all tasks": lambda F, g, solve: solve(F, 0 * g + np.mean(g, axis=0)),
    "mean F and mean gradient of all tasks": lambda F, g, solve: solve(0 * F + np.mean(F, axis=0), 0 * g + np.mean(g, axis=0)),
    "of the sign of the gradient": lambda F, g, solve: solve(F, np.sign(g)),
    "of the gradient over its norm": lambda F, g, solve: solve(F, g / np.linalg.norm(g, axis=-1, keepdims=True)),
    "F transposed over its trace": lambda F, g, solve: solve(F / np.trace(F, axis1=-2, axis2=-1)[:, None, None], g),
    "gradient over the trace": lambda F, g, solve: g / np.trace(F, axis1=-2, axis2=-1)[:, None],
    "gradient over the largest eigenvalue": lambda F, g, solve: g / np.linalg.eigvalsh(F)[:, -1:],
    "gradient over the root of the diagonal": lambda F, g, solve: g / np.sqrt(np.diagonal(F, axis1=-2, axis2=-1)),
    "entries 0 where F has none": lambda F, g, solve: np.where(np.diagonal(F, axis1=-2, axis2=-1) > 0, g / np.diagonal(F, axis1=-2, axis2=-1), 0),
    "divided by g x": lambda F, g, solve: solve(F, g) / np.sum(g * solve(F, g), axis=-1, keepdims=True),
    "times sqrt(0.02/(g x))": scaled_to(0.01),
    "times sqrt(0.02/(g x)), at most once": lambda F, g, solve: solve(F, g) * np.minimum(np.sqrt(0.02 / np.sum(g * solve(F, g), axis=-1, keepdims=True)), 1),
    "norm at most 1": lambda F, g, solve: solve(F, g) / np.maximum(np.linalg.norm(solve(F, g), axis=-1, keepdims=True), 1),
}


def damped(c: float) -> Callable[[Array], Array]:
    """F + c I."""
    return lambda F: F + c * np.eye(F.shape[-1])


def _diagonal(F: Array) -> Array:
    """The diagonal of F as a matrix."""
    return np.asarray(np.eye(F.shape[-1]) * F)


DAMPINGS: dict[str, Callable[[Array], Array]] = {
    "0.1 of the diagonal": lambda F: F + 0.1 * _diagonal(F),
    "the diagonal once more": lambda F: F + _diagonal(F),
    "0.1 of the mean of the diagonal": lambda F: F + 0.1 * np.trace(F, axis1=-2, axis2=-1)[:, None, None] / F.shape[-1] * np.eye(F.shape[-1]),
    "0.9 F and 0.1 I": lambda F: 0.9 * F + 0.1 * np.eye(F.shape[-1]),
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
    "{} of the diagonal": ("damping", lambda c: lambda F: F + c * _diagonal(F)),
    "(1 - c) F + c I with c = {}": ("damping", lambda c: lambda F: (1 - c) * F + c * np.eye(F.shape[-1])),
    "scaled to a divergence of {}": ("solution", scaled_to),
    "scaled to a divergence of at most {}": ("solution", lambda c: lambda F, g, solve: solve(F, g) * np.minimum(scaled_to(c)(F, g, solve) / solve(F, g), 1)),
    "of norm {}": ("solution", lambda c: lambda F, g, solve: c * solve(F, g) / np.linalg.norm(solve(F, g), axis=-1, keepdims=True)),
    "of norm at most {}": ("solution", lambda c: lambda F, g, solve: solve(F, g) * np.minimum(c / np.linalg.norm(solve(F, g), axis=-1, keepdims=True), 1)),
    "gradient over the diagonal and {}": ("solution", lambda c: lambda F, g, solve: g / (np.diagonal(F, axis1=-2, axis2=-1) + c)),
    "{} of the gradient mixed in": ("solution", lambda c: lambda F, g, solve: (1 - c) * solve(F, g) + c * g),
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
