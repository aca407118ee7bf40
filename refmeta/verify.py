"""`python -m refmeta verify`: judge every labelled formula on random problems, one row a label."""

import time
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from refmeta.evidence import CHECKS
from refmeta.evidence.judged import Check
from refmeta.oracle.cases import UsageError


class Row(NamedTuple):
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
    def said(self) -> str:
        """The worst, with its unit."""
        if self.check.order:
            return f"order {self.worst:.4f}, expected {self.check.order[0]:g} ± {self.check.order[1]:g}"
        return f"{self.worst:.4f} tolerances"


def judge(check: Check, *, seed: int, problems: int) -> Row:
    """Judge one formula on seeded problems; those with κ > 10⁶ are drawn again."""
    found: list[float] = []
    rng = np.random.default_rng([seed, *check.label.encode()])
    for _ in range(10 * problems):
        error = check.judge(rng)
        if not np.isnan(error):
            found.append(error)
        if len(found) == problems:
            break
    centre = check.order[0] if check.order else 0.0
    worst = max(found, key=lambda x: abs(x - centre), default=float("nan"))
    return Row(check, worst, len(found))


def chosen(labels: Iterable[str]) -> tuple[Check, ...]:
    """The checks of the labels, all of them without any; UsageError names a label that does not exist."""
    wanted, known = list(labels), [check.label for check in CHECKS]
    unknown = [label for label in wanted if label not in known]
    if unknown:
        raise UsageError(f"no formula has the label {unknown[0]!r}; the labels are {', '.join(known)}")
    return tuple(check for check in CHECKS if not wanted or check.label in wanted)


def verify(labels: Iterable[str] = (), *, seed: int = 0, problems: int = 20) -> int:
    """Print the table; 0 if every formula passes, else 1."""
    checks, start = chosen(labels), time.perf_counter()
    wide = [
        max(len(text) for text in column)
        for column in zip(*((c.label, c.formula, c.against) for c in checks), strict=True)
    ]
    print(f"Every formula against something independent of it, on {problems} random problems each (seed {seed}).")
    print("Error: the worst, in units of the tolerance 30·eps·max(1, κ)·scale; a formula passes at 1 or less.\n")
    print(f"{'label':{wide[0]}}  {'formula':{wide[1]}}  {'judged against':{wide[2]}}  verdict  worst error")
    rows = []
    for check in checks:
        rows.append(row := judge(check, seed=seed, problems=problems))
        verdict = "ok     " if row.passed else "WRONG  "
        columns = (check.label, check.formula, check.against)
        print(
            "  ".join(f"{text:{w}}" for text, w in zip(columns, wide, strict=True)),
            verdict,
            row.said,
            sep="  ",
            flush=True,
        )
    wrong = [row.check.label for row in rows if not row.passed]
    print(f"\n{len(rows) - len(wrong)} of {len(rows)} formulas are right ({time.perf_counter() - start:.1f} s).")
    if wrong:
        print("Wrong: " + ", ".join(wrong))
    return int(bool(wrong))
