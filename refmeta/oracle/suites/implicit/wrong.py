"""Known-wrong implicit meta-gradients.  Right: (I + H(φ*)/λ)⁻¹ ∇L_query(φ*), φ* = argmin L + (λ/2)‖φ − θ‖²; (N, d).

A problem has theta (d,), support, query and strength; a row's φ* is found by Newton's method with dense Hessians.
"""

from typing import Any

import numpy as np

from refmeta.arrays import Array, matvec
from refmeta.oracle.known import rows_in, wrong
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


ROWS = rows_in(globals())
