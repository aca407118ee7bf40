"""Reports for a person: text for a terminal, Markdown for a page.  Derivation: derivations/using-the-oracle.md"""

import hashlib
import platform
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from refmeta.oracle.facts import details, indistinct, unjudged_line
from refmeta.oracle.judge import RIGHT, JudgeSettings, Outcome
from refmeta.oracle.suites import FOLDER, SUITES
from refmeta.oracle.verdict import NEUTRAL, Finding, asked_findings, findings, status_of, summary
from refmeta.tables import Column, layout, paragraphs

__all__ = ["Report", "markdown", "row", "status", "text", "versions"]

HEADS = ("suite", "cases", "right", "wrong", "failed", "skipped", "worst error", "digits")


class Report(NamedTuple):
    """What a report is written from: the target's name, the settings, and the verdict on every suite.

    mended : a sentence for each case that is right and stands in a file of expected failures, by its id.
    """

    name: str
    settings: JudgeSettings
    findings: tuple[Finding, ...]
    allow_rounding: bool = False
    mended: Mapping[str, str] = MappingProxyType({})

    @property
    def outcomes(self) -> list[Outcome]:
        """What became of every case."""
        return [o for f in self.findings for o in f.outcomes]

    @property
    def status(self) -> int:
        """The exit status; 1 instead of 0 where an expected failure passes."""
        return status_of(self.findings, allow_rounding=self.allow_rounding) or int(bool(self.mended))


def status(outcomes: Sequence[Outcome], settings: JudgeSettings | None = None) -> int:
    """The exit status: 0 all right, 1 a mismatch, 3 a crash or time-out after an answer, 5 nothing was computed."""
    return status_of(findings(outcomes, settings or JudgeSettings()))


def versions() -> dict[str, str]:
    """The versions that the verdict depends on."""
    import scipy

    import refmeta

    digest = hashlib.sha256()
    for suite in SUITES.values():
        digest.update((FOLDER / suite.vectors).read_bytes())
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return {
        "refmeta": refmeta.__version__, "vectors": digest.hexdigest()[:12], "python": platform.python_version(),
        "numpy": np.__version__, "scipy": scipy.__version__, "blas": f"{blas.get('name')} {blas.get('version')}",
    }  # fmt: skip


def row(finding: Finding) -> tuple[str, ...]:
    """A line of the table: the counts, the worst error and the digits of a suite."""
    outcomes = finding.outcomes

    def count(*verdicts: str) -> int:
        return sum(o.verdict in verdicts for o in outcomes)

    compared = [o for o in outcomes if o.got is not None and o.verdict in ("pass", "mismatch")]
    worst = f"{max(o.error for o in compared):.3g} tol" if compared else "-"
    digits = f"{min(min(o.digits for o in compared), 17.0):.1f}" if compared else "-"
    counts = (
        len(outcomes),
        count(*RIGHT),
        count("mismatch", "accepted"),
        count("error", "crash", "timeout"),
        count(*NEUTRAL),
    )
    return (finding.suite, *map(str, counts), worst, digits)


def text(report: Report) -> str:
    """The report for a terminal, at least 80 columns wide: the verdict first, and last as well for several suites."""
    s = report.settings
    head = f"refmeta check of {report.name}: {_settings_text(report)}"
    lines = [head, "(" + ", ".join(f"{k} {v}" for k, v in versions().items()) + ")", ""]
    rows = [row(f) for f in report.findings]
    form = layout([Column(head, right=head != HEADS[0]) for head in HEADS], rows)
    lines += [summary(report.findings), "", *form.heads().split("\n"), *map(form.row, rows)]
    asked_suites = asked_findings(report.findings)
    for f in asked_suites:
        sentences = details(f)
        title = [f"{f.suite}: {f.word}: {f.sentence}"] if len(asked_suites) > 1 and sentences else []
        lines += [each for line in [*title, *sentences] for each in ("", line)]
    unseen = indistinct([o.case for o in report.outcomes], s)
    lines += ["", f"Not distinguishable in float32: {', '.join(unseen)}"] * bool(unseen)
    lines += [each for line in unjudged_line([o for f in asked_suites for o in f.outcomes]) for each in ("", line)]
    lines += [each for line in report.mended.values() for each in ("", _sentence(line))]
    lines += ["", summary(report.findings)] * (len(asked_suites) > 1)
    return "\n".join(paragraphs(line, later="  ") for line in lines)


def _sentence(line: str) -> str:
    """The line with a capital and a full stop."""
    return f"{line[0].upper()}{line[1:]}."


def _settings_text(report: Report) -> str:
    """The quantity, where a suite has one, the precision and what is expected."""
    s = report.settings
    named = any(o.case.about.quantities for f in asked_findings(report.findings) for o in f.outcomes)
    purpose = f", by the convention {s.convention}" if s.convention else ""
    return (f"{s.quantity}, " if named else "") + f"{s.dtype}, expected: {s.expect}{purpose}"


def markdown(report: Report) -> str:
    """The report for a page: a heading, the verdict, a table, and a list of sentences on each suite."""
    lines = [f"# refmeta check of {_escape(report.name)}", "", f"**{_escape(summary(report.findings))}**", ""]
    lines += [_settings_text(report), "", _cells(HEADS), _cells(["---"] * len(HEADS))]
    lines += [_cells(row(f)) for f in report.findings]
    asked_suites = asked_findings(report.findings)
    for f in asked_suites:
        lines += ["", f"## {f.suite}: {f.word}", "", f"{_escape(f.sentence)}.", ""]
        lines += [f"- {_escape(line)}" for line in details(f)]
    lines += [f"\n{_escape(line)}." for line in unjudged_line([o for f in asked_suites for o in f.outcomes])]
    lines += [f"\n**{_escape(_sentence(line))}**" for line in report.mended.values()]
    lines += ["", ", ".join(f"{k} {v}" for k, v in versions().items())]
    return "\n".join(lines)


def _cells(cells: Sequence[str]) -> str:
    """One line of a Markdown table."""
    return "| " + " | ".join(map(_escape, cells)) + " |"


def _escape(line: str) -> str:
    """A line with its markup escaped."""
    return "".join("\\" + c if c in "\\`*_|<>[]#" else c for c in line)
