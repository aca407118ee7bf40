"""A function of the suite's inputs, from an estimator of one batch.  Derivation: derivations/sampled-meta-gradients.md"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from refmeta.arrays import Array, as_parameters
from refmeta.oracle.results import CallError
from refmeta.oracle.suites.expected_estimators.batch_calls import Calls, as_estimates, asked, called, shown
from refmeta.oracle.suites.expected_estimators.by_batch import BatchFunction, as_batch_function
from refmeta.oracle.suites.expected_estimators.every_batch import exact_moments
from refmeta.oracle.suites.expected_estimators.problem import SURROGATES, Expectations, problem
from refmeta.sampling.enumeration import likelihoods, paths
from refmeta.sampling.trajectories import Trajectories
from refmeta.tasks.exact_return import PolicyReturn
from refmeta.tasks.mdp import FiniteMDP

__all__ = ["by_batch"]


def by_batch(function: Callable[..., Any], *, vectorised: bool = False) -> Callable[..., dict[str, Array]]:
    """A function of the suite's inputs, from an estimator that is called batch by batch.

    A meta-gradient is judged as `formulation_sampled`; a function that asks for v returns a dict of the Hessian products.
    """
    f = as_batch_function(function, vectorised=vectorised)
    if f.kind == "gradient":
        raise CallError(
            "the function asks for neither query nor v: this suite has no part for an estimate of the gradient of L; "
            "`python -m refmeta bias` shows its bias"
        )

    def target(**inputs: Any) -> dict[str, Array]:
        x = problem(inputs)
        x = replace(x, tasks=tuple(_with_ends(task) for task in x.tasks))
        if f.kind == "hessian":
            return _mean_products(f, x)
        size: Any = {"alpha": x.alpha, "episodes": x.episodes, "steps": x.steps}
        return {"formulation_sampled": np.stack([exact_moments(f, x.theta, task, **size).mean for task in x.tasks])}

    return target


def _with_ends(task: PolicyReturn) -> PolicyReturn:
    """The task with its loops that pay nothing declared as ends: no result changes, and the batches show whether masks are read."""
    mdp = task.mdp
    loop = np.all(np.einsum("sas->sa", mdp.P) == 1, axis=-1) & np.all(mdp.R.reshape(mdp.states, -1) == 0, axis=-1)
    return PolicyReturn(FiniteMDP(mdp.P, mdp.R, mdp.rho, mdp.gamma, mdp.horizon, loop), task.policy)


def _mean_products(f: BatchFunction, x: Expectations) -> dict[str, Array]:
    """E of each Hessian product that the function returns, one row per task."""
    means = [_mean_products_of(f, x, task) for task in x.tasks]
    return {name: np.stack([mean[name] for mean in means]) for name in means[0]}


def _mean_products_of(f: BatchFunction, x: Expectations, task: PolicyReturn) -> dict[str, Array]:
    """The same for one task: (d,) each, over every batch of `episodes` trajectories."""
    every, total, done = paths(task.mdp, tuples_of=x.episodes), np.zeros(()), 0
    parts = _part_names(Calls(f, task, x.alpha, x.v), x.theta, next(every.batches(x.episodes))[0])
    calls, number = Calls(f, task, x.alpha, x.v, _reader(parts)), len(every.weight) ** x.episodes
    for batch, weight in every.batches(x.episodes):
        start = np.broadcast_to(x.theta, (len(weight), len(x.theta)))
        rows = asked(calls, start, batch, done, number)[0]
        p = weight * likelihoods(task.policy, x.theta, batch)
        total, done = total + np.einsum("n,npi->pi", p, rows), done + len(weight)
    return dict(zip(parts, total, strict=True))


def _part_names(calls: Calls, theta: Array, batch: Trajectories) -> tuple[str, ...]:
    """The keys of what the function returns for the first batch; `CallError` if they are not of this suite."""
    one, start = Trajectories(*(x[:1] for x in batch)), as_parameters(theta)[None]
    if not calls.f.vectorised:
        one, start = Trajectories(*(x[0] for x in one)), start[0]
    value = called(calls, start, one, f"on batch 1{shown(one)}")[0]
    got = sorted(map(str, value)) if isinstance(value, dict) else type(value).__name__
    if not isinstance(value, dict) or not value or not set(value) <= set(SURROGATES):
        raise CallError(f"returned {got}, expected a dict with some of {', '.join(SURROGATES)}: it asks for v and not for query")
    return tuple(value)


def _reader(parts: tuple[str, ...]) -> Callable[[Any, tuple[int, ...], str], Array]:
    """The Hessian products of a dict as one array (..., parts, d)."""

    def read(value: Any, shape: tuple[int, ...], words: str) -> Array:
        if not isinstance(value, dict) or set(value) != set(parts):
            raise CallError(f"{words}: returned something else than for the first batch, a dict of {', '.join(parts)}")
        return np.stack([as_estimates(value[name], shape, f"{words}, {name}") for name in parts], axis=-2)

    return read
