"""Best values as implementations compute them.  Derivation: derivations/exact-policy-gradient.md

A maximum takes Q (..., A) and the policy (..., A), and gives a value for each state: the largest, a soft maximum, or
what stands instead.  The value of a process is where V = maximum(R + γPV).
"""

from collections.abc import Callable

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.suites.policy_gradient.readings import ReadProcess, shares_of

__all__ = ["Maximum", "largest", "log_sum", "optimum", "soft", "stopped", "weighted_sum"]

Maximum = Callable[[Array, Array], Array]
SWEEPS, NEWTON, RESIDUAL, LONGEST = 50, 40, 1e-9, 100_000


def largest(Q: Array, pi: Array) -> Array:
    """max_a Q; of complex numbers the one with the largest real part."""
    return np.take_along_axis(Q, np.argmax(np.real(Q), axis=-1)[..., None], axis=-1)[..., 0]


def log_sum(Q: Array) -> Array:
    """ln Σ_a exp Q, shifted by the largest."""
    top = np.max(np.real(Q), axis=-1, keepdims=True)
    return np.log(np.sum(np.exp(Q - top), axis=-1)) + top[..., 0]


def soft(tau: float, times: float | None = None) -> Maximum:
    """`times` ln Σ exp(Q/τ); τ ln Σ exp(Q/τ) where nothing else is said."""
    return lambda Q, pi: (tau if times is None else times) * log_sum(Q / tau)


def weighted_sum(tau: float, bonus: float) -> Maximum:
    """Σ w (Q − bonus ln w), w = softmax(Q/τ)."""

    def value(Q: Array, pi: Array) -> Array:
        logs = Q / tau - log_sum(Q / tau)[..., None]
        return np.sum(np.exp(logs) * (Q - bonus * logs), axis=-1)

    return value


def _backup(process: ReadProcess, V: Array) -> Array:
    """R + γPV."""
    return process.r + process.gamma * np.einsum("nsat,nt->nsa", process.P, V)


def optimum(process: ReadProcess, pi: Array, maximum: Maximum) -> Array:
    """V_t for t = 0 … H, (H + 1, N, S), by induction backwards; (1, N, S) where there is no horizon.

    Raises
    ------
    numpy.linalg.LinAlgError
        Where no V is a fixed point that is found.
    """
    if process.horizon is None:
        return _fixed_point(process, pi, maximum)[None]
    V = [0 * process.r[..., 0]]
    for share in shares_of(process.horizon)[::-1]:
        V.insert(0, maximum(_backup(process._replace(r=share * process.r), V[0]), pi))
    return np.stack(V)


def _fixed_point(process: ReadProcess, pi: Array, maximum: Maximum) -> Array:
    """V = maximum(R + γPV), (N, S): some sweeps from 0, then Newton's method with slopes by complex steps."""
    V, axes = 0 * process.r[..., 0], np.eye(process.r.shape[-1])
    for _ in range(SWEEPS):
        V = maximum(_backup(process, V), pi)
    for _ in range(NEWTON):
        Q = _backup(process, V)
        slopes = np.stack([np.imag(maximum(Q + 1e-30j * e, pi)) / 1e-30 for e in axes], axis=-1)
        system = np.eye(V.shape[-1]) - process.gamma * np.einsum("nsa,nsat->nst", slopes, process.P)
        V = V + np.linalg.solve(system, (maximum(Q, pi) - V)[..., None])[..., 0]
    if not np.max(np.abs(maximum(_backup(process, V), pi) - V)) <= RESIDUAL * (1 + np.max(np.abs(V))):
        raise np.linalg.LinAlgError("no fixed point")
    return V


def stopped(process: ReadProcess, pi: Array, maximum: Maximum, move: float) -> Array:
    """V after sweeps from 0, (1, N, S), where in every task one moved no value by more than `move`."""
    V = 0 * process.r[..., 0]
    for _ in range(LONGEST):
        before, V = V, maximum(_backup(process, V), pi)
        if np.max(np.abs(V - before)) <= move:
            return V[None]
    raise np.linalg.LinAlgError("no end of the sweeps")
