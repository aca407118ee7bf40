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
from refmeta.oracle.suites.maml.families import FAMILIES as OF_ADAPTATION
from refmeta.oracle.suites.maml.losses_of_returns import FAMILIES_OF_RETURNS as OF_RETURNS
from refmeta.oracle.suites.maml.losses_of_returns import TABULAR
from refmeta.oracle.suites.model.likelihood_choices import FAMILIES_OF_LIKELIHOODS, NEXT_STATES, SLOPES_OF_NEXT
from refmeta.oracle.suites.model.posterior_choices import FAMILIES_OF_POSTERIORS, TRANSITIONS
from refmeta.oracle.suites.model.problem import ModelProblem
from refmeta.oracle.suites.model.reward_choices import REWARDS
from refmeta.oracle.suites.model.reward_likelihood_choices import FOLLOWED, OF_REWARDS
from refmeta.oracle.suites.model.variants import adaptation, variant

__all__ = ["CHOICES", "FAMILIES", "PREDICATES", "additions", "layouts", "numbers", "variant"]


def _so_far(columns: list[Array]) -> list[Array]:
    """The contexts of the tasks up to each, one after another."""
    *rest, here = [np.tile(x.reshape(1, -1), (len(x), 1)) for x in columns]
    N, c = columns[0].shape
    return [*rest, here & (np.arange(N * c) // c <= np.arange(N)[:, None])]


def _once(columns: list[Array]) -> list[Array]:
    """Every (s, a, r, s') counts once."""
    *rest, here = columns
    same = np.all([x[:, :, None] == x[:, None, :] for x in rest], axis=0) & here[:, None, :]
    return [*rest, here & ~np.any(np.tril(same, -1), axis=-1)]


CHOICES: Choices = {
    "transitions of the model": TRANSITIONS,
    "rewards of the model": REWARDS,
    "context mask": {
        "kept": None, "ignored": np.ones_like, "without the last transition": lambda m: m & (np.cumsum(m[:, ::-1], axis=1)[:, ::-1] > 1),
        "without the first transition": lambda m: m & (np.cumsum(m, axis=1) > 1), "the last transition only": lambda m: m & (np.cumsum(m[:, ::-1], axis=1)[:, ::-1] == 1),
        "empty": np.zeros_like, "inverted": np.logical_not,
        "the first transition only": lambda m: m & (np.cumsum(m, axis=1) == 1), "the first two transitions": lambda m: m & (np.cumsum(m, axis=1) <= 2),
        "the last two transitions": lambda m: m & (np.cumsum(m[:, ::-1], axis=1)[:, ::-1] <= 2), "every other transition": lambda m: m & (np.cumsum(m, axis=1) % 2 == 1),
        "without the last entry": lambda m: m & (np.arange(m.shape[1]) < m.shape[1] - 1), "without the first entry": lambda m: m & (np.arange(m.shape[1]) > 0),
        "the first task's": lambda m: np.broadcast_to(m[:1], m.shape), "that of the next transition": lambda m: np.roll(m, -1, axis=1), "that of the transition before": lambda m: np.roll(m, 1, axis=1),
        "present in all tasks": lambda m: np.broadcast_to(np.all(m, axis=0), m.shape), "without the last transition, ignored otherwise": lambda m: np.ones_like(m) & (np.arange(m.shape[1]) < m.shape[1] - 1),
    },
    "context of a task": {
        "its own": None, "that of all tasks": lambda xs: [np.tile(x.reshape(1, -1), (len(x), 1)) for x in xs],
        "the first task's": lambda xs: [np.repeat(x[:1], len(x), axis=0) for x in xs], "the next task's": lambda xs: [np.roll(x, -1, axis=0) for x in xs],
        "the task's before": lambda xs: [np.roll(x, 1, axis=0) for x in xs], "its own and those before": _so_far,
        "s and s' exchanged": lambda xs: [xs[3], xs[1], xs[2], xs[0], xs[4]], "rewards of the step before": lambda xs: [*xs[:2], np.roll(xs[2], 1, axis=1), *xs[3:]],
        "rewards of the step after": lambda xs: [*xs[:2], np.roll(xs[2], -1, axis=1), *xs[3:]], "next states those of the step after": lambda xs: [*xs[:3], np.roll(xs[0], -1, axis=1), xs[4]],
        "actions of the step after": lambda xs: [xs[0], np.roll(xs[1], -1, axis=1), *xs[2:]], "the last task's": lambda xs: [np.repeat(x[-1:], len(x), axis=0) for x in xs],
        "rewards of the first task": lambda xs: [*xs[:2], np.repeat(xs[2][:1], len(xs[2]), axis=0), *xs[3:]], "every transition once": _once, "every transition twice": lambda xs: [np.concatenate([x, x], axis=1) for x in xs],
        "rewards negative": lambda xs: [*xs[:2], -xs[2], *xs[3:]], "rewards clipped at 1": lambda xs: [*xs[:2], np.clip(xs[2], -1, 1), *xs[3:]], "rewards at their signs": lambda xs: [*xs[:2], np.sign(xs[2]), *xs[3:]],
        "rewards centred": lambda xs: [*xs[:2], xs[2] - np.sum(xs[2] * xs[4], 1, keepdims=True) / np.maximum(np.sum(xs[4], 1, keepdims=True), 1), *xs[3:]],
        "rewards counted at s'": lambda xs: [xs[3], *xs[1:]],
    },
    "likelihood of next states": NEXT_STATES,
    "likelihood of rewards": OF_REWARDS,
    "log marginal": {
        "sum": None, "mean over transitions": lambda x, n, r: x / n, "mean over states and actions": lambda x, n, r: x / r.n[0].size,
        "mean over those met": lambda x, n, r: x / np.sum(r.n > 0, axis=(-2, -1)), "negative": lambda x, n, r: -x, "divided by N": lambda x, n, r: x / x.shape[-1],
        "negative mean over transitions": lambda x, n, r: -x / n, "to base 2": lambda x, n, r: x / np.log(2), "mean over transitions, at least 1": lambda x, n, r: x / np.maximum(n, 1), "exp": lambda x, n, r: np.exp(x),
        "sum over the tasks": lambda x, n, r: 0 * x + np.sum(x, axis=-1, keepdims=True), "mean over the tasks": lambda x, n, r: 0 * x + np.mean(x, axis=-1, keepdims=True),
        "sum so far": lambda x, n, r: np.cumsum(x, axis=-1), "over 1 + the number of transitions": lambda x, n, r: x / (1 + n), "the next task's": lambda x, n, r: np.roll(x, -1, axis=-1),
        "over all transitions of all tasks": lambda x, n, r: x / np.maximum(np.sum(n), 1), "half": lambda x, n, r: x / 2, "twice": lambda x, n, r: 2 * x,
        "over S": lambda x, n, r: x / r.n.shape[-2], "over A": lambda x, n, r: x / r.n.shape[-1],
    },
    "slope of concentration by": SLOPES_OF_NEXT,
    "variance followed": FOLLOWED,
    "slopes of concentration in": {"its logarithm": None, "itself": np.ones_like, "its root": lambda c: 2 * np.sqrt(c), "the logarithm of its root": lambda c: 2 * c, "its logarithm, negative": lambda c: -c,
        "its logarithm, times it once more": lambda c: c**2, "its inverse": lambda c: -(c**2), "softplus": lambda c: -np.expm1(-c), "its square": lambda c: 1 / (2 * c), "log of base 10": lambda c: c * np.log(10)},
    "slope of the variance in": {"its logarithm": None, "itself": np.ones_like, "its root": lambda v: 2 * np.sqrt(v), "the logarithm of its root": lambda v: 2 * v, "its logarithm, negative": lambda v: -v,
        "its logarithm, times it once more": lambda v: v**2, "its inverse": lambda v: -(v**2), "softplus": lambda v: -np.expm1(-v), "its square": lambda v: 1 / (2 * v), "log of base 10": lambda v: v * np.log(10)},
    **{name: each for name, each in {**ADAPTATIONS, **TABULAR}.items() if name != "gradient of alpha"},
    "query's data": {words: each for words, each in TABULAR["query's data"].items() if "rho" not in words},
}  # fmt: skip


FAMILIES: dict[str, tuple[Any, ...]] = {
    **FAMILIES_OF_POSTERIORS, **FAMILIES_OF_LIKELIHOODS,
    "rewards of the context times {}": ("context of a task", lambda c: lambda xs: [*xs[:2], c * xs[2], *xs[3:]]),
    "rewards of the context + {}": ("context of a task", lambda c: lambda xs: [*xs[:2], xs[2] + c, *xs[3:]]),
    "rewards of the context within -{0} and {0}": ("context of a task", lambda c: lambda xs: [*xs[:2], np.clip(xs[2], -abs(c), abs(c)), *xs[3:]]),
    **{words: each for words, each in (OF_RETURNS | OF_ADAPTATION).items() if each[0] in CHOICES},
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
