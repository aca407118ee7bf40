"""Values and returns on the pairs of state and belief, backwards and forwards in time.  Derivation: derivations/best-possible.md"""

from typing import NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.meta.belief_graph import BeliefGraph, Outcomes
from refmeta.softmax import softmax

__all__ = ["Schedule", "backward_induction", "task_returns"]

EPS = float(np.finfo(np.float64).eps)


class Schedule(NamedTuple):
    """The weight of the reward of each step, (E·H,); H; and the probabilities of the states in which episodes begin."""

    weight: Array
    horizon: int
    start: Array

    def ends(self, t: int) -> bool:
        """Whether step t is the last of its episode."""
        return (t + 1) % self.horizon == 0


def backward_induction(graph: BeliefGraph, outcomes: Outcomes, prior: Array, plan: Schedule) -> tuple[float, tuple[Array, ...]]:
    """The value at the start, and for every step the best action in each pair, the first of those equal up to rounding."""
    group = graph.edge_pair * (1 + np.max(outcomes.action)) + outcomes.action[graph.outcome]
    first = np.flatnonzero(np.diff(group, prepend=-1))
    actions = len(first) // (1 + graph.edge_pair[-1])
    probability, reward = _probability(graph, outcomes, prior), outcomes.reward[graph.outcome]
    rounding = 8 * EPS * np.max(np.abs(outcomes.reward)) * np.cumsum(plan.weight[::-1])[::-1]
    value, chosen = np.zeros(len(graph.state)), list[Array]()
    for t in reversed(range(len(plan.weight))):
        n = graph.known[t]
        m = np.searchsorted(graph.edge_pair, n)
        gained = plan.weight[t] * reward[:m] + _following(graph, value, plan, t)[graph.child[:m]]
        Q = np.add.reduceat(probability[:m] * gained, first[: n * actions]).reshape(n, actions)
        value[:n] = np.max(Q, axis=1)
        chosen.insert(0, np.argmax(Q >= value[:n, None] - rounding[t], axis=1).astype(np.int32))
    return float(value[graph.restart[0]] @ plan.start), tuple(chosen)


def _probability(graph: BeliefGraph, outcomes: Outcomes, prior: Array) -> Array:
    """p(o | s, a, b) of every edge."""
    with np.errstate(divide="ignore"):
        belief = softmax(np.log(prior) + graph.log_belief)
    return np.einsum("en,en->e", outcomes.likelihood[graph.outcome], belief[graph.belief[graph.edge_pair]])


def _following(graph: BeliefGraph, value: Array, plan: Schedule, t: int) -> Array:
    """The value of each pair after step t: after an episode that of a new start with the same belief, at the end 0."""
    if t + 1 == len(plan.weight):
        return np.zeros_like(value)
    return (value[graph.restart] @ plan.start)[graph.belief] if plan.ends(t) else value


def task_returns(
    graph: BeliefGraph, outcomes: Outcomes, chosen: tuple[Array, ...], possible: Array, plan: Schedule
) -> Array:
    """J_{e,i}, (E, N): the probability of each pair in each task, step by step forwards, times the rewards; NaN if not possible."""
    J = np.where(possible, np.zeros((len(chosen) // plan.horizon, 1)), np.nan)
    before = np.searchsorted(graph.edge_pair, np.arange(len(graph.state) + 1))
    pairs, mass = graph.restart[0], plan.start[:, None] * np.ones(np.sum(possible))
    for t, action in enumerate(chosen):
        edges, origin = _edges_of(before, pairs)
        taken = outcomes.action[graph.outcome[edges]] == action[pairs][origin]
        edges, origin = edges[taken], origin[taken]
        flow = mass[origin] * outcomes.likelihood[graph.outcome[edges]][:, possible]
        J[t // plan.horizon, possible] += plan.weight[t] * (outcomes.reward[graph.outcome[edges]] @ flow)
        pairs, mass = _merged(graph.child[edges], flow)
        if plan.ends(t):
            beliefs, mass = _merged(graph.belief[pairs], mass)
            pairs, mass = graph.restart[beliefs].ravel(), (mass[:, None] * plan.start[:, None]).reshape(-1, mass.shape[1])
    return J


def _edges_of(before: Array, pairs: Array) -> tuple[Array, Array]:
    """The edges of each pair, one pair after another, and the position of the pair for each edge."""
    count = before[pairs + 1] - before[pairs]
    origin = np.repeat(np.arange(len(pairs)), count)
    return np.arange(len(origin)) + (before[pairs] - np.cumsum(count) + count)[origin], origin


def _merged(pairs: Array, mass: Array) -> tuple[Array, Array]:
    """Every pair once, with the sum of its rows."""
    order = np.argsort(pairs, kind="stable")
    first = np.flatnonzero(np.diff(pairs[order], prepend=-1))
    return pairs[order][first], np.add.reduceat(mass[order], first, axis=0)
