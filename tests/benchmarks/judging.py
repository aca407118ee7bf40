"""What judging costs, in seconds of processor time: `verify`, the certificates of the vectors, and a diagnosis."""

import json
import time
from pathlib import Path
from typing import Any

from measure import Shown, Subject, elapsed

import refmeta as rm
from refmeta.oracle.known import EVERY
from refmeta.oracle.suites import SUITES as LIBRARY

SUITES = list(LIBRARY)
MISTAKES = [("maml-tabular", "first-order"), ("returns", "truncation-is-termination"), ("surrogates", "dice-over-returns")]


def verified(size: Any, seconds: float) -> dict[str, Any]:
    """Every label, or the first few, on so many random problems."""
    from refmeta.commands.verify import judge
    from refmeta.evidence import CHECKS

    most, problems = size
    checks = CHECKS[: most or None]
    times = {check.label: elapsed(lambda check=check: judge(check, seed=0, problems=problems), time.process_time) for check in checks}
    slowest = max(times, key=times.__getitem__)
    total = sum(times.values())
    row = {"size": str(len(checks)), "refmeta": total / len(checks), "total": total}
    return row | {"median": sorted(times.values())[len(checks) // 2], "longest": times[slowest], "slowest": slowest}


VERIFY = Subject(
    "verify", "verify: every label on 20 random problems", "seconds of processor time: mean and median of a label, the slowest, and all", "labels",
    [Shown("refmeta", "mean", ".4f"), Shown("median", "median", ".4f"), Shown("longest", "longest"), Shown("slowest", "label"), Shown("total", "all", ".1f")],
    [(0, 20)], [(2, 1)], verified,
)  # fmt: skip


def certified(size: Any, seconds: float) -> dict[str, Any]:
    """Some vectors of a suite, from the first to the last: definition, library, condition number, known-wrong formulas."""
    from refmeta.oracle.renew import renew

    name, few = size
    folder = Path(rm.oracle.__file__).parent / "suites"
    document = json.loads((folder / LIBRARY[name].vectors).read_text("utf-8"))
    every = [case for group in document["groups"] for case in group["cases"] if case["result"] != "invalid"]
    chosen = every[:: max(1, len(every) // few)][:few]
    times = [elapsed(lambda case=case: renew((name, case)), time.process_time) for case in chosen]
    mean = sum(times) / len(times)
    return {"size": name, "refmeta": mean, "longest": max(times), "timed": len(times), "vectors": len(every), "all": mean * len(every)}


CERTIFICATES = Subject(
    "certificates", "Certificates: a few vectors of each suite, derived again as `make vectors` does",
    "seconds of processor time per vector; all: the mean times the number of vectors", "suite",
    [Shown("timed", "timed", "d"), Shown("refmeta", "mean", ".3f"), Shown("longest", "longest", ".3f"), Shown("vectors", "vectors", "d"), Shown("all", "all", ".1f")],
    [(name, 3) for name in SUITES], [("reptile", 1)], certified,
)  # fmt: skip


def diagnosed(size: Any, seconds: float) -> dict[str, Any]:
    """A known-wrong formula as the implementation; the report must name it."""
    suite, slug = size
    about = LIBRARY[suite]
    wrong = next(row for row in about.rows if row.slug == slug)
    said = list[str]()

    def target(**inputs: Any) -> Any:
        value = wrong.result(about.problem(inputs))
        return value if about.array or wrong.quantity == EVERY else {wrong.quantity: value}

    def check() -> None:
        try:
            rm.oracle.check(target, suite, **({"quantity": wrong.quantity} if wrong.quantity in about.quantities else {}))
        except AssertionError as error:
            said.append(str(error))

    spent = elapsed(check, time.process_time)
    if not said or slug not in said[0]:
        raise AssertionError(f"{suite}: the report does not name {slug}: {said}")
    return {"size": f"{suite}: {slug}", "refmeta": spent, "vectors": len(rm.oracle.cases(suite))}


DIAGNOSIS = Subject(
    "diagnosis", "Diagnosis: a mistake is judged on every vector of its suite, and named", "seconds of processor time", "suite: mistake",
    [Shown("refmeta", "seconds"), Shown("vectors", "vectors", "d")], MISTAKES, MISTAKES[1:2], diagnosed,
)  # fmt: skip

SUBJECTS = [VERIFY, CERTIFICATES, DIAGNOSIS]
