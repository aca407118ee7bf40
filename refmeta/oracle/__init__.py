"""The oracle: certified vectors, `check` for any implementation, and a diagnosis that names the mistake."""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.oracle.case import SUITES, Case
from refmeta.oracle.cases import UsageError, VectorError, cases
from refmeta.oracle.check import RIGHT, Outcome, Settings, calling, judge, run, validated
from refmeta.oracle.diagnose import diagnose

__all__ = ["SUITES", "Case", "UsageError", "VectorError", "assert_matches", "cases", "check"]


def check(function: Callable[..., Any], suite: str, **settings: Any) -> list[Outcome]:
    """Run a Python function on a suite; AssertionError with the diagnosis if it is wrong, else the outcomes.

    `settings` are those of the command: quantity, reduce, ascent, expect, dtype, skip_flags.
    """
    chosen = validated(Settings(**settings))
    outcomes = run(calling(function), cases(suite), chosen)
    bad = [o for o in outcomes if o.verdict not in (*RIGHT, "skip")]
    if bad or all(o.verdict == "skip" for o in outcomes):
        said = [f"{o.case.id}: {o.verdict}: {o.message}" for o in bad[:5]] or ["nothing was run"]
        raise AssertionError(
            "\n".join([f"{len(bad)} of {len(outcomes)} cases are wrong", *said, *diagnose(outcomes, chosen)])
        )
    return outcomes


def assert_matches(case: Case, got: Any, dtype: Any = "float64", **settings: Any) -> None:
    """Raise AssertionError, with the diagnosis, unless `got` is the case's result to the tolerance of the dtype."""
    chosen = validated(Settings(dtype=str(np.dtype(dtype)), **settings))
    outcome = judge(case, got, chosen)
    if outcome.verdict not in RIGHT:
        raise AssertionError("\n".join([f"{case.id}: {outcome.message}", *diagnose([outcome], chosen)]))
