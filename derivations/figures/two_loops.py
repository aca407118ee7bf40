"""The inner loop adapts to one task; the outer loop moves the start.  Derivation: derivations/what-is-meta-rl.md"""

from typing import NamedTuple

import style

__all__ = ["Row", "data", "draw"]

ARROW = {"arrowstyle": "-|>,head_width=.22,head_length=.4", "shrinkA": 0, "shrinkB": 0}
START, TOTAL = (1.05, 3.0), (8.95, 3.0)  # the centres of the two round nodes
WORDS = (
    ("inner loop: act in the task, see rewards, take a gradient step; K times", (4.63, 5.75), style.BLUE),
    ("outer loop: move θ so that the losses after adaptation fall; many times", (5.0, -0.5), style.RED),
)


class Row(NamedTuple):
    """A task of the drawing: its name, its height, its points along the inner loop and their names."""

    task: str
    height: float
    points: tuple
    names: tuple


def data(steps=3):
    """Three tasks, with the inner steps that lead from the start to the adapted parameters."""
    points = tuple(3.05 + 1.05 * k for k in range(steps + 1))
    names = (r"$\theta$", *[""] * (steps - 1))
    return [
        Row(f"task {i}", height, points, (*names, rf"$\varphi_{i}$"))
        for i, height in (("1", 4.75), ("2", 3.0), ("N", 1.25))
    ]


def draw(rows):
    """The figure."""
    drawing, axes = style.figure(4.2)
    axes.set(xlim=(0, 10), ylim=(-0.95, 5.95))
    axes.axis("off")
    for row in rows:
        _row(axes, row)
    axes.text(4.6, 2.1, "⋮", color=style.legible(style.BLUE), ha="center", va="center", fontsize=15)
    _node(axes, START, r"$\theta$", "the start,\none for all tasks")
    _node(axes, TOTAL, r"$\Sigma$", "losses after\nadaptation")
    axes.plot(
        [TOTAL[0], TOTAL[0], START[0], START[0]],
        [2.4, -0.1, -0.1, 2.2],
        color=style.RED,
        linewidth=3,
        solid_joinstyle="round",
    )
    _arrow(axes, (START[0], 2.1), (START[0], 2.42), style.RED, 3)
    for text, at, colour in WORDS:
        axes.text(*at, text, ha="center", va="center", color=style.legible(colour), weight="bold")
    return drawing


def _row(axes, row):
    """One task: a box, the steps in it, an arrow from the start and an arrow to the sum."""
    from matplotlib.patches import FancyBboxPatch

    left, right = row.points[0] - 0.5, row.points[-1] + 0.5
    axes.add_patch(
        FancyBboxPatch(
            (left, row.height - 0.55),
            right - left,
            1.2,
            boxstyle="round,pad=0,rounding_size=.2",
            facecolor="#eaf3f9",
            edgecolor=style.BLUE,
            linewidth=1.2,
        )
    )
    axes.text(left + 0.15, row.height + 0.4, row.task, color=style.legible(style.BLUE), weight="bold", va="center")
    for first, last in zip(row.points[:-1], row.points[1:], strict=True):
        _arrow(axes, (first + 0.1, row.height), (last - 0.1, row.height), style.BLUE, 1.6)
    for x, name in zip(row.points, row.names, strict=True):
        axes.plot(x, row.height, "o", color=style.BLUE, markersize=7)
        axes.text(x, row.height - 0.33, name, ha="center", va="center")
    _arrow(axes, (START[0] + 0.42, START[1]), (left, row.height), style.RED, 1.4)
    _arrow(axes, (right, row.height), (TOTAL[0] - 0.42, TOTAL[1]), style.RED, 1.4)


def _node(axes, centre, symbol, words):
    """A round node with its symbol, and words above it."""
    axes.plot(*centre, "o", color=style.RED, markersize=34)
    axes.text(*centre, symbol, color="white", ha="center", va="center", fontsize=17)
    axes.text(centre[0], centre[1] + 0.62, words, ha="center", va="bottom")


def _arrow(axes, first, last, colour, width, curve="arc3"):
    """An arrow between two points."""
    axes.annotate("", last, first, arrowprops={**ARROW, "color": colour, "linewidth": width, "connectionstyle": curve})


if __name__ == "__main__":
    print(style.save(draw(data()), __file__))
