"""The linear-quadratic system and its two linear recursions.  Derivation: derivations/linear-quadratic-control.md"""

from dataclasses import dataclass, fields

import numpy as np

from refmeta.arrays import (
    Array,
    as_discount,
    as_real,
    as_symmetric,
    batch_shape,
    check_all,
    entry,
    index_text,
    reduce_record,
    replace_fields,
)

__all__ = ["LinearQuadratic", "stationary"]

ROUNDING = 1e-12
DOUBLINGS = 52


@dataclass(frozen=True, eq=False)
class LinearQuadratic:
    """x' = Ax + Ba + w with x = [s; 1], w ~ (0, W); cost xᵀQx + aᵀRa; leading axes are tasks.

    Parameters
    ----------
    A, B : (..., n+1, n+1) and (..., n+1, m) arrays
        Dynamics in homogeneous coordinates: the last row of A is (0 … 0 1), the last row of B is zero.
    Q, R : (..., n+1, n+1) and (..., m, m) arrays
        Costs of state and action, symmetric up to rounding; Q = [[I, −g], [−gᵀ, gᵀg]] gives |s − g|².
    start : (..., n+1, n+1) array
        Σ_0 = E[x_0 x_0ᵀ], symmetric positive semi-definite with last entry 1.
    noise : (..., n+1, n+1) array
        W, the covariance of w: symmetric positive semi-definite, with last row and column 0.
    gamma : float
        Discount, 0 <= gamma < 1; with a horizon also 1, and without one where nothing is injected for ever: `noise`, the
        last column of A but its last entry, and the last row and column of Q must be 0.
    horizon : int, optional
        Number of costs; None is no bound on it.

    Raises
    ------
    ValueError, TypeError
        For a matrix that is not as required (the message says which, and where), a discount or horizon out of range.
    """

    A: Array
    B: Array
    Q: Array
    R: Array
    start: Array
    noise: Array
    gamma: float
    horizon: int | None = None

    __reduce__ = reduce_record

    def __post_init__(self) -> None:
        matrices = {f.name: as_real(getattr(self, f.name), f.name) for f in fields(self)[:6]}
        A, B = matrices["A"], matrices["B"]
        if A.ndim < 2 or A.shape[-1] != A.shape[-2] or A.shape[-1] < 2:
            raise ValueError(f"A has shape {A.shape}, expected (..., n+1, n+1) with n at least 1")
        if B.ndim < 2 or B.shape[-2] != A.shape[-1] or B.shape[-1] == 0:
            raise ValueError(f"B has shape {B.shape}, expected (..., {A.shape[-1]}, m) as A of shape {A.shape}")
        for name in ("Q", "R", "start", "noise"):
            size = B.shape[-1] if name == "R" else A.shape[-1]
            if matrices[name].shape[-2:] != (size, size):
                raise ValueError(f"{name} has shape {matrices[name].shape}, expected (..., {size}, {size})")
            matrices[name] = as_symmetric(matrices[name], name)
        batch_shape(**{name: value.shape[:-2] for name, value in matrices.items()})
        _check_equal("A", A[..., -1, :], np.eye(A.shape[-1])[-1], "the last row of A must be 0 … 0 1")
        _check_equal("B", B[..., -1, :], 0.0, "the last row of B must be 0")
        _check_equal("start", matrices["start"][..., -1, -1:], 1.0, "the last entry of start, E[1 · 1], must be 1")
        _check_equal("noise", matrices["noise"][..., -1, :], 0.0, "the last row and column of noise must be 0")
        for name in ("start", "noise"):
            _check_semi_definite(matrices[name], name)
        gamma, horizon = as_discount(self.gamma, self.horizon, ends=True)
        if horizon is None and gamma == 1:
            _check_nothing_injected(A, matrices["noise"], matrices["Q"])
        for name, value in {**matrices, "gamma": gamma, "horizon": horizon}.items():
            object.__setattr__(self, name, value)

    @property
    def shape(self) -> tuple[int, ...]:
        """The batch axes."""
        return np.broadcast_shapes(*(getattr(self, f.name).shape[:-2] for f in fields(self)[:6]))

    @property
    def states(self) -> int:
        """n + 1, the number of homogeneous coordinates."""
        return self.A.shape[-1]

    @property
    def actions(self) -> int:
        """m, the number of coordinates of an action."""
        return self.B.shape[-1]

    @property
    def undiscounted(self) -> bool:
        """Whether γ = 1 without a horizon: the cost is finite only if the state goes to 0."""
        return self.horizon is None and self.gamma == 1

    @property
    def injected(self) -> Array:
        """The weight of noise that enters Σ_t: γᵗ for t ≥ 1 and 0 at t = 0; without a horizon [γ/(1 − γ)]; (T,)."""
        if self.horizon is None:
            return np.array([self.gamma / (1 - self.gamma)])
        return np.concatenate([[0.0], self.gamma ** np.arange(1, self.horizon)])

    def forward(self, M: Array, source: Array) -> Array:
        """X_t = source_t + γ M X_{t−1} Mᵀ, X_{−1} = 0; (..., T, n+1, n+1).  Without a horizon T = 1 and X_t = X_{t−1}."""
        if self.horizon is None:
            return stationary(M, source[..., 0, :, :], self.gamma)[..., None, :, :]
        return _recursion(self.gamma * M, source, M.swapaxes(-1, -2))

    def backward(self, M: Array, source: Array) -> Array:
        """X_t = source_t + γ Mᵀ X_{t+1} M, X_T = 0; (..., T, n+1, n+1): the transpose of `forward`."""
        if self.horizon is None:
            return stationary(M.swapaxes(-1, -2), source[..., 0, :, :], self.gamma)[..., None, :, :]
        return _recursion(self.gamma * M.swapaxes(-1, -2), source[..., ::-1, :, :], M)[..., ::-1, :, :]

    def before(self, X: Array) -> Array:
        """X_{t−1} at step t, and 0 at the first step; without a horizon X itself."""
        return X if self.horizon is None else np.concatenate([0 * X[..., :1, :, :], X[..., :-1, :, :]], axis=-3)

    def after(self, X: Array) -> Array:
        """X_{t+1} at step t, and 0 at the last step; without a horizon X itself."""
        return X if self.horizon is None else np.concatenate([X[..., 1:, :, :], 0 * X[..., :1, :, :]], axis=-3)

    def entry(self, index: int | slice, shape: tuple[int, ...]) -> "LinearQuadratic":
        """The system of task `index`, where the tasks have the batch axes `shape`."""
        return replace_fields(self, **{f.name: entry(getattr(self, f.name), index, shape, core=2) for f in fields(self)[:6]})


def _recursion(left: Array, source: Array, right: Array) -> Array:
    """X_t = source_t + left X_{t−1} right, X_{−1} = 0; (..., T, n, n), with time in front in memory."""
    batch = np.broadcast_shapes(left.shape[:-2], source.shape[:-3])
    source = np.broadcast_to(source, (*batch, *source.shape[-3:]))
    X = np.array(np.moveaxis(source, -3, 0), np.result_type(left, source), order="C")
    left, right = np.ascontiguousarray(left), np.ascontiguousarray(right)
    for before, now in zip(X[:-1], X[1:], strict=True):
        now += left @ before @ right
    return np.moveaxis(X, 0, -3)


def stationary(M: Array, source: Array, gamma: float) -> Array:
    """X = source + γ M X Mᵀ = Σ_t Aᵗ source (Aᵗ)ᵀ with A = √γ M; every step doubles the number of terms; (..., n, n).

    Eq: lq-stationary

    Raises
    ------
    FloatingPointError
        If 2⁵² terms are not enough: the spectral radius of A is 1 up to rounding.
    """
    A, X = np.sqrt(gamma) * M, source
    for _ in range(DOUBLINGS):
        X, A = X + A @ X @ A.swapaxes(-1, -2), A @ A
        if np.all(negligible := np.max(np.abs(A), axis=(-2, -1)) < 1e-20):
            return X
    where = index_text(tuple(np.argwhere(~negligible)[0]))
    raise FloatingPointError(
        "the stationary cost has no correct digit: gamma, or sqrt(gamma) times the spectral radius of A + BK, is 1 up "
        f"to rounding; give a horizon{where and f' (first at task {where})'}"
    )


def _check_equal(name: str, last: Array, required: Array | float, sentence: str) -> None:
    """ValueError with the sentence unless the last row, or entry, of an array equals what it must be."""
    check_all(last == required, lambda i: f"{sentence}, got {last[i]} in {name}{index_text(i[:-1])}")


def _check_nothing_injected(A: Array, noise: Array, Q: Array) -> None:
    """ValueError that names what is injected for ever: noise, an offset of the dynamics, or a cost at the state 0."""
    offset, cost = np.zeros_like(A), np.zeros_like(Q)
    offset[..., :-1, -1], cost[..., -1, :] = A[..., :-1, -1], Q[..., -1, :]
    for name, array, what in (("noise", noise, "noise"), ("A", offset, "an offset"), ("Q", cost, "a cost at the state 0")):
        _check_not_injected(name, array, what)


def _check_not_injected(name: str, array: Array, what: str) -> None:
    """ValueError with the index unless the array is 0."""
    check_all(
        array == 0,
        lambda i: (
            f"gamma = 1 without a horizon requires that nothing is injected for ever; {name}{index_text(i)} is "
            f"{array[i]:.6g}, {what} at every step, expected 0; give gamma < 1 or a horizon"
        ),
    )


def _check_semi_definite(array: Array, name: str) -> None:
    """ValueError for a symmetric matrix with an eigenvalue below 0 by more than rounding."""
    values = np.linalg.eigvalsh(array)
    check_all(
        values[..., 0] >= -ROUNDING * np.max(np.abs(values), axis=-1),
        lambda i: (
            f"{name}{index_text(i)} has the eigenvalue {values[i][0]:.6g}, expected none below 0: "
            "it must be positive semi-definite"
        ),
    )
