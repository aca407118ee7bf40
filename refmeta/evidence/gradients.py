"""Evidence for implicit, Hessian-free and evolution-strategies MAML, and for clipping: closed forms on quadratics."""

import math

import numpy as np
from numpy.random import Generator

from refmeta.arrays import Array
from refmeta.evidence.checks import Check, Error, off
from refmeta.meta import implicit, zeroth_order
from refmeta.meta.train import clip_by_norm
from refmeta.problems import MetaProblem, random_quadratic
from refmeta.tasks.quadratic import Quadratic

__all__ = ["CHECKS", "random_long_rows"]


ImplicitCase = tuple[Quadratic, Quadratic, Array, float]
Split = tuple[MetaProblem, float]


def _random_implicit(rng: Generator) -> ImplicitCase:
    """Support and query, θ, and a λ that outweighs every negative eigenvalue."""
    return random_quadratic(rng), random_quadratic(rng), rng.normal(size=3), float(rng.uniform(1, 4))


def _implicit_error(case: ImplicitCase) -> Error:
    """∇F = λ(A + λI)⁻¹A_q(φ* − c_q), φ* = (A + λI)⁻¹(Ac + λθ), by dense inverses."""
    support, query, theta, strength = case
    inverse = np.linalg.inv(support.A + strength * np.eye(support.dim))
    phi = np.einsum("nij,nj->ni", inverse, np.einsum("nij,nj->ni", support.A, support.c) + strength * theta)
    expected = strength * np.einsum("nij,njk,nk->ni", inverse, query.A, phi - query.c)
    return off(lambda z: implicit.gradient(z[2], z[0], z[1], strength=z[3]), case, expected)


def _random_split(rng: Generator) -> Split:
    """A problem of quadratics with one step, and a distance for differences."""
    support, query = random_quadratic(rng), random_quadratic(rng)
    return MetaProblem(rng.normal(size=3), support, query, float(rng.uniform(0.1, 0.4)), 1), 0.5


def _matrix_gradient(case: MetaProblem) -> Array:
    """Jᵀ A_q(φ − c_q), φ − c = J(θ − c), J the product of the I − diag(α) A."""
    eye = np.eye(case.theta.size)
    J = np.broadcast_to(eye, case.support.A.shape)
    for alpha in np.broadcast_to(case.alpha, (case.steps, case.theta.size)):
        J = (eye - alpha[:, None] * case.support.A) @ J
    phi = case.support.c + np.einsum("nij,nj->ni", J, case.theta - case.support.c)
    return np.einsum("nji,njk,nk->ni", J, case.query.A, phi - case.query.c)


def _hessian_free_error(pair: Split) -> Error:
    """One step of MAML on quadratics, which the difference of gradients meets for every δ."""
    case, delta = pair
    expected = _matrix_gradient(case)
    scale = np.max(np.abs(case.support.at(case.theta).grad)) + np.max(np.abs(expected))
    return off(
        lambda c: zeroth_order.hessian_free_gradient(c.theta, *c.split, alpha=c.alpha, delta=delta), case, expected, scale
    )


def _evolution_error(pair: Split) -> Error:
    """∇F on quadratics, which the scaled axes meet for every σ."""
    case, sigma = pair
    expected, axes = _matrix_gradient(case), np.sqrt(case.theta.size) * np.eye(case.theta.size)
    scale = np.max(np.abs(expected)) + np.max(np.abs(case.query.at(case.theta).loss))
    return off(
        lambda c: zeroth_order.evolution_gradient(c.theta, *c.split, **c.hyper, sigma=sigma, directions=axes),
        case, expected, scale,
    )  # fmt: skip


def random_long_rows(rng: Generator, dim: int = 5, limit: float = 1.5) -> tuple[Array, float]:
    """Four directions, of which the last ones are long, and the largest norm allowed."""
    return rng.normal(size=(4, dim)) * [[0.1], [0.2], [5.0], [50.0]], limit


def _clipping_error(case: tuple[Array, float]) -> Error:
    """Row by row in plain scalars."""
    g, limit = case
    expected = [[x * min(1.0, limit / math.hypot(*row)) for x in row] for row in g.tolist()]
    return off(lambda z: np.stack([clip_by_norm(row, limit) for row in z]), g, expected)


CHECKS = (
    Check("implicit-maml", "(I + ∇²L/λ)⁻¹ ∇L_query(φ*)", "dense inverses on quadratics", _random_implicit, _implicit_error),
    Check("hessian-free-maml", "g − (α/2δ)[∇L(θ+δg) − ∇L(θ−δg)]", "(I − αA)g on quadratics",
          _random_split, _hessian_free_error),
    Check("es-maml", "(1/2Mσ) Σ [F(θ+σe) − F(θ−σe)] e", "∇F on quadratics, e = √d e_j", _random_split, _evolution_error),
    Check("clip-by-norm", "g · min(1, c/‖g‖)", "plain scalars", random_long_rows, _clipping_error),
)  # fmt: skip
