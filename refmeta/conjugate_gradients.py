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

    Every task has steps of its own, and none after its residual is small enough.  Every b is first scaled to largest
    entry 1, so that nothing overflows.  A curvature s + xᵀHx/‖x‖² may be only rounding if it is at most 8d·eps·w, where w is
    the largest s + ‖Hx‖/‖x‖ of the task so far.

    Raises
    ------
    FloatingPointError
        If a curvature is not above that bound; the message is `refusal` with the curvature and the task.
    """
    size = _one_where_zero(max_abs(b))[..., None]
    x, r = np.zeros(b.shape), b / size
    p, rr, widest = r, dot(r, r), np.zeros(b.shape[:-1])
    least, going = rtol**2 * rr, rr > 0
    for _ in range(10 * b.size):
        if not np.any(going):
            break
        Ap, widest = _shifted_product(product, p, shift, widest, refusal)
        length = (rr / np.where(going, dot(p, Ap), np.inf))[..., None]
        x, r, before = x + length * p, r - length * Ap, _one_where_zero(rr)
        rr = dot(r, r)
        going = going & (rr > least)
        p = np.where(going[..., None], r + (rr / before)[..., None] * p, 0)
    return size * x


def _shifted_product(
    product: Callable[[Array], Array], x: Array, shift: float, widest: Array, refusal: str
) -> tuple[Array, Array]:
    """(sI + H)x, and w with this x; a curvature that may be only rounding is refused."""
    length = max_abs(x)
    check_numerics(np.isfinite(length), length, refusal)
    unit = _one_where_zero(length)[..., None]
    x = x / unit
    Hx, square = product(x), _one_where_zero(dot(x, x))
    widest = np.maximum(widest, shift + np.sqrt(dot(Hx, Hx) / square))
    curvature = shift + dot(x, Hx) / square
    check_numerics((length == 0) | (curvature > 8 * x.shape[-1] * EPS * widest), curvature, refusal)
    return unit * (shift * x + Hx), widest


def _one_where_zero(x: Array) -> Array:
    """x, with 1 instead of 0: a number that may divide."""
    return np.where(x == 0, 1, x)


def max_abs(x: Array) -> Array:
    """‖x‖∞ of each task; unlike ‖x‖₂ it squares nothing, so nothing overflows or underflows."""
    return np.max(np.abs(x), axis=-1)


def check_numerics(ok: Array, value: Array, sentence: str) -> None:
    """Raise FloatingPointError with the sentence, the number and the task unless every entry of `ok` is true."""
    if not np.all(ok):
        index = tuple(np.argwhere(~np.asarray(ok))[0])
        where = f" at task {index_text(index)}" if index else ""
        raise FloatingPointError(sentence.format(np.asarray(value)[index]) + where)
