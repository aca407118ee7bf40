"""`python -m refmeta.oracle.renew [--check]`: derive every expected value of the vectors again.

Without `--check` the files are written anew; with it nothing is written, and any difference is named and fails.
"""

import argparse
import json
import re
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.certify import certificate
from refmeta.oracle.decimals import map_numbers
from refmeta.oracle.known import EVERY, Wrong
from refmeta.oracle.suite import Suite
from refmeta.oracle.suites import FOLDER, SUITES
from refmeta.pieces import in_order, worker_pool
from refmeta.tolerance import PATTERNS, condition_number, error_in_tolerances, max_per_task, perturbed_input

__all__ = ["json_text", "main", "renew"]

LARGEST_KAPPA, LARGEST_ERROR, FEWEST_DIGITS = 1e6, 0.2, 30


def renew(job: tuple[str, dict[str, Any]]) -> tuple[dict[str, Any], float]:
    """The case with its expected values derived from its input, and the library's worst error in tolerances."""
    name, case = job
    suite, case, worst = SUITES[name], {**case, "expected": {}, "discriminates": {}}, 0.0
    if case["result"] == "invalid":
        return case, worst
    problem, valid = suite.problem(suite.arguments(case["input"])), case["result"] == "valid"
    wrong = {row: row.result(problem) for row in suite.rows} if valid else {}
    moved = [perturbed_input(problem, pattern) for pattern in PATTERNS]
    for part in suite.parts:
        nested, digits = certificate(suite, case["input"], part)
        value = np.array(nested, dtype=object).astype(float)
        scale = np.maximum(max_per_task(_task_rows(suite, part, value)), suite.terms(part, problem, value))
        scale = np.where(scale > 0, scale, 1.0)
        answer = partial(_answer, suite, part)
        got = answer(problem)
        kappa = condition_number(answer, problem, scale, got, moved=moved)
        error = _error(suite, got, _task_rows(suite, part, value), kappa, scale)
        if valid and (np.max(kappa) >= LARGEST_KAPPA or error > LARGEST_ERROR or 0 < digits < FEWEST_DIGITS):
            raise ValueError(
                f"{case['id']}: {part}: kappa {np.max(kappa):.2g}, error {error:.2g}, digits {digits}: not valid"
            )
        case["expected"][part] = {
            "value": value.tolist(), "hex": map_numbers(float.hex, value.tolist()),
            "kappa": np.atleast_1d(kappa).tolist(), "scale": [float(f"{s:.3g}") for s in np.atleast_1d(scale)], "digits": digits,
        }  # fmt: skip
        if valid:
            worst = max(worst, error)
            for row, result in wrong.items():
                if (margin := _margin(suite, part, row, result, value, kappa, scale)) > 10:
                    before = case["discriminates"].get(row.slug, 0.0)
                    case["discriminates"][row.slug] = max(before, float(f"{margin:.2g}"))
    return case, worst


def _answer(suite: Suite, part: str, problem: Any) -> Array:
    """The library's answer, one row per task."""
    return _task_rows(suite, part, suite.answer(part, problem))


def _task_rows(suite: Suite, part: str, value: Any) -> Array:
    """A value with one row per task; a value for all tasks together is one row."""
    return np.asarray(value) if suite.parts[part].by_task else np.asarray(value)[None]


def _error(suite: Suite, got: Array, right: Array, kappa: Array, scale: Array) -> float:
    """The worst error in tolerances."""
    return float(np.max(error_in_tolerances(got, right, kappa, scale, suite.residual), initial=0.0))


def _margin(suite: Suite, part: str, row: Wrong, result: Any, value: Array, kappa: Array, scale: Array) -> float:
    """How many tolerances a known-wrong formula is off in a part; 0 if it says nothing about the part."""
    if result is not None and row.quantity in ("sum", "mean") and part == suite.array:
        value, result, by_task = getattr(value, row.quantity)(0)[None], np.asarray(result)[None], False
    else:
        result = (result or {}).get(part) if row.quantity == EVERY else result if row.quantity == part else None
        if result is None:
            return 0.0
        value, result, by_task = _task_rows(suite, part, value), _task_rows(suite, part, result), suite.parts[part].by_task
    kappa, scale = (kappa, scale) if by_task else (np.max(kappa)[None], np.sum(scale)[None])
    return _error(suite, result, value, kappa, scale)


def json_text(document: dict[str, Any]) -> str:
    """JSON with one line per list of numbers, so that a difference can be read."""
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    lists = re.compile(r"\[\n\s*([^\[\]{}]*?)\n\s*\]")
    return lists.sub(lambda match: "[" + re.sub(r",\n\s*", ", ", match[1]) + "]", text) + "\n"


def main() -> int:
    """Renew or check every file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail on any difference")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="so many processes; the results are the same (2)")
    options, changed = parser.parse_args(), list[str]()
    with worker_pool(options.workers) as executor:
        for name, suite in SUITES.items():
            path = Path(str(FOLDER / suite.vectors))
            document = json.loads(path.read_text("utf-8"))
            old = [case for group in document["groups"] for case in group["cases"]]
            new, errors = zip(*in_order(renew, [(name, case) for case in old], executor), strict=True)
            changed += [before["id"] for before, after in zip(old, new, strict=True) if before != after]
            cases = iter(new)
            for group in document["groups"]:
                group["cases"] = [next(cases) for _ in group["cases"]]
            print(f"{name:22} {len(new):4} cases; the library's worst error {max(errors):.4f} tolerances", flush=True)
            if not options.check:
                path.write_text(json_text(document), "utf-8")
    print(f"changed: {', '.join(changed) or 'nothing'}")
    return int(options.check and bool(changed))


if __name__ == "__main__":
    sys.exit(main())
