"""Known-wrong surrogates on a batch.  Right: the five of `refmeta.surrogates`, (N,) and (N, d), and penalties with the ratio.

A row gives {part: value} for the parts that the mistake concerns: by the definition, if the mistake is in what a
surrogate reads of a step; otherwise by the library, on another batch or of another surrogate.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array, replace_fields
from refmeta.oracle.decimals import exp
from refmeta.oracle.known import EVERY, rows_in, wrong
from refmeta.oracle.suites.surrogates.definition import SUMMANDS, TimeStep
from refmeta.oracle.suites.surrogates.kl_definition import PENALTIES
from refmeta.oracle.suites.surrogates.problem import Batches, answer, by_definition, part_names
from refmeta.oracle.suites.surrogates.wrong_kl import ROWS as OF_PENALTIES
from refmeta.oracle.suites.surrogates.wrong_limits import ROWS as LIMITS
from refmeta.sampling import kl
from refmeta.sampling.returns import reward_to_go

__all__ = ["ROWS"]

DICE = ("dice", "tmaml")


def _by_definition(problem: Batches, names: tuple[str, ...], change: Callable[[TimeStep], TimeStep]) -> dict[str, Array]:
    """The parts of some surrogates by their definition, each step changed."""
    return {part: by_definition(part, problem, change) for part in part_names(names)}


def _all_parts(problem: Batches) -> dict[str, Array]:
    """Every part of a problem."""
    return {part: answer(part, problem) for part in (*part_names(SUMMANDS), *PENALTIES)}


@wrong(
    "dice-averaged-dependencies", "Σ γᵗ r_t exp((1/M) Σ_{k≤t} x_k)", quantity=EVERY,
    cause="the cumulative log-probabilities are divided by the number of episodes", source="learn2learn maml_dice.py",
    repair="cumsum over time of each trajectory's own log-probabilities; divide the sum by M at the end only",
)  # fmt: skip
def dice_averaged_dependencies(problem: Any) -> Any:
    M = problem.trajectories.mask.shape[-2]
    return _by_definition(problem, DICE, lambda s: s._replace(box=lambda y: exp(y / M)))


@wrong(
    "dice-over-returns", "Σ γᵗ Ĝ_t exp(Σ_{k≤t} x_k)", quantity=EVERY,
    cause="returns instead of rewards inside the magic box: every reward is counted once for each earlier step",
    source="learn2learn maml_dice.py",
)  # fmt: skip
def dice_over_returns(problem: Any) -> Any:
    return _by_definition(problem, DICE, lambda s: s._replace(reward=s.to_go))


@wrong(
    "no-magic-box", "Σ γᵗ r_t Σ_{k≤t} x_k", quantity=EVERY,
    cause="the sum of log-probabilities itself, not its exponential: right to first order only", source="alshedivat/lola rpg.py",
    hint="logp multiplies each reward", repair="exp(logp - logp.detach()) multiplies each reward",
)  # fmt: skip
def no_magic_box(problem: Any) -> Any:
    return _by_definition(problem, DICE, lambda s: s._replace(box=lambda y: y))


@wrong(
    "mean-over-time", "1/H times each, H the number of steps taken", quantity=EVERY,
    cause="a mean over all steps instead of a sum over time and a mean over trajectories",
    source="cbfinn/maml_rl, tristandeleu/pytorch-maml-rl",
)  # fmt: skip
def mean_over_time(problem: Any) -> Any:
    taken = np.mean(np.sum(problem.trajectories.mask, axis=-1), axis=-1)
    return {part: (value.T / taken).T for part, value in _all_parts(problem).items()}


@wrong(
    "sum-over-episodes", "M times each", quantity=EVERY, kind="convention",
    cause="a sum over the trajectories instead of their mean",
)  # fmt: skip
def sum_over_episodes(problem: Any) -> Any:
    return {part: problem.trajectories.mask.shape[-2] * value for part, value in _all_parts(problem).items()}


@wrong(
    "surrogate-undiscounted-visits", "Σ (Ĝ_t − b_t) …, or Σ k(l_t) …, without γᵗ", quantity=EVERY,
    cause="γᵗ is dropped in the outer sum, as in most code for policy gradients; with γ = 1, right", source="most MAML-RL code",
    kind="convention",
)  # fmt: skip
def undiscounted_visits(problem: Any) -> Any:
    surrogates = _by_definition(problem, ("reinforce", "likelihood_ratio", "loaded_dice"), lambda s: s._replace(discount=1))
    return surrogates | {part: answer(part, replace_fields(problem, gamma=1.0)) for part in PENALTIES}


@wrong(
    "denominator-follows", "π_θ in the denominator as well, held constant, instead of π_θ_sampled", quantity=EVERY,
    cause="exp(log p − stop_gradient(log p)) evaluated away from where the batch was drawn: every ratio is 1",
    source="the magic box as printed, after a step on the same batch",
    repair="keep the log-probabilities of the time of sampling as data; logp.detach() is right there only",
)  # fmt: skip
def denominator_follows(problem: Any) -> Any:
    penalties = {part: kl.with_ratio(problem.penalty(part), problem.theta).at(problem.theta).grad for part in PENALTIES}
    return _all_parts(replace_fields(problem, theta_sampled=problem.theta)) | penalties


@wrong(
    "mask-ignored", "the steps after the end are counted", quantity=EVERY,
    cause="padding enters the sums; where no trajectory ends early, right",
    repair="torch.where(mask, x, 0) before every sum, in the log-probabilities, too",
)  # fmt: skip
def mask_ignored(problem: Any) -> Any:
    batch = problem.trajectories
    return _all_parts(replace_fields(problem, trajectories=batch._replace(mask=np.ones(batch.mask.shape, bool))))


@wrong(
    "baseline-dropped", "b = 0", quantity=EVERY, kind="right",
    cause="another unbiased estimate, not the one asked for: the baseline is subtracted somewhere else, or never handed over",
)  # fmt: skip
def baseline_dropped(problem: Any) -> Any:
    without = replace_fields(problem, baseline=0.0)
    return {part: answer(part, without) for part in part_names(SUMMANDS)}


@wrong(
    "whole-return", "Σ (Σ_k γᵏ r_k − γᵗ b_t) …, the whole return for γᵗ times the reward to go", quantity=EVERY, kind="right",
    cause="another unbiased estimate, not the one asked for: the rewards before an action are noise in its weight",
)  # fmt: skip
def whole_return(problem: Any) -> Any:
    if problem.gamma == 0:
        raise FloatingPointError("γᵗ is 0")
    G = reward_to_go(problem.trajectories, gamma=problem.gamma)
    past = G[..., :1] / problem.gamma ** np.arange(G.shape[-1]) - G
    with_whole = replace_fields(problem, baseline=problem.baseline - past)
    return {part: answer(part, with_whole) for part in part_names(("reinforce", "likelihood_ratio"))}


@wrong(
    "tmaml-present-included", "T-MAML's baseline with the past up to and including t", quantity=EVERY,
    cause="the past of the control variate must be strictly before t: with a_t in it the Hessian is biased",
)  # fmt: skip
def tmaml_present_included(problem: Any) -> Any:
    return _by_definition(problem, ("tmaml",), lambda s: s._replace(past=s.past + s.now, box=lambda y: exp(y - s.now)))


@wrong(
    "curvature-of-reinforce", "the Hessian of Σ γᵗ(Ĝ − b) x alone", quantity=EVERY,
    cause="the second derivative of a surrogate made for first derivatives", source="MAML-RL as first released",
)  # fmt: skip
def curvature_of_reinforce(problem: Any) -> Any:
    return {f"{name}_hvp": answer("reinforce_hvp", problem) for name in SUMMANDS if name != "reinforce"}


@wrong(
    "curvature-of-likelihood-ratio", "the Hessian of Σ γᵗ(Ĝ − b) exp(x)", quantity=EVERY,
    cause="one ratio a step: how an action changes the later states is lost (ProMP's LVC does so on purpose)", source="ProMP",
)  # fmt: skip
def curvature_of_likelihood_ratio(problem: Any) -> Any:
    return {f"{name}_hvp": answer("likelihood_ratio_hvp", problem) for name in SUMMANDS if name != "likelihood_ratio"}


ROWS = rows_in(globals()) + OF_PENALTIES + LIMITS
