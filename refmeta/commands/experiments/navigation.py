"""Navigation in the experiment on adaptation: a narrow range of step sizes, and the edge of stability."""

from collections.abc import Callable, Iterable
from itertools import takewhile
from typing import Any

import numpy as np
from numpy.random import Generator

from refmeta.arrays import Array
from refmeta.commands.experiments.record import ExperimentPart, NumberTable
from refmeta.commands.experiments.starts import name_in, trained_starts
from refmeta.commands.experiments.step_tables import (
    Setting,
    alpha_curves,
    alpha_sentences,
    geometric,
    own_alphas,
    steps_table,
)
from refmeta.meta import implicit
from refmeta.meta.implicit import ImplicitMAML
from refmeta.meta.inner import adapt
from refmeta.meta.maml import MAML, FirstOrderMAML
from refmeta.meta.reptile import Reptile
from refmeta.problems import curvatures
from refmeta.tasks.distributions import Navigation

__all__ = ["navigation", "spectral_radius", "stability"]

PLANE = Navigation()
MOST = 20  # the edge of stability and the proximal cost are measured on so many of the held-out tasks


def navigation(
    rng: Generator, alpha: float = 1e-3, iterations: int = 250, tasks: int = 100, family: Navigation = PLANE
) -> ExperimentPart:
    """Control: every rule of the library on held-out goals, with the edge of stability of gradient descent."""
    samples = [family.sample(n, rng) for n in (tasks // 2 + 1, tasks)]
    starts = _starts(family, rng, alpha, iterations)
    title = f"2-D navigation, {family.horizon} steps, goals uniform in [-0.5, 0.5]^2"
    unit = f"mean cost: sum of {family.horizon} squared distances"
    setting = Setting(title, unit, samples[0], samples[1], alpha, geometric(alpha, 1 / 4, 16, 37))
    best = float(np.mean(samples[1].support.lq.Q[:, 2, 2]))
    table, own = steps_table(setting, starts, best), own_alphas(setting, starts, best)
    few = family.tasks(-samples[1].support.lq.Q[:MOST, :2, 2])
    edges = NumberTable(
        "The same starts: the edge of stability, and implicit MAML's own way to adapt",
        f"rho: largest spectral radius of I - alpha H; proximal: mean cost; {len(few.lq.Q)} tasks", "start",
        ("rho, 0 steps", "rho, 1 step", "proximal"),
        {name: stability(theta, few, alpha) for name, theta in starts.items()},
    )  # fmt: skip
    sentences = alpha_sentences(table, own, "MAML, 1 step", ["joint training", "random"], best)
    texts = (_optimum_text(best), *sentences, _window_text(setting, starts), _edge_text(alpha))
    return ExperimentPart((table, own, edges), (alpha_curves(setting, starts, best, "xy"),), texts)


def _starts(family: Navigation, rng: Generator, alpha: float, iterations: int) -> dict[str, Array]:
    """A random start, and what each rule makes of it."""
    start = family.start(rng)
    rules = {
        "joint training": MAML(alpha, steps=0),
        "Reptile, 3 steps": Reptile(alpha, steps=3),
        "first-order MAML, 1 step": FirstOrderMAML(alpha),
        "MAML, 1 step": MAML(alpha),
    }
    proximal = {"implicit MAML": ImplicitMAML(1 / alpha)}
    starts = {"random": start} | trained_starts(family, start, rules, rng, max_norm=1.0, iterations=iterations)
    return starts | trained_starts(family, start, proximal, rng, max_norm=1.0, iterations=iterations // 12, batch=5)


def _optimum_text(best: float) -> str:
    """What the best policy that knows the goal pays."""
    return (
        f"The optimum is {best:.3f}, the mean squared distance of the goals from the origin: it is the cost of the first "
        "step, which no policy avoids."
    )


def _window_text(setting: Setting, starts: dict[str, Array]) -> str:
    """Up to which α on both sides the start of MAML costs less than twice what it costs at the common α."""
    theta = starts[name_in(starts, "MAML, 1 step")]
    bound = 2 * setting.value(theta, setting.alpha, 1)
    within = lambda percent: setting.value(theta, setting.alpha * percent / 100, 1) <= bound
    low, high = (_last(within, range(100, end, side)) for end, side in ((79, -1), (121, 1)))
    return (
        f"The cost of MAML's start after one step stays below twice that at alpha = {setting.alpha:g} from {low / 100:.2f} to "
        f"{high / 100:.2f} times this alpha. Steps of 0.01 were taken from 1 down to 0.80 and up to 1.20, and each side ends "
        "before the first one that costs more."
    )


def _last(holds: Callable[[int], bool], numbers: Iterable[int]) -> int:
    """The last of the numbers before the first for which something does not hold; it holds for the first of all."""
    return list(takewhile(holds, numbers))[-1]


def _edge_text(alpha: float) -> str:
    """What ρ and the proximal cost are."""
    return (
        "Where rho is above 1, a step of this size overshoots along some direction, or the curvature is negative "
        f"there: the edge of stability. 'proximal' is the cost at argmin L + ({1 / alpha:g}/2) |phi - theta|^2, "
        "which is how implicit MAML adapts. It takes no gradient steps, so nothing keeps its start on this side of "
        "the edge; Reptile and joint training do not look at the Hessian, either."
    )


def stability(theta: Array, task: Any, alpha: float) -> list[float]:
    """ρ before and after one step, and the mean cost of the proximal solution; infinite where a number overflows."""
    after: Callable[[], Array] = lambda: adapt(theta, task, alpha=alpha, steps=1).adapted
    return [
        _or_infinite(lambda: spectral_radius(task, theta, alpha)),
        _or_infinite(lambda: spectral_radius(task, after(), alpha)),
        _or_infinite(lambda: float(np.mean(implicit.objective(theta, task, strength=1 / alpha)))),
    ]


def _or_infinite(value: Callable[[], float]) -> float:
    """The value, or infinity where its computation leaves the finite numbers."""
    try:
        return value()
    except FloatingPointError:
        return float("inf")


def spectral_radius(task: Any, theta: Array, alpha: float) -> float:
    """ρ(I − α∇²L(θ)), the largest of the tasks: above 1 a step of gradient descent is linearly unstable."""
    return float(np.max(np.abs(1 - alpha * curvatures(task, theta))))
