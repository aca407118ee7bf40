"""Bias and deviation of estimators of the meta-gradient, enumerated.  Derivation: derivations/sampled-meta-gradients.md"""

from typing import NamedTuple

import numpy as np
import style

from refmeta.commands.bias import blocks, read_process

__all__ = ["Errors", "data", "draw"]

ZERO = 1e-12  # what is smaller is rounding, and not drawn
DRAWN = {  # colour and marker; all fourteen of the table would hide each other
    "e-maml": (style.RED, "o"),
    "score-term-dropped": (style.BLUE, "s"),
    "first-order": (style.ORANGE, "v"),
    "lvc": (style.SKY, "P"),
    "dice": (style.GREEN, "^"),
}
TITLE = "Estimates of the gradient of objective II (sampled adaptation). Everything is divided by the length of that gradient."


class Errors(NamedTuple):
    """Step sizes (n,) with one episode; numbers of episodes (m,) at one step size; by estimator the relative bias and
    deviation at each of them, a pair of arrays."""

    alphas: np.ndarray
    episodes: np.ndarray
    by_alpha: dict
    by_episodes: dict


def data(alphas=None, episodes=(1, 2, 3, 4, 5), alpha=0.125, process="two-state"):
    """Exact: every tuple of trajectories is enumerated."""
    task, theta = read_process(process)
    alphas = 2.0 ** np.arange(-8, 0) if alphas is None else np.asarray(alphas)
    of_alpha = list(blocks(task, theta, steps=[1], episodes=[1], alphas=alphas))
    of_episodes = list(blocks(task, theta, steps=[1], episodes=episodes, alphas=[alpha]))
    return Errors(alphas, np.array(episodes), _errors(of_alpha), _errors(of_episodes))


def _errors(found):
    """By estimator: the length of the bias and the deviation, both over the length of the gradient."""
    length = np.array([np.linalg.norm(block.sampled) for block in found])
    series = {}
    for row, *others in zip(*(block.rows for block in found), strict=True):
        rows = [row, *others]
        bias, deviation = ([getattr(r.sampled, name) for r in rows] for name in ("norm", "deviation"))
        series[row.estimator.name] = (np.array(bias) / length, np.array(deviation) / length)
    return series


def draw(found):
    """The figure."""
    drawing, axes = style.figure(5.6, columns=2, rows=2)
    drawing.suptitle(TITLE, x=0.01, ha="left", fontsize=8.5)
    rows = (
        (found.alphas, found.by_alpha, "step size α, one episode"),
        (found.episodes, found.by_episodes, "number of episodes, α = ⅛"),
    )
    for line, (x, series, words) in zip(axes, rows, strict=True):
        for part, (axis, title) in enumerate(
            zip(line, ("Relative bias for objective II", "Relative deviation"), strict=True)
        ):
            axis.set(
                xscale="log",
                yscale="log",
                xlabel=words,
                title=title,
                xlim=(x[0] / 1.15, x[-1] * 1.1),
            )
            _lines(axis, x, {name: series[name][part] for name in DRAWN})
    for axis in axes[1]:
        axis.set_xticks(found.episodes, [str(number) for number in found.episodes])
        axis.minorticks_off()
    return drawing


def _lines(axes, x, series):
    """A line for each estimator, with its name at the right; one that is zero has a name only."""
    for name, value in series.items():
        colour, marker = DRAWN[name]
        visible = np.where(value > ZERO, value, np.nan)
        axes.plot(x, visible, marker=marker, color=colour, markersize=4, linewidth=1.3)
    style.beside(axes, [
        (name if value[-1] > ZERO else f"{name}: 0", value[-1] if value[-1] > ZERO else None, DRAWN[name][0])
        for name, value in series.items()
    ])  # fmt: skip


if __name__ == "__main__":
    print(style.save(draw(data()), __file__))
