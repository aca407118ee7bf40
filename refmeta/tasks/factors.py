"""LU factors of a batch of matrices, in place, and the solutions of their systems.  Derivation: derivations/exact-policy-gradient.md"""

from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array

__all__ = ["LUFactors", "factorise", "solve", "solve_transposed"]


class LUFactors(NamedTuple):
    """For every matrix M of a batch, in the order of its axes, the LU factors of Mᵀ and their pivots; the shape is that of a b."""

    shape: tuple[int, ...]
    dtype: Any
    each: list[tuple[Array, Array]]


def factorise(M: Array) -> LUFactors:
    """The factors of matrices M (..., n, n), which overwrite M."""
    from scipy.linalg.lapack import dgetrf, zgetrf

    factor = zgetrf if M.dtype.kind == "c" else dgetrf
    each = []
    for i, matrix in enumerate(M.reshape(-1, *M.shape[-2:])):
        lu, pivots, info = factor(matrix.T, overwrite_a=True)  # in place: the transpose has Fortran order
        if info > 0:
            task = [int(k) for k in np.unravel_index(i, M.shape[:-2])]
            raise FloatingPointError(f"I - gamma P of task {task} is singular: its pivot {info} is zero")
        each.append((lu, pivots))
    return LUFactors(M.shape[:-1], M.dtype, each)


def solve(factors: LUFactors, b: Array, trans: int = 1) -> Array:
    """M⁻¹b for b (..., n)."""
    from scipy.linalg.lapack import dgetrs, zgetrs

    if b.shape != factors.shape:
        factors, b = _broadcast(factors, b)
    x = np.array(b, dtype=np.result_type(b, factors.dtype), order="C")
    solver = zgetrs if x.dtype.kind == "c" else dgetrs
    for row, (lu, pivots) in zip(x.reshape(-1, x.shape[-1]), factors.each, strict=True):
        solver(lu, pivots.copy(), row, trans=trans, overwrite_b=True)  # in place; SciPy shifts the pivots, too
    return x


def solve_transposed(factors: LUFactors, b: Array) -> Array:
    """M⁻ᵀb for b (..., n)."""
    return solve(factors, b, trans=0)


def _broadcast(factors: LUFactors, b: Array) -> tuple[LUFactors, Array]:
    """The factors and b at every index of their common batch."""
    shape = np.broadcast_shapes(factors.shape, b.shape)
    index = np.broadcast_to(np.arange(len(factors.each)).reshape(factors.shape[:-1]), shape[:-1])
    return LUFactors(shape, factors.dtype, [factors.each[i] for i in index.flat]), np.broadcast_to(b, shape)
