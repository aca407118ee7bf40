"""What implementations of sampled meta-gradients choose.  Derivation: derivations/sampled-meta-gradients.md"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Predicate
from refmeta.oracle.suites.expected_estimators.alternatives import CHOICES
from refmeta.oracle.suites.expected_estimators.families import FAMILIES
from refmeta.oracle.suites.expected_estimators.problem import Expectations
from refmeta.oracle.suites.expected_estimators.variants import variant
from refmeta.oracle.suites.expected_estimators.ways import every_path

__all__ = ["CHOICES", "FAMILIES", "PREDICATES", "RECIPES", "additions", "layouts", "numbers", "variant"]

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
