"""Known-wrong returns with entropy.  Right: J = E Σ γᵗ (r + τ Ent), V with the entropy of its own state, Q without it.

A row is a point in the product of choices, for the parts that it concerns.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.clamps import ClampedSoftmax, NumericPoint, clamp_rows
from refmeta.oracle.known import EVERY, rows_in, wrong
from refmeta.oracle.suites.soft_return.choices import CHOICES, variant
from refmeta.oracle.suites.soft_return.definition import soft_return
from refmeta.oracle.suites.soft_return.variants import EVERY as PARTS

__all__ = ["FALSE_ALARMS", "ROWS"]

FALSE_ALARMS = {
    "entropy-score-forgotten": "a program that holds the reward r - tau log pi constant and follows the score function forgets "
    "tau E[grad log pi], which is 0: its gradient is right",
    "entropy-in-every-action-value": "tau times the entropy of the state, added to Q of each of its actions after V was solved, is a "
    "baseline: the gradient is right",
    "entropy-slope-less-one": "the slope of -pi log pi is -log pi - 1, and the 1 drops out, because the probabilities add to 1",
}


def _at(choice: str, words: str, parts: tuple[str, ...] = PARTS) -> Callable[[Any], dict[str, Array]]:
    """The parts at one departure, where it concerns them."""

    def row(problem: Any) -> dict[str, Array]:
        values = {part: variant(part, problem, {choice: CHOICES[choice][words]}) for part in parts}
        return {part: value for part, value in values.items() if value is not None}

    return row


entropy_sign = wrong(
    "entropy-sign", "r − τ Ent", quantity=EVERY, source="google-deepmind/open_spiel #962, Kaixhin/ACER #2",
    cause="the entropy is subtracted from the return: its sign was turned once for the loss and once more",
    repair="loss = -(reward + tau * entropy); with log_prob: reward - tau * log_prob",
)(_at("temperature", "-tau"))  # fmt: skip

entropy_forgotten = wrong(
    "entropy-forgotten", "r", quantity=EVERY, cause="no entropy enters: τ is read and not used",
)(_at("temperature", "0"))  # fmt: skip

temperature_left_out = wrong(
    "temperature-left-out", "r + Ent", quantity=EVERY, cause="the entropy is not multiplied by τ: it is 1",
)(_at("temperature", "left out, 1"))  # fmt: skip

temperature_squared = wrong(
    "temperature-squared", "r + τ² Ent", quantity=EVERY, cause="τ is applied in the reward and again in the sum",
)(_at("temperature", "tau^2"))  # fmt: skip

temperature_inverted = wrong(
    "temperature-inverted", "r + Ent/τ", quantity=EVERY, cause="1/τ for τ: a reward scale or an inverse temperature taken for the temperature",
    repair="a reward scale c is the temperature 1/c, and the return is then c times as large",
)(_at("temperature", "1/tau"))  # fmt: skip

reward_scaled = wrong(
    "reward-scaled", "r/τ + Ent", quantity=EVERY, kind="convention", cause="the rewards are divided by τ instead of the entropy being multiplied: all is 1/τ as large",
    source="the reward scale of Haarnoja et al. 2018a",
)(_at("factor", "1/tau"))  # fmt: skip

entropy_mean_over_actions = wrong(
    "entropy-mean-over-actions", "−(1/A) Σ π log π", quantity=EVERY, cause="a mean over the actions where the weights already add to 1",
    source="p-christ/Deep-Reinforcement-Learning-Algorithms-with-PyTorch #54", hint="(-p * log_p).mean()", repair="(-p * log_p).sum(-1).mean()",
)(_at("entropy", "mean over actions"))  # fmt: skip

entropy_in_bits = wrong(
    "entropy-in-bits", "−Σ π log₂ π", quantity=EVERY, cause="the logarithm to base 2: the entropy in bits", kind="convention",
)(_at("entropy", "log base 2"))  # fmt: skip

entropy_undiscounted = wrong(
    "entropy-undiscounted", "Σ γᵗr + τ Σ Ent", quantity=EVERY, cause="with a horizon the entropy is summed without γᵗ",
    repair="add the entropy to the reward before the discount",
)(_at("steps of the entropy", "not discounted where there is a horizon"))  # fmt: skip

entropy_one_state_more = wrong(
    "entropy-one-state-more", "the entropy of s_0 … s_H", quantity=EVERY, cause="with a horizon the state after the last step is paid its entropy, too",
    repair="no entropy for the state that is reached last: H actions are chosen, and it has none",
)(_at("steps of the entropy", "one more"))  # fmt: skip

entropy_of_next_states = wrong(
    "entropy-of-next-states", "Σ_{t≥0} γᵗr + τ Σ_{t≥1} γᵗ Ent", quantity=EVERY, kind="convention", source="the action value of Haarnoja et al. 2018a, averaged over the first action",
    cause="the entropy of the first state is missing: the mean of Q is taken for V",
    repair="V = (pi * (q - tau * log_pi)).sum(-1)",
)(_at("entropy of", "all but the first"))  # fmt: skip

entropy_twice = wrong(
    "entropy-twice", "V with 2τ Ent", quantity=EVERY, cause="the entropy is in the reward of V, and −τ log π is added to Q once more",
)(_at("entropy of", "each state twice in the value"))  # fmt: skip

entropy_bonus = wrong(
    "entropy-bonus", "d π (Q₀ − τ log π), Q₀ without entropy", quantity=EVERY, source="the entropy bonus of A3C and PPO (Mnih et al. 2016)",
    cause="the sum of the entropies of the visited states with the visits held: the entropy of later states is not in the advantage",
    repair="pay tau times the entropy as a reward, so that it enters the returns", kind="convention",
)(_at("slope of the entropy", "of the own state alone", ("grad", "hvp")))  # fmt: skip

own_slope_missing = wrong(
    "entropy-own-slope-missing", "d π Q, Q with later entropy", quantity=EVERY,
    cause="the entropy is in the returns as a number, and −τ log π of the step's own action is missing",
    repair="r - tau * log_pi(a|s) in the return of the step itself, too; or add tau times the slope of the state's entropy",
)(_at("slope of the entropy", "of later states alone", ("grad", "hvp")))  # fmt: skip

log_without_temperature = wrong(
    "log-without-temperature", "d π (Q − log π), Q with τ times later entropy", quantity=EVERY, source="p-christ/Deep-Reinforcement-Learning-Algorithms-with-PyTorch #21",
    cause="log π of the step's own action is not multiplied by τ; the later entropy is", repair="q - tau * log_pi, as in the values",
)(_at("slope of the entropy", "of the own state without tau", ("grad", "hvp")))  # fmt: skip

action_value_with_entropy = wrong(
    "action-value-with-entropy", "Q + τ Ent(s)", quantity="action_value", kind="convention",
    cause="the entropy of its own state is counted in Q", repair="no entropy of its own state in Q; in the gradient it is a baseline, and no mistake",
)(lambda problem: variant("action_value", problem, {"action value": CHOICES["action value"]["with the entropy of its own state"]}))  # fmt: skip

advantage_without_log = wrong(
    "advantage-without-log", "Q − V", quantity="advantage", cause="−τ log π is missing: the mean over the actions is −τ Ent instead of 0",
    repair="A = q - tau * log_pi - v",
)(lambda problem: variant("advantage", problem, {"advantage": CHOICES["advantage"]["Q - V"]}))  # fmt: skip

log_slope_forgotten = wrong(
    "log-slope-forgotten", "∇²J v + τ F v", quantity="hvp", cause="log π is held constant in the Hessian product",
    repair="differentiate log pi, too: the mean of grad log pi is 0, but the slope of that mean is minus Fisher's matrix",
)(lambda problem: variant("hvp", problem, {"Hessian": CHOICES["Hessian"]["log pi held"]}))  # fmt: skip

visits_frozen = wrong(
    "visits-frozen", "the Hessian without dd", quantity="hvp", cause="the visitation held constant",
)(lambda problem: variant("hvp", problem, {"Hessian": CHOICES["Hessian"]["visits held"]}))  # fmt: skip


def _with_softmax(problem: Any, use: ClampedSoftmax) -> dict[str, Array]:
    """The loss and its derivatives with another softmax."""
    task, features = problem.task, getattr(problem.task.policy, "features", None)
    logits = np.asarray(task.policy.table(problem.theta))
    if use.changes(logits):
        rest = float(task.mdp.gamma), task.mdp.horizon, None if features is None else features.tolist(), float(task.temperature)
        arrays = (task.mdp.P, 3), (task.mdp.expected_reward, 2), (task.mdp.rho, 1)
        each = zip(*(np.broadcast_to(x, (*task.shape, *x.shape[-n:])).tolist() for x, n in arrays), strict=True)
        losses = tuple(soft_return(P, R, *rest, rho=rho, softmax=use) for P, R, rho in each)
        point: Any = NumericPoint(np.broadcast_to(problem.theta, (*task.shape, task.dim)), losses)
    else:
        point = task.at(problem.theta)
    return {"loss": np.asarray(point.loss), "grad": np.asarray(point.grad), "hvp": np.asarray(point.hvp(problem.v))}


probabilities_clamped, logits_clamped = clamp_rows(_with_softmax)


ROWS = rows_in(globals())
