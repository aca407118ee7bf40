"""The figure of an experiment, with matplotlib, which is imported only here: one panel for each set of curves."""

import importlib.util
import math
import os
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from refmeta.commands.experiments.record import Curves, Result
from refmeta.oracle.vectors import UsageError

__all__ = ["check_figure", "has_matplotlib", "write_figure"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D00")
MARKERS = "osD^vPX*"
DASHES = (":", "-.", "--", (0, (1, 3)), (0, (5, 1, 1, 1, 1, 1)))
SUFFIXES = (".svg", ".png", ".pdf")


def has_matplotlib() -> bool:
    """Whether matplotlib is installed; nothing is imported."""
    return importlib.util.find_spec("matplotlib") is not None


def check_figure(file: str) -> None:
    """UsageError unless a figure can be written to this file: matplotlib is there, the format known, the folder writable."""
    path = Path(file)
    if path.suffix not in SUFFIXES:
        raise UsageError(f"--figure {file}: the name must end with {', '.join(SUFFIXES)}")
    if not path.parent.is_dir():
        raise UsageError(f"--figure {file}: there is no folder {path.parent}")
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise UsageError(f"--figure {file}: it cannot be written there; --figure FILE takes another place")
    if not has_matplotlib():
        raise UsageError("--figure needs matplotlib, which is not installed: pip install matplotlib")


def write_figure(result: Result, file: str) -> None:
    """Draw the curves of every part below one another; for the same versions and numbers an SVG has the same bytes."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    curves = [each for part in result.parts.values() for each in part.curves]
    figure = Figure(figsize=(8, 3.6 * len(curves)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(curves), squeeze=False)[:, 0]
    names = list(dict.fromkeys(name for each in curves for name in each.lines))
    for each, ax in zip(curves, axes, strict=True):
        _draw(each, ax, names)
    with matplotlib.rc_context({"svg.hashsalt": "refmeta", "svg.fonttype": "path"}):
        try:
            figure.savefig(file, dpi=120, metadata=None if file.endswith(".png") else {_DATE[Path(file).suffix]: None})
        except OSError as error:
            raise UsageError(f"--figure {file}: it cannot be written: {error.strerror or error}") from None


_DATE = {".svg": "Date", ".pdf": "CreationDate"}


def _draw(curves: Curves, ax: Any, names: Sequence[str]) -> None:
    """One panel: lines that differ by colour and marker, the same in all panels, levels dotted, and the names beside it."""
    bound = _largest(curves)
    for name, line in curves.lines.items():
        i = names.index(name)
        y = [value if math.isfinite(value) and value <= bound else math.nan for value in line]
        style = _line_style(i)
        ax.plot(curves.x, y, label=name, markersize=4, linewidth=1.5, **style)
        for x, value, slope in zip(curves.x, y, curves.slopes.get(name, []), strict=False):
            reach = _reach(curves.x) if "x" not in curves.log else 0.12 * x
            ends = np.array([-reach, reach])
            ax.plot(x + ends, value + slope * ends, color="#333333", linewidth=1.2)
    for (name, level), dashes in zip(curves.levels.items(), cycle(DASHES), strict=False):
        ax.axhline(level, color="#555555", linestyle=dashes, linewidth=1.2, label=name)
    for axis in curves.log:
        ax.set(**{f"{axis}scale": "log"})
    if "x" in curves.log:
        count = min(len(curves.x), 7)
        ticks = [curves.x[i] for i in np.linspace(0, len(curves.x) - 1, count).astype(int)]
        ax.set_xticks(ticks, [f"{x:.3g}" for x in ticks])
        ax.set_xticks([], minor=True)
    ax.set(xlabel=curves.x_label, ylabel=curves.y_label)
    ax.set_title(curves.title, fontsize=10)
    ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8)
    ax.spines[["top", "right"]].set_visible(False)


def _line_style(i: int) -> dict[str, Any]:
    """Colour, marker and dashes of line i: in each round of all colours the markers are shifted by one, and dashes follow."""
    later, colour = divmod(i, len(COLOURS))
    return {
        "color": COLOURS[colour],
        "marker": MARKERS[(colour + later) % len(MARKERS)],
        "linestyle": ("-", *DASHES)[later % (len(DASHES) + 1)],
    }


def _reach(x: Sequence[float]) -> float:
    """Half the length of a tangent along x."""
    return 0.3 * (max(x) - min(x)) / max(len(x) - 1, 1)


def _largest(curves: Curves) -> float:
    """What is drawn at most: lines that diverge leave the panel at ten times the median, at 10³ times where y is logarithmic."""
    values = [value for line in curves.lines.values() for value in line if math.isfinite(value)]
    return (1e3 if "y" in curves.log else 10) * float(np.median(np.abs(values))) if values else math.inf
