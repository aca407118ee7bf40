"""What implementations of sampled MAML choose.  Derivation: derivations/sampled-meta-gradients.md"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.meta.inner import adapt
from refmeta.oracle.choices import Predicate
from refmeta.oracle.suites.maml_sampled.alternatives import CHOICES
from refmeta.oracle.suites.maml_sampled.problem import QUERY, SampledBatches, problem
from refmeta.oracle.suites.maml_sampled.variants import variant
from refmeta.sampling.surrogates import emaml_score_term

__all__ = ["CHOICES", "FAMILIES", "PREDICATES", "additions", "numbers", "variant"]

FAMILIES: dict[str, tuple[str, Callable[[float], Any]]] = {
    "{} alpha": ("alpha", lambda c: lambda a, K, M: c * a),
    "{} alpha in the factors": ("alpha in the factors", lambda c: lambda a, K, M: c * a),
    "added, times {}": ("score term", lambda c: lambda a, K, M: c),
}


def additions(part: str, problem: SampledBatches) -> dict[str, Callable[[], Array]]:
    """θ; of a meta-gradient the query's gradient at θ, and the scores of the first batch; of an objective the query's loss at θ."""
    name, _, kind = part.rpartition("_")
    N = len(problem.baseline)
    terms: dict[str, Callable[[], Array]] = {"theta": lambda: np.zeros((N, 1)) + problem.theta}
    if kind == "objective":
        return {"the query's loss at theta": lambda: np.asarray(problem.surrogate(name, QUERY).at(problem.theta).loss)}
    if kind == "adapted" or not problem.steps:
        return terms
    first = problem.batch(0, problem.theta).trajectories
    return terms | {
        "the query's gradient at theta": lambda: np.asarray(problem.surrogate(name, QUERY).at(problem.theta).grad),
        "the scores of the first support batch": lambda: emaml_score_term(problem.policy, problem.theta, first, value=np.ones(N)),
    }


def numbers(problem: SampledBatches) -> dict[str, Any]:
    """Numbers of steps in time that were taken."""
    support, query = (np.sum(np.asarray(batch.mask), axis=-1) for batch in (problem.trajectories, problem.query))
    each = {"steps per trajectory of the query": np.mean(query, axis=-1)}
    return each | ({"steps per trajectory of the first batch": np.mean(support[:, 0], axis=-1)} if problem.steps else {})


def _path(x: dict[str, Any]) -> Array:
    """θ⁽⁰⁾ … θ⁽ᴷ⁾ of every task, (N, K + 1, d), with REINFORCE's gradients."""
    of = problem(x)
    inner = adapt(of.theta, of.split("reinforce")[0], **of.hyper)
    return np.stack([np.broadcast_to(point.theta, (len(of.baseline), len(of.theta))) for point in inner.path], axis=1)


def _drawn_where_used(case: Any) -> bool:
    """Is every θ_sampled where its batch is used, to rounding?"""
    x = case.arguments()
    drawn = np.concatenate([problem(x).theta_sampled, x["query_theta_sampled"][:, None]], axis=1)
    return bool(np.allclose(drawn, _path(x), rtol=1e-6, atol=1e-6))


def _move_there(x: dict[str, Any]) -> dict[str, Any]:
    """Every θ_sampled where its batch is used: one step settles one more of them."""
    for _ in range(x["theta_sampled"].shape[1] + 1):
        path = _path(x)
        x = x | {"theta_sampled": path[:, :-1].copy(), "query_theta_sampled": path[:, -1].copy()}
    return x


PREDICATES = (
    Predicate(
        "every batch is drawn where it is used", "away from where a batch was drawn something differs: the ratios, or their denominators",
        _drawn_where_used, _move_there,
    ),
    Predicate(
        "the policy is a softmax", "the log-probability of the Gaussian policy differs",
        lambda case: np.ndim(case.arguments()["query_states"]) == 3, lambda x: None,
    ),
    Predicate(
        "the policy is Gaussian", "the log-probability of the softmax policy differs",
        lambda case: np.ndim(case.arguments()["query_states"]) == 4, lambda x: None,
    ),
)  # fmt: skip
