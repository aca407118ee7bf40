"""Known-wrong implicit meta-gradients.  Right: (I + H(φ*)/λ)⁻¹ ∇L_query(φ*), φ* = argmin L + (λ/2)‖φ − θ‖²; (N, d).

A case has theta (d,), support, query and strength; a row's φ* is found by Newton's method with dense Hessians.
"""

from typing import Any

import numpy as np

from refmeta.arrays import Array, matvec
from refmeta.oracle.wrong.row import rows, wrong


def hessian(task: Any, phi: Array) -> Array:
    """∇²L of every task, (N, d, d)."""
    return np.stack([task.at(phi).hvp(e) for e in np.eye(task.dim)], axis=-1)


def minimiser(case: Any, strength: float) -> Array:
    """argmin L + (strength/2)‖φ − θ‖², (N, d), the nearest to θ where there are many."""
    phi = np.broadcast_to(case.theta, (*case.support.shape, case.support.dim))
    for _ in range(20):
        H = hessian(case.support, phi) + strength * np.eye(case.support.dim)
        slope = case.support.at(phi).grad + strength * (phi - case.theta)
        phi = phi - matvec(np.linalg.pinv(H, rcond=1e-12), slope)
    return phi


def solved(case: Any, phi: Array, power: int = -1) -> Array:
    """(I + H/λ)^power ∇L_query(φ)."""
    matrix = np.eye(case.support.dim) + hessian(case.support, phi) / case.strength
    return matvec(np.linalg.matrix_power(matrix, power), case.query.at(phi).grad)


@wrong("implicit-without-proximal-term", "(I + H/λ)⁻¹ ∇L_query at argmin L_support",
       cause="the inner problem is solved without (λ/2)‖φ − θ‖²", seen="sungyubkim/GBML #4")  # fmt: skip
def without_proximal_term(case: Any) -> Array:
    return solved(case, minimiser(case, 0.0))


@wrong("implicit-first-order", "∇L_query(φ*)", cause="the linear system is not solved: φ* counts as θ + a constant")
def first_order(case: Any) -> Array:
    return case.query.at(minimiser(case, case.strength)).grad


@wrong("implicit-one-term", "(I − H/λ) ∇L_query(φ*)", cause="one term of the inverse's series, as in one step of MAML")
def one_term(case: Any) -> Array:
    phi = minimiser(case, case.strength)
    g = case.query.at(phi).grad
    return g - case.support.at(phi).hvp(g) / case.strength


@wrong("implicit-not-inverted", "(I + H/λ) ∇L_query(φ*)", cause="the matrix is applied where it is to be inverted")
def not_inverted(case: Any) -> Array:
    return solved(case, minimiser(case, case.strength), power=1)


@wrong("implicit-double-strength", "2λ in the place of λ", cause="λ‖φ − θ‖² without its ½")
def double_strength(case: Any) -> Array:
    phi = minimiser(case, 2 * case.strength)
    return matvec(
        np.linalg.inv(np.eye(case.support.dim) + hessian(case.support, phi) / (2 * case.strength)),
        case.query.at(phi).grad,
    )


@wrong("implicit-strength-inverted", "λ and 1/λ exchanged", cause="the strength taken for a step size")
def strength_inverted(case: Any) -> Array:
    phi = minimiser(case, 1 / case.strength)
    matrix = np.eye(case.support.dim) + hessian(case.support, phi) * case.strength
    return matvec(np.linalg.inv(matrix), case.query.at(phi).grad)


@wrong("implicit-hessian-at-start", "(I + H(θ)/λ)⁻¹ ∇L_query(θ)", cause="φ* is never used: the query at the start")
def at_start(case: Any) -> Array:
    return solved(case, np.broadcast_to(case.theta, (*case.support.shape, case.support.dim)))


@wrong("implicit-query-hessian", "(I + ∇²L_query/λ)⁻¹ ∇L_query(φ*)", cause="the Hessian of the query's loss is taken")
def query_hessian(case: Any) -> Array:
    phi = minimiser(case, case.strength)
    matrix = np.eye(case.support.dim) + hessian(case.query, phi) / case.strength
    return matvec(np.linalg.inv(matrix), case.query.at(phi).grad)


ROWS = rows(globals())
