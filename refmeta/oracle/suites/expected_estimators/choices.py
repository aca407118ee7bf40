"""What implementations of sampled meta-gradients choose.  Derivation: derivations/sampled-meta-gradients.md"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Choices, Predicate
from refmeta.oracle.suites.expected_estimators.problem import Expectations
from refmeta.oracle.suites.expected_estimators.variants import variant
from refmeta.oracle.suites.expected_estimators.ways import OF_SURROGATES, every_path
from refmeta.oracle.suites.surrogates import choices as surrogates

__all__ = ["CHOICES", "PREDICATES", "RECIPES", "additions", "layouts", "numbers", "variant"]

LEFT_OUT = (
    "on the return", "own steps", "steps taken", "from the start", "one step", "gae", "fading around", "over ends",
    ("centred", "task", 0.0), ("centred", "each step", 0.0), ("normalised 0", "task", 0.0), ("normalised 1", "task", 0.0),
)  # of the choices of a surrogate: what needs a baseline or an early end, is another alternative here, or divides by 0
STATISTICS = ("task", "trajectory", "each step")


def _kept(value: Any) -> bool:
    """Is an alternative of a surrogate one of a surrogate without a baseline, on a batch of one task whose trajectories do not end?"""
    of_batch = not isinstance(value, tuple) or len(value) == 1 or value[1] in STATISTICS and not value[0].startswith("return")
    return value not in LEFT_OUT and of_batch


CHOICES: Choices = {
    "curvature": {
        "of every step": "kept", "left out (first order)": "none", "of the first step only": "first", "of the last step only": "last",
    },
    "score term": {
        "kept": "kept", "dropped": "dropped", "alpha times": "alpha", "divided by M": "over M", "divided by M H": "over M H",
        "of the first step only": "first", "of the last step only": "last", "with the other sign": "negative", "twice": "twice",
    },
    "value of the score term": {
        "the loss after adaptation": "after", "minus the batch's own return": "batch",
        "minus the mean reward of a step after adaptation": "mean reward",
    },
    "surrogate": {
        "its own": "own", "REINFORCE's (naive)": "reinforce", "the likelihood ratio's": "likelihood_ratio", "DiCE's": "dice",
    },
    "later trajectories": {
        "drawn anew": "fresh", "those of the first step, no ratio": "reused",
    },
    **{
        name: {words: value for words, value in surrogates.CHOICES[name].items() if _kept(value)} for name in OF_SURROGATES
    },
    "baseline": {"none": "given"} | {
        words: value for words, value in surrogates.CHOICES["baseline"].items() if value in ("mean of each step", "mean", "leave one out")
    },
    "steps": {"K": "K", "K + 1": "K + 1", "K - 1": "K - 1"},
    "alpha": {"alpha": "alpha", "alpha^2": "squared", "-alpha": "negative", "alpha/2": "half", "2 alpha": "double", "alpha/M": "over M"},
    "alpha of the curvature": {"alpha": "alpha", "1": "one", "alpha^2": "squared", "-alpha": "negative"},
    "episodes": {"M": "M", "1": "one"},
    "evaluated at": {"phi": "phi", "theta": "theta"},
    "loss": {"discounted": "discounted", "undiscounted": "undiscounted"},
    "product": {name: value for name, value in surrogates.CHOICES["product"].items() if value != "gradients"},
    "over tasks": surrogates.CHOICES["over tasks"],
    "sign": surrogates.CHOICES["sign"],
}  # fmt: skip


MAML_TRPO = {"score term": "dropped", "discount": "dropped", "over time": "H"}
RECIPES: dict[str, dict[str, Any]] = {
    "the inner loop of MAML-TRPO (cbfinn/maml_rl, pytorch-maml-rl)": MAML_TRPO | {"advantages": ("normalised 0", "task", 1e-8)},
    "the inner loop of MAML-TRPO (learn2learn)": MAML_TRPO | {"advantages": ("normalised 1", "task", 1e-8)},
    "the inner loop of ProMP": MAML_TRPO | {"surrogate": "likelihood_ratio", "advantages": ("normalised 0", "task", 1e-8)},
    "the inner loop of MAML with DiCE (learn2learn)": MAML_TRPO | {"surrogate": "dice", "return": "to go", "sums": "fading"},
}  # fmt: skip


def additions(part: str, problem: Expectations) -> dict[str, Callable[[], Array]]:
    """The gradient before adaptation, θ; of a Hessian product damping, Fisher's matrix and the exact Hessian."""
    rows: Callable[[Any], Array] = lambda f: np.stack([f(i, task) for i, task in enumerate(problem.tasks)])
    theta, v = problem.theta, problem.v
    if part.startswith("formulation"):
        return {
            "theta": lambda: rows(lambda i, task: theta), "the gradient before adaptation": lambda: rows(lambda i, task: task.at(theta).grad)
        }  # fmt: skip
    fisher: Callable[[], Array] = lambda: np.asarray(variant(part, problem, {"product": "fisher"}))
    exact: Callable[[], Array] = lambda: rows(lambda i, task: task.at(theta).hvp(v))
    return {"v": lambda: rows(lambda i, task: v), "Fisher's matrix times v": fisher, "the exact Hessian times v": exact}


def numbers(problem: Expectations) -> dict[str, Any]:
    """Numbers of steps, of trajectories, and of those that can occur."""
    M, H, K = problem.episodes, problem.tasks[0].mdp.horizon or 1, problem.steps
    return {"M H": M * H, "M K": M * K, "trajectories that can occur": np.array([len(every_path(task.mdp).weight) for task in problem.tasks])}


def layouts(problem: Expectations) -> dict[str, Array]:
    """The table action by action."""
    policy = problem.tasks[0].policy
    return {"action by action, (A, S)": np.arange(policy.dim).reshape(policy.states, policy.actions).T.ravel()}


def _paid_by_action(x: dict[str, Any]) -> dict[str, Any]:
    """Rewards of state and action alone, their means over the next states."""
    return x | {"R": np.sum(x["P"] * x["R"], axis=-1)}


PREDICATES = (
    Predicate(
        "rewards do not depend on the next state", "rewards R[s, a, s'] differ: they are drawn with the next state",
        lambda case: np.ndim(case.arguments()["R"]) == 3, _paid_by_action,
    ),
    Predicate(
        "M K <= 1", "from the second trajectory on something differs: of a batch, or of a later step",
        lambda case: case.arguments()["episodes"] * case.arguments()["steps"] <= 1, lambda x: x | {"episodes": 1, "steps": 1},
    ),
)  # fmt: skip
