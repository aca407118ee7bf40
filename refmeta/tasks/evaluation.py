"""A policy's evaluation and its derivative, for all tasks at once or task after task.  Derivation: derivations/exact-policy-gradient.md

Each function has two bodies, whose results differ by rounding only.  The first is the formula on the arrays of all tasks.  The
second takes one task after the other: a task uses its P two or three times, and a large P stays in the processor's cache
until its next use only if no other task comes between.
"""

from typing import NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.tasks.factors import Inverses, LUFactors, factorise, lapack, singular, solve, solve_transposed
from refmeta.tasks.mdp import FiniteMDP

__all__ = ["LARGE", "EvaluatedPolicy", "evaluation", "evaluation_jvp"]

LARGE = 64  # states; with 4 actions a meta-gradient task after task takes 1.4 of the time at 32, 1.0 at 64, 0.9 at 100 and 150, 1.0 at 200


class EvaluatedPolicy(NamedTuple):
    """I − γP_π factorised, V (..., S), and PV (..., S, A) where it was computed on the way, else None."""

    factors: Inverses | LUFactors
    value: Array
    expected: Array | None


def evaluation(mdp: FiniteMDP, pi: Array, r: Array) -> EvaluatedPolicy:
    """V = (I − γP_π)⁻¹ r for a policy π (..., S, A) and its rewards r (..., S); task after task PV, too."""
    if _is_task_after_task(mdp, pi):
        return _evaluation_by_task(mdp, pi, r)
    factors = factorise(_identity_plus(mdp.transitions(-mdp.gamma * pi)))
    return EvaluatedPolicy(factors, solve(factors, r), None)


def evaluation_jvp(mdp: FiniteMDP, factors: Inverses | LUFactors, g: Array, w: Array) -> tuple[Array, Array]:
    """P(I − γP_π)⁻¹ g, (..., S, A), and (I − γP_πᵀ)⁻¹ Pᵀw, (..., S), for g (..., S) and w (..., S, A).

    For g = Σ_a dπ A the first is P dV, and for w = d dπ the second is dd/γ.
    """
    if isinstance(factors, LUFactors) and _is_task_after_task(mdp, w):
        return _evaluation_jvp_by_task(mdp, factors, g, w)
    return mdp.expect(solve(factors, g)), solve_transposed(factors, mdp.push(w))


def _is_task_after_task(mdp: FiniteMDP, x: Array) -> bool:
    """Whether P is large, and each task of x (..., S, A) has a P of its own."""
    return mdp.states > LARGE and mdp.onward.shape[:-3] == x.shape[:-2]


def _identity_plus(M: Array) -> Array:
    """I + M, in M itself."""
    np.einsum("...ii->...i", M)[...] += 1
    return M


def _evaluation_by_task(mdp: FiniteMDP, pi: Array, r: Array) -> EvaluatedPolicy:
    """`evaluation`, one task after the other."""
    factor, solver = lapack(r.dtype)
    weights, V, PV, each = (-mdp.gamma * pi)[..., None, :], np.array(r), np.empty_like(pi), []
    for i in np.ndindex(r.shape[:-1]):
        P, v = mdp.onward[i], V[i]
        lu, pivots, info = factor(_identity_plus((weights[i] @ P)[:, 0]).T, overwrite_a=True)
        if info > 0:
            raise singular(i)
        solver(lu, pivots.copy(), v, 1, True)
        np.matmul(P.reshape(-1, mdp.states), v, out=PV[i].reshape(-1))
        each.append((lu, pivots))
    return EvaluatedPolicy(LUFactors(V.shape, V.dtype, each), V, PV)


def _evaluation_jvp_by_task(mdp: FiniteMDP, factors: LUFactors, g: Array, w: Array) -> tuple[Array, Array]:
    """`evaluation_jvp`, one task after the other."""
    dtype = np.result_type(g, w, factors.dtype)
    solver, V, PV, d = lapack(dtype)[1], np.array(g, dtype), np.empty(w.shape, dtype), np.empty(g.shape, dtype)
    for i, (lu, pivots) in zip(np.ndindex(g.shape[:-1]), factors.each, strict=True):
        P = mdp.onward[i].reshape(-1, mdp.states)
        solver(lu, pivots.copy(), V[i], 1, True)
        np.matmul(P, V[i], out=PV[i].reshape(-1))
        np.matmul(w[i].reshape(-1), P, out=d[i])
        solver(lu, pivots.copy(), d[i], 0, True)
    return PV, d
