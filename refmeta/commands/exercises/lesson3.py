"""Lesson 3: the geometry of policies.  Derivation: derivations/policy-geometry.md"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.commands.exercises.answers import Answers
from refmeta.commands.exercises.grading import Exercise, check_whole, compare, compare_function, equal
from refmeta.policies import TabularSoftmax
from refmeta.tasks.exact_return import PolicyReturn
from refmeta.tasks.fisher import PolicyKL
from refmeta.tasks.mdp import FiniteMDP

__all__ = ["EXERCISES"]


def _natural(answers: Answers) -> Iterator[str]:
    """3a: A − mean A."""
    pi, Q = np.array([[0.25, 0.75], [0.5, 0.5]]), np.array([[4.5, 2.5], [1.5, 0.5]])
    A = Q - np.sum(pi * Q, axis=1, keepdims=True)
    centred = A - A.mean(axis=1, keepdims=True)
    start_0, chapter = np.array([[4 / 3], [2 / 3]]), np.array([[2 / 3], [4 / 3]])
    got = answers.array("natural_gradient", (2, 2))
    if not equal(got, centred) and not equal(got, Q) and equal(got - got.mean(axis=1, keepdims=True), centred):
        yield "`natural_gradient`: this solves F x = grad J, but it is not the shortest solution: a number may be taken off in each state."
        return
    left = "the visits cancel: F has them, too. Here they are left over."
    yield from compare(
        answers, "natural_gradient", centred,
        {"this is Q. It solves F x = grad J, but it is not the shortest solution.": Q,
         "this is the plain gradient, before F is divided out.": start_0 * pi * A,
         "this is the plain gradient for the start of the chapter, before F is divided out.": chapter * pi * A,
         "the visits and the probabilities cancel: F has them, too. Here π is left over.": pi * A,
         "these are the rewards R minus their mean; later rewards count, too. (Or the two states are exchanged.)": centred[::-1],
         f"{left} And the rows must sum to 0.": start_0 * A, left: start_0 * centred, f"{left} They are those of the chapter's start.": chapter * centred},
        hint="Insert grad J = d π A into F x = grad J, one state after the other, and see what cancels. "
        "Of all solutions, the shortest has rows that sum to 0.",
    )  # fmt: skip


def _cases() -> list[tuple[Array, Array, Array, Array, int]]:
    """Processes P, rho, two policies, and a horizon."""
    rng = np.random.default_rng(3)
    return [
        (rng.dirichlet(np.full(S, 2.0), (S, A)), rng.dirichlet(np.full(S, 2.0)), *rng.dirichlet(np.full(A, 2.0), (2, S)), H)
        for S, A, H in ((2, 2, 3), (3, 2, 2), (2, 3, 1))
    ]


def _policy_kl(P: Array, rho: Array, old: Array, new: Array, horizon: int) -> Any:
    """The library's divergence of two policies."""
    S, A = old.shape
    mdp = FiniteMDP(P, np.zeros((S, A)), rho, 1.0, horizon)
    return PolicyKL(PolicyReturn(mdp, TabularSoftmax(S, A)).at(np.log(old).ravel())).at(np.log(new).ravel()).loss


def _visited(P: Array, rho: Array, by: Array, horizon: int) -> Array:
    """The visits of a policy."""
    S, A = by.shape
    mdp = FiniteMDP(P, np.zeros((S, A)), rho, 1.0, horizon)
    return np.asarray(PolicyReturn(mdp, TabularSoftmax(S, A)).at(np.log(by).ravel()).occupancy.sum(axis=0))


def _in_states(old: Array, new: Array) -> Array:
    """KL(old || new) in each state."""
    return np.asarray(np.sum(old * np.log(old / new), axis=-1))


def _trajectories(answers: Answers) -> Iterator[str]:
    """3b: the visits of the old policy, times the divergence in each state."""
    yield from compare_function(
        answers, "trajectory_kl", [(np.array([0.25, 0.75]), np.array([0.5, 0.5])), (np.array([0.2, 0.3, 0.5]), np.array([0.6, 0.3, 0.1]))],
        _in_states,
        {"this is KL(new || old): the mean must be taken over the old policy.": lambda p, q: _in_states(q, p),
         "the logarithm has the base 2; take the natural one.": lambda p, q: _in_states(p, q) / np.log(2),
         "each log ratio is weighted by the probability under the old policy; a plain sum has no weights.": lambda p, q: np.sum(np.log(p / q)),
         "this is the plain mean of the log ratios; weight them by the old probabilities.": lambda p, q: np.mean(np.log(p / q)),
         "take the sum over the trajectories. The mean divides by their number, too.": lambda p, q: _in_states(p, q) / len(p),
         "the mean of this log ratio must be taken over the old policy; here the weights are those of the new one.":
         lambda p, q: -_in_states(q, p)},
        hint="The formula stands in the second paragraph of the exercise: p is the old policy.",
    )  # fmt: skip
    paths = _recorded(answers, "trajectory_probabilities")
    yield from compare_function(
        answers, "policy_kl", _cases(), _policy_kl,
        {"these are the visits of the new policy. Over whose trajectories is the mean taken?":
         lambda P, rho, old, new, H: _visited(P, rho, new, H) @ _in_states(old, new),
         "this is KL(new || old) with the visits of the new policy: the other direction.":
         lambda P, rho, old, new, H: _visited(P, rho, new, H) @ _in_states(new, old),
         "in each state the old policy stands first in the KL.": lambda P, rho, old, new, H: _visited(P, rho, old, H) @ _in_states(new, old),
         "the visits must sum to the number of steps; here they sum to 1.":
         lambda P, rho, old, new, H: _visited(P, rho, old, H) @ _in_states(old, new) / H,
         "the visits are missing: the plain sum over the states.": lambda P, rho, old, new, H: np.sum(_in_states(old, new)),
         "these are the states of the first step alone.": lambda P, rho, old, new, H: rho @ _in_states(old, new),
         "the visits are those of the first step, times the number of steps; later steps have other visits.":
         lambda P, rho, old, new, H: H * rho @ _in_states(old, new),
         "one step is missing in the visits.": lambda P, rho, old, new, H: _visited(P, rho, old, max(H - 1, 1)) @ _in_states(old, new),
         "in each state the mean of the log ratio is taken over the actions of the new policy. Who acts in the trajectories?":
         lambda P, rho, old, new, H: -_visited(P, rho, old, H) @ _in_states(new, old)},
        hint="One policy acts, and both are compared in each state that is visited. Which policy's visits, and which policy's actions, is the mean over?",
    )  # fmt: skip
    if paths:
        yield "`policy_kl`: the number is right, but this goes through all trajectories again. Write it with the visits and the two policies."


def _recorded(answers: Answers, name: str) -> list[str]:
    """A list that gets an entry each time when a function of the file is called."""
    calls: list[str] = []
    function = answers.value(name)

    def recorded(*arguments: Any, **more: Any) -> Any:
        calls.append(name)
        return function(*arguments, **more)

    answers.names[name] = recorded
    return calls


def _orders(answers: Answers) -> Iterator[str]:
    """3c: ψ‴/6 and ψ‴/3; the difference has order 3, and 4 where ψ‴ = 0."""
    second, third = 4 / 25, 12 / 125
    factor, whole = "this is ψ'''. Which factor stands before it?", "the factor 1 − 2p of ψ''' is missing."
    both = {factor: third,
            "this is the Fisher information: it belongs to h²/2.": second, "this is the coefficient of h².": second / 2}
    yield from compare(
        answers, "forward_third", third / 6,
        {**both, "this is ψ'''/2. The only term with h³ comes from ψ(z + h): which factor has it in Taylor's formula?": third / 2,
         "this belongs to the reverse KL.": third / 3, whole: second / 6, "the factor is 1 − 2p, not 1 − p.": second * 4 / 5 / 6},
        hint="Expand ψ(z + h) to the order h³. What is left when ψ(z) and h ψ'(z) are taken off?",
    )  # fmt: skip
    yield from compare(
        answers, "reverse_third", third / 3,
        {**both, "this is ψ'''/2, the term of h ψ'(z + h). There is another term with h³, from ψ(z + h).": third / 2,
         "this belongs to the forward KL.": third / 6, whole: second / 3, "the factor is 1 − 2p, not 1 − p.": second * 4 / 5 / 3,
         "the signs of the two terms with h³ differ: h ψ'(z + h) has a plus, ψ(z + h) a minus.": third * 2 / 3},
        hint="Expand both ψ'(z + h) and ψ(z + h), each as far as h³ is reached, and collect the terms with h³.",
    )  # fmt: skip
    yield from check_whole(answers, "order")
    yield from compare(
        answers, "order", 3.0,
        {"this is the order of each KL. In the difference the terms of this order cancel.": 2.0,
         "the first derivatives of both are zero, and the second are equal.": 1.0, "this is the order at another p. Here ψ''' is not zero.": 4.0},
        hint="Halve h, and look at the factor by which the difference falls.",
    )  # fmt: skip
    yield from check_whole(answers, "order_at_one_half")
    yield from compare(
        answers, "order_at_one_half", 4.0,
        {"at p = 1/2 the third derivative of ψ is zero.": 3.0, "each KL has this order; the difference has not.": 2.0,
         "ψ'''' is not zero at p = 1/2.": 5.0},
        hint="Which derivative of ψ is the next that is not zero at p = 1/2?",
    )  # fmt: skip


EXERCISES = {
    "3a": Exercise("The natural gradient adds the advantage to the logits: neither the visits nor the probabilities are left in it.", _natural),
    "3b": Exercise("Both forms agree: the KL of trajectories is the KL of the policies, weighted by the visits of the old one.", _trajectories),
    "3c": Exercise("A test of second derivatives cannot see a swapped KL, and a test at equal probabilities sees even less.", _orders),
}
