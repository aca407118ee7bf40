"""Conjugate gradients for a positive definite matrix that is given by its product with a vector.

Derivation: derivations/implicit-and-zeroth-order.md
"""

from collections.abc import Callable

import numpy as np

from refmeta.arrays import Array, dot, index_text

__all__ = ["check_numerics", "conjugate_gradients", "max_abs"]

EPS = float(np.finfo(np.float64).eps)


def conjugate_gradients(
    product: Callable[[Array], Array], b: Array, *, shift: float, rtol: float, refusal: str
) -> Array:
    """(sI + H)⁻¹ b for every task, b (..., d), to a residual of rtol·‖b‖; `product(x)` is Hx, (..., d), and `shift` s.

    SciPy solves all tasks at once, as the blocks of one matrix.  Every b is first scaled to largest entry 1, so that
    a task with a small b is solved as exactly as others.  A curvature s + xᵀHx/‖x‖² may be only rounding if it is at
    most 8d·eps·w, where w is the largest s + ‖Hx‖/‖x‖ of the task so far.

    Raises
    ------
    FloatingPointError
        If a curvature is not above that bound; the message is `refusal` with the curvature and the task.
    """
    from scipy.sparse.linalg import LinearOperator, cg

    size, wide = max_abs(b), np.zeros(b.shape[:-1])
    size = np.where(size > 0, size, 1)[..., None]

    def shifted_product(flat: Array) -> Array:
        nonlocal wide
        x = flat.reshape(b.shape)
        length = max_abs(x)
        check_numerics(np.isfinite(length), length, refusal)
        moving = length > 0
        x = x / np.where(moving, length, 1)[..., None]
        Hx, square = product(x), np.where(moving, dot(x, x), 1)
        wide = np.maximum(wide, shift + np.sqrt(dot(Hx, Hx) / square))
        curvature = shift + dot(x, Hx) / square
        check_numerics(~moving | (curvature > 8 * b.shape[-1] * EPS * wide), curvature, refusal)
        return (length[..., None] * (shift * x + Hx)).ravel()

    matrix = LinearOperator((b.size, b.size), matvec=shifted_product, dtype=float)
    return size * cg(matrix, (b / size).ravel(), rtol=rtol, atol=0.0, maxiter=10 * b.size)[0].reshape(b.shape)


def max_abs(x: Array) -> Array:
    """‖x‖∞ of each task; unlike ‖x‖₂ it squares nothing, so nothing overflows or underflows."""
    return np.max(np.abs(x), axis=-1)


def check_numerics(ok: Array, value: Array, sentence: str) -> None:
    """Raise FloatingPointError with the sentence, the number and the task unless every entry of `ok` is true."""
    if not np.all(ok):
        index = tuple(np.argwhere(~np.asarray(ok))[0])
        where = f" at task {index_text(index)}" if index else ""
        raise FloatingPointError(sentence.format(np.asarray(value)[index]) + where)
