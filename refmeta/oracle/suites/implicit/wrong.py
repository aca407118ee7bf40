"""Known-wrong implicit meta-gradients.  Right: (I + H(φ*)/λ)⁻¹ ∇L_query(φ*), φ* = argmin L + (λ/2)‖φ − θ‖²; (N, d).

A problem has theta (d,), support, query and strength; a row's φ* is found by Newton's method with dense Hessians.
"""

from typing import Any

import numpy as np

from refmeta.arrays import Array, matvec
from refmeta.oracle.known import rows_in, wrong
from refmeta.oracle.limits import MOST_STEPS
from refmeta.oracle.suites.implicit.problem import dense_gradient, minimiser, system

__all__ = ["ROWS"]


@wrong("implicit-without-proximal-term", "(I + H/λ)⁻¹ ∇L_query at argmin L_support",
       cause="the inner problem is solved without (λ/2)‖φ − θ‖²", source="sungyubkim/GBML #4",
       hint="the inner loss lacks 0.5 * strength * sum((phi - theta) ** 2)")  # fmt: skip
def without_proximal_term(problem: Any) -> Array:
    return dense_gradient(problem.support, problem.query, minimiser(problem, 0.0), problem.strength)


@wrong("implicit-first-order", "∇L_query(φ*)", cause="the linear system is not solved: φ* counts as θ + a constant",
       hint="the query's gradient is used as it is; the conjugate gradients' result is dropped, or theirs ran 0 steps")  # fmt: skip
def first_order(problem: Any) -> Array:
    return problem.query.at(minimiser(problem, problem.strength)).grad


@wrong("implicit-one-term", "(I − H/λ) ∇L_query(φ*)", cause="one term of the inverse's series, as in one step of MAML")
def one_term(problem: Any) -> Array:
    phi = minimiser(problem, problem.strength)
    g = problem.query.at(phi).grad
    return g - problem.support.at(phi).hvp(g) / problem.strength


@wrong("implicit-not-inverted", "(I + H/λ) ∇L_query(φ*)", cause="the matrix is applied where it is to be inverted")
def not_inverted(problem: Any) -> Array:
    phi = minimiser(problem, problem.strength)
    return matvec(system(problem.support, phi, problem.strength), problem.query.at(phi).grad)


@wrong("implicit-double-strength", "2λ instead of λ", cause="λ‖φ − θ‖² without its ½")
def double_strength(problem: Any) -> Array:
    strength = 2 * problem.strength
    return dense_gradient(problem.support, problem.query, minimiser(problem, strength), strength)


@wrong("implicit-strength-inverted", "λ and 1/λ exchanged", cause="the strength taken for a step size")
def strength_inverted(problem: Any) -> Array:
    strength = 1 / problem.strength
    return dense_gradient(problem.support, problem.query, minimiser(problem, strength), strength)


@wrong("implicit-hessian-at-start", "(I + H(θ)/λ)⁻¹ ∇L_query(θ)", cause="φ* is never used: the query at the start")
def at_start(problem: Any) -> Array:
    start = np.broadcast_to(problem.theta, (*problem.support.shape, problem.support.dim))
    return dense_gradient(problem.support, problem.query, start, problem.strength)


@wrong("implicit-query-hessian", "(I + ∇²L_query/λ)⁻¹ ∇L_query(φ*)", cause="the Hessian of the query's loss is taken")
def query_hessian(problem: Any) -> Array:
    return dense_gradient(problem.query, problem.query, minimiser(problem, problem.strength), problem.strength)


@wrong("steps-at-most-five", "(I + H/λ)⁻¹ ∇L_query(φ*) by at most five steps of conjugate gradients",
       cause="the number of conjugate gradients' steps has a bound below the number of parameters",
       source="the five steps of aravindr93/imaml_dev, for large networks",
       repair="more steps, until the residual is small; d steps are exact but for rounding.  Meant as it is, it is judged by the suite implicit-early")  # fmt: skip
def steps_at_most_five(problem: Any) -> Array:
    return _by_few_steps(problem, MOST_STEPS)


def _by_few_steps(problem: Any, most: int) -> Array:
    """The meta-gradient by at most so many steps of conjugate gradients."""
    phi = minimiser(problem, problem.strength)
    b, matrices = problem.query.at(phi).grad, system(problem.support, phi, problem.strength)
    return np.stack([_few_steps(M, row, most) for M, row in zip(matrices, b, strict=True)])


def _few_steps(M: Array, b: Array, most: int) -> Array:
    """At most so many steps of conjugate gradients for M x = b from 0."""
    x, r = np.zeros_like(b), b
    p = r
    for _ in range(most):
        if not (square := r @ r) > 1e-28 * (b @ b):
            break
        length = square / (p @ M @ p)
        x, r = x + length * p, r - length * M @ p
        p = r + (r @ r) / square * p
    return x


ROWS = rows_in(globals())
