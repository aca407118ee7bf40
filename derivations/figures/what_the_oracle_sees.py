"""Which vectors of a suite reject which known-wrong formulas.  Derivation: derivations/using-the-oracle.md"""

from typing import NamedTuple

import numpy as np
import style

from refmeta.oracle.judge import JudgeSettings, judge
from refmeta.oracle.known import EVERY
from refmeta.oracle.suites import SUITES
from refmeta.oracle.vectors import cases

__all__ = ["Seen", "data", "draw"]


class Seen(NamedTuple):
    """The known-wrong formulas (rows), the vectors (columns), the digits that agree (rows, columns), and the cells that
    are rejected (rows, columns); digits are NaN where a formula does not apply to a vector."""

    formulas: tuple
    vectors: tuple
    digits: np.ndarray
    rejected: np.ndarray


def data(suite="maml-tabular"):
    """Every known-wrong formula of a suite, judged on every valid vector; the most visible mistakes come first."""
    about = SUITES[suite]
    rows = [row for row in about.rows if row.kind == "wrong" and row.quantity in {EVERY, "sum", "mean", *about.parts}]
    valid = [case for case in cases(suite) if case.result == "valid"]
    outcomes = [[_outcome(row, case, about) for case in valid] for row in rows]
    digits = np.array([[np.nan if o is None else o.digits for o in line] for line in outcomes])
    rejected = np.array([[o is not None and o.verdict == "mismatch" for o in line] for line in outcomes])
    down, across = np.argsort(-rejected.sum(1), kind="stable"), np.argsort(-rejected.sum(0), kind="stable")
    names = tuple(rows[i].slug for i in down), tuple(valid[j].id.removeprefix(f"{suite}-") for j in across)
    return Seen(*names, digits[np.ix_(down, across)], rejected[np.ix_(down, across)])


def _outcome(row, case, about):
    """The verdict on what a formula gives on a vector; None where it gives nothing."""
    if (value := row.result(case.problem)) is None:
        return None
    settings = JudgeSettings(reduce=row.quantity) if row.quantity in ("sum", "mean") else JudgeSettings()
    if row.quantity in about.quantities:
        settings = JudgeSettings(quantity=row.quantity)
    return judge(case, value if about.array or row.quantity == EVERY else {row.quantity: value}, settings)


def draw(found):
    """The figure: a cell is white where a right result would not be told from the wrong one."""
    drawing, axes = style.figure(6.2)
    shades = np.where(found.rejected, np.clip(found.digits, 0, None), np.nan)
    mesh = axes.pcolormesh(shades, cmap="cividis", vmin=0, vmax=6, edgecolor=style.PANEL, linewidth=1)
    axes.set_xticks(np.arange(len(found.vectors)) + 0.5, found.vectors, rotation=90, fontsize=7)
    axes.set_yticks(np.arange(len(found.formulas)) + 0.5, found.formulas, fontsize=7.5)
    axes.set(xlabel="test vectors of the suite maml-tabular, by number", title=TITLE)
    axes.invert_yaxis()
    axes.tick_params(length=0)
    bar = drawing.colorbar(
        mesh,
        ax=axes,
        shrink=0.45,
        anchor=(0, 0.9),
        label="digits in which the mistake agrees\nwith the certified value",
    )
    bar.outline.set_visible(False)
    return drawing


TITLE = """Rows: known mistakes. Columns: test vectors. White: this vector does not see this mistake."""


if __name__ == "__main__":
    print(style.save(draw(data()), __file__))
