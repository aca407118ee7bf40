"""The oracle: certified vectors, `check` for any implementation, and a diagnosis that names the mistake."""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.oracle.check import as_target, questions, run
from refmeta.oracle.diagnosis import SECONDS
from refmeta.oracle.expected_failures import pytest_cases
from refmeta.oracle.judge import RIGHT, JudgeSettings, Outcome, check_settings, judge
from refmeta.oracle.own import Diagnosis
from refmeta.oracle.suite import Case
from refmeta.oracle.suites import SUITES as _SUITES
from refmeta.oracle.suites.own.problem import Problem, diagnose
from refmeta.oracle.vectors import UsageError, VectorError, cases

__all__ = [
    "SUITES", "Case", "Diagnosis", "Problem", "UsageError", "VectorError", "assert_matches", "cases", "check", "diagnose", "pytest_cases",
]  # fmt: skip

SUITES = tuple(_SUITES)


def check(
    function: Callable[..., Any],
    suite: str,
    *,
    repeat: int | None = None,
    allow_rounding: bool = False,
    seconds: float = SECONDS,
    **settings: Any,
) -> list[Outcome]:
    """Run a Python function on a suite; AssertionError with the diagnosis unless it is right, else the outcomes.

    `settings` are those of the command: quantity, reduce, ascent, expect, dtype, skip_flags, validation,
    convention.  The search for what it computes instead may take `seconds`, of which waiting counts a
    fifth; with less, fewer mistakes are named.
    """
    from refmeta.oracle.facts import brief
    from refmeta.oracle.verdict import finding, status_of

    vectors = cases(suite)
    judge_settings = check_settings(JudgeSettings(**settings), _SUITES[suite])
    target = as_target(function)
    outcomes = run(target, vectors, judge_settings, repeat=repeat)
    verdict = finding(suite, outcomes, judge_settings, questions(target, judge_settings), seconds=seconds)
    if status_of([verdict], allow_rounding=allow_rounding):
        raise AssertionError("\n".join([f"{verdict.word}: {verdict.sentence}", *brief(verdict)]))
    return outcomes


def assert_matches(case: Case, got: Any, dtype: Any = "float64", **settings: Any) -> None:
    """Raise AssertionError, with the diagnosis, unless `got` is the case's result to the tolerance of the dtype."""
    from refmeta.oracle.diagnosis import diagnose as sentences

    judge_settings = check_settings(JudgeSettings(dtype=str(np.dtype(dtype)), **settings), case.about)
    outcome = judge(case, got, judge_settings)
    if outcome.verdict not in RIGHT:
        raise AssertionError("\n".join([f"{case.id}: {outcome.message}", *sentences([outcome], judge_settings)]))
