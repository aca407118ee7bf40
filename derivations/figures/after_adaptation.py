"""What one step reaches against its size, on tasks that are held out and in shifted families.  Derivation: derivations/meta-training.md"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import style

import refmeta as rm
from refmeta.commands.experiments.held_out import goal_families, goal_tasks
from refmeta.commands.experiments.starts import best_alpha, mean_loss, trained_starts

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
    """A family against the step size and under a shift; the step size of each start, best on training tasks; the optimum."""

    by_alpha: Panel
    shifted: Panel
    own: dict
    optimum: float


def data(iterations=150):
    """Two families of tasks."""
    return {"gridworlds": gridworlds(iterations), "navigation": navigation(iterations)}


def rules(alpha):
    """Joint training, Reptile and MAML, with inner steps of size α."""
    return {"joint training": rm.MAML(alpha, steps=0), "Reptile": rm.Reptile(alpha, steps=3), "MAML": rm.MAML(alpha)}


def gridworlds(iterations, alpha=20.0):
    """Goal gridworlds: returns, averaged over held-out goals.  Shifted: what is missing from the optimum, with more slips."""
    families = goal_families(rm.GoalGridworlds(), np.random.default_rng(0))
    zeros, alphas, slips = np.zeros(families.training.dim), np.geomspace(1, 2000, 40), np.linspace(0, 0.8, 9)
    rng = np.random.default_rng(0)
    starts = {"zeros": zeros} | trained_starts(families.training, zeros, rules(alpha), rng, iterations=iterations)
    known, here = families.splits
    own = {name: best_alpha(theta, known, alphas, steps=1) for name, theta in starts.items()}
    elsewhere = [rm.Split(goal_tasks(replace(families.held_out, slip=slip))) for slip in slips]
    best = lambda tasks: float(np.mean(rm.optimal_values(tasks.support.mdp).best_return))
    missing = lambda name, theta, tasks: best(tasks) + mean_loss(theta, tasks, alpha=own[name], steps=1)
    return Family(
        Panel("step size α", alphas, _each(starts, lambda _, theta: [-mean_loss(theta, here, alpha=a, steps=1) for a in alphas])),
        Panel("probability of a slip (training: 0.1)", slips, _each(starts, lambda *start: [missing(*start, tasks) for tasks in elsewhere])),
        own,
        best(here),
    )  # fmt: skip


def navigation(iterations, alpha=1e-3, tasks=100, seed=0):
    """Navigation: costs over the least cost, averaged over held-out goals.  Shifted: goals farther from the origin."""
    family, start, rng = rm.Navigation(), rm.Navigation().start(0), np.random.default_rng(seed)
    starts = {"random": start} | trained_starts(family, start, rules(alpha), rng, iterations=iterations, max_norm=1.0)
    known, goals = np.random.default_rng(1).uniform(*family.goals, (2, tasks, 2))
    alphas, scales = alpha * np.geomspace(0.05, 20, 61), np.linspace(0.5, 3, 11)
    own = {name: best_alpha(theta, rm.Split(family.tasks(known)), alphas, steps=1) for name, theta in starts.items()}

    def over_least(theta, a, scale):
        cost = mean_loss(theta, rm.Split(family.tasks(scale * goals)), alpha=a, steps=1)
        return cost / np.mean(family.best_cost(scale * goals))

    return Family(
        Panel("step size α", alphas, _each(starts, lambda _, theta: [over_least(theta, a, 1.0) for a in alphas])),
        Panel("goals, times the box of training", scales, _each(starts, lambda name, theta: [over_least(theta, own[name], scale) for scale in scales])),
        own,
        1.0,
    )  # fmt: skip


def _each(starts, values):
    """An array of values for each start."""
    return {name: np.array(values(name, theta)) for name, theta in starts.items()}


def draw(found):
    """The figure."""
    drawing, axes = style.figure(5.4, columns=2, rows=2)
    grids, plane = found["gridworlds"], found["navigation"]
    _against_alpha(
        axes[0, 0], grids, 20, ("right", "left", "right", "left"), ((4, 0.53), (60, 0.47), (19, 0.74), (200, 0.66))
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
