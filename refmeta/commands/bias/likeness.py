"""How near a user's estimator is to others, batch by batch and in the mean.  Derivation: derivations/sampled-meta-gradients.md"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.commands.bias.estimators import Estimator
from refmeta.commands.bias.recipes import GradientEstimate
from refmeta.oracle.suites.expected_estimators.every_batch import Tuples
from refmeta.sampling.enumeration import Expectation, likelihoods, weighted_moments
from refmeta.sampling.trajectories import Trajectories
from refmeta.tasks.exact_return import PolicyReturn

__all__ = ["Likeness", "Recipe", "always", "compared", "gradient_recipe", "likeness_text", "meta_recipe"]

SAME, SINGLE, SMALL = 1e-10, 3e-6, 1e-12
Recipe = Callable[[Tuples], tuple[Array, Array]]  # the estimates of n tuples (n, d) and the tuples' probabilities (n,)


class Likeness(NamedTuple):
    """A user's estimates x beside those of a recipe, y.

    factor : c of x = c y on the likeliest tuple.
    gap : the largest |x − c y| over all tuples, relative to the largest |x|.
    equal : is the gap rounding?
    mean : ‖E x − E y‖ / ‖E y‖.
    each : √E‖x − y‖² / √E‖y‖².
    """

    name: str
    factor: float
    gap: float
    equal: bool
    mean: float
    each: float


def meta_recipe(e: Estimator, task: PolicyReturn, theta: Array, alpha: float) -> Recipe:
    """An estimator of meta-gradients, which draws its batches at its own parameters."""

    def values(chunk: Tuples) -> tuple[Array, Array]:
        at, p, surrogates = np.broadcast_to(theta, chunk.rows.shape), chunk.weight, []
        for k in range(chunk.batches.mask.shape[1]):
            batch = Trajectories(*(x[:, k] for x in chunk.batches))
            p = p * likelihoods(task.policy, at, batch)
            surrogates.append(e.make(task, at, batch))
            at = at - alpha * surrogates[-1].at(at).grad
        return np.broadcast_to(e.estimate(task, theta, surrogates, alpha), chunk.rows.shape), p

    return values


def gradient_recipe(estimate: GradientEstimate, task: PolicyReturn, theta: Array) -> Recipe:
    """An estimator of ∇L from one batch."""

    def values(chunk: Tuples) -> tuple[Array, Array]:
        batch = Trajectories(*(x[:, 0] for x in chunk.batches))
        return np.broadcast_to(estimate(task, theta, batch), chunk.rows.shape), chunk.p

    return values


class _Sums:
    """What is summed over the tuples for one recipe."""

    def __init__(self, x: Array, y: Array) -> None:
        """The factor from the tuple in which the recipe is largest; 1 of a recipe that is 0 in all."""
        i = int(np.argmax(np.sum(y**2, axis=-1)))
        self.factor = float(x[i] @ y[i] / (y[i] @ y[i])) if np.any(y[i]) else 1.0
        self.mean, self.apart, self.size, self.gap = np.zeros(x.shape[1:]), 0.0, 0.0, 0.0

    def add(self, chunk: Tuples, y: Array, p: Array) -> None:
        """The tuples of a chunk."""
        x = chunk.rows
        self.mean = self.mean + chunk.p @ x - p @ y
        self.apart += float(chunk.p @ np.sum((x - y) ** 2, axis=-1))
        self.size += float(chunk.p @ np.sum(y**2, axis=-1))
        self.gap = max(self.gap, float(np.max(np.abs(x - self.factor * y))))


def compared(chunks: Iterable[Tuples], recipes: Mapping[str, Recipe]) -> tuple[Expectation, tuple[Likeness, ...]]:
    """The exact moments of the estimates, and how near they are to each recipe."""
    sums, means = dict[str, _Sums](), {name: np.zeros(()) for name in recipes}
    largest, is_single = [0.0], [True]

    def passed() -> Iterator[tuple[Array, Array]]:
        for chunk in chunks:
            largest[0] = max(largest[0], float(np.max(np.abs(chunk.rows))))
            is_single[0] = chunk.single
            for name, recipe in recipes.items():
                y, p = recipe(chunk)
                if name not in sums:
                    sums[name] = _Sums(chunk.rows, y)
                sums[name].add(chunk, y, p)
                means[name] = means[name] + p @ y
            yield chunk.p, chunk.rows

    moments, most = weighted_moments(passed()), SINGLE if is_single[0] else SAME
    return moments, tuple(_likeness(name, s, means[name], largest[0], most) for name, s in sums.items())


def _likeness(name: str, s: _Sums, mean: Array, largest: float, most: float) -> Likeness:
    """The sums as ratios; a factor of zero says nothing."""
    gap = s.gap / largest if largest else s.gap
    size, each = float(np.linalg.norm(mean)), np.sqrt(s.apart / s.size) if s.size else np.nan
    apart = float(np.linalg.norm(s.mean)) / size if size else np.nan
    return Likeness(name, s.factor, gap, gap <= most and abs(s.factor) > SMALL, apart, float(each))


def _names(these: list[Likeness]) -> str:
    """The names of recipes that are the same at a setting."""
    names = [x.name for x in these]
    return names[0] if len(names) == 1 else f"{'; '.join(names[:-1])} and {names[-1]}, which are the same here"


def likeness_text(likenesses: tuple[Likeness, ...], tuples: int) -> str:
    """What a user's estimator is: the recipes that it equals, perhaps times a number; else the nearest, with the distance."""
    equal = [x for x in likenesses if x.equal]
    right = [x for x in equal if abs(x.factor - 1) <= SINGLE]
    if equal:
        these = right or [x for x in equal if abs(x.factor / equal[0].factor - 1) <= SINGLE]
        times = "" if right else f"{these[0].factor:.6g} times "
        gap = f"to {max(x.gap for x in these):.1g} of the largest entry"
        return f"yours is {times}{_names(these)}: equal on every one of {tuples:,} batches, {gap}"
    each, mean = _first(likenesses, lambda x: x.each), _first(_first_all(likenesses, lambda x: x.mean), lambda x: x.each)
    apart = f"single batches {_percent(mean.each)}"
    in_mean = f"has the mean of {mean.name}, to {mean.mean:.1g}" if mean.mean < SMALL else f"the mean is {_percent(mean.mean)}"
    if mean.mean < SMALL:
        return f"yours {in_mean}, but is another estimator: {apart} away (root mean square)"
    if mean.name == each.name:
        return f"nearest: {mean.name}; {in_mean} away, {apart} (root mean square)"
    return (
        f"nearest batch by batch: {each.name}, {_percent(each.each)} away (root mean square), in the mean {_percent(each.mean)}; "
        f"nearest in the mean: {mean.name}, {_percent(mean.mean)}, {apart}"
    )


def _first_all(likenesses: Sequence[Likeness], distance: Callable[[Likeness], float]) -> list[Likeness]:
    """All that have the smallest distance, up to rounding; those whose distance is not a number come last."""
    least = min((distance(x) for x in likenesses if distance(x) >= 0), default=np.inf)
    return [x for x in likenesses if distance(x) <= least * (1 + 1e-9) + SMALL] or list(likenesses)


def _first(likenesses: Sequence[Likeness], distance: Callable[[Likeness], float]) -> Likeness:
    """The first of those that have the smallest distance, up to rounding."""
    return _first_all(likenesses, distance)[0]


def _percent(x: float) -> str:
    """A share in percent, to two digits."""
    return f"{100 * x:.2g} %" if x < 0.995 else f"{100 * x:.0f} %" if x < 100 else f"{100 * x:.1g} %"


def always(each: Iterable[tuple[Likeness, ...]]) -> list[str]:
    """The recipes that a user's estimator equals at every setting, with the factor 1."""
    equal = [[x.name for x in likenesses if x.equal and abs(x.factor - 1) <= SINGLE] for likenesses in each]
    return [name for name in equal[0] if all(name in names for names in equal)] if equal else []
