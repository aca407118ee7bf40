"""The belief of PEARL and its sample as implementations read them, with slopes by complex steps.  Derivation: derivations/pearl.md"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array, one_hot
from refmeta.meta.pearl import posterior
from refmeta.oracle.choices import Point
from refmeta.oracle.suites.pearl.problem import TrainingStep

__all__ = ["BELIEF", "H", "SAMPLE", "Belief", "Factors", "belief", "leaves", "multiplied", "sample"]

H = 1e-30
BELIEF = (
    "features", "context of a task", "rewards of the context", "context mask", "variance from", "variance clamped", "prior factor", "product",
    "slopes of the belief", "beliefs of the tasks before", "belief changed",
)  # fmt: skip
SAMPLE = ("sample", "noise", "slopes of the sample")


class Belief(NamedTuple):
    """Mean and variance, (P, N, Z): the first axis is that of the perturbations of a leaf, or 1."""

    mean: Array
    variance: Array


class Factors(NamedTuple):
    """Means and variances (P, N, c, Z) of the factors, and how often each counts, (N, c, 1)."""

    mean: Array
    variance: Array
    times: Array


@lru_cache(maxsize=256)
def leaves(problem: TrainingStep, leaf: str) -> dict[str, Array]:
    """The weights of the agent with an axis of perturbations in front, one for each entry of the leaf that is named."""
    agent = problem.agent
    x = {"encoder_mean": agent.encoder.mean, "encoder_log_variance": agent.encoder.log_variance, **agent._asdict()}
    found = {name: np.asarray(value)[None] for name, value in x.items() if name != "encoder"}
    if leaf:
        size = found[leaf].size
        found[leaf] = found[leaf] + 1j * H * np.eye(size).reshape(size, *found[leaf].shape[1:])
    return found


def belief(problem: TrainingStep, leaf: str, point: Point) -> Belief:
    """The posterior as a point of the product computes it."""
    return _belief(problem, leaf, tuple(point.get(name) for name in BELIEF))


def multiplied(each: Factors) -> tuple[Array, Array]:
    """μ = Σ μ_n σ_n⁻² / Σ σ_n⁻², σ² = 1/Σ σ_n⁻²."""
    precisions = each.times / each.variance
    total = np.sum(precisions, axis=-2)
    return np.sum(precisions * each.mean, axis=-2) / total, 1 / total


@lru_cache(maxsize=2048)
def _belief(problem: TrainingStep, leaf: str, reading: tuple[Any, ...]) -> Belief:
    """The product of the factors, or what is used instead."""
    *of_factors, product, slopes, kept, changed = reading
    product, factors = product or multiplied, _factors(problem, leaf, tuple(of_factors))
    if slopes is None or not leaf:
        mean, variance = product(factors)
    else:
        mean, variance = slopes(product, factors, _factors(problem, "", tuple(of_factors)))
    mean, variance = kept(mean, variance) if kept else (mean, variance)
    return Belief(*(changed(mean, variance) if changed else (mean, variance)))


@lru_cache(maxsize=2048)
def _factors(problem: TrainingStep, leaf: str, reading: tuple[Any, ...]) -> Factors:
    """One factor per transition, and N(0, 1) as often as it is among them."""
    *of_context, variance, clamp, prior = reading
    x, (psi, present) = leaves(problem, leaf), _context(problem, tuple(of_context))
    mean, log = (psi @ x[name][:, None].swapaxes(-1, -2) for name in ("encoder_mean", "encoder_log_variance"))
    sigma2 = (variance or np.exp)(log)
    sigma2 = clamp(sigma2) if clamp else sigma2
    given = float(problem.settings.infer is posterior)
    count = prior(given, present) if prior else np.full((len(present), 1, 1), given)
    first = (slice(None), slice(None), slice(0, 1))
    return Factors(
        np.concatenate([mean, 0 * mean[first]], axis=2), np.concatenate([sigma2, 0 * sigma2[first] + 1], axis=2),
        np.concatenate([present, count], axis=1),
    )  # fmt: skip


@lru_cache(maxsize=512)
def _context(problem: TrainingStep, reading: tuple[Any, ...]) -> tuple[Array, Array]:
    """Features (N, c, F), and how often a transition counts, (N, c, 1)."""
    features, which, rewards, masked = reading
    S, A = problem.agent.states, problem.agent.actions
    columns = which(_columns(problem.context), _columns(problem.batch)) if which else _columns(problem.context)
    s, a, r, after, mask = (x.astype(kind) for x, kind in zip(columns, (int, int, float, int, float), strict=True))
    r = np.where(mask > 0, r, 0.0 if masked is None else r)
    r = (rewards(r, mask) if rewards else r)[..., None]
    each = features or (lambda pair, after, r, *_: [1 + 0 * r, pair, after, r * pair, r * after])
    pair, other, turned = (one_hot(x, S * A) for x in (s * A + a, after * A + a, s + S * a))
    psi, count = np.concatenate(each(pair, one_hot(after, S), r, one_hot(s, S), turned, other), axis=-1), mask[..., None]
    return masked(psi, count) if masked else (psi, count)


def _columns(x: Any) -> list[Array]:
    """s, a, r, s' and the mask of transitions."""
    return [np.asarray(y) for y in (x.states, x.actions, x.rewards, x.following, np.asarray(x.mask, float))]


def sample(problem: TrainingStep, leaf: str, point: Point) -> Array:
    """z, (P, N, Z)."""
    how, noise, slopes = (point.get(name) for name in SAMPLE)
    (mean, variance), epsilon = belief(problem, leaf, point), np.asarray(problem.noise)
    epsilon = noise(epsilon) if noise else epsilon
    if slopes and leaf:
        mean, variance = slopes(mean, variance, *belief(problem, "", point))
    z: Array = how(mean, variance, epsilon) if how else mean + np.sqrt(variance) * epsilon
    return z
