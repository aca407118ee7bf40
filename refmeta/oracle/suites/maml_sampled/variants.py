"""A sampled meta-gradient with some departures from what is right.  Derivation: derivations/sampled-meta-gradients.md"""

from typing import Any

import numpy as np

from refmeta.arrays import Array, replace_fields
from refmeta.oracle.choices import Point
from refmeta.oracle.suites.maml_sampled.alternatives import OF_SURROGATES, SCOPES
from refmeta.oracle.suites.maml_sampled.problem import QUERY, SampledBatches
from refmeta.oracle.suites.surrogates import variants
from refmeta.oracle.suites.surrogates.problem import Batches
from refmeta.sampling.surrogates import emaml_score_term
from refmeta.sampling.trajectories import Trajectories

__all__ = ["variant"]

OF_GRADIENTS = ("Hessians", "curvature", "product", "alpha in the factors", "order of the factors", "score term")
OF_QUERY = ("query batch", "query of", "query taken at")


class _NotConcerned(Exception):
    """A departure does not concern a part, or gives no numbers."""


def variant(part: str, problem: SampledBatches, point: Point) -> Array | None:
    """φ, the objective or the meta-gradient of every task at a point; None where the point does not concern the part."""
    name, _, kind = part.rpartition("_")
    if kind != "gradient" and any(choice in OF_GRADIENTS for choice in point):
        return None
    if kind == "adapted" and any(choice in OF_QUERY or choice.endswith("of the query") for choice in point):
        return None
    try:
        with np.errstate(all="ignore"):
            rows = [_of_task(name, kind, problem, task, point) for task in range(len(problem.baseline))]
    except (_NotConcerned, ArithmeticError):
        return None
    value = np.stack(rows) / (len(rows) if "over tasks" in point else 1)
    return value if np.isfinite(value).all() else None


def _of_task(name: str, kind: str, problem: SampledBatches, task: int, point: Point) -> Array:
    """One task: forwards along the inner steps, backwards through their Hessians."""
    inner = point.get("inner surrogate", name)
    if inner == name and "inner surrogate" in point or not problem.steps and "query batch" in point:
        raise _NotConcerned
    support, query = (_of_surrogates(point, scope) for scope in ("support", "query"))
    path, phi = _path(inner, problem, task, point, support)
    if kind == "adapted":
        return np.asarray(phi)
    end = _end(problem, task, point, [*(each.theta for each in path), phi])
    if kind == "objective":
        return _derivative(f"{name}_loss", end, query)
    value = end.surrogate(name).at(end.theta).loss if "score term" in point else 0.0
    return _through_steps(inner, problem, path, _derivative(f"{name}_grad", end, query), value, point, support)


def _path(inner: str, problem: SampledBatches, task: int, point: Point, support: dict[str, Any]) -> tuple[list[Batches], Array]:
    """The batch of every inner step, and φ."""
    K, alphas = problem.steps, _rows(point, "alpha", problem, problem.alphas)
    steps = point["steps"](K) if "steps" in point else K
    if steps > K:
        raise _NotConcerned
    batch, of_support = point.get("support batches", lambda k, K: k), _other_task("support of", problem, task, point)
    theta, path = problem.theta, list[Batches]()
    for k in range(steps):
        path.append(_with_old(_one(problem, of_support, batch(k, K), theta), problem, task, k, point.get("old policy of the support")))
        theta = theta - alphas[k] * _derivative(f"{inner}_grad", path[-1], support)
    return path, theta


def _end(problem: SampledBatches, task: int, point: Point, thetas: list[Array]) -> Batches:
    """The batch of the query, at φ, the last of these parameters."""
    k = point["query batch"](problem.steps) if "query batch" in point else QUERY
    place = point["query taken at"](len(thetas) - 1) if "query taken at" in point else len(thetas) - 1
    end = _one(problem, _other_task("query of", problem, task, point), k, thetas[max(place, 0)])
    return _with_old(end, problem, task, k, point.get("old policy of the query"))


def _other_task(choice: str, problem: SampledBatches, task: int, point: Point) -> int:
    """The task whose batch is taken."""
    return int(point[choice](task, len(problem.baseline))) if choice in point else task


def _through_steps(
    inner: str, problem: SampledBatches, path: list[Batches], g: Array, value: Any, point: Point, support: dict[str, Any]
) -> Array:
    """g, pulled back through the inner steps; `value` is the loss in a score term."""
    alphas, left = _rows(point, "alpha in the factors", problem, _rows(point, "alpha", problem, problem.alphas)), "order of the factors" in point
    bent = support | {choice: point[choice] for choice in ("curvature", "product") if choice in point}
    for j in (point["Hessians"](len(path)) if "Hessians" in point and path else range(len(path)))[::-1]:
        product = _derivative(f"{inner}_hvp", path[j], bent, v=g if left else alphas[j] * g)
        g = g - (alphas[j] * product if left else product)
        if "score term" in point:
            weight = _rows(point, "score term", problem, problem.alphas)[j]
            g = g + weight * emaml_score_term(problem.policy, path[j].theta, path[j].trajectories, value=value)[0]
    return g


def _rows(point: Point, choice: str, problem: SampledBatches, otherwise: Array) -> Array:
    """One row per step of what a choice makes of α, (K, 1) or (K, d); without the choice something else."""
    if choice not in point:
        return otherwise
    alphas, M = problem.alphas, problem.baseline.shape[2]
    return np.asarray(point[choice](alphas, problem.steps, M) + 0 * alphas)


def _of_surrogates(point: Point, scope: str) -> dict[str, Any]:
    """The departures of the surrogates of the support, or of the query."""
    named = {f"{name}{words}": name for name in OF_SURROGATES for words, scopes in SCOPES.items() if scope in scopes}
    return {named[choice]: value for choice, value in point.items() if choice in named}


def _one(problem: SampledBatches, task: int, k: int, theta: Array) -> Batches:
    """The batch of one task at its own parameters."""
    of = problem.batch(k, theta)
    one = Trajectories(*(np.asarray(x)[task : task + 1] for x in of.trajectories))
    return Batches(theta, of.theta_sampled[task], of.policy, one, of.baseline[task : task + 1], of.gamma, of.lam, of.v)


def _with_old(batch: Batches, problem: SampledBatches, task: int, k: int, old: Any) -> Batches:
    """The batch, its ratios to another policy than that which drew it."""
    return batch if old is None else replace_fields(batch, theta_sampled=np.asarray(old(problem, task, k)))


def _derivative(part: str, batch: Batches, point: Point, v: Array | None = None) -> Array:
    """The gradient, or the Hessian product with v, of a surrogate with departures on one task's batch."""
    at = batch if v is None else replace_fields(batch, v=v)
    value = variants.variant(part, at, point)
    if value is None:
        raise _NotConcerned
    return np.asarray(value[0])
