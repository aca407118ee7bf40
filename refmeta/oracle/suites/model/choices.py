"""What implementations of a learned model choose, the right alternative first.  Derivation: derivations/model-based.md

An alternative is what `variants` computes instead of what is right; None is what is right.  Those of the adaptation are MAML's.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Choices, Predicate
from refmeta.oracle.suites.maml import additions as of_maml
from refmeta.oracle.suites.maml.choices import CHOICES as ADAPTATIONS
from refmeta.oracle.suites.maml.losses_of_returns import TABULAR
from refmeta.oracle.suites.model.likelihood_choices import NEXT_STATES, OF_REWARDS
from refmeta.oracle.suites.model.posterior_choices import REWARDS, TRANSITIONS
from refmeta.oracle.suites.model.problem import ModelProblem
from refmeta.oracle.suites.model.variants import adaptation, variant

__all__ = ["CHOICES", "PREDICATES", "additions", "layouts", "numbers", "variant"]


def _so_far(columns: list[Array]) -> list[Array]:
    """The contexts of the tasks up to each, one after another."""
    *rest, here = [np.tile(x.reshape(1, -1), (len(x), 1)) for x in columns]
    N, c = columns[0].shape
    return [*rest, here & (np.arange(N * c) // c <= np.arange(N)[:, None])]


CHOICES: Choices = {
    "transitions of the model": TRANSITIONS,
    "rewards of the model": REWARDS,
    "context mask": {
        "kept": None, "ignored": np.ones_like, "without the last transition": lambda m: m & (np.cumsum(m[:, ::-1], axis=1)[:, ::-1] > 1),
        "without the first transition": lambda m: m & (np.cumsum(m, axis=1) > 1), "the last transition only": lambda m: m & (np.cumsum(m[:, ::-1], axis=1)[:, ::-1] == 1),
        "empty": np.zeros_like, "inverted": np.logical_not,
    },
    "context of a task": {
        "its own": None, "that of all tasks": lambda xs: [np.tile(x.reshape(1, -1), (len(x), 1)) for x in xs],
        "the first task's": lambda xs: [np.repeat(x[:1], len(x), axis=0) for x in xs], "the next task's": lambda xs: [np.roll(x, -1, axis=0) for x in xs],
        "the task's before": lambda xs: [np.roll(x, 1, axis=0) for x in xs], "its own and those before": _so_far,
        "s and s' exchanged": lambda xs: [xs[3], xs[1], xs[2], xs[0], xs[4]], "rewards of the step before": lambda xs: [*xs[:2], np.roll(xs[2], 1, axis=1), *xs[3:]],
    },
    "likelihood of next states": NEXT_STATES,
    "likelihood of rewards": OF_REWARDS,
    "log marginal": {
        "sum": None, "mean over transitions": lambda x, n, r: x / n, "mean over states and actions": lambda x, n, r: x / r.n[0].size,
        "mean over those met": lambda x, n, r: x / np.sum(r.n > 0, axis=(-2, -1)), "negative": lambda x, n, r: -x, "divided by N": lambda x, n, r: x / x.shape[-1],
        "negative mean over transitions": lambda x, n, r: -x / n, "to base 2": lambda x, n, r: x / np.log(2),
    },
    "slopes of concentration in": {"its logarithm": None, "itself": np.ones_like, "its root": lambda c: 2 * np.sqrt(c), "the logarithm of its root": lambda c: 2 * c},
    "slope of the variance in": {"its logarithm": None, "itself": np.ones_like, "its root": lambda v: 2 * np.sqrt(v), "the logarithm of its root": lambda v: 2 * v},
    **{name: each for name, each in {**ADAPTATIONS, **TABULAR}.items() if name != "gradient of alpha"},
    "query's data": {words: each for words, each in TABULAR["query's data"].items() if "rho" not in words},
}  # fmt: skip


def additions(part: str, problem: ModelProblem) -> dict[str, Callable[[], Any]]:
    """What may be added to the adaptation; the halves of the likelihood."""
    if part in ("objective", "gradient"):
        return of_maml.additions(part, adaptation(problem))
    halves = {"that of the rewards": {"likelihood of next states": NEXT_STATES["left out"]}, "that of the next states": {"likelihood of rewards": OF_REWARDS["left out"]}}
    return {name: lambda point=point: variant(part, problem, point) for name, point in halves.items()} if part == "log_marginal" else {}  # type: ignore[misc]


def numbers(problem: ModelProblem) -> dict[str, Any]:
    """Numbers of transitions, and of states and actions that were met."""
    visits = np.sum(problem.statistics.counts, axis=-1)
    return {"transitions": np.sum(visits, axis=(-2, -1)), "states and actions met": np.sum(visits > 0, axis=(-2, -1)), "S A": visits[0].size}


def layouts(problem: ModelProblem) -> dict[str, Array]:
    """Which entry of θ stands where, action by action."""
    return of_maml.layouts(adaptation(problem))


PREDICATES = (
    Predicate(
        "the context is empty", "what the context says enters otherwise, not the prior", lambda case: not np.any(case.problem.context.mask),
        lambda x: x | {"context_mask": np.zeros_like(x["context_mask"])},
    ),
)  # fmt: skip
