"""Known-wrong sampled meta-gradients whose mistake is in what a surrogate reads of its batch.  Right: the gradient of L_query(φ).

A row gives {part: value} for the parts that the mistake concerns.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array, replace_fields
from refmeta.oracle.decimals import exp
from refmeta.oracle.known import EVERY, rows_in, wrong
from refmeta.oracle.suites.maml_sampled.points import all_parts, scaled, with_baselines, with_points
from refmeta.oracle.suites.maml_sampled.problem import SampledBatches, answer, by_definition, part_names
from refmeta.oracle.suites.surrogates.definition import SUMMANDS, TimeStep
from refmeta.sampling.returns import reward_to_go
from refmeta.sampling.trajectories import Trajectories

__all__ = ["ROWS"]

DICE = ("dice", "tmaml")


@wrong("query-is-support", "∇F with the last support batch as the query", quantity=EVERY,
       cause="no batch is drawn after adaptation: the query is the last support batch", source="hereismari/tensorflow-maml #4",
       repair="draw a new batch at phi for the outer loss", chapter="maml")  # fmt: skip
def query_is_support(problem: Any) -> Any:
    changed = _with_last_batch(problem) if problem.steps else problem
    return {part: answer(part, changed) for part in part_names(SUMMANDS) if not part.endswith("adapted")}


def _with_last_batch(problem: SampledBatches) -> SampledBatches:
    """The problem whose query is its last support batch."""
    last = Trajectories(*(x[:, -1] for x in problem.trajectories))
    return replace_fields(problem, query=last, query_theta_sampled=problem.theta_sampled[:, -1], query_baseline=problem.baseline[:, -1])


@wrong("one-batch-for-all-steps", "every inner step on the first support batch; with K = 1, right", quantity=EVERY,
       cause="the batch is drawn outside of the inner loop",
       source="the docstring of tristandeleu/pytorch-maml-rl, whose code draws anew since 2020")  # fmt: skip
def one_batch_for_all_steps(problem: Any) -> Any:
    first = Trajectories(*(np.repeat(x[:, :1], problem.steps, axis=1) for x in problem.trajectories))
    of_first: Any = lambda x: np.repeat(x[:, :1], problem.steps, axis=1)
    return all_parts(replace_fields(problem, trajectories=first, theta_sampled=of_first(problem.theta_sampled), baseline=of_first(problem.baseline)))


@wrong("denominator-follows", "every ratio's denominator at the parameters where it is used, held constant", quantity=EVERY,
       cause="exp(log p − stop_gradient(log p)) on a batch that was drawn elsewhere: every ratio is 1",
       source="the magic box as printed, in a second outer step on the same batches",
       repair="keep the log-probabilities of the time of sampling as data; logp.detach() is right on policy only")  # fmt: skip
def denominator_follows(problem: Any) -> Any:
    return with_points(problem, lambda name, k, theta: replace_fields(problem.batch(k, theta), theta_sampled=theta).surrogate(name).at(theta))


@wrong("mask-ignored", "the steps after the end are counted", quantity=EVERY,
       cause="padding enters the sums; where no trajectory ends early, right", repair="torch.where(mask, x, 0) before every sum")  # fmt: skip
def mask_ignored(problem: Any) -> Any:
    every: Any = lambda batch: batch._replace(mask=np.ones(batch.mask.shape, bool))
    return all_parts(replace_fields(problem, trajectories=every(problem.trajectories), query=every(problem.query)))


@wrong("advantages-normalised", "(Ĝ − b) normalised over each batch (ddof 0)", quantity=EVERY,
       cause="advantages are standardised in the inner loop and in the outer one: another step size for every batch",
       source="ProMP, learn2learn, pytorch-maml-rl", hint="(adv - adv.mean()) / (adv.std() + eps) before the inner loss")  # fmt: skip
def advantages_normalised(problem: Any) -> Any:
    def change(batch: Trajectories, b: Array) -> Array:
        G, mask = reward_to_go(batch, gamma=problem.gamma), np.asarray(batch.mask, bool)
        A = np.where(mask, G - b, 0.0)
        n = np.sum(mask, axis=(-2, -1), keepdims=True)
        mean = np.sum(A, axis=(-2, -1), keepdims=True) / n
        deviation = np.sqrt(np.sum(np.where(mask, A - mean, 0.0) ** 2, axis=(-2, -1), keepdims=True) / n)
        return np.where(mask, G - (A - mean) / (deviation + 1e-8), 0.0)

    return all_parts(with_baselines(problem, change), ("reinforce", "likelihood_ratio", "loaded_dice"))


@wrong("baseline-dropped", "b = 0", quantity=EVERY, kind="right",
       cause="another estimate, not the one asked for: the baseline is subtracted somewhere else, or never handed over")  # fmt: skip
def baseline_dropped(problem: Any) -> Any:
    return all_parts(with_baselines(problem, lambda batch, b: 0 * b))


@wrong("mean-over-time", "1/H times each surrogate, H the mean number of steps taken", quantity=EVERY,
       cause="a mean over all steps instead of a sum over time and a mean over trajectories: inner steps are H times shorter",
       source="cbfinn/maml_rl, tristandeleu/pytorch-maml-rl")  # fmt: skip
def mean_over_time(problem: Any) -> Any:
    return scaled(problem, lambda batch: 1 / np.mean(np.sum(batch.mask, axis=-1), axis=-1))


@wrong("sum-over-episodes", "M times each surrogate", quantity=EVERY, kind="convention",
       cause="a sum over the trajectories instead of their mean: inner steps are M times longer")  # fmt: skip
def sum_over_episodes(problem: Any) -> Any:
    return scaled(problem, lambda batch: np.full(len(batch.mask), batch.mask.shape[-2], float))


@wrong("surrogate-undiscounted-visits", "Σ (Ĝ_t − b_t) …, without γᵗ", quantity=EVERY, kind="convention",
       cause="γᵗ is dropped in the outer sum, as in most code for policy gradients; with γ = 1, right", source="most MAML-RL code")  # fmt: skip
def undiscounted_visits(problem: Any) -> Any:
    return _by_definition(problem, ("reinforce", "likelihood_ratio", "loaded_dice"), lambda s: s._replace(discount=1))


def _by_definition(problem: SampledBatches, names: tuple[str, ...], change: Callable[[TimeStep], TimeStep]) -> dict[str, Array]:
    """The parts of some surrogates by their definition, each step in time changed."""
    return {part: by_definition(part, problem, change) for part in part_names(names)}


@wrong("dice-averaged-dependencies", "Σ γᵗ r_t exp((1/M) Σ_{k≤t} x_k)", quantity=EVERY,
       cause="the cumulative log-probabilities are divided by the number of episodes", source="learn2learn maml_dice.py",
       repair="cumsum over time of each trajectory's own log-probabilities; divide the sum by M at the end only")  # fmt: skip
def dice_averaged_dependencies(problem: Any) -> Any:
    M = problem.trajectories.mask.shape[-2]
    return _by_definition(problem, DICE, lambda s: s._replace(box=lambda y: exp(y / M)))


@wrong("dice-over-returns", "Σ γᵗ Ĝ_t exp(Σ_{k≤t} x_k)", quantity=EVERY, source="learn2learn maml_dice.py",
       cause="returns instead of rewards inside the magic box: every reward is counted once for each earlier step")  # fmt: skip
def dice_over_returns(problem: Any) -> Any:
    return _by_definition(problem, DICE, lambda s: s._replace(reward=s.to_go))


@wrong("no-magic-box", "Σ γᵗ r_t Σ_{k≤t} x_k", quantity=EVERY, source="alshedivat/lola rpg.py",
       cause="the sum of log-probabilities itself, not its exponential: right to first order only")  # fmt: skip
def no_magic_box(problem: Any) -> Any:
    return _by_definition(problem, DICE, lambda s: s._replace(box=lambda y: y))


ROWS = rows_in(globals())
