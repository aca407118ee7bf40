"""Known-wrong returns with ends.  Right: J = E Σ γᵗ r_t up to the first end; V, Q, A, d and the slopes are 0 in an end.

A row is a point in the product of choices, for the parts that it concerns.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.clamps import ClampedSoftmax, clamp_rows, with_softmax
from refmeta.oracle.known import EVERY, rows_in, wrong
from refmeta.oracle.suites.episodic_return.choices import CHOICES, variant
from refmeta.oracle.suites.episodic_return.problem import answer
from refmeta.oracle.suites.episodic_return.variants import PARTS

__all__ = ["FALSE_ALARMS", "ROWS"]

PAID = tuple(part for part in PARTS if part != "occupancy")  # visits of ends have rows of their own
FALSE_ALARMS = {
    "slopes-of-ends-missing": "the derivatives by the logits of an end are 0: no action is taken there, and no gradient is missing",
    "visits-do-not-add-up": "the occupancy adds up to less than 1/(1 - gamma), because time after an end is not counted; at gamma = 1 it "
    "adds up to the mean number of steps",
    "ends-as-loops": "with gamma < 1 or a horizon an end that stays where it is and pays nothing has the same return, values and "
    "gradient; only the visits of the end itself are then counted, if nothing is cut",
    "reward-into-the-end-kept": "(1 - done) stands in front of the next value alone: the step that enters an end is paid",
}


def _part(part: str, choice: str, words: str) -> Callable[[Any], Array]:
    """One part at one departure; what is right where that has no value, because the process never ends."""

    def row(problem: Any) -> Array:
        value = variant(part, problem, {choice: CHOICES[choice][words]})
        return answer(part, problem) if value is None else value

    return row


def _at(choice: str, words: str, parts: tuple[str, ...] = PARTS) -> Callable[[Any], dict[str, Array]]:
    """The parts at one departure."""
    rows = {part: _part(part, choice, words) for part in parts}
    return lambda problem: {part: row(problem) for part, row in rows.items()}


ends_ignored = wrong(
    "ends-ignored", "Σ γᵗr as if no state were an end", quantity=EVERY, cause="the process goes on in an end as its rows say, and the next value is not cut",
    source="ucla-rlcourse/RLexample #9, aimacode/aima-python #513, lazyprogrammer/machine_learning_examples #13", hint="r + gamma * V[s2]", repair="r + gamma * (1 - done) * V[s2]",
)(_at("states that end", "none"))  # fmt: skip

end_pays_for_ever = wrong(
    "end-pays-for-ever", "V = r/(1 − γ) in an end", quantity=EVERY, cause="an end is a loop that pays its own reward in every step",
    repair="no reward in the loop of an end, or no loop",
)(_at("after an end", "its own reward, for ever", PAID))  # fmt: skip

end_pays_once = wrong(
    "end-pays-once", "V = r in an end", quantity=EVERY, kind="convention", cause="the flag is applied one step late: the end pays its own reward, too, before all is over",
    source="walkinglabs/hands-on-modern-rl #54, JuliaPOMDP/DiscreteValueIteration.jl #27", repair="V = 0 in an end; pay in the step that enters it",
)(_at("after an end", "its own reward, once", PAID))  # fmt: skip

entering_reward_lost = wrong(
    "entering-reward-lost", "E[(1 − done)(r + γV′)]", quantity=EVERY, cause="the flag is applied one step early: the reward of the step into the end is cut, too",
    source="hildensia/mcts #5", hint="(1 - done) * (r + gamma * V[s2])", repair="r + gamma * (1 - done) * V[s2]",
)(_at("after an end", "nothing, and the step into it is not paid"))  # fmt: skip

may_end_cuts = wrong(
    "may-end-cuts", "Q = R where an end may follow s and a", quantity=EVERY, cause="done is kept for each state and action instead of each transition: one outcome that ends cuts all",
    hint="done[s, a] |= d for every (p, s2, r, d)", repair="sum p * (r + gamma * (1 - d) * V[s2]) over the outcomes",
)(_at("after an end", "nothing after an action that may lead to it"))  # fmt: skip

end_row_evaluated = wrong(
    "end-row-evaluated", "V = r + γPV in an end, arrivals cut", quantity=EVERY, kind="convention",
    cause="done belongs to the transition alone: what the end's own rows say counts where the process starts in it, and V there is not 0",
    source="the tables of gymnasium, where the rows of an end go on", repair="V[end] = 0, and no start in an end",
)(_at("after an end", "its own row, where the process starts in it"))  # fmt: skip

new_start_after_end = wrong(
    "new-start-after-end", "r + γ ρ·V after an end", quantity=EVERY, cause="the next state after an end is the first of a new episode, and its value is counted",
    source="Unity-Technologies/ml-agents #574, cpnota/autonomous-learning-library #156", hint="V[next_obs] after an automatic reset",
)(_at("after an end", "a new start"))  # fmt: skip

rows_renormalised = wrong(
    "rows-renormalised", "P without the ends, over its sum", quantity=EVERY, cause="the ends are struck out and the rows are made to add to 1 again: the process never ends",
    hint="P = P[alive][:, :, alive]; P / P.sum(-1, keepdims=True)", repair="leave the rows as they are: they add up to the probability of going on",
)(_at("after an end", "nothing, and other steps are made to add to 1"))  # fmt: skip

own_value_at_end = wrong(
    "own-value-at-end", "r + γV(s) where an end comes next", quantity=EVERY, cause="the value of the state before the end is used for that of the end",
    source="leggedrobotics/rsl_rl #151", hint="r + gamma * V[s]",
)(_at("after an end", "the value of the state before it"))  # fmt: skip

unpaid_states_end = wrong(
    "unpaid-states-end", "states that pay nothing are ends, too", quantity=EVERY, cause="an end is guessed from rewards of 0",
    hint="terminal = (R == 0).all(-1)", repair="declare the ends: a state may pay nothing and go on",
)(_at("states that end", "those declared, and states that pay nothing"))  # fmt: skip

first_end_alone = wrong(
    "first-end-alone", "the first declared end alone", quantity=EVERY, cause="of several ends one is kept",
    hint="goal = terminal.argmax()", repair="a mask of all ends",
)(_at("states that end", "the first that is declared"))  # fmt: skip

last_state_ends = wrong(
    "last-state-ends", "the last state is the end", quantity=EVERY, cause="the end is taken from its place in a grid",
    hint="done = s == S - 1", repair="the mask of the ends",
)(_at("states that end", "the last state"))  # fmt: skip

ends_of_first_task = wrong(
    "ends-of-first-task", "the ends of the first task in every task", quantity=EVERY, cause="one mask for all tasks", hint="terminal[0]",
)(_at("states that end", "those of the first task"))  # fmt: skip

discount_dropped = wrong(
    "discount-dropped", "Σ r_t, without γᵗ", quantity=EVERY, cause="γ is 1, because the task ends anyway",
)(_at("discount", "1"))  # fmt: skip

discount_added = wrong(
    "discount-added", "Σ 0.99ᵗ r_t where γ = 1", quantity=EVERY, cause="γ = 1 is replaced by 0.99, so that a system can be solved or a sweep comes to an end",
    source="aimacode/aima-python #917", repair="strike out the ends, and I - P is regular at gamma = 1",
)(_at("discount", "0.99 where it is 1"))  # fmt: skip

start_renormalised = wrong(
    "start-renormalised", "ρ off the ends, over its sum", quantity=EVERY, cause="the start is drawn again until it is no end",
    repair="a start in an end has the return 0, and counts with its probability",
)(_at("after an end", "nothing, and the other starts are made to add to 1"))  # fmt: skip

undiscounted_visits = wrong(
    "undiscounted-visits", "(I − P_πᵀ)⁻¹ρ for the visits", quantity=EVERY, kind="convention", cause="γᵗ dropped in the outer sum over the steps of an episode",
    source="Nota and Thomas 2020",
)(_at("visits", "undiscounted", ("grad", "hvp")))  # fmt: skip

ends_visited_once = wrong(
    "ends-visited-once", "d with the ends", quantity="occupancy", kind="convention", cause="the time step at which an end is entered is counted as a visit",
)(_part("occupancy", "after an end", "no reward, but it is visited once"))  # fmt: skip

ends_visited_for_ever = wrong(
    "ends-visited-for-ever", "d with loops in the ends", quantity="occupancy", kind="convention", cause="an end is a loop that pays nothing, and its visits go on: they add up to 1/(1 − γ)",
    source="HumanCompatibleAI/seals #67",
)(_part("occupancy", "after an end", "no reward, but it is visited for ever"))  # fmt: skip

occupancy_normalised = wrong(
    "occupancy-normalised", "d over its sum", quantity="occupancy", kind="convention", cause="the visits are normalised to a distribution",
    source="HumanCompatibleAI/imitation #414",
)(_part("occupancy", "visits", "normalised to 1"))  # fmt: skip

occupancy_one_less_gamma = wrong(
    "occupancy-times-one-less-gamma", "(1 − γ) d", quantity="occupancy", cause="1/(1 − γ) is taken for the sum of the visits, which is smaller with ends",
    repair="d / d.sum(-1, keepdims=True), if probabilities are meant",
)(_part("occupancy", "visits", "times 1 - gamma"))  # fmt: skip

visits_frozen = wrong(
    "visits-frozen", "the Hessian without dd", quantity="hvp", cause="the visitation held constant",
)(_part("hvp", "Hessian", "visits held"))  # fmt: skip


def _with_softmax(problem: Any, use: ClampedSoftmax) -> dict[str, Array]:
    """The loss and its derivatives with another softmax."""
    point = with_softmax(problem.task, use).at(problem.theta)
    return {"loss": np.asarray(point.loss), "grad": np.asarray(point.grad), "hvp": np.asarray(point.hvp(problem.v))}


probabilities_clamped, logits_clamped = clamp_rows(_with_softmax)


ROWS = rows_in(globals())
