"""Support batches and a query batch per task, as the library takes them.  Derivation: derivations/sampled-meta-gradients.md"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.meta import maml
from refmeta.meta.arguments import as_step_sizes
from refmeta.meta.inner import adapt
from refmeta.oracle.bicomplex import complex_value
from refmeta.oracle.decimals import Inputs
from refmeta.oracle.suite import at_most_one
from refmeta.oracle.suites.maml_sampled.definition import define
from refmeta.oracle.suites.surrogates.definition import USUAL, Likelihood, TimeStep, unchanged
from refmeta.oracle.suites.surrogates.problem import Batches
from refmeta.policies.linear_gaussian import LinearGaussian
from refmeta.policies.softmax import LinearSoftmax, TabularSoftmax
from refmeta.sampling import surrogates
from refmeta.sampling.trajectories import Trajectories

__all__ = ["QUERY", "SampledBatches", "answer", "by_definition", "part_names", "problem", "terms"]

QUERY = -1
KINDS = ("adapted", "objective", "gradient")
FIELDS = ("states", "actions", "rewards", "mask")


@dataclass(frozen=True, eq=False)
class SampledBatches:
    """θ, K support batches and a query batch for each task, each with the parameters at which it was drawn.

    theta_sampled (N, K, d), trajectories and baseline (N, K, M, H); of the query without the axis K.  alpha has any shape of a
    step size.
    """

    theta: Array
    policy: Any
    theta_sampled: Array
    trajectories: Trajectories
    baseline: Array
    query_theta_sampled: Array
    query: Trajectories
    query_baseline: Array
    alpha: Any
    gamma: float
    lam: float

    @property
    def steps(self) -> int:
        """K."""
        return int(self.trajectories.rewards.shape[1])

    @property
    def alphas(self) -> Array:
        """α with one row per step, (K, 1) or (K, d)."""
        return as_step_sizes(self.alpha, self.steps, self.policy.dim)

    def batch(self, k: int, theta: Array) -> Batches:
        """The batch of step k, or the query's, of all tasks; surrogates on it are evaluated at `theta`."""
        shared: Any = (self.gamma, self.lam, np.zeros(self.policy.dim))
        if k == QUERY:
            return Batches(theta, self.query_theta_sampled, self.policy, self.query, self.query_baseline, *shared)
        batch = Trajectories(*(x[:, k] for x in self.trajectories))
        return Batches(theta, self.theta_sampled[:, k], self.policy, batch, self.baseline[:, k], *shared)

    def surrogate(self, name: str, k: int) -> surrogates.Surrogate:
        """The library's surrogate of step k, or of the query."""
        return self.batch(k, self.theta).surrogate(name)

    def split(self, name: str) -> tuple[Any, surrogates.Surrogate]:
        """The support, one surrogate per step, and the query, as `maml.gradient` takes them; without a step, the query twice."""
        query = self.surrogate(name, QUERY)
        return [self.surrogate(name, k) for k in range(self.steps)] or query, query

    @property
    def hyper(self) -> dict[str, Any]:
        """The keyword arguments `alpha` and `steps`."""
        return {"alpha": self.alpha, "steps": self.steps}

    @property
    def inputs(self) -> Inputs:
        """The inputs of the suite as nested lists."""
        sizes = {"state_count": self.policy.states, "action_count": self.policy.actions}
        queries = {f"query_{name}": x for name, x in self.query._asdict().items()}
        each = vars(self) | self.trajectories._asdict() | queries | sizes | {"features": getattr(self.policy, "features", None)}
        return {name: np.asarray(x).tolist() for name, x in each.items() if name not in ("policy", "trajectories", "query")}


def problem(x: dict[str, Any]) -> SampledBatches:
    """The inputs of the suite; states with a last axis of their own are those of a linear-Gaussian policy."""
    counts = x["state_count"], x["action_count"]
    if np.ndim(x["query_states"]) == np.ndim(x["query_rewards"]) + 1:
        policy: Any = LinearGaussian(*counts)
    else:
        policy = TabularSoftmax(*counts) if x["features"] is None else LinearSoftmax(x["features"])
    x = x | (_without_steps(x) if np.shape(x["rewards"])[1:] == (0,) else {})
    support, query = (Trajectories(*(x[prefix + name] for name in FIELDS)) for prefix in ("", "query_"))
    if np.ndim(x["rewards"]) != 4:
        raise ValueError(f"rewards has shape {np.shape(x['rewards'])}, expected (N, K, M, H): one batch per inner step")
    drawn = (*np.shape(x["rewards"])[:2], policy.dim)
    if np.shape(x["theta_sampled"]) != drawn:
        raise ValueError(f"theta_sampled has shape {np.shape(x['theta_sampled'])}, expected {drawn}: where the batch of each step was drawn")
    as_step_sizes(x["alpha"], drawn[1], policy.dim)
    return SampledBatches(
        x["theta"], policy, x["theta_sampled"], support, x["baseline"], x["query_theta_sampled"], query, x["query_baseline"],
        x["alpha"], x["gamma"], x["lam"],
    )  # fmt: skip


def _without_steps(x: dict[str, Any]) -> dict[str, Any]:
    """The arrays of a support without batches, which lists write as (N, 0), with the other axes of the query's."""
    axes = {name: np.shape(x[f"query_{name}"])[1:] for name in (*FIELDS, "baseline")} | {"theta_sampled": (len(x["theta"]),)}
    return {name: np.reshape(x[name], (len(x[name]), 0, *rest)) for name, rest in axes.items()}


def part_names(names: Iterable[str]) -> tuple[str, ...]:
    """The parts of surrogates: the adapted parameters, the objective and the meta-gradient of each."""
    return tuple(f"{name}_{kind}" for name in names for kind in KINDS)


def answer(part: str, problem: SampledBatches) -> Array:
    """The library's adapted parameters or meta-gradient, (N, d), or the objective, (N,)."""
    name, _, kind = part.rpartition("_")
    support, query = problem.split(name)
    if kind == "adapted":
        return adapt(problem.theta, support, **problem.hyper).adapted
    return (maml.gradient if kind == "gradient" else maml.objective)(problem.theta, support, query, **problem.hyper)


def by_definition(
    part: str, problem: SampledBatches, change: Callable[[TimeStep], TimeStep] = unchanged, use: Likelihood = USUAL
) -> Array:
    """A part by the definition in complex numbers; `change` exchanges what a surrogate reads of a step, `use` log π."""
    inputs = problem.inputs | {"gamma": at_most_one(problem.gamma), "lam": at_most_one(problem.lam)}
    return complex_value(define, part, inputs, change, use)


def terms(part: str, problem: SampledBatches, value: Array) -> Any:
    """The size of the sums: the query's mean of Σ_t |∂f/∂x_t|; of φ the largest |θ|, and the steps' means times α."""
    name, _, kind = part.rpartition("_")
    support, query = problem.split(name)
    path = adapt(problem.theta, support, **problem.hyper).path
    if kind != "adapted":
        return _size(query.at(path[-1].theta))
    moved = sum(np.max(np.abs(row)) * _size(point) for row, point in zip(problem.alphas, path, strict=False))
    return np.max(np.abs(problem.theta)) + moved


def _size(point: Any) -> Array:
    """The mean over trajectories of Σ_t |∂f/∂x_t|, per task."""
    slopes = point.slopes
    return np.asarray(np.sum(np.abs(slopes), axis=(-2, -1)) / slopes.shape[-2])
