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
    K = problem.steps
    alphas = _rows(point, "alpha", problem, problem.alphas)
    in_factors = _rows(point, "alpha in the factors", problem, alphas)
    support, query = (_of_surrogates(point, scope) for scope in ("support", "query"))
    batch, N = point.get("support batches", lambda k, K: k), len(problem.baseline)
    of_support, of_query = (point[f"{each} of"](task, N) if f"{each} of" in point else task for each in ("support", "query"))
    theta, path, inner = problem.theta, [], point.get("inner surrogate", name)
    steps = point["steps"](K) if "steps" in point else K
    if inner == name and "inner surrogate" in point or steps > K or not K and "query batch" in point:
        raise _NotConcerned
    for k in range(steps):
        path.append(_with_old(_one(problem, of_support, batch(k, K), theta), problem, task, k, point.get("old policy of the support")))
        theta = theta - alphas[k] * _derivative(f"{inner}_grad", path[-1], support)
    if kind == "adapted":
        return np.asarray(theta)
    k = point["query batch"](K) if "query batch" in point else QUERY
    place = point["query taken at"](len(path)) if "query taken at" in point else len(path)
    end = _one(problem, of_query, k, [*(each.theta for each in path), theta][max(place, 0)])
    end = _with_old(end, problem, task, k, point.get("old policy of the query"))
    if kind == "objective":
        return _derivative(f"{name}_loss", end, query)
    g = _derivative(f"{name}_grad", end, query)
    value = end.surrogate(name).at(end.theta).loss if "score term" in point else 0.0
    bent = support | {choice: point[choice] for choice in ("curvature", "product") if choice in point}
    for j in (point["Hessians"](len(path)) if "Hessians" in point and path else range(len(path)))[::-1]:
        left = "order of the factors" in point
        product = _derivative(f"{inner}_hvp", path[j], bent, v=g if left else in_factors[j] * g)
        g = g - (in_factors[j] * product if left else product)
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
