"""Judges of a derivative: numerical differentiation, with error bounds.  Derivation: derivations/judges.md

They work on your own code, too: `f` takes an array of the shape of `x` and returns a number or an array.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from refmeta.arrays import Array, as_count, as_parameters, as_positive, as_real, check_finite
from refmeta.numerics.differences import Difference
from refmeta.numerics.gradient_check import GradientVerdict, check

__all__ = [
    "Difference", "GradientVerdict", "TaylorRates", "adjoint_gap", "central_difference", "check", "complex_step",
    "taylor_rates",
]  # fmt: skip

Function = Callable[[Array], Any]
EPS = float(np.finfo(np.float64).eps)
RATIO, ROUNDING = 3**0.5, 32.0


class TaylorRates(NamedTuple):
    """Observed orders of the Taylor remainders.

    `inf` means exact: the remainder stays at the rounding floor, which is below a millionth of the change of f.
    `nan` means unknown: at too few steps the remainder is above the floor.
    """

    orders: tuple[float, ...]

    @property
    def passed(self) -> bool:
        """Order k = 1, 2, … lies within ±0.1 of k, or the remainder is exact; the first must not be exact."""
        off = [abs(order - k) <= 0.1 or (k > 1 and order == np.inf) for k, order in enumerate(self.orders, start=1)]
        return all(off)


def _check_callable(**functions: Any) -> None:
    """Check that each argument is a function."""
    for name, f in functions.items():
        if not callable(f):
            raise TypeError(f"{name} must be a function of an array, got {type(f).__name__}")


def _value(f: Function, x: Array) -> Array:
    """f(x) as a new array of finite numbers."""
    with np.errstate(all="ignore"):
        out = np.array(f(x))
    if out.dtype.kind not in "iufc":
        raise TypeError(f"f must return numbers, got dtype {out.dtype}")
    return check_finite(out * 1.0 if out.dtype.kind in "iu" else out, "f returned a number that is not finite")


def _as_shape_of(x: Array, **others: ArrayLike) -> tuple[Array, ...]:
    """The other arguments as arrays; ValueError unless they have the shape of x."""
    arrays = {name: as_real(value, name) for name, value in others.items()}
    for name, array in arrays.items():
        if array.shape != x.shape:
            raise ValueError(f"{name} has shape {array.shape}, expected {x.shape} as x")
    return tuple(arrays.values())


def _directions(x: Array, direction: ArrayLike | None, along: Function) -> Array:
    """`along(v)` for the direction v; without one, for every axis of x, stacked in last axes of the shape of x."""
    if direction is not None:
        return np.asarray(along(*_as_shape_of(x, direction=direction)))
    if x.size == 0:
        raise ValueError(f"x has shape {x.shape}, expected at least one number")
    basis = np.eye(x.size).reshape(x.size, *x.shape)
    columns = np.stack([along(e) for e in basis], axis=-1)
    return columns.reshape(columns.shape[:-1] + x.shape)


def complex_step(f: Function, x: ArrayLike, direction: ArrayLike | None = None, *, h: float = 1e-200) -> Array:
    """Im f(x + i h v) / h: the derivative of a holomorphic f to machine precision.

    Eq: complex-step

    Parameters
    ----------
    f : function of an array of the shape of x
        It must accept complex numbers, and must not use abs or a conjugate.
    x : array
        The point, real.
    direction : array like x, optional
        The direction v; without it the Jacobian is computed, one axis at a time.
    h : float
        The step; the derivative must be larger than 1e-90 for the default not to underflow.

    Returns
    -------
    The shape of f along one direction; otherwise the shape of f followed by that of x.

    Raises
    ------
    TypeError
        If f returns real numbers for complex input: it has dropped the imaginary part.
    """
    _check_callable(f=f)
    x, h = as_real(x, "x"), as_positive(h, "h")

    def along(v: Array) -> Array:
        out = _value(f, x + 1j * _step_along(0.0, h, v))
        if not np.iscomplexobj(out):
            raise TypeError(f"f returned dtype {out.dtype} for complex input; a complex step needs a holomorphic f")
        return out.imag / h

    return _directions(x, direction, along)


def central_difference(
    f: Function, x: ArrayLike, direction: ArrayLike | None = None, *, h: float | None = None
) -> Difference:
    """(f(x + hv) − f(x − hv)) / 2h, with a bound on its error, or inf where there is no bound.

    Eq: central-difference

    f is evaluated at x and at x ± h_k v, h_k = h·3^(k/2), k = 0 … 3.  The error is inf unless f looks smooth at these
    steps: the central quotients must converge at order 2 and the one-sided quotients at order 1, or differ by rounding
    only.  `h` defaults to eps^(1/3)·max(1, |x|∞), where truncation and rounding balance.

    Nine values cannot prove that f is smooth.  The bound holds if a polynomial of degree 7 fits f well at these steps,
    and if f has no jump or plateau between them.

    Returns
    -------
    Difference
        `derivative` and `error`, each with the shape that `complex_step` returns.
    """
    _check_callable(f=f)
    x = as_real(x, "x")
    size = float(np.max(np.abs(x), initial=0.0))
    step = as_positive(EPS ** (1 / 3) * max(1.0, size) if h is None else h, "h")
    with np.errstate(over="ignore"):
        steps = step * RATIO ** np.arange(4)

    def along(v: Array) -> Array:
        return np.stack([[_value(f, _step_along(x, s, v)) for s in signed] for signed in (steps, -steps)])

    ahead, behind = _directions(x, direction, along)
    axes = tuple(range(-x.ndim, 0)) if direction is None else ()
    length = 1.0 if direction is None else float(np.max(np.abs(direction), initial=0.0))
    with np.errstate(all="ignore"):
        error = _error_bound(np.expand_dims(_value(f, x), axes), ahead, behind, steps, size / max(length, EPS), axes)
        quotient = check_finite((ahead[0] - behind[0]) / (2 * step), "the quotient left the finite numbers: h is too small")
    return Difference(quotient, error)


def _step_along(x: Array | float, step: float, v: Array) -> Array:
    """x + hv; FloatingPointError if it is not finite."""
    with np.errstate(all="ignore"):
        return check_finite(x + step * v, "x + hv left the finite numbers: h is too large")


def _error_bound(start: Array, ahead: Array, behind: Array, steps: Array, moved: float, axes: tuple[int, ...]) -> Array:
    """max_k 3⁻ᵏ|q_{k+1} − q_k| + 8 (u + σ)/h, or inf where f is not smooth at the steps.

    u = eps (max|f| + |x|∞ max_k|q_k|/|v|∞) is the rounding error of an f that is right to its last digit.  σ is the
    largest part of f that no polynomial of degree 5 fits, over all directions, which are the axes `axes`.
    """
    scale = steps.reshape(-1, *(1,) * (ahead.ndim - 1))
    odd, even = (ahead - behind) / (2 * scale), (ahead + behind - 2 * start) / (2 * scale)
    falls = np.abs(np.diff(odd, axis=0))
    eps = np.finfo(odd.dtype).eps
    unit = eps * (np.max(np.abs([*ahead, *behind]), axis=0) + moved * np.max(np.abs(odd), axis=0))
    noise = np.max([_residual(odd * scale, steps, 1), _residual(even * scale, steps, 2)], axis=(0, *axes), keepdims=True)
    rounding = ROUNDING * unit / steps[0]
    smooth = _orders(falls, 1.5, rounding) & _orders(np.abs(even), 0.5, rounding)
    truncation = np.max(falls / RATIO ** (2 * np.arange(3.0).reshape(-1, *scale.shape[1:])), axis=0)
    return np.where(smooth, truncation + 8 * (unit + noise[0]) / steps[0], np.inf)


def _residual(part: Array, steps: Array, power: int) -> Array:
    """The part of f (even or odd in h) that h^power and the next two terms of the same parity do not fit."""
    powers = (steps[:, None] / steps[-1]) ** (power + 2 * np.arange(3))
    weights = np.linalg.svd(powers)[0][:, -1]
    return np.abs(np.tensordot(weights, part, axes=1))


def _orders(sizes: Array, order: float, floor: Array) -> Array:
    """True where the sizes grow with the step at this order or faster; sizes below the floor are not judged."""
    return np.all((sizes[1:] >= RATIO**order * sizes[:-1]) | (sizes[:-1] <= floor), axis=0)


def taylor_rates(
    f: Function,
    x: ArrayLike,
    direction: ArrayLike,
    gradient: ArrayLike,
    hvp: ArrayLike | None = None,
    *,
    h: float = 2.0**-8,
    halvings: int = 4,
) -> TaylorRates:
    """Orders in h of |f(x + hv) − f(x)|, of |f(x + hv) − f(x) − h⟨g, v⟩|, and of that minus ½h²⟨v, Hv⟩.

    Eq: taylor-rate

    Parameters
    ----------
    f : scalar function
    x, direction, gradient : arrays of one shape
    hvp : array, optional
        The Hessian times the direction.  With it three orders are returned, without it two.
    h : float
        The largest step; it is halved `halvings` times.

    Returns
    -------
    TaylorRates
        Each order is observed between the two smallest steps whose remainders are above the rounding floor.
    """
    _check_callable(f=f)
    x = as_real(x, "x")
    v, g = _as_shape_of(x, direction=direction, gradient=gradient)
    steps = as_positive(h, "h") * 0.5 ** np.arange(as_count(halvings, "halvings", least=1) + 1)
    start, *values = (_scalar_value(f, _step_along(x, s, v)) for s in (0.0, *steps))
    with np.errstate(all="ignore"):
        remainders = [np.array(values) - start]
        remainders.append(remainders[0] - steps * float(np.sum(g * v)))
        if hvp is not None:
            remainders.append(remainders[1] - 0.5 * steps**2 * float(np.sum(_as_shape_of(x, hvp=hvp)[0] * v)))
        check_finite(np.array(remainders), "a remainder left the finite numbers: h, the gradient or the Hessian is too large")
    floor = 1600 * EPS * float(np.max(np.abs([start, *values])))
    sharp = bool(floor <= 1e-6 * np.abs(remainders[0][0]))
    return TaylorRates(tuple(_order(steps, np.abs(r), floor, sharp) for r in remainders))


def _scalar_value(f: Function, x: Array) -> float:
    """f(x) as one real number."""
    value = _value(f, x)
    if value.shape or np.iscomplexobj(value):
        raise TypeError(f"f must return one real number, got shape {value.shape} and dtype {value.dtype}")
    return float(value)


def _order(steps: Array, remainder: Array, floor: float, sharp: bool) -> float:
    """The slope of log remainder over log step, between the two smallest steps with a remainder above the floor.

    Without two such steps: inf (exact) if the floor is sharp and the first remainder below it, else nan (unknown).
    """
    clear = np.flatnonzero(remainder > floor)
    if len(clear) < 2:
        return float("inf") if sharp and remainder[0] <= floor else float("nan")
    i, j = clear[-2:]
    return float(np.log(remainder[i] / remainder[j]) / np.log(steps[i] / steps[j]))


def adjoint_gap(forward: Function, adjoint: Function, u: ArrayLike, w: ArrayLike) -> float:
    """|⟨w, Ju⟩ − ⟨Jᵀw, u⟩| / (⟨|w|, |Ju|⟩ + ⟨|Jᵀw|, |u|⟩), `forward(u)` Ju and `adjoint(w)` Jᵀw: zero up to rounding.

    A Hessian product is its own transpose: `adjoint_gap(point.hvp, point.hvp, u, w)`.

    Eq: adjoint-test
    """
    _check_callable(forward=forward, adjoint=adjoint)
    u, w = as_parameters(u, "u"), as_parameters(w, "w")
    ju, jw = _value(forward, u), _value(adjoint, w)
    if ju.shape != w.shape or jw.shape != u.shape:
        raise ValueError(f"forward and adjoint returned shapes {ju.shape}, {jw.shape}, expected {w.shape}, {u.shape}")
    with np.errstate(all="ignore"):
        size = check_finite(np.sum(np.abs(w * ju)) + np.sum(np.abs(jw * u)), "the products of adjoint_gap overflow")
        if size == 0:
            raise ValueError("adjoint_gap compares two zeros: choose u and w that the map does not send to zero")
        return float(np.abs(np.sum(w * ju) - np.sum(jw * u)) / size)
