"""Say what was found: text for a person, JSON and JUnit for machines."""

import hashlib
import json
import platform
from collections.abc import Sequence
from importlib.resources import files
from typing import Any
from xml.etree import ElementTree

import numpy as np

from refmeta.oracle.case import PARTS, Case
from refmeta.oracle.check import RIGHT, Outcome, Settings
from refmeta.oracle.diagnose import diagnose
from refmeta.oracle.protocol import encoded
from refmeta.oracle.tolerance import RESIDUAL, tolerance

WORST = 12


def status(outcomes: Sequence[Outcome]) -> int:
    """0 all right, 1 a mismatch, 3 a crash or time-out, 5 nothing was run."""
    verdicts = {o.verdict for o in outcomes} - {"skip"}
    if not verdicts:
        return 5
    if verdicts & {"crash", "timeout"}:
        return 3
    return int(bool(verdicts - set(RIGHT)))


def versions() -> dict[str, str]:
    """What the verdict rests on."""
    import scipy

    import refmeta

    folder = files("refmeta.oracle") / "vectors"
    digest = hashlib.sha256()
    for entry in sorted(folder.iterdir(), key=lambda e: e.name):
        digest.update(entry.read_bytes())
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return {
        "refmeta": refmeta.__version__, "vectors": digest.hexdigest()[:12], "python": platform.python_version(),
        "numpy": np.__version__, "scipy": scipy.__version__, "blas": f"{blas.get('name')} {blas.get('version')}",
    }  # fmt: skip


def by_suite(outcomes: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    """The outcomes of each suite, in order."""
    found: dict[str, list[Outcome]] = {}
    for o in outcomes:
        found.setdefault(o.case.suite, []).append(o)
    return found


def faint(cases: Sequence[Case], settings: Settings) -> list[str]:
    """Known-wrong formulas that single precision cannot tell from the right one: margin below ten tolerances."""
    if settings.dtype != "float32":
        return []
    one = np.ones(())
    best: dict[str, float] = {}
    for case in cases:
        double, single = (tolerance(one, one, dtype, RESIDUAL.get(case.suite, 0.0)) for dtype in ("float64", "float32"))
        shrink = float(double / single)
        for slug, margin in case.discriminates.items():
            best[slug] = max(best.get(slug, 0.0), margin * shrink)
    return [slug for slug, margin in best.items() if margin < 10]


def text(name: str, outcomes: Sequence[Outcome], settings: Settings) -> str:
    """The report for a person."""
    lines = [f"refmeta check of {name}: {settings.quantity}, {settings.dtype}, expected: {settings.expect}"]
    lines.append("(" + ", ".join(f"{k} {v}" for k, v in versions().items()) + ")\n")
    lines.append(
        f"{'suite':22}{'cases':>6}{'right':>7}{'wrong':>7}{'failed':>8}{'skipped':>9}{'worst error':>15}{'digits':>8}"
    )
    for suite, found in by_suite(outcomes).items():
        right, skipped = sum(o.verdict in RIGHT for o in found), sum(o.verdict == "skip" for o in found)
        failed = sum(o.verdict in ("error", "crash", "timeout") for o in found)
        judged = [o for o in found if o.got is not None and o.verdict in ("pass", "mismatch")]
        worst = f"{max(o.error for o in judged):.3g} tol" if judged else "-"
        digits = f"{min(min(o.digits for o in judged), 17.0):.1f}" if judged else "-"
        wrong = len(found) - right - skipped - failed
        lines.append(f"{suite:22}{len(found):6}{right:7}{wrong:7}{failed:8}{skipped:9}{worst:>15}{digits:>8}")
    bad = [o for o in outcomes if o.verdict not in (*RIGHT, "skip")]
    lines += [""] * bool(bad) + [f"{o.case.id}: {o.verdict}: {o.message}" for o in bad[:WORST]]
    lines += [f"… and {len(bad) - WORST} more"] if len(bad) > WORST else []
    for suite, found in by_suite(outcomes).items():
        lines += [f"\nDiagnosis: {sentence}" for sentence in diagnose(found, settings)]
        if suite in PARTS:
            given = [name for o in found if o.verdict in ("pass", "mismatch", "bounded") for name in o.got or {}]
            asked = ", ".join(f"{n} in {given.count(n)} cases" for n in PARTS[suite] if n in given)
            unasked = ", ".join(n for n in PARTS[suite] if n not in given)
            lines.append(f"\njudged: {asked or 'nothing'}" + (f"; not judged: {unasked}" if unasked else ""))
    unseen = faint([o.case for o in outcomes], settings)
    lines += [f"\nNot distinguishable in float32: {', '.join(unseen)}"] if unseen else []
    lines.append("\n" + verdict(outcomes))
    return "\n".join(lines)


def verdict(outcomes: Sequence[Outcome]) -> str:
    """One sentence."""
    ran = [o for o in outcomes if o.verdict != "skip"]
    right = sum(o.verdict in RIGHT for o in ran)
    if not ran:
        return "Nothing was run: no case was selected, or every case was skipped."
    skipped = f" ({len(outcomes) - len(ran)} skipped)" if len(outcomes) > len(ran) else ""
    if right == len(ran):
        digits = [o.digits for o in ran if o.verdict == "pass"]
        said = f", to {min(*digits, 17.0):.1f} digits or more" if digits else "; no value was compared"
        return f"RIGHT: {right} of {len(ran)} cases{skipped}{said}."
    return f"WRONG: {len(ran) - right} of {len(ran)} cases{skipped}."


def as_json(name: str, outcomes: Sequence[Outcome], settings: Settings) -> str:
    """The report for a machine."""
    rows = [
        {"id": o.case.id, "suite": o.case.suite, "verdict": o.verdict, "message": o.message, "tolerances": o.error,
         "digits": min(o.digits, 17.0), "seconds": o.seconds}
        for o in outcomes
    ]  # fmt: skip
    diagnosis = {suite: diagnose(found, settings) for suite, found in by_suite(outcomes).items()}
    document: dict[str, Any] = {
        "target": name, "settings": settings._asdict(), "versions": versions(), "status": status(outcomes),
        "verdict": verdict(outcomes), "diagnosis": diagnosis, "cases": rows,
    }  # fmt: skip
    return json.dumps(encoded(document), indent=1, ensure_ascii=False, allow_nan=False)


def junit(name: str, outcomes: Sequence[Outcome], settings: Settings) -> str:
    """The report for a CI server."""
    root = ElementTree.Element("testsuites", name=f"refmeta check of {name}")
    for suite, found in by_suite(outcomes).items():
        bad = [o for o in found if o.verdict not in (*RIGHT, "skip")]
        node = ElementTree.SubElement(
            root, "testsuite", name=suite, tests=str(len(found)), failures=str(len(bad)),
            skipped=str(sum(o.verdict == "skip" for o in found)),
        )  # fmt: skip
        for o in found:
            entry = ElementTree.SubElement(node, "testcase", name=o.case.id, classname=suite, time=f"{o.seconds:.6f}")
            if o.verdict == "skip":
                ElementTree.SubElement(entry, "skipped", message=o.message)
            elif o in bad:
                ElementTree.SubElement(entry, "failure", message=f"{o.verdict}: {o.message}")
        said = ElementTree.SubElement(node, "system-out")
        said.text = "\n".join(diagnose(found, settings))
    return ElementTree.tostring(root, encoding="unicode")
