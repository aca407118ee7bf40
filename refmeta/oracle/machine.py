"""Reports for machines: JSON, and JUnit for a CI server.  Derivation: derivations/using-the-oracle.md"""

import json
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

from refmeta.oracle.facts import details
from refmeta.oracle.judge import Entry, Outcome, is_bad
from refmeta.oracle.protocol import json_value
from refmeta.oracle.report import Report, markdown, text, versions
from refmeta.oracle.verdict import NEUTRAL, Finding, summary

__all__ = ["ENDINGS", "FORMATS", "as_json", "junit"]


def as_json(report: Report) -> str:
    """The report with every case, and the verdict, worst entry and diagnosis of every suite."""
    document: dict[str, Any] = {
        "target": report.name, "settings": report.settings._asdict(), "versions": versions(), "status": report.status,
        "verdict": summary(report.findings), "diagnosis": {f.suite: f.explanation for f in report.findings},
        "suites": [_suite(f) for f in report.findings], "mended": list(report.mended.values()), "cases": [_case(o) for o in report.outcomes],
    }  # fmt: skip
    return json.dumps(json_value(document), indent=1, ensure_ascii=False, allow_nan=False)


def _suite(finding: Finding) -> dict[str, Any]:
    """The verdict on a suite."""
    pair = finding.worst
    worst = {"id": pair[0].id, **_entry(pair[1])} if pair else None
    return {
        "suite": finding.suite,
        "verdict": finding.word,
        "sentence": finding.sentence,
        "worst": worst,
        "where": finding.where.lines,
        "what": finding.explanation,
        "next": finding.next,
        "details": details(finding),
    }


def _entry(entry: Entry) -> dict[str, Any]:
    """The worst entry of a result."""
    return {"index" if name == "at" else name: value for name, value in entry._asdict().items()}


def _case(o: Outcome) -> dict[str, Any]:
    """What became of a case."""
    return {
        "id": o.case.id, "suite": o.case.suite, "verdict": o.verdict, "message": o.message, "tolerances": o.error,
        "digits": min(o.digits, 17.0), "seconds": o.seconds, "worst": _entry(o.worst) if o.worst else None,
        "warnings": o.warnings,
    }  # fmt: skip


def junit(report: Report) -> str:
    """One test case for each vector; a failure where it is wrong, right to fewer digits than are allowed, or expected to fail and right."""
    root = ElementTree.Element("testsuites", name=f"refmeta check of {report.name}")
    for f in report.findings:
        excused = report.allow_rounding and f.word == "ROUNDING"
        bad = [o for o in f.outcomes if is_bad(o) and not excused]
        node = ElementTree.SubElement(
            root, "testsuite", name=f.suite, tests=str(len(f.outcomes)), failures=str(len(bad) + sum(o.case.id in report.mended for o in f.outcomes)),
            skipped=str(sum(o.verdict in NEUTRAL for o in f.outcomes)),
        )  # fmt: skip
        for o in f.outcomes:
            entry = ElementTree.SubElement(node, "testcase", name=o.case.id, classname=f.suite, time=f"{o.seconds:.6f}")
            if o.verdict in NEUTRAL:
                ElementTree.SubElement(entry, "skipped", message=o.message)
            elif o in bad:
                ElementTree.SubElement(entry, "failure", message=f"{o.verdict}: {o.message}")
            elif o.case.id in report.mended:
                ElementTree.SubElement(entry, "failure", message=report.mended[o.case.id])
        output = ElementTree.SubElement(node, "system-out")
        output.text = "\n".join([f"{f.word}: {f.sentence}", *details(f)])
    return ElementTree.tostring(root, encoding="unicode")


FORMATS: dict[str, Callable[[Report], str]] = {"text": text, "json": as_json, "junit": junit, "markdown": markdown}
ENDINGS = {".txt": "text", ".json": "json", ".xml": "junit", ".md": "markdown"}
