"""Lesson 2: the exact policy gradient.  Derivation: derivations/exact-policy-gradient.md"""

from collections.abc import Iterator

import numpy as np

from refmeta.commands.exercises.answers import Answers
from refmeta.commands.exercises.grading import Exercise, compare, compare_function
from refmeta.policies import TabularSoftmax
from refmeta.tasks.exact_return import PolicyReturn
from refmeta.tasks.mdp import FiniteMDP

__all__ = ["EXERCISES"]

STAY_OR_GO = np.array([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]])
PI = np.array([[0.25, 0.75], [0.5, 0.5]])


def _chain(answers: Answers) -> Iterator[str]:
    """2a: J, the visits and the gradient of the chain started in state 0."""
    mdp = FiniteMDP(STAY_OR_GO, np.array([[3.0, 2.0], [1.0, -1.0]]), np.array([1.0, 0.0]), 0.5)
    point = PolicyReturn(mdp, TabularSoftmax(2, 2)).at(np.log(PI).ravel())
    V, Q, A, d = point.value, point.action_value, point.advantage, point.occupancy
    yield from compare(
        answers, "J", V[0],
        {"this is V(1), the value of the other state.": V[1], "this is J for the start of the chapter; here the process starts in state 0. (Or you multiplied by 1 − gamma.)":
         V @ [0.25, 0.75], "this is the mean of the two values; the process starts in state 0.": V.mean(),
         "this is the mean reward of the first step alone.": 2.25, "J must be discounted: you may have divided by 1 − gamma twice.": 2 * V[0]},
        hint="Each V(s) is the sum over the actions of π(a|s) (R(s, a) + gamma V(next state)). Write this for both states, and solve the two equations.",
    )  # fmt: skip
    yield from compare(
        answers, "visits", d,
        {"these are the visits of the chapter's start; here the process starts in state 0.": [2 / 3, 4 / 3],
         "the start itself is not counted: t = 0 is a visit, too.": d - [1, 0],
         "these are normalised: they sum to 1. They must sum to 1/(1 − gamma).": d / 2,
         "P_pi must be transposed: d(s') = rho(s') + gamma sum_s d(s) P_pi(s, s').": [4 / 3, 4 / 9]},
        hint="d(s') = rho(s') + gamma sum_s d(s) P_pi(s, s'). The visits sum to 1/(1 − gamma).",
    )  # fmt: skip
    yield from compare(
        answers, "gradient", d[:, None] * PI * A,
        {"the rewards that follow are missing: this has R − r_π instead of Q − V. (It is also the gradient of the chapter's start, "
         "by accident.)": [[1 / 4, -1 / 4], [1 / 3, -1 / 3]],
         "this has Q instead of the advantage: the entries of a state do not sum to 0.": d[:, None] * PI * Q,
         "the visits d(s) are missing: the process starts in state 0 and goes on.": PI * A,
         "the probabilities π(a|s) are missing: this is d(s) A(s, a).": d[:, None] * A,
         "these are the advantages alone.": A, "state 1 is visited, too, although the process does not start there.":
         [[1], [0]] * (d[:, None] * PI * A), "in the row of state 0 the two actions are exchanged.": [[-1], [1]] * (d[:, None] * PI * A),
         "in the row of state 1 the two actions are exchanged.": [[1], [-1]] * (d[:, None] * PI * A), "the visits must be the discounted ones, that sum to 1/(1 − gamma); these sum to 1.":
         d[:, None] * PI * A / 2},
        hint="The gradient is d(s) π(a|s) A(s, a) with A = Q − V. In each state the entries sum to 0.",
    )  # fmt: skip


def _row_sums(answers: Answers) -> Iterator[str]:
    """2b: d π A, and the row sums d V of d π Q."""
    rng = np.random.default_rng(0)
    cases = [(rng.uniform(0.2, 2, S), rng.dirichlet(np.ones(A), S), rng.normal(size=(S, A))) for S, A in ((2, 3), (3, 2), (4, 4))]
    yield from compare_function(
        answers, "gradient", cases, lambda d, pi, Q: d[:, None] * pi * (Q - np.sum(pi * Q, 1, keepdims=True)),
        {"this has Q instead of the advantage; sum your rows.": lambda d, pi, Q: d[:, None] * pi * Q,
         "π(a|s) is missing: this is d(s) A(s, a).": lambda d, pi, Q: d[:, None] * (Q - np.sum(pi * Q, 1, keepdims=True)),
         "d(s) is missing: this is π(a|s) A(s, a).": lambda d, pi, Q: pi * (Q - np.sum(pi * Q, 1, keepdims=True)),
         "the visits are divided by their sum here; take d as it is.":
         lambda d, pi, Q: d[:, None] / d.sum() * pi * (Q - np.sum(pi * Q, 1, keepdims=True)),
         "this is Q minus its plain mean over the actions; V weights the actions by π.":
         lambda d, pi, Q: d[:, None] * pi * (Q - Q.mean(1, keepdims=True))},
        hint="The formula is d(s) π(a|s) A(s, a). `d[:, None]` and `V[:, None]` have one row for each state.",
    )  # fmt: skip
    d, Q = np.array([4 / 3, 2 / 3]), np.array([[9 / 2, 5 / 2], [3 / 2, 1 / 2]])
    V = np.sum(PI * Q, axis=1)
    yield from compare(
        answers, "row_sums_of_the_wrong_formula", d * V,
        {"the right formula has these row sums; the wrong one does not.": [0, 0], "this is V(s). Each row is multiplied by d(s), too.": V,
         "this is d(s).": d, "these are the row sums for the chapter's start. Here the start is state 0.": d[::-1] * V,
         "π is missing: this is d(s) times the plain sum of Q over the actions.": d * Q.sum(1),
         "these are the sums over the states; a row belongs to one state.": np.sum(d[:, None] * PI * Q, axis=0)},
        hint="Sum d(s) π(a|s) Q(s, a) over the actions a. What is left of Q?",
    )  # fmt: skip


def _cash_or_wait(answers: Answers) -> Iterator[str]:
    """2c: J(p) = 4p + (1 − p)(1 + 4p + 1 − p) has its maximum where no advantage is zero."""
    p = 5 / 6
    V1 = 4 * p + (1 - p)
    V0 = 4 * p + (1 - p) * (1 + V1)
    yield from compare(
        answers, "p", p,
        {"this is the answer for the chapter's game, where cashing pays 2.": 1 / 2,
         "the 1 that waiting pays is missing in V1.": 7 / 8, "p must lie strictly between 0 and 1.": 1,
         "this holds V1 fixed. V1 depends on p, too: insert it first, and differentiate then.": 2 / 3,
         "p must lie strictly between 0 and 1: never to cash is not the maximum.": 0,
         "this is the probability to wait. p is the probability to cash.": 1 - p},
        hint="Write V1 as a function of p. Insert it into J(p), and set the derivative of this polynomial to zero.",
    )  # fmt: skip
    first, second = np.array([4, 1 + V1]) - V0, np.array([4, 1]) - V1
    yield from compare(
        answers, "advantages_at_0", first,
        {"these are π(a) A(a). The advantages alone are asked for.": first * [p, 1 - p],
         "these are the advantages at t = 1. At t = 0 waiting earns V1, too.": second,
         "waiting leads to a second step, and earns V1 there: it is missing in Q_0(wait).": np.array([4, 1]) - V0,
         "the sign is turned; or the 1 that waiting pays at once is missing in Q_0(wait).": -first,
         "after waiting the policy still cashes with the probability p only: V1 is not the reward of cashing.": np.array([4, 5]) - (4 * p + (1 - p) * 5),
         "these are Q_0, not Q_0 − V_0.": first + V0, "V_0 weights the two actions by p and 1 − p.": first + V0 - (first + V0).mean(),
         "p is the probability to cash; in V_0 it weights Q_0(cash).": first + V0 - (first + V0) @ [1 - p, p]},
        hint="How much do you earn on the mean from t = 0 on if you cash, and if you wait? Then subtract their mean under the policy.",
    )  # fmt: skip
    yield from compare(
        answers, "advantages_at_1", second,
        {"these belong to t = 0. After t = 1 no step is left.": first, "these are Q_1, not Q_1 − V_1.": second + V1,
         "V_1 weights the two actions by p and 1 − p.": second - second.mean(),
         "p is the probability to cash; in V_1 it weights Q_1(cash).": np.array([4, 1]) - [4, 1] @ np.array([1 - p, p])},
        hint="At t = 1 one reward is left. Subtract the mean of the two rewards under the policy.",
    )  # fmt: skip


EXERCISES = {
    "2a": Exercise("State 1 is never a start, and its logits have a gradient all the same: it is visited.", _chain),
    "2b": Exercise("The row sums of the wrong formula are d(s) V(s). A sum that must be zero finds the mistake without a second program.", _row_sums),
    "2c": Exercise("The gradient is zero because the two steps pull in opposite directions, and not because there is nothing to gain.", _cash_or_wait),
}
