"""Surrogates of the return on a batch of trajectories, in any arithmetic.  Derivation: derivations/sampled-meta-gradients.md"""

import itertools
from collections.abc import Callable
from operator import mul
from typing import Any, NamedTuple

from refmeta.oracle.decimals import (
    Inputs,
    Loss,
    Number,
    Softmax,
    Steps,
    Vector,
    exp,
    gradient,
    hessian_product,
    ln,
    policy,
    softmax,
)
from refmeta.oracle.suites.surrogates.kl_definition import PENALTIES, PenaltyStep, reference

__all__ = [
    "SUMMANDS", "USUAL", "Likelihood", "TimeStep", "define", "dice", "gaussian", "likelihood_ratio", "loaded_dice",
    "log_probabilities", "payments", "penalty", "reinforce", "same", "surrogate", "tmaml", "trajectory", "unchanged",
]  # fmt: skip


class TimeStep(NamedTuple):
    """What a surrogate reads of one step, x_k the logarithms of the ratios.

    discount is γᵗ; reward, to_go and baseline are r_t, G_t and b_t; past, now and fading are Σ_{k<t} x_k, x_t and
    Σ_{k≤t} λᵗ⁻ᵏ x_k; box makes a product of ratios of the sum of their logarithms.
    """

    discount: Number
    reward: Number
    to_go: Number
    baseline: Number
    past: Number
    now: Number
    fading: Number
    box: Callable[[Number], Number] = exp


def reinforce(s: TimeStep) -> Number:
    """γᵗ (G − b) x."""
    return s.discount * (s.to_go - s.baseline) * s.now


def likelihood_ratio(s: TimeStep) -> Number:
    """γᵗ (G − b) exp(x)."""
    return s.discount * (s.to_go - s.baseline) * exp(s.now)


def dice(s: TimeStep) -> Number:
    """γᵗ [r ☐ + b (1 − exp(x))]."""
    return s.discount * (s.reward * s.box(s.past + s.now) + s.baseline * (1 - exp(s.now)))


def tmaml(s: TimeStep) -> Number:
    """γᵗ [r ☐ + b ((1 − exp(x)) − (1 − exp(past)) (1 − exp(x)))]."""
    control = (1 - exp(s.now)) - (1 - exp(s.past)) * (1 - exp(s.now))
    return s.discount * (s.reward * s.box(s.past + s.now) + s.baseline * control)


def loaded_dice(s: TimeStep) -> Number:
    """γᵗ (G − b) [exp(fading) − exp(fading − x)]."""
    return s.discount * (s.to_go - s.baseline) * (exp(s.fading) - exp(s.fading - s.now))


SUMMANDS = {f.__name__: f for f in (reinforce, likelihood_ratio, dice, tmaml, loaded_dice)}


def unchanged(step: Any) -> Any:
    """The step as it is."""
    return step


def same(number: Number) -> Number:
    """The number as it is."""
    return number


class Likelihood(NamedTuple):
    """How log π is computed; each function may be exchanged for another: the softmax, and what is made of log σ."""

    softmax: Softmax = softmax
    log_sigma: Callable[[Number], Number] = same


USUAL = Likelihood()


def define(
    part: str, x: Inputs, steps: Steps, change: Callable[[Any], Any] = unchanged, use: Likelihood = USUAL
) -> list[Any]:
    """The loss, the gradient or the Hessian product of a surrogate, or the gradient of a penalty; a `change` of the steps makes it a wrong one."""
    name, _, kind = part.rpartition("_")
    if part in PENALTIES:
        of_tasks = (penalty(lambda step: PENALTIES[part](change(step)), x, task, use) for task in range(len(x["rewards"])))
        return [gradient(loss, x["theta"], steps.outer) for loss in of_tasks]
    summand = SUMMANDS[name]
    losses = [surrogate(lambda step: summand(change(step)), x, task, use) for task in range(len(x["rewards"]))]
    if kind == "loss":
        return [loss(x["theta"]) for loss in losses]
    if kind == "grad":
        return [gradient(loss, x["theta"], steps.outer) for loss in losses]
    return [hessian_product(loss, x["theta"], x["v"], steps.outer, steps.second) for loss in losses]


def surrogate(summand: Callable[[TimeStep], Number], x: Inputs, task: int, use: Likelihood = USUAL) -> Loss:
    """−(1/M) Σ Σ_t summand over a task's trajectories."""
    sampled = log_probabilities(x["theta_sampled"], x, task, use)
    rows = zip(*(x[key][task] for key in ("rewards", "mask", "baseline")), strict=True)
    paid = [payments(r, mask, b, x["gamma"]) for r, mask, b in rows]
    fading = _powers(x["lam"], len(paid[0]))

    def loss(theta: Vector) -> Number:
        each = 0 * x["gamma"]
        for logs, old, steps in zip(log_probabilities(theta, x, task, use), sampled, paid, strict=True):
            ratios = [p - q for p, q in zip(logs, old, strict=True)]
            each += sum(map(summand, trajectory(ratios, steps, fading)), 0 * x["gamma"])
        return -each / len(paid)

    return loss


def penalty(summand: Callable[[PenaltyStep], Number], x: Inputs, task: int, use: Likelihood = USUAL) -> Loss:
    """(1/M) Σ Σ_t summand over a task's trajectories; the reference policy and the one that drew the batch are held."""
    sampled, ref = (log_probabilities(theta, x, task, use) for theta in (x["theta_sampled"], reference(x["theta_sampled"])))

    def loss(theta: Vector) -> Number:
        each, gamma = 0 * x["gamma"], x["gamma"]
        for logs, old, held in zip(log_probabilities(theta, x, task, use), sampled, ref, strict=True):
            steps = enumerate(zip(logs, old, held, strict=True))
            each += sum((summand(PenaltyStep(gamma**t if t else 1, p - r, p - q)) for t, (p, q, r) in steps), 0 * gamma)
        return each / len(sampled)

    return loss


def _powers(x: Number, count: int) -> Vector:
    """1, x, x², …"""
    return [x**t if t else 1 for t in range(count)]


def payments(rewards: Vector, mask: list[int], baseline: Vector, gamma: Number) -> list[TimeStep]:
    """The steps of one trajectory with all that no policy changes: discount, reward, return to go and baseline."""
    r, b = ([m * each for m, each in zip(mask, row, strict=True)] for row in (rewards, baseline))
    powers, zero = _powers(gamma, len(r)), 0 * gamma
    to_go = [sum(map(mul, powers, r[t:])) for t in range(len(r))]
    return [TimeStep(*row, past=zero, now=zero, fading=zero) for row in zip(powers, r, to_go, b, strict=True)]


def trajectory(x: Vector, paid: list[TimeStep], powers: Vector) -> list[TimeStep]:
    """The steps of one trajectory, from the logarithms of its ratios, its payments and the powers of λ."""
    zero = paid[0].past
    past = itertools.accumulate(x[:-1], initial=zero)
    fading = [sum(map(mul, powers[t::-1], x), zero) for t in range(len(x))]
    return [TimeStep(*step[:4], *ratios) for step, *ratios in zip(paid, past, x, fading, strict=True)]


def log_probabilities(theta: Vector, x: Inputs, task: int, use: Likelihood = USUAL) -> list[Vector]:
    """ln π(a|s) of every step of a task's batch, less the constant ln(2π)/2 of a Gaussian; 0 after the end."""
    batch = zip(*(x[name][task] for name in ("states", "actions", "mask")), strict=True)
    if isinstance(x["states"][task][0][0], list):
        return [[gaussian(theta, s, a, use) if m else 0 * theta[0] for s, a, m in zip(*one, strict=True)] for one in batch]
    pi = policy(theta, x["state_count"], x["action_count"], x["features"], use.softmax)
    return [[ln(pi[s][a]) if m else 0 * theta[0] for s, a, m in zip(*one, strict=True)] for one in batch]


def gaussian(theta: Vector, s: Vector, a: Vector, use: Likelihood = USUAL) -> Number:
    """−Σ_j [((a_j − (Ks)_j)/σ_j)²/2 + ln σ_j], θ the gain K row by row and then ln σ."""
    n, m = len(s), len(a)
    total = 0 * theta[0]
    for j in range(m):
        mean, log = sum(theta[j * n + i] * s[i] for i in range(n)), use.log_sigma(theta[m * n + j])
        total -= ((a[j] - mean) * exp(-log)) ** 2 / 2 + log
    return total
