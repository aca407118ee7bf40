"""Two tasks, four ways to train a start, and what the inner steps make of each.  Derivation: derivations/maml.md"""

from typing import Any, NamedTuple

import numpy as np
import style

import refmeta as rm

__all__ = ["Landscape", "data", "draw"]

INNER = {"alpha": 0.18, "steps": 2}
RULES = {
    "joint training": rm.MAML(alpha=0.0, steps=0), "Reptile": rm.Reptile(**INNER),
    "first-order MAML": rm.FirstOrderMAML(**INNER), "MAML": rm.MAML(**INNER),
}  # fmt: skip
COLOURS = dict(zip(RULES, (style.DARK, style.ORANGE, style.BLUE, style.RED), strict=True))
SHADES = ("#ffffff", "#f8f8f7", "#f1f1ef", "#eaeae8", "#e3e3e1", "#dcdcda", "#d5d5d3")
TITLE = """Thick lines: the outer loop. Thin arrows: two inner steps on each task. Dashed: a task's own loss is ½.
Numbers, and shades of grey: the loss that the inner steps leave, summed over both tasks."""
ARROW = {"arrowstyle": "-|>,head_width=.18,head_length=.3", "linewidth": 1.2, "shrinkA": 0, "shrinkB": 0}
LABELS = {
    "joint training": ("joint training", (0, -16), "center"),
    "Reptile": ("Reptile", (7, 6), "left"),
    "first-order MAML": ("first-order\nMAML", (0, -40), "center"),
    "MAML": ("MAML", (0, 9), "center"),
}  # fmt: skip  (the words, their distance from the end in points, what is aligned)


class Landscape(NamedTuple):
    """The two tasks; for each rule the outer path (n, 2), the inner paths (2 tasks, K + 1, 2), the objective at its end."""

    tasks: Any
    outer: dict
    inner: dict
    objective: dict


class Both:
    """The family that holds these tasks and no others: every sample is all of them."""

    def __init__(self, tasks):
        self.tasks = tasks

    def sample(self, n, rng):
        """The tasks, as support and query."""
        return rm.Split(self.tasks)


def two_tasks():
    """Two valleys that cross: each is steep along one direction and flat along the other."""
    steep = np.deg2rad([40.0, 140.0])
    along = np.stack([np.cos(steep), np.sin(steep)], axis=-1)
    across = np.stack([-np.sin(steep), np.cos(steep)], axis=-1)
    outer = lambda v: v[:, :, None] * v[:, None, :]
    return rm.Quadratic(4.0 * outer(along) + 0.8 * outer(across), [[-1.3, 0.0], [1.3, 0.0]])


def objective(theta, tasks):
    """The loss after adaptation, summed over the tasks."""
    return rm.maml.objective(np.asarray(theta)[..., None, :], tasks, **INNER).sum(-1)


def data(start=(-2.3, 0.55), iterations=400):
    """The landscape: every rule starts at `start`, and its end is where its outer loop comes to rest."""
    tasks, outer, inner = two_tasks(), {}, {}
    for name, rule in RULES.items():
        path = [np.array(start)]
        rm.meta_train(Both(tasks), start, rule=rule, outer=rm.SGD(beta=0.1), iterations=iterations, batch=2, rng=0,
                      callback=lambda done, path=path: path.append(done.theta))  # fmt: skip
        outer[name] = np.array(path)
        inner[name] = np.stack(
            [np.broadcast_to(point.theta, (2, 2)) for point in rm.adapt(path[-1], tasks, **INNER).path], axis=1
        )
    return Landscape(tasks, outer, inner, {name: float(objective(path[-1], tasks)) for name, path in outer.items()})


def draw(found):
    """The figure."""
    drawing, axes = style.figure(4.9)
    _background(axes, found.tasks)
    for name, path in found.outer.items():
        axes.plot(*path.T, color=COLOURS[name], linewidth=2.4, zorder=3)
        for first, last in _arrows(found.inner[name]):
            axes.annotate("", last, first, arrowprops={**ARROW, "color": COLOURS[name]}, zorder=4)
        axes.plot(*path[-1], "o", color=COLOURS[name], markersize=7, markeredgecolor="white", zorder=6)
        words, shift, align = LABELS[name]
        text = f"{words} {found.objective[name]:.2f}"
        style.label(
            axes, text, path[-1], COLOURS[name], xytext=shift, textcoords="offset points", ha=align, weight="bold"
        )
    start = found.outer["MAML"][0]
    axes.plot(*start, "o", color=style.INK, markersize=6, zorder=6)
    style.label(axes, "start", start, xytext=(0, 8), textcoords="offset points", ha="center")
    axes.set_title(TITLE)
    return drawing


def _arrows(paths):
    """The two ends of each inner step."""
    return [pair for steps in paths for pair in zip(steps[:-1], steps[1:], strict=True)]


def _background(axes, tasks):
    """Contours of the loss after adaptation, and one contour of each task's own loss around its minimum."""
    x, y = np.meshgrid(np.linspace(-2.7, 2.7, 181), np.linspace(-1.65, 1.6, 121))
    grid = np.stack([x, y], axis=-1)
    levels = [0, 0.1, 0.2, 0.5, 1, 2, 4]
    axes.contourf(x, y, objective(grid, tasks), levels=levels, colors=SHADES, extend="max")
    for i, (c, side) in enumerate(zip(tasks.c, ("right", "left"), strict=True)):
        axes.contour(
            x, y, tasks[i].at(grid).loss, levels=[0.5], colors=[style.GREEN], linewidths=0.9, linestyles="dashed"
        )
        axes.plot(*c, "*", color=style.GREEN, markersize=13, markeredgecolor="white", zorder=6)
        shift = (-8 if side == "right" else 8, -4)
        style.label(axes, f"task {i + 1}", c, style.GREEN, xytext=shift, textcoords="offset points", ha=side)
    axes.set(xlabel="first parameter", ylabel="second parameter", aspect="equal")


if __name__ == "__main__":
    print(style.save(draw(data()), __file__))
