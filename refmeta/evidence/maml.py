"""Evidence for adaptation, MAML and its family."""

import math
from typing import Any

import numpy as np
from numpy.random import Generator

from refmeta.arrays import Array
from refmeta.evidence.judged import drawing, off
from refmeta.judges import complex_step
from refmeta.meta import maml
from refmeta.meta.inner import adapt
from refmeta.problems import ALPHAS, KINDS, Problem, random_problem, random_quadratic
from refmeta.tasks.quadratic import Quadratic
from refmeta.tasks.regression import LinearRegression
from refmeta.tolerance import max_per_task


def any_problem(rng: Generator, alpha: str = "") -> Problem:
    """A problem of any kind, α in any shape, one to three steps."""
    kind, shape = KINDS[rng.integers(len(KINDS))], alpha or ALPHAS[rng.integers(len(ALPHAS))]
    return random_problem(rng, kind, tasks=2, steps=int(rng.integers(1, 4)), alpha=shape)


def _scale(case: Problem) -> Array:
    """‖g_q‖∞, task by task."""
    return max_per_task(maml.first_order_gradient(case.theta, *case.split, **case.hyper))


def shrunk(task: Quadratic, theta: Array, alpha: float, steps: int) -> Array:
    """φ − c = (I − αA)ᴷ(θ − c) through the eigenvectors of A."""
    values, vectors = np.linalg.eigh(task.A)
    x = np.einsum("nij,ni->nj", vectors, theta - task.c)
    return np.einsum("nij,nj->ni", vectors, (1 - alpha * values) ** steps * x)


def quadratics(rng: Generator) -> tuple[Quadratic, Array, float, int]:
    return random_quadratic(rng), rng.normal(size=3), float(rng.uniform(0.1, 0.4)), int(rng.integers(1, 5))


def _inner_step(rng: Generator) -> float:
    task, theta, alpha, steps = quadratics(rng)
    expected = task.c + shrunk(task, theta, alpha, steps)
    return off(lambda z: adapt(z[1], z[0], alpha=z[2], steps=steps).adapted, (task, theta, alpha), expected)


def _objective(rng: Generator) -> float:
    task, theta, alpha, steps = quadratics(rng)
    x = shrunk(task, theta, alpha, steps)
    expected = [math.fsum((np.outer(row, row) * A).ravel()) / 2 for row, A in zip(x, task.A, strict=True)]
    scale = [math.fsum(np.abs(np.outer(row, row) * A).ravel()) for row, A in zip(x, task.A, strict=True)]
    return off(lambda z: maml.objective(z[1], z[0], alpha=z[2], steps=steps), (task, theta, alpha), expected, scale)


def _gradient(rng: Generator) -> float:
    case = any_problem(rng)
    expected = complex_step(lambda t: maml.objective(t, *case.split, **case.hyper), case.theta)
    return off(lambda c: maml.gradient(c.theta, *c.split, **c.hyper), case, expected, _scale(case))


def _first_order(rng: Generator) -> float:
    case = any_problem(rng)
    phi = adapt(case.theta, case.support, **case.hyper).adapted
    pick = np.eye(len(phi))
    rows = [complex_step(lambda t: case.query.at(t).loss, row) for row in phi]
    expected = np.einsum("nm,nmd->nd", pick, np.array(rows))
    return off(lambda c: maml.first_order_gradient(c.theta, *c.split, **c.hyper), case, expected)


def _step_sizes(rng: Generator) -> float:
    case = any_problem(rng)
    expected = complex_step(lambda a: maml.objective(case.theta, *case.split, alpha=a, steps=case.steps), case.alpha)
    return off(lambda c: maml.step_size_gradient(c.theta, *c.split, **c.hyper), case, expected, _scale(case))


def _multi_step(rng: Generator) -> float:
    case = any_problem(rng)
    w = rng.normal(size=case.steps + 1)
    expected = complex_step(lambda t: maml.multi_step_objective(t, *case.split, weights=w, **case.hyper), case.theta)
    scale = np.sum(np.abs(w)) * _scale(case)
    return off(lambda c: maml.multi_step_gradient(c.theta, *c.split, weights=w, **c.hyper), case, expected, scale)


def _total(case: Problem, theta: Array, alpha: Any) -> Any:
    return np.sum(maml.objective(theta, *case.split, alpha=alpha, steps=case.steps))


def _update(rng: Generator) -> float:
    case = any_problem(rng)
    expected = case.theta - 0.25 * complex_step(lambda t: _total(case, t, case.alpha), case.theta)

    def updated(c: Problem) -> Array:
        return maml.update(c.theta, maml.gradient(c.theta, *c.split, **c.hyper), beta=0.25)[None]

    return off(updated, case, expected[None], np.sum(_scale(case)))


def _meta_sgd(rng: Generator) -> float:
    case = any_problem(rng, "parameter")
    expected = case.alpha - 0.25 * complex_step(lambda a: _total(case, case.theta, a), case.alpha)

    def updated(c: Problem) -> Array:
        return maml.meta_sgd_update(c.theta, *c.split, beta=0.25, **c.hyper).alpha[None]

    return off(updated, case, expected[None], np.sum(_scale(case)))


def _closed_form(rng: Generator) -> float:
    half = rng.normal(size=(3, 3, 3))
    A = half @ half.swapaxes(-1, -2) / 3 + 0.2 * np.eye(3)
    task = Quadratic((A + A.swapaxes(-1, -2)) / 2, rng.normal(size=(3, 3)))
    star = maml.quadratic_minimiser(task, alpha=0.1, steps=2)
    g = maml.gradient(star, task, alpha=0.1, steps=2)
    return off(
        lambda z: np.sum(maml.gradient(z[1], z[0], alpha=0.1, steps=2), axis=0)[None],
        (task, star),
        0 * g[:1],
        np.max(np.abs(g)),
    )


def _joint_tie(rng: Generator) -> float:
    """Σ p ∇F at E[w], over three designs x three tasks with product probabilities."""
    designs, w = rng.normal(size=(2, 3, 1, 4, 2)), rng.normal(size=(3, 2))
    p, q = rng.dirichlet(np.ones(3), size=2)
    X = np.broadcast_to(designs, (2, 3, 3, 4, 2))
    support, query = (LinearRegression(x, np.einsum("ijkd,jd->ijk", x, w)) for x in X)
    g = maml.gradient(q @ w, support, query, alpha=float(rng.uniform(-0.2, 0.5)), steps=int(rng.integers(1, 4)))
    tied, size = (np.einsum("i,j,ijd->d", p, q, x) for x in (g, np.abs(g)))
    return float(np.max(np.abs(tied)) / (30 * np.finfo(float).eps * np.max(size) * 10))


CHECKS = (
    drawing("inner-step", "θ − α ⊙ ∇L(θ)", "(I − αA)ᴷ through eigenvectors", _inner_step),
    drawing("maml-objective", "L_query(φ)", "½(φ − c)ᵀA(φ − c), closed form", _objective),
    drawing("maml-gradient", "λ − ∇²L(θ⁽ᵏ⁾)(α ⊙ λ), backwards", "complex step of F", _gradient),
    drawing("first-order-maml", "∇L_query(φ)", "complex step of L_query at φ", _first_order),
    drawing("step-size-gradient", "−∇L(θ⁽ᵏ⁾) ⊙ λ_{k+1}", "complex step of F by α", _step_sizes),
    drawing("multi-step-loss", "Σ_k w_k L_query(θ⁽ᵏ⁾)", "complex step", _multi_step),
    drawing("maml-update", "θ − β Σ ∇F_i", "complex step of Σ F_i", _update),
    drawing("meta-sgd", "(θ, α) − β Σ (∂F_i/∂θ, ∂F_i/∂α)", "complex step of Σ F_i by α", _meta_sgd),
    drawing("quadratic-maml", "(ΣA')⁻¹ΣA'c, A' = (I−αA)ᴷA(I−αA)ᴷ", "Σ ∇F_i = 0 there", _closed_form),
    drawing("thm:joint-tie", "argmin E[F] = argmin E[L]", "enumeration of designs x tasks", _joint_tie),
)
