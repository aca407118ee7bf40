"""The pairs of state and belief that can be reached among finitely many tasks.  Derivation: derivations/best-possible.md

What is seen after (s, a) is an outcome: a reward r and a next state s'.  Its likelihood is one number per task,
P_i(s'|s, a) 1[r = R_i(s, a, s')].  A belief depends on the earlier outcomes through two things only: which tasks are
left, and how often each kind of outcome was seen that still tells these tasks apart.  Both are whole numbers, and they
are the name of the belief; its floating-point numbers are computed from the name.  So rounding never makes two beliefs
of one.
"""

from typing import NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.tasks.mdp import FiniteMDP

__all__ = ["BeliefGraph", "BeliefName", "Outcomes", "belief_graph", "outcomes_of", "updated_name"]

DIGITS = 12  # log-likelihoods of a kind are compared after rounding to so many digits
BeliefName = tuple[int, tuple[tuple[int, int], ...]]  # the tasks left, as bits; pairs of a kind and its count


class Outcomes(NamedTuple):
    """What may be seen after each (s, a), in the order of s and a: O outcomes of K kinds, for N tasks.

    likelihood (O, N) is P_i(s'|s, a) 1[r = R_i(s, a, s')].  Outcomes whose likelihoods are proportional are of one kind;
    log_likelihood (K, N) is that of the kind, 0 for the likeliest task.  levels[k] has a set of tasks, as bits, for each
    value in row k above −inf.
    """

    state: Array
    action: Array
    reward: Array
    following: Array
    likelihood: Array
    kind: Array
    log_likelihood: Array
    levels: list[list[int]]


class BeliefGraph(NamedTuple):
    """The pairs of state and belief in the order in which they are first reached, and the outcomes that join them.

    state, belief (n,): each pair; log_belief (B, N): Σ log-likelihood of each belief, without the prior.  known (T + 1,):
    the number of pairs that can be reached within t steps.  edge_pair, outcome, child (E,): from a pair through an
    outcome to a pair.  restart (B, S₀): the pairs in which the next episode can begin, −1 where no episode begins.
    """

    state: Array
    belief: Array
    log_belief: Array
    known: Array
    edge_pair: Array
    outcome: Array
    child: Array
    restart: Array
    names: dict[BeliefName, int]


def outcomes_of(tasks: FiniteMDP) -> Outcomes:
    """All outcomes that have a positive probability in some task."""
    P = np.broadcast_to(tasks.P, (*tasks.shape, *tasks.P.shape[-3:]))
    R = tasks.R if tasks.R.ndim >= tasks.P.ndim else tasks.R[..., None]
    R = np.broadcast_to(R, P.shape)
    rows = []
    for s, a, following in np.argwhere(np.any(P > 0, axis=0)):
        p, r = P[:, s, a, following], R[:, s, a, following]
        rows += [(s, a, one, following, np.where(r == one, p, 0.0)) for one in np.unique(r[p > 0])]
    state, action, reward, after, likelihood = (np.array(part) for part in zip(*rows, strict=True))
    with np.errstate(divide="ignore"):
        logs = np.log(likelihood / np.max(likelihood, axis=1, keepdims=True))
    _, first, kind = np.unique(np.round(logs, DIGITS), axis=0, return_index=True, return_inverse=True)
    levels = [_levels(np.round(row, DIGITS)) for row in logs[first]]
    return Outcomes(state, action, reward, after, likelihood, kind.reshape(-1), logs[first], levels)


def _levels(row: Array) -> list[int]:
    """For each finite value of the row, the tasks that have it, as bits."""
    values = np.unique(row[row > -np.inf])
    return [sum(1 << int(i) for i in np.flatnonzero(row == value)) for value in values]


def updated_name(name: BeliefName, kind: int, outcomes: Outcomes) -> BeliefName | None:
    """The name of the belief after one more outcome of a kind, or None if no task is left."""
    levels = outcomes.levels
    left = name[0] & sum(levels[kind])
    counts = dict(name[1])
    counts[kind] = counts.get(kind, 0) + 1
    telling = sorted((k, n) for k, n in counts.items() if not any(left & level == left for level in levels[k]))
    return (left, tuple(telling)) if left else None


class _Builder:
    """Lists that grow while pairs are reached; the attributes are those of `BeliefGraph`."""

    def __init__(self, outcomes: Outcomes, states: int, start: BeliefName) -> None:
        self.outcomes = outcomes
        after = np.searchsorted(outcomes.state, np.arange(states + 1))
        kinds, following = outcomes.kind.tolist(), outcomes.following.tolist()
        self.of_state = [[(o, kinds[o], following[o]) for o in range(*after[s : s + 2])] for s in range(states)]
        self.names: dict[BeliefName, int] = {start: 0}
        self.beliefs = [start]
        self.updates: list[dict[int, int | None]] = [{}]
        self.pairs: dict[tuple[int, int], int] = {}
        self.order: list[tuple[int, int]] = []
        self.edges: list[tuple[int, int, int]] = []

    def pair(self, belief: int, state: int) -> int:
        """The number of a pair."""
        number = self.pairs.setdefault((belief, state), len(self.order))
        if number == len(self.order):
            self.order.append((belief, state))
        return number

    def update(self, belief: int, kind: int) -> int | None:
        """The number of the belief after an outcome of a kind, or None if no task is left."""
        known = self.updates[belief]
        if kind not in known:
            name = updated_name(self.beliefs[belief], kind, self.outcomes)
            known[kind] = None if name is None else self.names.setdefault(name, len(self.names))
            if len(self.names) > len(self.beliefs):
                self.beliefs.append(name)  # type: ignore[arg-type]
                self.updates.append({})
        return known[kind]

    def expand(self, pair: int, belief: int, state: int, last: bool) -> None:
        """Every edge from a pair; after the last step nothing is reached."""
        for outcome, kind, following in self.of_state[state]:
            after = self.update(belief, kind)
            if after is not None:
                self.edges.append((pair, outcome, 0 if last else self.pair(after, following)))


def belief_graph(
    outcomes: Outcomes, states: int, possible: Array, starts: Array, *, episodes: int, horizon: int, limit: int
) -> BeliefGraph:
    """The pairs that can be reached in `episodes` episodes of `horizon` steps, where the tasks `possible` (N,) may be.

    Raises
    ------
    ValueError
        If there are more than `limit` pairs.
    """
    start = (sum(1 << int(i) for i in np.flatnonzero(possible)), ())
    build, steps, known, expanded = _Builder(outcomes, states, start), episodes * horizon, list[int](), 0
    for t in range(steps + 1):
        if t % horizon == 0 and t < steps:
            for belief in range(len(build.beliefs)):
                for s in starts.tolist():
                    build.pair(belief, s)
        known.append(len(build.order))
        for pair in range(expanded, known[-1]) if t < steps else ():
            build.expand(pair, *build.order[pair], t == steps - 1)
            _check_size(len(build.order), limit, t + 1, steps)
        expanded = known[-1]
    return _as_graph(build, starts, np.array(known))


def _check_size(pairs: int, limit: int, t: int, steps: int) -> None:
    """ValueError if there are more pairs than allowed."""
    if pairs > limit:
        raise ValueError(
            f"more than {limit} pairs of state and belief can be reached in the first {t} of {steps} steps; take fewer "
            "tasks or steps, or a larger limit=, to which time and memory are proportional"
        )


def _as_graph(build: _Builder, starts: Array, known: Array) -> BeliefGraph:
    """The lists as arrays."""
    belief, state = np.array(build.order).T
    edge_pair, outcome, child = np.array(build.edges).T
    restart = [[build.pairs.get((b, s), -1) for s in starts.tolist()] for b in range(len(build.beliefs))]
    logs = build.outcomes.log_likelihood
    log_belief = np.zeros((len(build.beliefs), logs.shape[1]))
    for row, (left, counts) in zip(log_belief, build.beliefs, strict=True):
        row[[not left >> i & 1 for i in range(len(row))]] = -np.inf
        for kind, n in counts:
            row += n * logs[kind]
    return BeliefGraph(state, belief, log_belief, known, edge_pair, outcome, child, np.array(restart), build.names)
