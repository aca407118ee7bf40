"""`python -m refmeta verify`: judge every labelled formula on random problems, one row per label."""

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from refmeta.commands.arguments import add_workers, whole_number
from refmeta.evidence import CHECKS
from refmeta.evidence.checks import Check, Error
from refmeta.oracle.vectors import UsageError
from refmeta.pieces import in_order, worker_pool
from refmeta.tables import Column, count_text, layout, paragraphs, suggestion, width

__all__ = ["LabelRow", "add", "checks_of", "label_cells", "judge", "judged", "verify"]


def add(commands: Any) -> None:
    """Add the command to the parser's."""
    command = commands.add_parser("verify", help="judge every formula on random problems; exit status 1 if one is wrong")
    command.add_argument("label", nargs="*", metavar="LABEL", help="judge only these formulas")
    command.add_argument("--problems", type=whole_number(1), default=20, metavar="N", help="random problems per formula (20)")
    command.add_argument("--seed", type=whole_number(0), default=0, metavar="N", help="seed of everything random (0)")
    add_workers(command)
    command.set_defaults(run=_run)


def _run(options: Any) -> int:
    """`verify`, with as many processes as the options say."""
    with worker_pool(options.workers) as executor:
        return verify(options.label, seed=options.seed, problems=options.problems, executor=executor)


class LabelRow(NamedTuple):
    """The worst of all problems: the error in tolerances, or the observed order farthest from the expected one."""

    check: Check
    worst: float
    problems: int

    @property
    def passed(self) -> bool:
        """At most one tolerance, or the order within its bounds; judged on at least one problem."""
        if self.check.order:
            return abs(self.worst - self.check.order[0]) <= self.check.order[1]
        return self.worst <= 1

    @property
    def verdict(self) -> str:
        """Of one formula."""
        return "ok" if self.passed else "WRONG"

    @property
    def error(self) -> str:
        """The worst: a number of tolerances, or an order."""
        return f"order {self.worst:.4f}" if self.check.order else f"{self.worst:.4f}"


def judge(check: Check, *, seed: int, problems: int) -> LabelRow:
    """Judge one formula on seeded problems; those with κ > 10⁶ are drawn again.

    An error is measured until it is known not to be the worst; such a problem counts, whatever its κ.
    """
    errors: list[float] = []
    rng = np.random.default_rng([seed, *check.label.encode()])
    for _ in range(10 * problems):
        error = check.judge(check.draw(rng))
        if isinstance(error, Error):
            error = error.above(max(errors, default=-np.inf))
        if not np.isnan(error):
            errors.append(error)
        if len(errors) == problems:
            break
    centre = check.order[0] if check.order else 0.0
    worst = max(errors, key=lambda x: abs(x - centre), default=float("nan"))
    return LabelRow(check, worst, len(errors))


def judged(
    checks: Iterable[Check], *, seed: int, problems: int, executor: Executor | None = None
) -> Iterator[LabelRow]:
    """The formulas in turn; a piece for an executor is one label."""
    checks = tuple(checks)
    rows = in_order(partial(_judged, seed, problems), [check.label for check in checks], executor)
    return (LabelRow(check, *row) for check, row in zip(checks, rows, strict=True))


def _judged(seed: int, problems: int, label: str) -> tuple[float, int]:
    """The worst of a label, and the number of its problems."""
    return judge(*checks_of([label]), seed=seed, problems=problems)[1:]


def checks_of(labels: Iterable[str]) -> tuple[Check, ...]:
    """The checks of these labels, by default all; UsageError names a label that does not exist."""
    wanted, known = list(labels), [check.label for check in CHECKS]
    for label in wanted:
        if label not in known:
            raise UsageError(
                f"no formula has the label {label!r}{suggestion(label, known)}; verify without a label lists all {len(known)}"
            )
    return tuple(check for check in CHECKS if not wanted or check.label in wanted)


def label_cells(check: Check, *, columns: int) -> tuple[str, ...]:
    """Label, formula and what it is judged against: in three columns, or in one on a narrow terminal."""
    against = check.against
    if check.order:
        against += f"; order {check.order[0]:g} ± {check.order[1]:g}"
    three = check.label, check.formula, against
    return three if columns == 3 else (f"{check.label}: {check.formula}\n  against {against}",)


def verify(
    labels: Iterable[str] = (), *, seed: int = 0, problems: int = 20, executor: Executor | None = None
) -> int:
    """Print the table; 0 if every formula passes, else 1."""
    checks, start = checks_of(labels), time.perf_counter()
    narrow = ("label: formula, and what it is judged against",)
    texts = ("label", "formula", "judged against") if width() >= 120 else narrow
    described_by = (Column(text, text=text != "label") for text in texts)
    columns = [Column("verdict"), Column("worst error", right=True), *described_by]
    rows = {check.label: label_cells(check, columns=len(texts)) for check in checks}
    form = layout(columns, [("WRONG", "order 0.0000", *row) for row in rows.values()])
    print(
        paragraphs(
            f"Every formula against something independent of it, on {count_text(problems, 'random problem')} each "
            f"(seed {seed}).\n"
            "Unit of the worst error: tolerances of 30·eps·max(1, κ)·scale. A formula passes at 1 or less; where an "
            "order of convergence is judged, within the bounds that are named.\n"
        )
    )
    print(form.heads())
    wrong = []
    for row in judged(checks, seed=seed, problems=problems, executor=executor):
        wrong += [] if row.passed else [row.check.label]
        print(form.row((row.verdict, row.error, *rows[row.check.label])), flush=True)
    right, seconds = len(checks) - len(wrong), time.perf_counter() - start
    print(f"\n{right} of {count_text(len(checks), 'formula')} {'is' if right == 1 else 'are'} right ({seconds:.1f} s).")
    if wrong:
        print(paragraphs("Wrong: " + ", ".join(wrong)))
    return int(bool(wrong))
