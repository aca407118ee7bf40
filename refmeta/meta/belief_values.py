"""Values and returns on the pairs of state and belief, backwards and forwards in time.  Derivation: derivations/best-possible.md"""

from typing import NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.meta.belief_graph import BeliefGraph, Outcomes
from refmeta.softmax import softmax

__all__ = ["Schedule", "backward_induction", "episode_returns", "probability_of_edges"]

TIE = 8 * float(np.finfo(np.float64).eps)  # in units of what the best action is expected to move, |r| instead of r


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
    group, actions = _groups(graph, outcomes)
    first = np.flatnonzero(np.diff(group, prepend=-1))
    probability, reward = probability_of_edges(graph, outcomes, prior), outcomes.reward[graph.outcome]
    value, size, chosen = np.zeros(len(graph.state)), np.zeros(len(graph.state)), list[Array]()  # size: the value of |r|
    for t in reversed(range(len(plan.weight))):
        n = graph.known[t]
        m = np.searchsorted(graph.edge_pair, n)
        gained = plan.weight[t] * reward[:m] + _following(graph, value, plan, t)[graph.child[:m]]
        moved = plan.weight[t] * np.abs(reward[:m]) + _following(graph, size, plan, t)[graph.child[:m]]
        Q, sizes = (np.add.reduceat(probability[:m] * x, first[: n * actions]).reshape(n, actions) for x in (gained, moved))
        value[:n], size[:n] = np.max(Q, axis=1), np.max(sizes, axis=1)
        chosen.insert(0, np.argmax(Q >= (value - TIE * size)[:n, None], axis=1).astype(np.int32))
    return float(value[graph.restart[0]] @ plan.start), tuple(chosen)


def probability_of_edges(graph: BeliefGraph, outcomes: Outcomes, prior: Array) -> Array:
    """p(o | s, a, b) of every edge, (E,): the mean over the tasks of the likelihood, by the belief under this prior."""
    with np.errstate(divide="ignore"):
        belief = softmax(np.log(prior) + graph.log_belief)
    return np.einsum("en,en->e", outcomes.likelihood[graph.outcome], belief[graph.belief[graph.edge_pair]])


def _following(graph: BeliefGraph, value: Array, plan: Schedule, t: int) -> Array:
    """The value of each pair after step t: after an episode that of a new start with the same belief, at the end 0."""
    if t + 1 == len(plan.weight):
        return np.zeros_like(value)
    return (value[graph.restart] @ plan.start)[graph.belief] if plan.ends(t) else value


def episode_returns(
    graph: BeliefGraph, outcomes: Outcomes, chosen: tuple[Array, ...], chance: Array, plan: Schedule
) -> Array:
    """The expected return of every episode, (E, k): the probability of each pair, step by step forwards, times the rewards.

    chance (edges, k) has k probabilities for each edge, for example one per task.
    """
    J = np.zeros((len(chosen) // plan.horizon, chance.shape[1]))
    group, actions, reward = *_groups(graph, outcomes), outcomes.reward[graph.outcome]
    first = np.searchsorted(group, np.arange(len(graph.state) * actions + 1))
    pairs, mass = graph.restart[0], plan.start[:, None] * np.ones(chance.shape[1])
    for t, best in enumerate(chosen):
        edges, origin = _edges_of(first, pairs * actions + best[pairs])
        flow = mass[origin] * chance[edges]
        J[t // plan.horizon] += plan.weight[t] * (reward[edges] @ flow)
        pairs, mass = _merged(graph.child[edges], flow)
        if plan.ends(t):
            beliefs, mass = _merged(graph.belief[pairs], mass)
            pairs, mass = graph.restart[beliefs].ravel(), (mass[:, None] * plan.start[:, None]).reshape(-1, mass.shape[1])
    return J


def _groups(graph: BeliefGraph, outcomes: Outcomes) -> tuple[Array, int]:
    """For each edge the number of its pair and action, which does not decrease; and the number of actions."""
    actions = 1 + int(np.max(outcomes.action))
    return graph.edge_pair * actions + outcomes.action[graph.outcome], actions


def _edges_of(first: Array, groups: Array) -> tuple[Array, Array]:
    """The edges of each group, one group after another, and the position of the group for each edge."""
    count = first[groups + 1] - first[groups]
    origin = np.repeat(np.arange(len(groups)), count)
    return np.arange(len(origin)) + (first[groups] - np.cumsum(count) + count)[origin], origin


def _merged(pairs: Array, mass: Array) -> tuple[Array, Array]:
    """Every pair once, with the sum of its rows."""
    order = np.argsort(pairs, kind="stable")
    first = np.flatnonzero(np.diff(pairs[order], prepend=-1))
    return pairs[order][first], np.add.reduceat(mass[order], first, axis=0)
