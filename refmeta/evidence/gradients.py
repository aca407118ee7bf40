"""Evidence for implicit, Hessian-free and evolution-strategies MAML, and for clipping: closed forms on quadratics."""

import math

import numpy as np
from numpy.random import Generator

from refmeta.arrays import Array
from refmeta.evidence.judged import drawing, off
from refmeta.meta import implicit, zeroth_order
from refmeta.meta.train import clip_by_norm
from refmeta.problems import random_quadratic
from refmeta.tasks.quadratic import Quadratic


def proximal(support: Quadratic, query: Quadratic, theta: Array, strength: float) -> Array:
    """∇F = λ(A + λI)⁻¹A_q(φ* − c_q), φ* = (A + λI)⁻¹(Ac + λθ), by dense inverses."""
    inverse = np.linalg.inv(support.A + strength * np.eye(support.dim))
    phi = np.einsum("nij,nj->ni", inverse, np.einsum("nij,nj->ni", support.A, support.c) + strength * theta)
    return strength * np.einsum("nij,njk,nk->ni", inverse, query.A, phi - query.c)


def _implicit(rng: Generator) -> float:
    support, query, theta, strength = random_quadratic(rng), random_quadratic(rng), rng.normal(size=3), float(rng.uniform(1, 4))
    expected = proximal(support, query, theta, strength)
    return off(
        lambda z: implicit.gradient(z[2], z[0], z[1], strength=z[3]), (support, query, theta, strength), expected
    )


def _one_step(support: Quadratic, query: Quadratic, theta: Array, alpha: float) -> Array:
    """(I − αA)A_q(φ − c_q), φ − c = (I − αA)(θ − c)."""
    shrink = np.eye(support.dim) - alpha * support.A
    phi = support.c + np.einsum("nij,nj->ni", shrink, theta - support.c)
    return np.einsum("nij,njk,nk->ni", shrink, query.A, phi - query.c)


def _hessian_free(rng: Generator) -> float:
    support, query, theta, alpha = random_quadratic(rng), random_quadratic(rng), rng.normal(size=3), float(rng.uniform(0.1, 0.4))
    expected = _one_step(support, query, theta, alpha)
    scale = np.max(np.abs(support.at(theta).grad)) + np.max(np.abs(expected))
    return off(
        lambda z: zeroth_order.hessian_free_gradient(z[2], z[0], z[1], alpha=z[3], delta=0.5),
        (support, query, theta, alpha), expected, scale,
    )  # fmt: skip


def _evolution(rng: Generator) -> float:
    support, query, theta, alpha = random_quadratic(rng), random_quadratic(rng), rng.normal(size=3), float(rng.uniform(0.1, 0.4))
    expected, axes = _one_step(support, query, theta, alpha), np.sqrt(3) * np.eye(3)
    scale = np.max(np.abs(expected)) + np.max(np.abs(query.at(support.at(theta).theta).loss))
    return off(
        lambda z: zeroth_order.evolution_gradient(z[2], z[0], z[1], alpha=z[3], sigma=0.5, directions=axes),
        (support, query, theta, alpha), expected, scale,
    )  # fmt: skip


def _clipped(rng: Generator) -> float:
    """Two kept, two cut, in plain scalars."""
    g = rng.normal(size=(4, 5)) * [[0.1], [0.2], [5.0], [50.0]]
    expected = [[x * min(1.0, 1.5 / math.hypot(*row)) for x in row] for row in g.tolist()]
    return off(lambda z: np.stack([clip_by_norm(row, 1.5) for row in z]), g, expected)


CHECKS = (
    drawing("implicit-maml", "(I + ∇²L/λ)⁻¹ ∇L_query(φ*)", "dense inverses on quadratics", _implicit),
    drawing("hessian-free-maml", "g − (α/2δ)[∇L(θ+δg) − ∇L(θ−δg)]", "(I − αA)g on quadratics", _hessian_free),
    drawing("es-maml", "(1/2Mσ) Σ [F(θ+σe) − F(θ−σe)] e", "∇F on quadratics, e = √d e_j", _evolution),
    drawing("clip-by-norm", "g · min(1, c/‖g‖)", "plain scalars", _clipped),
)
