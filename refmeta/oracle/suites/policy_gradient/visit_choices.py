"""Visits of the states as implementations compute them, the right alternative first.  Derivation: derivations/exact-policy-gradient.md

An alternative is what `variants` computes instead of what is right; None is what is right.
"""

from collections.abc import Callable

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.suites.policy_gradient.process_choices import where_none
from refmeta.oracle.suites.policy_gradient.readings import ReadProcess, Run, shares_of

__all__ = ["FAMILIES_OF_VISITS", "VISITS"]

MOST, LENGTHS = 3000.0, (20.0, 100.0, 300.0, 1000.0)


def _kernel(process: ReadProcess, pi: Array) -> Array:
    """P_π, (N, S, S)."""
    return np.einsum("nsa,nsat->nst", pi + 0 * process.r, process.P)


def _walk(process: ReadProcess, pi: Array, *, gamma: float = 1.0, turned: bool = False) -> Array:
    """The distributions of the states in time, each times γᵗ; of the transposed P_π if turned."""
    kernel, steps = gamma * _kernel(process, pi), [process.rho + 0 * pi[..., 0]]
    kernel = kernel.swapaxes(-1, -2) if turned else kernel
    for _ in range(int(np.ceil(process.horizon or 1)) - 1):
        steps.append(np.einsum("nst,ns->nt", kernel, steps[-1]))
    return np.stack(steps)


def _undiscounted(run: Run, process: ReadProcess, pi: Array) -> Array:
    """Visits without γᵗ; where there is no horizon, their long-run share over 1 − γ."""
    if process.horizon is not None:
        return _walk(process, pi)
    return _stationary(process, pi)[None] / (1 - process.gamma)


def _summed(steps: float) -> Callable[[Run, ReadProcess, Array], Array]:
    """Visits without γᵗ, summed over so many steps where there is no horizon; of a last step that is not whole the share."""

    def visits(run: Run, process: ReadProcess, pi: Array) -> Array:
        if process.horizon is not None:
            return _walk(process, pi)
        return _shared(_walk(process._replace(horizon=min(max(steps, 1.0), MOST)), pi), min(max(steps, 1.0), MOST))

    return visits


def _cut(steps: float) -> tuple[Callable[[int | None], float], Callable[[Run, ReadProcess, Array], Array]]:
    """A horizon of so many steps where there is none, and visits without γᵗ."""
    steps = min(max(steps, 1.0), MOST)
    return where_none(steps), lambda run, process, pi: _shared(_walk(process, pi), process.horizon or 1)


def _shared(walk: Array, horizon: float) -> Array:
    """The distributions in time, that of a last step which is not whole times its share."""
    return walk * shares_of(horizon)[:, None, None] if len(walk) == len(shares_of(horizon)) else walk


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
    "one step more": lambda run, process, pi: _of_steps(run, process, pi, 1),
    "one step less": lambda run, process, pi: _of_steps(run, process, pi, -1),
    "discounted twice, gamma^(2t)": lambda run, process, pi: run.visits * process.gamma ** np.arange(len(run.visits))[:, None, None] if process.horizon else 0 * run.visits + _squared(process, pi),
    "normalised to 1 where there is no horizon": lambda run, process, pi: run.visits * (1 if process.horizon else 1 - process.gamma),
    "times 1 - gamma": lambda run, process, pi: run.visits * (1 - process.gamma),
    "over the largest": lambda run, process, pi: run.visits / np.max(np.real(np.sum(run.visits, axis=0)), axis=-1)[:, None],
    "1 where they are not 0": lambda run, process, pi: 1.0 * (np.real(run.visits) > 0),
    "their squares": lambda run, process, pi: run.visits**2,
    "their roots": lambda run, process, pi: np.sqrt(run.visits),
    "states in reverse": lambda run, process, pi: run.visits[..., ::-1],
    "of the first task": lambda run, process, pi: 0 * run.visits + run.visits[:, :1],
    "of the next task": lambda run, process, pi: np.roll(run.visits, -1, axis=1),
    "mean over the tasks": lambda run, process, pi: 0 * run.visits + np.mean(run.visits, axis=1, keepdims=True),
    "sum over the tasks": lambda run, process, pi: 0 * run.visits + np.sum(run.visits, axis=1, keepdims=True),
    "mean over states and steps": lambda run, process, pi: run.visits / run.visits.shape[-1] / len(run.visits),
    "over the number of states": lambda run, process, pi: run.visits / run.visits.shape[-1],
    "rho in every step": lambda run, process, pi: 0 * run.visits + process.rho,
    "from a uniform start": lambda run, process, pi: _walk_of(process._replace(rho=0 * process.rho + 1 / process.rho.shape[-1]), pi),
    "from the first state": lambda run, process, pi: _walk_of(process._replace(rho=0 * process.rho + (np.arange(process.rho.shape[-1]) == 0)), pi),
    "of the uniform policy": lambda run, process, pi: _of_uniform(process, pi),
}


def _of_uniform(process: ReadProcess, pi: Array) -> Array:
    """Visits of the uniform policy."""
    return _walk_of(process, 0 * pi + 1 / pi.shape[-1])


def _walk_of(process: ReadProcess, pi: Array) -> Array:
    """Discounted visits."""
    if process.horizon is not None:
        return _walk(process, pi, gamma=process.gamma)
    system = np.eye(process.rho.shape[-1]) - process.gamma * _kernel(process, pi)
    return np.linalg.solve(system.swapaxes(-1, -2), (process.rho + 0 * pi[..., 0])[..., None])[None, ..., 0]


def _squared(process: ReadProcess, pi: Array) -> Array:
    """Visits with γ²ᵗ where there is no horizon."""
    return _walk_of(process._replace(gamma=process.gamma**2), pi)


def _of_steps(run: Run, process: ReadProcess, pi: Array, more: int) -> Array:
    """Visits of some steps more, those beyond the last added to the last; of a few less."""
    if process.horizon is None:
        return run.visits
    every = _walk(process._replace(horizon=process.horizon + 1), pi, gamma=process.gamma)
    if more < 0:
        return run.visits * (np.arange(len(run.visits)) < len(run.visits) - 1)[:, None, None]
    return np.concatenate([every[:-2], every[-2:-1] + every[-1:]]) if len(every) > 1 else run.visits


FAMILIES_OF_VISITS = {
    "undiscounted, {} steps where there is no horizon": ("visits", _summed, LENGTHS),
    "{} steps where there is none, and visits undiscounted": (("horizon", "visits"), _cut, LENGTHS),
}
