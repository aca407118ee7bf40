"""Visits of the states as implementations compute them, the right alternative first.  Derivation: derivations/exact-policy-gradient.md

An alternative is what `variants` computes instead of what is right; None is what is right.
"""

from collections.abc import Callable

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.suites.policy_gradient.readings import ReadProcess, Run

__all__ = ["VISITS"]


def _kernel(process: ReadProcess, pi: Array) -> Array:
    """P_π, (N, S, S)."""
    return np.einsum("nsa,nsat->nst", pi + 0 * process.r, process.P)


def _walk(process: ReadProcess, pi: Array, *, gamma: float = 1.0, turned: bool = False) -> Array:
    """The distributions of the states in time, each times γᵗ; of the transposed P_π if turned."""
    kernel, steps = gamma * _kernel(process, pi), [process.rho + 0 * pi[..., 0]]
    kernel = kernel.swapaxes(-1, -2) if turned else kernel
    for _ in range((process.horizon or 1) - 1):
        steps.append(np.einsum("nst,ns->nt", kernel, steps[-1]))
    return np.stack(steps)


def _undiscounted(run: Run, process: ReadProcess, pi: Array) -> Array:
    """Visits without γᵗ; where there is no horizon, their long-run share over 1 − γ."""
    if process.horizon is not None:
        return _walk(process, pi)
    return _stationary(process, pi)[None] / (1 - process.gamma)


def _stationary(process: ReadProcess, pi: Array) -> Array:
    """The mean distribution of the states of a very long run: (I + P_π)/2 is squared until nothing moves."""
    kernel = _kernel(process, pi)
    power = (np.eye(kernel.shape[-1]) + kernel) / 2
    for _ in range(40):
        power = power @ power
        power = power / np.sum(power, axis=-1, keepdims=True)
    return np.einsum("ns,nst->nt", process.rho, power)


def _transposed(run: Run, process: ReadProcess, pi: Array) -> Array:
    """Visits by P_π instead of its transpose."""
    if process.horizon is not None:
        return _walk(process, pi, gamma=process.gamma, turned=True)
    system = np.eye(process.rho.shape[-1]) - process.gamma * _kernel(process, pi)
    return np.linalg.solve(system, (process.rho + 0 * pi[..., 0])[..., None])[None, ..., 0]


VISITS: dict[str, Callable[[Run, ReadProcess, Array], Array] | None] = {
    "discounted": None,
    "normalised to 1": lambda run, process, pi: run.visits / np.sum(run.visits, axis=(0, -1), keepdims=True),
    "undiscounted": _undiscounted,
    "undiscounted, normalised to 1": lambda run, process, pi: _undiscounted(run, process, pi) / np.sum(_undiscounted(run, process, pi), axis=(0, -1), keepdims=True),
    "by the transposed P": _transposed,
    "1 in every state": lambda run, process, pi: 0 * run.visits + (np.arange(len(run.visits)) == 0)[:, None, None],
    "1/S in every state": lambda run, process, pi: 0 * run.visits + (np.arange(len(run.visits)) == 0)[:, None, None] / run.visits.shape[-1],
    "those of the first state only": lambda run, process, pi: process.rho * (np.arange(len(run.visits)) == 0)[:, None, None],
    "without the first step": lambda run, process, pi: run.visits - process.rho * (np.arange(len(run.visits)) == 0)[:, None, None],
    "discounted once more": lambda run, process, pi: run.visits * process.gamma,
    "discounted once less": lambda run, process, pi: run.visits / process.gamma,
    "divided by the horizon": lambda run, process, pi: run.visits / len(run.visits),
    "of the uniform policy": lambda run, process, pi: _of_uniform(process, pi),
}


def _of_uniform(process: ReadProcess, pi: Array) -> Array:
    """Visits of the uniform policy."""
    even = 0 * pi + 1 / pi.shape[-1]
    if process.horizon is not None:
        return _walk(process, even, gamma=process.gamma)
    system = np.eye(process.rho.shape[-1]) - process.gamma * _kernel(process, even)
    return np.linalg.solve(system.swapaxes(-1, -2), (process.rho + 0 * even[..., 0])[..., None])[None, ..., 0]
