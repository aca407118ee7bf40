"""Evidence for adaptation, MAML and its family."""

import math
from typing import Any

import numpy as np
from numpy.random import Generator

from refmeta.arrays import Array
from refmeta.evidence.checks import Check, Error, off
from refmeta.judges import complex_step
from refmeta.meta import maml
from refmeta.meta.inner import adapt
from refmeta.problems import ALPHAS, KINDS, MetaProblem, random_problem, random_quadratic
from refmeta.tasks.quadratic import Quadratic
from refmeta.tasks.regression import LinearRegression
from refmeta.tolerance import max_per_task

__all__ = ["CHECKS", "closed_form_offset", "random_case", "random_designs", "random_minimum", "random_quadratics"]

BETA = 0.25


def random_case(rng: Generator, alpha: str = "") -> MetaProblem:
    """A problem of any kind, α in any shape, one to three steps."""
    kind, shape = KINDS[rng.integers(len(KINDS))], alpha or ALPHAS[rng.integers(len(ALPHAS))]
    return random_problem(rng, kind, tasks=2, steps=int(rng.integers(1, 4)), alpha=shape)


def random_quadratics(rng: Generator) -> MetaProblem:
    """Quadratics, each its own query, with one step size and one to four steps."""
    task = random_quadratic(rng)
    return MetaProblem(rng.normal(size=3), task, task, float(rng.uniform(0.1, 0.4)), int(rng.integers(1, 5)))


def _scale(case: MetaProblem) -> Array:
    """‖g_q‖∞, task by task."""
    return max_per_task(maml.first_order_gradient(case.theta, *case.split, **case.hyper))


def closed_form_offset(task: Quadratic, theta: Array, alpha: float, steps: int) -> Array:
    """φ − c = (I − αA)ᴷ(θ − c) through the eigenvectors of A."""
    values, vectors = np.linalg.eigh(task.A)
    x = np.einsum("nij,ni->nj", vectors, theta - task.c)
    return np.einsum("nij,nj->ni", vectors, (1 - alpha * values) ** steps * x)


def _adaptation_error(case: MetaProblem) -> Error:
    """φ on quadratics with one step size."""
    expected = case.support.c + closed_form_offset(case.support, case.theta, case.alpha, case.steps)
    return off(lambda c: adapt(c.theta, c.support, **c.hyper).adapted, case, expected)


def _objective_error(case: MetaProblem) -> Error:
    """½(φ − c)ᵀA(φ − c) of the query, on quadratics with one step size."""
    rows = closed_form_offset(case.support, case.theta, case.alpha, case.steps) + (case.support.c - case.query.c)
    terms = [(np.outer(x, x) * A).ravel() for x, A in zip(rows, case.query.A, strict=True)]
    scale = [math.fsum(np.abs(x)) for x in terms]
    return off(lambda c: maml.objective(c.theta, *c.split, **c.hyper), case, [math.fsum(x) / 2 for x in terms], scale)


def _gradient_error(case: MetaProblem) -> Error:
    """The gradient against the complex step of the objective."""
    expected = complex_step(lambda t: maml.objective(t, *case.split, **case.hyper), case.theta)
    return off(lambda c: maml.gradient(c.theta, *c.split, **c.hyper), case, expected, _scale(case))


def _first_order_error(case: MetaProblem) -> Error:
    """The first-order gradient against the complex step of each query's loss at its own φ."""
    phi = adapt(case.theta, case.support, **case.hyper).adapted
    expected = [complex_step(lambda t: case.query.at(t).loss, row)[n] for n, row in enumerate(phi)]
    return off(lambda c: maml.first_order_gradient(c.theta, *c.split, **c.hyper), case, expected)


def _step_size_error(case: MetaProblem) -> Error:
    """The gradient by α against the complex step of the objective."""
    expected = complex_step(lambda a: maml.objective(case.theta, *case.split, alpha=a, steps=case.steps), case.alpha)
    return off(lambda c: maml.step_size_gradient(c.theta, *c.split, **c.hyper), case, expected, _scale(case))


def _random_weights(rng: Generator) -> tuple[MetaProblem, Array]:
    """A problem and a weight for each of θ⁽⁰⁾ … θ⁽ᴷ⁾."""
    case = random_case(rng)
    return case, rng.normal(size=case.steps + 1)


def _multi_step_error(pair: tuple[MetaProblem, Array]) -> Error:
    """The gradient of the weighted sum against its complex step."""
    case, w = pair
    expected = complex_step(lambda t: maml.multi_step_objective(t, *case.split, weights=w, **case.hyper), case.theta)
    scale = np.sum(np.abs(w)) * _scale(case)
    return off(lambda c: maml.multi_step_gradient(c.theta, *c.split, weights=w, **c.hyper), case, expected, scale)


def _sum(case: MetaProblem, theta: Array, alpha: Any) -> Any:
    """Σ F_i."""
    return np.sum(maml.objective(theta, *case.split, alpha=alpha, steps=case.steps))


def _update_error(case: MetaProblem) -> Error:
    """θ − β Σ ∇F_i against the complex step of the sum."""
    expected = case.theta - BETA * complex_step(lambda t: _sum(case, t, case.alpha), case.theta)
    update = lambda c: maml.update(c.theta, maml.gradient(c.theta, *c.split, **c.hyper), beta=BETA)[None]
    return off(update, case, expected[None], np.sum(_scale(case)))


def _meta_sgd_error(case: MetaProblem) -> Error:
    """α − β Σ ∂F_i/∂α against the complex step of the sum."""
    expected = case.alpha - BETA * complex_step(lambda a: _sum(case, case.theta, a), case.alpha)
    update = lambda c: np.asarray(maml.meta_sgd_update(c.theta, *c.split, beta=BETA, **c.hyper).alpha)[None]
    return off(update, case, expected[None], np.sum(_scale(case)))


def random_minimum(rng: Generator, dim: int = 3, alpha: float = 0.1, steps: int = 2) -> tuple[Quadratic, float, int]:
    """Three quadratics of positive eigenvalues, α and a number of steps."""
    half = rng.normal(size=(3, dim, dim))
    A = half @ half.swapaxes(-1, -2) / 3 + 0.2 * np.eye(dim)
    return Quadratic((A + A.swapaxes(-1, -2)) / 2, rng.normal(size=(3, dim))), alpha, steps


def _minimum_error(case: tuple[Quadratic, float, int]) -> Error:
    """Σ ∇F_i, which is 0 at the minimiser."""
    task, alpha, steps = case
    star = maml.quadratic_minimiser(task, alpha=alpha, steps=steps)
    g = maml.gradient(star, task, alpha=alpha, steps=steps)
    slope = lambda z: np.sum(maml.gradient(z[1], z[0], alpha=alpha, steps=steps), axis=0)[None]
    return off(slope, (task, star), 0 * g[:1], np.max(np.abs(g)))


def random_designs(rng: Generator, designs: int = 3, tasks: int = 3) -> tuple[Array, Array, Array, Array, float, int]:
    """Inputs of support and query, true weights of the tasks, the probabilities of both, α and a number of steps."""
    X, w = rng.normal(size=(2, designs, 1, 4, 2)), rng.normal(size=(tasks, 2))
    p, q = rng.dirichlet(np.ones(designs)), rng.dirichlet(np.ones(tasks))
    return X, w, p, q, float(rng.uniform(-0.2, 0.5)), int(rng.integers(1, 4))


def _tie_error(case: tuple[Array, Array, Array, Array, float, int]) -> float:
    """Σ p ∇F at E[w], over designs x tasks with product probabilities."""
    X, w, p, q, alpha, steps = case
    each = np.repeat(X, len(w), axis=2)
    support, query = (LinearRegression(x, np.einsum("ijkd,jd->ijk", x, w)) for x in each)
    g = maml.gradient(q @ w, support, query, alpha=alpha, steps=steps)
    tied, size = (np.einsum("i,j,ijd->d", p, q, x) for x in (g, np.abs(g)))
    return float(np.max(np.abs(tied)) / (30 * np.finfo(float).eps * np.max(size) * 10))


CHECKS = (
    Check("inner-step", "θ − α ⊙ ∇L(θ)", "(I − αA)ᴷ through eigenvectors", random_quadratics, _adaptation_error),
    Check("maml-objective", "L_query(φ)", "½(φ − c)ᵀA(φ − c), closed form", random_quadratics, _objective_error),
    Check("maml-gradient", "λ − ∇²L(θ⁽ᵏ⁾)(α ⊙ λ), backwards", "complex step of F", random_case, _gradient_error),
    Check("first-order-maml", "∇L_query(φ)", "complex step of L_query at φ", random_case, _first_order_error),
    Check("step-size-gradient", "−∇L(θ⁽ᵏ⁾) ⊙ λ_{k+1}", "complex step of F by α", random_case, _step_size_error),
    Check("multi-step-loss", "Σ_k w_k L_query(θ⁽ᵏ⁾)", "complex step", _random_weights, _multi_step_error),
    Check("maml-update", "θ − β Σ ∇F_i", "complex step of Σ F_i", random_case, _update_error),
    Check("meta-sgd", "(θ, α) − β Σ (∂F_i/∂θ, ∂F_i/∂α)", "complex step of Σ F_i by α",
          lambda rng: random_case(rng, "parameter"), _meta_sgd_error),
    Check("quadratic-maml", "(ΣA')⁻¹ΣA'c, A' = (I−αA)ᴷA(I−αA)ᴷ", "Σ ∇F_i = 0 there", random_minimum, _minimum_error),
    Check("thm:joint-tie", "argmin E[F] = argmin E[L]", "enumeration of designs x tasks", random_designs, _tie_error),
)  # fmt: skip
