"""The common look of the figures: one width, one palette, labels beside what they name, and a file without a date.

Every figure stands on an opaque light panel, so that it is legible on a light page and on a dark one.
The colours are those of Okabe and Ito, which colour-blind readers can tell apart.
Where a figure shows rounding errors, other BLAS kernels or threads draw others: `make figures` takes one thread.
"""

from pathlib import Path

__all__ = ["BLUE", "DARK", "GREEN", "GREY", "INK", "ORANGE", "PANEL", "PURPLE", "RED", "SKY", "beside", "contrast", "figure", "label", "legible", "save"]  # fmt: skip

BLUE, RED, GREEN, PURPLE, ORANGE, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
INK, DARK, GREY, PANEL = "#1b1b1b", "#4d4d4d", "#6b6b6b", "#fbfbf9"
WIDTH = 7.3  # inches of 72 points: 700 pixels in a browser
LOOK = {
    "axes.edgecolor": GREY, "axes.facecolor": PANEL, "axes.labelcolor": INK, "axes.spines.right": False,
    "axes.spines.top": False, "axes.titlelocation": "left", "axes.titlesize": 9, "figure.constrained_layout.use": True,
    "figure.facecolor": PANEL, "font.family": "DejaVu Sans", "font.size": 9, "lines.linewidth": 1.8, "mathtext.fontset": "dejavusans",
    "savefig.facecolor": PANEL, "svg.fonttype": "path", "svg.hashsalt": "refmeta", "text.color": INK,
    "xtick.color": GREY, "xtick.labelcolor": INK, "ytick.color": GREY, "ytick.labelcolor": INK,
}  # fmt: skip


def figure(height, columns=1, rows=1, **keywords):
    """A figure that is `height` inches high, and its axes."""
    try:
        import matplotlib
    except ModuleNotFoundError:
        raise SystemExit("a figure needs matplotlib, which is not installed: pip install matplotlib") from None

    matplotlib.use("Agg")
    matplotlib.rcdefaults()
    matplotlib.rcParams.update(LOOK)
    from matplotlib import pyplot

    return pyplot.subplots(rows, columns, figsize=(WIDTH, height), **keywords)


def save(drawing, script):
    """Write the drawing beside its script: `two_loops.py` writes `two-loops.svg`.  Returns the path."""
    script = Path(script)
    path = script.with_name(script.stem.replace("_", "-") + ".svg")
    drawing.savefig(path, metadata={"Date": None, "Creator": None})
    text = path.read_text(encoding="utf-8")
    path.write_text("\n".join(line.rstrip() for line in text.splitlines()) + "\n", encoding="utf-8")
    return path


def label(axes, text, at, colour=INK, **keywords):
    """Write `text` at a point of the axes, in a shade of the colour that is dark enough to be read."""
    return axes.annotate(text, at, color=legible(colour), **{"annotation_clip": False, **keywords})


def beside(axes, ends, gap=9.5):
    """Write the names at the right of the axes, each at its height and at least `gap` points from the next.

    `ends` holds (name, height, colour); a height of None is below all others.
    """
    axes.figure.canvas.draw()
    low, high = axes.get_window_extent().intervaly
    points = axes.figure.dpi / 72
    pixel = lambda height: low if height is None else float(axes.transData.transform((1, height))[1])
    rows = sorted((round(min(max(pixel(height), low), high), 1), i) for i, (_, height, _) in enumerate(ends))
    heights = _apart([row[0] / points for row in rows], gap, low / points, high / points)
    for height, (_, i) in zip(heights, rows, strict=True):
        name, _, colour = ends[i]
        fraction = (height * points - low) / (high - low)
        axes.annotate(
            name,
            (1, fraction),
            xycoords="axes fraction",
            xytext=(4, 0),
            textcoords="offset points",
            color=legible(colour),
            va="center",
            fontsize=7.5,
            annotation_clip=False,
        )


def _apart(heights, gap, low, high):
    """Increasing heights within bounds, moved so that neighbours are `gap` apart: each crowded group about its mean."""
    groups = []
    for height in heights:
        groups.append((height, 1))
        while (
            len(groups) > 1
            and _lowest(groups[-1], gap, low, high) < _lowest(groups[-2], gap, low, high) + gap * groups[-2][1]
        ):
            (first, m), (second, n) = groups[-2:]
            groups[-2:] = [((m * first + n * second) / (m + n), m + n)]
    return [_lowest(group, gap, low, high) + gap * k for group in groups for k in range(group[1])]


def _lowest(group, gap, low, high):
    """The lowest height of a group of (mean, number) that stays within the bounds."""
    middle, number = group
    reach = gap * (number - 1)
    return max(min(middle - reach / 2, high - reach), low)


def legible(colour, least=5.5):
    """The colour, darkened until its contrast with the panel is at least `least`."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    for share in range(100, -1, -1):
        darker = "#" + "".join(f"{round(part * share / 100):02x}" for part in (red, green, blue))
        if contrast(darker, PANEL) >= least:
            return darker
    return "#000000"


def contrast(first, second):
    """The contrast of two colours, between 1 and 21, as the accessibility guidelines of the web define it."""
    low, high = sorted((_luminance(first), _luminance(second)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour):
    """The relative luminance of a colour, between 0 and 1."""
    parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
