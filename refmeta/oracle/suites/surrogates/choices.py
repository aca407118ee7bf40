"""What implementations of surrogates choose.  Derivation: derivations/sampled-meta-gradients.md"""

from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Choices, Predicate
from refmeta.oracle.suites.surrogates.additions import additions
from refmeta.oracle.suites.surrogates.definition import SUMMANDS
from refmeta.oracle.suites.surrogates.jets import orders
from refmeta.oracle.suites.surrogates.problem import Batches
from refmeta.oracle.suites.surrogates.recipes import RECIPES
from refmeta.oracle.suites.surrogates.variants import variant

__all__ = ["CHOICES", "PREDICATES", "RECIPES", "additions", "layouts", "numbers", "variant"]

STATISTICS = {
    "": "task", " over all tasks": "all tasks", " over each trajectory": "trajectory", " over each step in time": "each step",
    " with the padding": "padding", " by means of the trajectories' means": "means",
}  # fmt: skip
NORMALISED = {
    **{
        f"normalised (ddof {n}){words}": (f"normalised {n}", over, 1e-8)
        for words, over in STATISTICS.items() for n in (0, 1) if n == 0 or over != "means"
    },
    **{
        f"normalised (ddof {n}), {words}": (f"normalised {n}", "task", epsilon)
        for words, epsilon in (("no epsilon", 0.0), ("epsilon 1e-5", 1e-5), ("epsilon 1e-6", 1e-6)) for n in (0, 1)
    },
    **{f"only centred{words}": ("centred", over, 0.0) for words, over in STATISTICS.items() if over != "means"},
    **{f"the return normalised (ddof {n}), the baseline subtracted after": (f"return {n}", "task", 1e-8) for n in (0, 1)},
}  # fmt: skip
CHOICES: Choices = {
    "curvature": {"its own": "own"} | {
        words: name for name, words in zip(
            SUMMANDS, ("REINFORCE's (naive)", "the likelihood ratio's", "DiCE's", "T-MAML's", "Loaded DiCE's"), strict=True
        )
    },
    "discount": {
        "gamma^t": "kept", "dropped": "dropped", "gamma^(2t)": "squared", "gamma^(t+1)": "one more",
        "gamma^t on the return, not on the baseline": "on the return",
    },
    "over time": {
        "sum": "sum", "mean over the steps taken in the task's batch": "steps taken", "mean over H, padding included": "H",
        "mean over each trajectory's own steps": "own steps",
    },
    "over trajectories": {"mean": "mean", "sum": "sum"},
    "over tasks": {"each its own": "each", "divided by N": "mean"},
    "return": {
        "its own": "own", "reward to go": "to go", "the reward of the step": "reward", "whole return, without gamma^t": "whole alone",
        "whole return": "whole", "whole undiscounted return": "whole undiscounted",
        "to go, discounted from the start": "from the start", "to go, undiscounted": "undiscounted",
        "to go, without the reward of the step": "after", "that of the next step": "next",
        "the reward and gamma b of the next step": "one step", "GAE with lam": "gae", "of the past (not reversed)": "past",
        "the reward, discounted once more": "discounted reward",
    },
    "baseline": {
        "as given": "given", "none": "none", "twice": "twice", "added": "added", "mean of the batch at each step": "mean of each step",
        "mean of all steps of the batch": "mean", "leave-one-out": "leave one out", "that of the next step": "of the next step",
    },
    "baseline's place": {"its own": "own", "subtracted inside the magic box": "inside"},
    "advantages": {"as they are": ("as they are",)} | NORMALISED | {
        "only divided by their deviation (ddof 0)": ("scaled 0", "task", 1e-8),
        "only divided by their deviation (ddof 1)": ("scaled 1", "task", 1e-8), "positive part": ("positive part", "task", 0.0),
        "shifted to be positive": ("shifted", "task", 1e-8),
    },
    "mask": {
        "kept": "kept", "ignored": "ignored", "ignored in the rewards": "rewards", "one step early: last step dropped": "early",
        "one step late": "late",
    },
    "sums": {
        "its own": "own", "ratio of each step alone": "alone", "ratios up to the step": "each to t", "ratios before the step": "before t",
        "ratios from the step on": "from t on", "ratios of the whole trajectory": "all steps", "ratio of the first step": "first step",
        "logarithms up to the step, divided by M": "over M", "logarithms up to the step, each fading by 1/M": "fading",
        "logarithms up to the step, each fading by 1/M, from the batch's last step on": "fading around",
        "mean of the logarithms up to the step": "mean to t", "logarithms up to the step, past the ends of trajectories": "over ends",
    },
    "ratio": {
        "exp": "exp", "its logarithm in the magic box, not in the baseline": "linear box",
        "clipped at 1 ± 0.1": "clip 0.1", "clipped at 1 ± 0.2": "clip 0.2", "clipped at 1 ± 0.3": "clip 0.3",
    },
    "denominators": {
        "held at theta_sampled": "held", "replaced by theta, detached": "follow", "left out": "left out", "upside down": "upside down",
    },
    "evaluated at": {"theta": "theta", "theta_sampled": "theta_sampled"},
    "log pi": {
        "as it is": "own", "mean over the coordinates": "mean", "log sigma read as log variance": "log variance",
        "sigma by softplus": "softplus", "without -log sigma": "no log sigma", "without the 1/2 of the square": "whole square",
        "softmax over states": "over states", "pi itself": "probability",
    },
    "lam": {"lam": "lam", "1 - lam": "1 - lam", "1": "1", "0": "0", "lam^2": "squared", "gamma lam": "gamma lam"},
    "order of theta": {"state by state": "own", "action by action, (A, S)": "(A, S)", "log sigma first": "sigma first"},
    "product": {
        "of the Hessian": "exact", "outer products only (Gauss-Newton)": "outer", "second derivatives of log pi only": "inner",
        "of Fisher's matrix": "fisher", "gradient times its product with v": "gradients",
    },
    "sign": {"of the loss": "of the loss", "of the return": "of the return"},
}  # fmt: skip


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
