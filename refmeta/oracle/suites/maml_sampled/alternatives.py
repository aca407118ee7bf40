"""The choices of implementations of sampled MAML: of each the right alternative first.  Derivation: derivations/sampled-meta-gradients.md

What a surrogate's code chooses may be chosen in every batch, in the support's alone, or in the query's alone.
"""

from typing import Any

from refmeta.oracle.choices import Choices
from refmeta.oracle.suites.maml.schedules import READINGS
from refmeta.oracle.suites.surrogates.alternatives import CHOICES as SURROGATES

__all__ = ["CHOICES", "OF_SURROGATES", "SCOPES"]

SCOPES = {"": ("support", "query"), " of the support": ("support",), " of the query": ("query",)}
OF_SURROGATES: dict[str, tuple[Any, ...]] = {
    "discount": ("dropped", "squared", "one more", "reversed", "on the return"),
    "over time": ("steps taken", "H", "own steps"),
    "over trajectories": ("sum", "M - 1", "living"),
    "return": ("to go", "reward", "whole", "whole alone", "undiscounted", "from the start", "after", "gae", "one step"),
    "baseline": ("none", "added", "mean of each step", "mean", "leave one out"),
    "advantages": (
        *((f"normalised {n}", over, e) for n in (0, 1) for over, e in (("task", 1e-8), ("padding", 1e-8), ("task", 0.0))), ("centred", "task", 0.0),
    ),
    "mask": ("ignored", "rewards", "early", "late"),
    "denominators": ("follow", "left out", "left out with the constant"),
    "sums": ("alone", "each to t", "before t", "from t on", "all steps", "over M", "fading", "mean of all"),
    "control": ("tmaml", "dice", "held", "twice", "up to t", "second added"),
    "lam": ("1", "0"),
    "fading": ("past not faded", "nothing subtracted"),
    "ratio": (("linear box",), ("clip", 0.2), ("clamp", 0.2), ("power", 2.0)),
    "log pi": ("mean", "over states", "temperature", "log variance"),
    "sign": ("of the return",),
}  # fmt: skip
HESSIANS: dict[str, Any] = {
    "of every step": None, "left out (first order)": lambda K: [], "of the first step alone": lambda K: [0], "of the last step alone": lambda K: [K - 1],
    "of all but the first step": lambda K: list(range(1, K)), "of all but the last step": lambda K: list(range(K - 1)),
    "in the other order": lambda K: list(range(K))[::-1], "of the first step, K times": lambda K: [0] * K, "of the last step, K times": lambda K: [K - 1] * K,
}  # fmt: skip
FACTORS: dict[str, Any] = {
    "alpha": None, "1": lambda a, K, M: 1.0, "alpha^2": lambda a, K, M: a * a, "-alpha": lambda a, K, M: -a, "2 alpha": lambda a, K, M: 2 * a,
    "alpha/2": lambda a, K, M: a / 2, "alpha/M": lambda a, K, M: a / M, "alpha M": lambda a, K, M: a * M, "alpha/K": lambda a, K, M: a / K,
}  # fmt: skip
OF_ROWS = (
    "its mean over the parameters", "its mean over the steps", "the first step's in every step", "the last step's in every step",
    "the first parameter's in every place", "the last parameter's in every place", "steps in reverse", "parameters in reverse", "its size",
)  # fmt: skip
READ: dict[str, Any] = {words: lambda a, K, M, words=words: READINGS[words](a) for words in OF_ROWS}  # type: ignore[misc]
SCORES: dict[str, Any] = {
    "none": None, "added": lambda a, K, M: 1.0, "subtracted": lambda a, K, M: -1.0, "added, times alpha": lambda a, K, M: a,
    "added, divided by M": lambda a, K, M: 1 / M, "added, alpha/M": lambda a, K, M: a / M,
}  # fmt: skip
BATCHES: dict[str, Any] = {
    "each step its own": None, "the first in every step": lambda k, K: 0, "the last in every step": lambda k, K: K - 1,
    "in the other order": lambda k, K: K - 1 - k, "the query's in every step": lambda k, K: -1,
}  # fmt: skip
TASKS: dict[str, Any] = {
    "its own task": None, "the next task": lambda i, N: (i + 1) % N, "the task before": lambda i, N: (i - 1) % N, "the first task": lambda i, N: 0,
    "the last task": lambda i, N: N - 1,
}  # fmt: skip
OLD_POLICIES: Choices = {
    "old policy of the support": {
        "that which drew the batch": None, "that of theta": lambda p, i, k: p.theta, "that which drew the first batch": lambda p, i, k: p.theta_sampled[i, 0],
        "that which drew the batch before": lambda p, i, k: p.theta_sampled[i, max(k - 1, 0)],
        "that which drew the query": lambda p, i, k: p.query_theta_sampled[i],
    },
    "old policy of the query": {
        "that which drew it": None, "that of theta": lambda p, i, k: p.theta, "that which drew the last support batch": lambda p, i, k: p.theta_sampled[i, -1] if p.steps else p.query_theta_sampled[i],
    },
}  # fmt: skip


def _alternatives(name: str) -> dict[str, Any]:
    """The right alternative of a surrogate's choice, and those that are kept here."""
    right, *others = SURROGATES[name].items()
    return dict([right, *((words, value) for words, value in others if value in OF_SURROGATES[name])])


CHOICES: Choices = {
    "Hessians": HESSIANS,
    "curvature": SURROGATES["curvature"],
    "inner surrogate": SURROGATES["curvature"],
    "product": {words: value for words, value in SURROGATES["product"].items() if value in ("exact", "outer", "inner", "fisher", "outer twice")},
    "alpha in the factors": FACTORS | READ,
    "alpha": FACTORS | READ,
    "order of the factors": {"as it is": None, "alpha on the left of the Hessian": "left"},
    "score term": SCORES,
    "support batches": BATCHES,
    "query batch": {"its own": None, "the last support batch": lambda K: K - 1, "the first support batch": lambda K: 0},
    "support of": TASKS,
    "query of": TASKS,
    "steps": {"K": None, "K - 1": lambda K: K - 1, "1": lambda K: 1},
    "query taken at": {"phi": None, "theta": lambda K: 0, "one step before phi": lambda K: K - 1},
    "over tasks": {"each its own": None, "divided by N": True},
    **OLD_POLICIES,
    **{f"{name}{words}": _alternatives(name) for name in OF_SURROGATES for words in SCOPES},
}
