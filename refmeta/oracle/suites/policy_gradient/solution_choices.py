"""What implementations choose for the solution of F x = g, the right alternative first.  Derivation: derivations/policy-geometry.md

An alternative is what is computed instead of what is right; None is what is right.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array

__all__ = ["DAMPINGS", "SOLUTIONS", "damped", "diagonal_of", "scaled_to"]



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


def diagonal_of(F: Array) -> Array:
    """The diagonal of F as a matrix."""
    return np.asarray(np.eye(F.shape[-1]) * F)


DAMPINGS: dict[str, Callable[[Array], Array]] = {
    "0.1 of the diagonal": lambda F: F + 0.1 * diagonal_of(F),
    "the diagonal once more": lambda F: F + diagonal_of(F),
    "0.1 of the mean of the diagonal": lambda F: F + 0.1 * np.trace(F, axis1=-2, axis2=-1)[:, None, None] / F.shape[-1] * np.eye(F.shape[-1]),
    "0.9 F and 0.1 I": lambda F: 0.9 * F + 0.1 * np.eye(F.shape[-1]),
}


def _root(F: Array, g: Array) -> Array:
    """F^(−1/2) g."""
    values, vectors = np.linalg.eigh(F)
    inverse = np.where(values > 1e-12 * np.max(values), 1 / np.sqrt(np.abs(values) + (values <= 0)), 0)
    return np.einsum("nij,nj,nkj,nk->ni", vectors, inverse, vectors, g)
