"""The points that a sampled meta-gradient goes through, for known-wrong formulas.  Derivation: derivations/sampled-meta-gradients.md"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array, replace_fields
from refmeta.oracle.suites.maml_sampled.problem import QUERY, SampledBatches, answer, part_names
from refmeta.oracle.suites.surrogates.definition import SUMMANDS
from refmeta.sampling.surrogates import SurrogatePoint
from refmeta.sampling.trajectories import Trajectories

__all__ = ["all_parts", "backwards", "gradients", "points_of", "scaled", "with_baselines", "with_points"]

Point = Any
Make = Callable[[str, int, Array], SurrogatePoint]


def points_of(problem: SampledBatches, name: str, make: Make | None = None) -> list[SurrogatePoint]:
    """The surrogates of the steps at θ⁽⁰⁾ … θ⁽ᴷ⁻¹⁾ and the query at φ; `make(name, k, θ)` is the point of step k."""
    make = make or (lambda name, k, theta: problem.surrogate(name, k).at(theta))
    theta, points = np.broadcast_to(problem.theta, problem.query_theta_sampled.shape), []
    for k in range(problem.steps):
        points.append(make(name, k, theta))
        theta = theta - problem.alphas[k] * points[-1].grad
    return [*points, make(name, QUERY, theta)]


def backwards(points: list[Point], alphas: Array, g: Array) -> Array:
    """(I − H_0α_0)(I − H_1α_1) … g, one row of step sizes per point: the last point acts first."""
    for point, row in reversed(list(zip(points, alphas, strict=True))):
        g = g - point.hvp(row * g)
    return g


def gradients(problem: SampledBatches, of: Callable[[list[SurrogatePoint]], Array], names: Any = SUMMANDS) -> dict[str, Array]:
    """A function of the points for the meta-gradient of every surrogate."""
    return {f"{name}_gradient": of(points_of(problem, name)) for name in names}


def all_parts(problem: SampledBatches, names: Any = SUMMANDS) -> dict[str, Array]:
    """Every part of a problem."""
    return {part: answer(part, problem) for part in part_names(names)}


def with_points(problem: SampledBatches, make: Make) -> dict[str, Array]:
    """Every part of every surrogate on other points."""
    parts = {}
    for name in SUMMANDS:
        *points, query = points_of(problem, name, make)
        parts[f"{name}_adapted"] = np.array(query.theta)
        parts[f"{name}_objective"] = np.array(query.loss)
        parts[f"{name}_gradient"] = backwards(points, problem.alphas, query.grad)
    return parts


class _Scaled(NamedTuple):
    """A point of c·L, c one number per task."""

    point: SurrogatePoint
    c: Array

    @property
    def theta(self) -> Array:
        """θ."""
        return self.point.theta

    @property
    def loss(self) -> Array:
        """cL."""
        return np.asarray(self.c[..., 0] * self.point.loss)

    @property
    def grad(self) -> Array:
        """c∇L."""
        return np.asarray(self.c * self.point.grad)

    def hvp(self, v: Array) -> Array:
        """c∇²L v."""
        return np.asarray(self.c * self.point.hvp(v))


def scaled(problem: SampledBatches, scale: Callable[[Trajectories], Array]) -> dict[str, Array]:
    """Every part with each surrogate times a number of its batch."""

    def make(name: str, k: int, theta: Array) -> Any:
        batch = problem.batch(k, theta)
        return _Scaled(batch.surrogate(name).at(theta), np.asarray(scale(batch.trajectories))[..., None])

    return with_points(problem, make)


def with_baselines(problem: SampledBatches, change: Callable[[Trajectories, Array], Array]) -> SampledBatches:
    """The problem with other baselines, made of a batch and its baseline."""
    b, query_b = change(problem.trajectories, problem.baseline), change(problem.query, problem.query_baseline)
    return replace_fields(problem, baseline=b, query_baseline=query_b)
