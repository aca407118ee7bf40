"""What one step reaches against its size, and in families that training has not seen.  Derivation: derivations/meta-training.md"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import style

import refmeta as rm

__all__ = ["Panel", "data", "draw"]

COLOURS = {
    "zeros": style.PURPLE,
    "random": style.PURPLE,
    "joint training": style.DARK,
    "Reptile": style.ORANGE,
    "MAML": style.RED,
}


class Panel(NamedTuple):
    """What the horizontal axis shows, its values (n,), and by the name of the start what is reached there, (n,)."""

    words: str
    x: np.ndarray
    reached: dict


class Family(NamedTuple):
    """A family against the step size and under a shift; the best step size of each start; the optimum, its own value."""

    by_alpha: Panel
    shifted: Panel
    own: dict
    optimum: float


def data(iterations=150):
    """Two families of tasks."""
    return {"gridworlds": gridworlds(iterations), "navigation": navigation(iterations)}


def trained(family, start, alpha, iterations, max_norm=None):
    """Starts that three rules train from the same one, by Adam on exact gradients; inner steps of size α."""
    rules = {"joint training": rm.MAML(alpha, steps=0), "Reptile": rm.Reptile(alpha, steps=3), "MAML": rm.MAML(alpha)}
    outer = rm.Adam(0.02, max_norm=max_norm)
    return {
        name: rm.meta_train(family, start, rule=rule, outer=outer, iterations=iterations, batch=20, rng=0).theta
        for name, rule in rules.items()
    }


def mean_loss(theta, tasks, alpha, steps=1):
    """The mean loss after one step of size α; infinite where it is not finite."""
    try:
        return float(np.mean(rm.maml.objective(theta, tasks, alpha=alpha, steps=steps)))
    except FloatingPointError:
        return np.inf


def gridworlds(iterations, alpha=20.0):
    """Goal gridworlds: returns, averaged over all goals.  Shifted: what is missing from the optimum, with more slips."""
    family, zeros = rm.GoalGridworlds(), np.zeros(rm.GoalGridworlds().dim)
    goals, alphas, slips = np.arange(1, family.size**2), np.geomspace(1, 2000, 40), np.linspace(0, 0.8, 9)
    starts = {"zeros": zeros} | trained(family, zeros, alpha, iterations)
    here, elsewhere = family.tasks(goals), [replace(family, slip=slip).tasks(goals) for slip in slips]
    best = lambda tasks: float(np.mean(rm.optimal_values(tasks.mdp).best_return))
    by_alpha = _each(starts, lambda name, theta: [-mean_loss(theta, here, a) for a in alphas])
    own = {name: float(alphas[np.argmax(curve)]) for name, curve in by_alpha.items()}
    shifted = _each(
        starts, lambda name, theta: [best(tasks) + mean_loss(theta, tasks, own[name]) for tasks in elsewhere]
    )
    return Family(
        Panel("step size α", alphas, by_alpha),
        Panel("probability of a slip (training: 0.1)", slips, shifted),
        own,
        best(here),
    )


def navigation(iterations, alpha=1e-3, tasks=100):
    """Navigation: costs over the least cost, averaged over held-out goals.  Shifted: goals farther from the origin."""
    family, start = rm.Navigation(), rm.Navigation().start(0)
    starts = {"random": start} | trained(family, start, alpha, iterations, max_norm=1.0)
    goals = np.random.default_rng(1).uniform(*family.goals, (tasks, 2))
    alphas, scales = alpha * np.geomspace(0.05, 20, 61), np.linspace(0.5, 3, 11)

    def over_least(theta, a, scale):
        return mean_loss(theta, family.tasks(scale * goals), a) / np.mean(family.best_cost(scale * goals))

    by_alpha = _each(starts, lambda name, theta: [over_least(theta, a, 1.0) for a in alphas])
    own = {name: float(alphas[np.argmin(curve)]) for name, curve in by_alpha.items()}
    shifted = _each(starts, lambda name, theta: [over_least(theta, own[name], scale) for scale in scales])
    return Family(
        Panel("step size α", alphas, by_alpha), Panel("goals, times the box of training", scales, shifted), own, 1.0
    )


def _each(starts, values):
    """An array of values for each start."""
    return {name: np.array(values(name, theta)) for name, theta in starts.items()}


def draw(found):
    """The figure."""
    drawing, axes = style.figure(5.4, columns=2, rows=2)
    grids, plane = found["gridworlds"], found["navigation"]
    _against_alpha(
        axes[0, 0], grids, 20, ("left", "left", "right", "left"), ((60, 0.6), (1, 0.61), (11, 0.75), (24, 0.69))
    )
    _against_alpha(
        axes[0, 1],
        plane,
        1e-3,
        ("right", "center", "left", "right"),
        ((3.4e-4, 20), (7.4e-3, 1.8), (1.2e-3, 4), (9e-4, 1.6)),
    )
    axes[0, 0].set(title="Gridworlds: return after one step")
    axes[0, 1].set(title="Navigation: cost after one step, least = 1", yscale="log", ylim=(0.7, 300))
    _shifted(axes[1, 0], grids.shifted, "Other slips: return missing from the optimum", (3e-5, 0.04))
    _shifted(axes[1, 1], plane.shifted, "Farther goals: cost, least = 1", (1, 200))
    return drawing


def _against_alpha(axes, family, alpha, aligned, places):
    """What is reached against the step size; the optimum, and the step size of training."""
    x, reached = family.by_alpha.x, family.by_alpha.reached
    axes.axhline(family.optimum, color=style.GREY, linewidth=1, linestyle="dashed")
    axes.axvline(alpha, color=style.GREY, linewidth=1, linestyle="dotted")
    for (name, value), align, at in zip(reached.items(), aligned, places, strict=True):
        axes.plot(x, value, color=COLOURS[name])
        style.label(axes, name.replace(" ", "\n"), at, COLOURS[name], va="center", ha=align)
    axes.set(xscale="log", xlabel="step size α; dotted: that of training")


def _shifted(axes, panel, title, limits):
    """What is reached under a shift of the family, each start with its own best step size; its name beside it."""
    for name, value in panel.reached.items():
        axes.plot(panel.x, value, color=COLOURS[name])
    axes.set(yscale="log", title=title, xlabel=panel.words, ylim=limits)
    style.beside(axes, [(name, value[-1], COLOURS[name]) for name, value in panel.reached.items()])


if __name__ == "__main__":
    print(style.save(draw(data()), __file__))
