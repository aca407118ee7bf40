"""The best that can be done when the task is unknown: the Bayes-adaptive optimum.  Derivation: derivations/best-possible.md

One of N tasks is drawn from a prior.  The agent knows the tasks and the prior, but not which task it is in.  It acts for
several episodes and remembers everything.  No learner that sees only its own experience earns more on average.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from refmeta.arrays import Array, as_count, as_read_only, as_real, finite_result
from refmeta.meta.belief_graph import BeliefGraph, Outcomes, belief_graph, outcomes_of, updated_name
from refmeta.meta.belief_values import Schedule, backward_induction, episode_returns, probability_of_edges
from refmeta.meta.task_posterior import check_tasks
from refmeta.sampling.rollout import as_horizon
from refmeta.sampling.transitions import Transitions, as_transitions
from refmeta.tasks.mdp import FiniteMDP

__all__ = ["AdaptiveOptimum", "BeliefPolicy", "optimum", "price", "value_of"]

LIMIT = 300_000


class AdaptiveOptimum(NamedTuple):
    """The best value under the prior, the expected return of each episode, (E,), and a policy that attains them."""

    value: float
    returns: Array
    policy: "BeliefPolicy"


@dataclass(frozen=True, eq=False)
class BeliefPolicy:
    """A policy that acts on the state, the belief and the number of steps so far; made by `optimum`.

    `chosen[t]` has the action of step t = 0, …, E·H − 1 in every pair of state and belief that `graph` reaches by then.
    `prior` is the one for which the policy is optimal, `weights` (E,) are those of the episodes.
    """

    tasks: FiniteMDP
    prior: Array
    weights: Array
    horizon: int
    outcomes: Outcomes
    graph: BeliefGraph
    chosen: tuple[Array, ...]

    @cached_property
    def returns(self) -> Array:
        """The expected return of every episode in every task, (E, N): Σ_t γᵗ r_t over the `horizon` steps.

        It is NaN for tasks to which the policy's own prior gives 0: the policy does not say what to do there.
        """
        return as_read_only(np.where(self.prior > 0, self._returns(self.outcomes.likelihood[self.graph.outcome]), np.nan))

    def _returns(self, chance: Array) -> Array:
        """The expected return of every episode, (E, k), for k probabilities of each edge."""
        plan = _schedule(self.tasks, np.ones(len(self.weights)), self.horizon)
        return episode_returns(self.graph, self.outcomes, self.chosen, chance, plan)

    def action(self, seen: Transitions, state: int) -> int:
        """The action in a state after the transitions `seen` (n,) of this episode and the earlier ones.

        Raises
        ------
        ValueError, TypeError
            If no task to which the prior gives a positive probability can have produced the transitions, or if no step
            follows them.
        """
        s, a, r, following, _, mask = as_transitions(seen, self.tasks.states, self.tasks.actions, "seen")
        state = as_count(state, "state", most=self.tasks.states - 1)
        columns = (part[mask].tolist() for part in (s, a, r, following))
        return int(_action(self, list(zip(*columns, strict=True)), state))


def optimum(
    tasks: FiniteMDP, prior: ArrayLike | None = None, *, episodes: int, horizon: int | None = None,
    weights: ArrayLike | None = None, limit: int = LIMIT,
) -> AdaptiveOptimum:  # fmt: skip
    """V_t(s, b) = max_a Σ_o p(o | s, a, b) (w γʰ r + V_{t+1}(s', b')), over all episodes; b' is b after the outcome.

    Eq: bayes-adaptive

    o = (r, s') is what is seen after the action, and h = 0, …, H − 1 is the step within the episode.  Each episode begins
    in a new state from ρ, and the belief goes on.  Of several best actions, equal up to rounding, the first is taken.

    Parameters
    ----------
    tasks : FiniteMDP
        A batch of N tasks with the same ρ.  Rewards are observed exactly.
    prior : (N,) array
        Probabilities of the tasks; uniform by default.
    episodes, horizon : int
        The number E of episodes, and the number H of steps in each; the default is the horizon of the tasks.  A discounted
        task without a horizon is cut off after H steps: what it would earn later is not counted.
    weights : (E,) array
        w, the weight of each episode's return in what is maximised, at least 0; 1 by default.  With [0, …, 0, 1] the
        earlier episodes are for exploration, and the value bounds what any learner can earn in the last episode.
    limit : int
        The largest number of pairs of state and belief that may be reached.

    Raises
    ------
    ValueError, TypeError
        For a prior or weights that are not of this kind, tasks whose ρ differ, or more pairs than `limit`.
    """
    check_tasks(tasks)
    p, E, H = _as_prior(tasks, prior), as_count(episodes, "episodes", least=1), as_horizon(tasks, horizon)
    w, starts, most = _as_weights(weights, E), np.flatnonzero(_common_start(tasks)), as_count(limit, "limit", least=1)
    outcomes = outcomes_of(tasks)
    graph = belief_graph(outcomes, tasks.states, p > 0, starts, episodes=E, horizon=H, limit=most)
    value, chosen = backward_induction(graph, outcomes, p, _schedule(tasks, w, H))
    policy = BeliefPolicy(tasks, as_read_only(p), w, H, outcomes, graph, chosen)
    returns = policy._returns(probability_of_edges(graph, outcomes, p)[:, None])[:, 0]
    return AdaptiveOptimum(value, returns, policy)


@finite_result
def value_of(policy: BeliefPolicy, prior: ArrayLike | None = None) -> Array:
    """Σ_i p_i Σ_e w_e J_{e,i}: what the policy earns under a prior p that need not be its own; the default is uniform.

    Eq: wrong-prior

    J_{e,i} is `policy.returns`.

    Raises
    ------
    ValueError
        If the prior gives a positive probability to a task to which the policy's own prior gives 0.
    """
    p = _as_prior(policy.tasks, prior)
    for i in np.flatnonzero((p > 0) & ~(policy.prior > 0)):
        raise ValueError(
            f"prior[{i}] is {p[i]:.3g}, but the prior of the policy is 0 there: the policy does not say what to do in task {i}"
        )
    return policy.weights @ _mean_over_tasks(policy.returns, p)


def price(
    tasks: FiniteMDP, believed: ArrayLike, prior: ArrayLike | None = None, *, episodes: int, horizon: int | None = None,
    weights: ArrayLike | None = None, limit: int = LIMIT,
) -> float:  # fmt: skip
    """V(p) − V^{π_q}(p): what it costs to act optimally for the prior q (`believed`) where the truth is p (`prior`).

    Eq: wrong-prior

    The other arguments, and the errors raised, are those of `optimum` and `value_of`.
    """
    wrong = optimum(tasks, believed, episodes=episodes, horizon=horizon, weights=weights, limit=limit).policy
    right = optimum(tasks, prior, episodes=episodes, horizon=horizon, weights=weights, limit=limit)
    return float(right.value - value_of(wrong, prior))


def _as_prior(tasks: FiniteMDP, prior: ArrayLike | None) -> Array:
    """Probabilities (N,), uniform by default."""
    (N,) = tasks.shape
    if prior is None:
        return np.full(N, 1 / N)
    p = as_real(prior, "prior")
    if p.shape != (N,) or not (np.all(p >= 0) and abs(np.sum(p) - 1) <= 1e-12):
        raise ValueError(f"prior must be {N} probabilities, got shape {p.shape} with sum {np.sum(p):.16g}")
    return p


def _as_weights(weights: ArrayLike | None, episodes: int) -> Array:
    """Weights (E,) of the episodes, at least 0; 1 by default."""
    w = as_real(np.ones(episodes) if weights is None else weights, "weights")
    if w.shape != (episodes,) or not np.all(w >= 0):
        raise ValueError(f"weights must be {episodes} numbers of at least 0, one per episode, got {w.tolist()}")
    return w


def _common_start(tasks: FiniteMDP) -> Array:
    """ρ (S,); ValueError if the tasks do not share it."""
    rho = np.broadcast_to(tasks.rho, (*tasks.shape, tasks.states))
    if not np.all(rho == rho[0]):
        raise ValueError("rho must be the same in all tasks: the first state of an episode would tell the task")
    return rho[0]


def _schedule(tasks: FiniteMDP, weights: Array, horizon: int) -> Schedule:
    """The weights w_e γʰ of all steps, and the start."""
    rho = _common_start(tasks)
    return Schedule(np.ravel(weights[:, None] * tasks.gamma ** np.arange(horizon)), horizon, rho[rho > 0])


def _mean_over_tasks(returns: Array, p: Array) -> Array:
    """Σ_i p_i J_{e,i}, (E,), over the tasks with p_i > 0."""
    return returns[:, p > 0] @ p[p > 0]


def _action(policy: BeliefPolicy, seen: list[tuple[int, int, float, int]], state: int) -> int:
    """The chosen action after the transitions (s, a, r, s')."""
    outcomes, graph = policy.outcomes, policy.graph
    if len(seen) >= len(policy.chosen):
        raise ValueError(f"seen has {len(seen)} transitions, but the policy ends after {len(policy.chosen)} steps")
    name = next(iter(graph.names))
    for n, (s, a, r, following) in enumerate(seen):
        same = (outcomes.state == s) & (outcomes.action == a) & (outcomes.reward == r) & (outcomes.following == following)
        after = updated_name(name, int(outcomes.kind[np.argmax(same)]), outcomes) if np.any(same) else None
        if after is None:
            raise ValueError(f"no possible task can have produced transition {n} of seen: {(s, a, r, following)}")
        name = after
    at = np.flatnonzero((graph.state == state) & (graph.belief == graph.names.get(name, -1)))
    if not (at.size and at[0] < graph.known[len(seen)]):
        raise ValueError(f"state {state} cannot be reached after the {len(seen)} transitions of seen")
    return int(policy.chosen[len(seen)][at[0]])
