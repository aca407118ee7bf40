"""What implementations of surrogates choose.  Derivation: derivations/sampled-meta-gradients.md"""

from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Predicate
from refmeta.oracle.suites.surrogates.additions import additions
from refmeta.oracle.suites.surrogates.alternatives import CHOICES
from refmeta.oracle.suites.surrogates.families import FAMILIES
from refmeta.oracle.suites.surrogates.jets import orders
from refmeta.oracle.suites.surrogates.problem import Batches
from refmeta.oracle.suites.surrogates.recipes import RECIPES
from refmeta.oracle.suites.surrogates.variants import variant

__all__ = ["CHOICES", "FAMILIES", "PREDICATES", "RECIPES", "additions", "layouts", "numbers", "variant"]


def numbers(problem: Batches) -> dict[str, Any]:
    """Numbers of steps and of trajectories."""
    mask = np.asarray(problem.trajectories.mask)
    N, M, steps = *mask.shape[:2], mask.shape[2]
    taken = np.sum(mask, axis=(1, 2))
    return {"M H": M * steps, "N M": N * M, "N M H": N * M * steps, "steps taken": taken, "steps per trajectory": taken / M, "all steps taken": np.sum(taken)}


def layouts(problem: Batches) -> dict[str, Array]:
    """Other orders of the parameters: which of ours stands where."""
    words = {value: name for name, value in CHOICES["order of theta"].items()}
    return {words[name]: np.argsort(order) for name, order in orders(problem).items()}


def _where_sampled(x: dict[str, Any]) -> bool:
    """θ = θ_sampled."""
    return bool(np.array_equal(x["theta"], x["theta_sampled"]))


def _is_gaussian(x: dict[str, Any]) -> bool:
    """States are rows of numbers."""
    return np.ndim(x["states"]) > np.ndim(x["rewards"])


PREDICATES = (
    Predicate(
        "theta = theta_sampled", "away from where the batch was drawn something differs: the ratios, or their denominators",
        lambda case: _where_sampled(case.arguments()), lambda x: x | {"theta_sampled": np.array(x["theta"])},
    ),
    Predicate(
        "the policy is a softmax", "the log-probability of the Gaussian policy differs",
        lambda case: not _is_gaussian(case.arguments()), lambda x: None,
    ),
    Predicate(
        "the policy is Gaussian", "the log-probability of the softmax policy differs",
        lambda case: _is_gaussian(case.arguments()), lambda x: None,
    ),
)  # fmt: skip
