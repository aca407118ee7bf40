"""Known-wrong surrogates on a batch.  Right: the five of `refmeta.surrogates`, (N,) and (N, d).

A case is a `Batches`; rows give {part: value} for the parts that the mistake concerns.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array, replace_fields
from refmeta.oracle.batches import SURROGATES, Batches, at_most_one, evaluated
from refmeta.oracle.wrong.row import rows, wrong
from refmeta.sampling.returns import reward_to_go
from refmeta.sampling.surrogates import Surrogate, Term, exponential, linear
from refmeta.sampling.trajectories import Trajectories, as_trajectories, discounts

Change = Callable[[Batches, str], Surrogate]
DICE = ("dice", "tmaml")


def _parts(case: Batches, change: Change, kinds: tuple[str, ...] = SURROGATES) -> dict[str, Array]:
    """Loss, gradient and Hessian product of the surrogates as changed."""
    found: dict[str, Array] = {}
    for kind in kinds:
        surrogate = change(case, kind)
        found |= {f"{kind}_{part}": evaluated(case, surrogate, part) for part in ("loss", "grad", "hvp")}
    return found


def _scaled(case: Batches, by: Array | float) -> dict[str, Array]:
    """Every part, times a factor."""
    return {name: by * value for name, value in _parts(case, lambda c, kind: c.surrogate(kind)).items()}


def _with(surrogate: Surrogate, *terms: Term) -> Surrogate:
    return replace_fields(surrogate, terms=terms)


def _first(case: Batches, kind: str, change: Callable[[Term, Trajectories], Term]) -> Surrogate:
    """DiCE with its sum of rewards changed, and its baseline as it is."""
    surrogate = case.surrogate(kind)
    return _with(surrogate, change(surrogate.terms[0], surrogate.trajectories), *surrogate.terms[1:])


@wrong(
    "dice-averaged-dependencies", "Σ γᵗ r_t exp((1/M) Σ_{k≤t} x_k)", quantity="parts",
    cause="the cumulative log-probabilities are divided by the number of episodes", seen="learn2learn maml_dice.py",
)  # fmt: skip
def dice_averaged_dependencies(case: Any) -> Any:
    def averaged(term: Term, given: Trajectories) -> Term:
        M = given.mask.shape[-2]
        return term._replace(link=lambda w, y: tuple(f / M**k for k, f in enumerate(exponential(w, y / M))))

    return _parts(case, lambda c, kind: _first(c, kind, averaged), DICE)


@wrong(
    "dice-over-returns", "Σ γᵗ Ĝ_t exp(Σ_{k≤t} x_k)", quantity="parts",
    cause="returns in the place of rewards inside the magic box: every reward is counted once for each earlier step",
    seen="learn2learn maml_dice.py",
)  # fmt: skip
def dice_over_returns(case: Any) -> Any:
    def returned(term: Term, given: Trajectories) -> Term:
        return term._replace(
            weights=discounts(given.mask, case.gamma) * reward_to_go(given, gamma=at_most_one(case.gamma))
        )

    return _parts(case, lambda c, kind: _first(c, kind, returned), DICE)


@wrong(
    "no-magic-box", "Σ γᵗ r_t Σ_{k≤t} x_k", quantity="parts",
    cause="the sum of log-probabilities itself, not its exponential: right to first order only", seen="alshedivat/lola rpg.py",
)  # fmt: skip
def no_magic_box(case: Any) -> Any:
    return _parts(case, lambda c, kind: _first(c, kind, lambda term, _: term._replace(link=linear)), DICE)


@wrong(
    "mean-over-time", "1/H times each, H the number of steps taken", quantity="parts",
    cause="a mean over all steps in the place of a sum over time and a mean over trajectories",
    seen="cbfinn/maml_rl, tristandeleu/pytorch-maml-rl",
)  # fmt: skip
def mean_over_time(case: Any) -> Any:
    taken = np.mean(np.sum(as_trajectories(case.trajectories).mask, axis=-1), axis=-1)
    whole = _scaled(case, 1.0)
    return {
        name: value / taken.reshape(taken.shape + (1,) * (value.ndim - taken.ndim)) for name, value in whole.items()
    }


@wrong(
    "sum-over-episodes", "M times each", quantity="parts", cause="a sum over the trajectories in the place of their mean"
)  # fmt: skip
def sum_over_episodes(case: Any) -> Any:
    return _scaled(case, float(np.shape(case.trajectories[3])[-2]))


@wrong(
    "surrogate-undiscounted-visits", "Σ (Ĝ_t − b_t) …, without γᵗ", quantity="parts",
    cause="γᵗ is dropped in the outer sum, as in most code for policy gradients; with γ = 1, right", seen="most MAML-RL code",
)  # fmt: skip
def undiscounted_visits(case: Any) -> Any:
    def change(c: Batches, kind: str) -> Surrogate:
        surrogate, given = c.surrogate(kind), as_trajectories(c.trajectories)
        advantage = (reward_to_go(given, gamma=at_most_one(c.gamma)) - c.baseline) * given.mask
        signs = (1.0, -1.0)[: len(surrogate.terms)]
        terms = (term._replace(weights=sign * advantage) for term, sign in zip(surrogate.terms, signs, strict=True))
        return _with(surrogate, *terms)

    return _parts(case, change, ("reinforce", "likelihood_ratio", "loaded_dice"))


@wrong(
    "denominator-follows", "π_θ in the denominator as well, held constant, in the place of π_θ_sampled", quantity="parts",
    cause="exp(log p − stop_gradient(log p)) evaluated away from where the batch was drawn: every ratio is 1",
    seen="the magic box as printed, after a step on the same batch",
)  # fmt: skip
def denominator_follows(case: Any) -> Any:
    return _parts(case, lambda c, kind: replace_fields(c, theta_sampled=c.theta).surrogate(kind))


@wrong(
    "mask-ignored", "the steps after the end are counted", quantity="parts",
    cause="padding enters the sums; where no trajectory ends early, right",
)  # fmt: skip
def mask_ignored(case: Any) -> Any:
    every = case.trajectories._replace(mask=np.ones(np.shape(case.trajectories[3]), bool))
    return _parts(case, lambda c, kind: c.surrogate(kind, trajectories=every))


@wrong(
    "baseline-dropped", "b = 0", quantity="parts",
    cause="the baseline is subtracted somewhere else, or a batch's advantages are never handed over",
)  # fmt: skip
def baseline_dropped(case: Any) -> Any:
    return _parts(case, lambda c, kind: c.surrogate(kind, baseline=0.0))


@wrong(
    "tmaml-present-included", "T-MAML's baseline with the past up to and including t", quantity="parts",
    cause="the past of the control variate must be strictly before t: with a_t in it the Hessian is biased",
)  # fmt: skip
def tmaml_present_included(case: Any) -> Any:
    def change(c: Batches, kind: str) -> Surrogate:
        surrogate = c.surrogate(kind)
        rewards, base, _ = surrogate.terms
        return _with(surrogate, rewards, base._replace(shift=0.0), base._replace(weights=-base.weights, shift=1.0))

    return _parts(case, change, ("tmaml",))


@wrong(
    "curvature-of-reinforce", "the Hessian of Σ γᵗ(Ĝ − b) x alone", quantity="parts",
    cause="the second derivative of a surrogate made for first derivatives", seen="MAML-RL as first released",
)  # fmt: skip
def curvature_of_reinforce(case: Any) -> Any:
    naive = evaluated(case, case.surrogate("reinforce"), "hvp")
    return {f"{kind}_hvp": naive for kind in SURROGATES[1:]}


@wrong(
    "curvature-of-likelihood-ratio", "the Hessian of Σ γᵗ(Ĝ − b) exp(x)", quantity="parts",
    cause="one ratio a step: how an action changes the later states is lost (ProMP's LVC does so on purpose)", seen="ProMP",
)  # fmt: skip
def curvature_of_likelihood_ratio(case: Any) -> Any:
    value = evaluated(case, case.surrogate("likelihood_ratio"), "hvp")
    return {f"{kind}_hvp": value for kind in ("reinforce", "dice", "tmaml", "loaded_dice")}


ROWS = rows(globals())
