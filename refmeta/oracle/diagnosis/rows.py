"""The known-wrong formulas of a suite, as a target would return them.  Derivation: derivations/using-the-oracle.md"""

from functools import lru_cache
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.judge import JudgeSettings, as_returned, gap, limit_of, names, right_result
from refmeta.oracle.known import EVERY, Wrong
from refmeta.oracle.match import NEAR, Candidate
from refmeta.oracle.suite import Case

__all__ = ["candidate_rows", "departure_of", "distances", "value_of"]


def candidate_rows(case: Case, settings: JudgeSettings) -> list[Wrong]:
    """The known-wrong formulas that a target may compute instead of what it is asked for."""
    wanted = {EVERY, *names(case, settings), settings.quantity, settings.reduce}
    return [row for row in case.about.rows if row.quantity in wanted]


@lru_cache(maxsize=1024)
def _result(row: Wrong, case: Case) -> Any:
    """What the row gives on a case, kept while a diagnosis goes through its parts."""
    return row.result(case.problem)


def value_of(row: Wrong, settings: JudgeSettings) -> Candidate:
    """What the row gives on a case, as the target would return it."""

    def value(case: Case, name: str) -> Array | None:
        result = _result(row, case)
        if result is None:
            return None
        if row.quantity in ("sum", "mean"):
            return -np.asarray(result) if settings.ascent else np.asarray(result)
        of = name if case.about.array else row.quantity  # of one array a row is what the target returns, whatever it is asked for
        parts = result if row.quantity == EVERY else {of: result}
        return as_returned(np.asarray(parts[name]), case, settings, name) if name in parts else None

    return value


def departure_of(row: Wrong, settings: JudgeSettings) -> Candidate:
    """The difference between a known-wrong formula and the right answer; None where the formula does not apply."""
    value = value_of(row, settings)

    def departure(case: Case, name: str) -> Array | None:
        wrong, right = value(case, name), right_result(case, name, settings)
        return None if wrong is None or wrong.shape != right.shape else wrong - right

    return departure


def distances(case: Case, name: str, settings: JudgeSettings) -> dict[str, float]:
    """How many tolerances every known-wrong formula is from the right answer, where it differs from it."""
    limit, found = limit_of(case, name, settings), dict[str, float]()
    for row in candidate_rows(case, settings):
        apart = departure_of(row, settings)(case, name)
        if apart is not None and np.isfinite(apart).all() and (size := gap(apart, 0 * apart, limit)) > NEAR:
            found[row.slug] = size
    return found
