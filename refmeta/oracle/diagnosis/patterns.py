"""What every failing vector may equal: a known-wrong formula, or another quantity than was asked for.

Derivation: derivations/using-the-oracle.md
"""

from collections.abc import Sequence

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.diagnosis.rows import candidate_rows, value_of
from refmeta.oracle.judge import JudgeSettings, Outcome, as_returned, right_result
from refmeta.oracle.known import Wrong
from refmeta.oracle.match import Candidate, Match, candidate_of, in_all, match_of, matching
from refmeta.oracle.suite import Case

__all__ = ["quantity_matches", "row_matches"]

KINDS = {
    "wrong": "EXACT match with known-wrong formula {what} {where}",
    "convention": "EXACT match with a convention: {what} {where}; if you mean it, accept it with --convention {slug}",
    "right": "EXACT match with what is not a mistake, but not what was asked for: {what} {where}",
}


def row_matches(failing: Sequence[Outcome], settings: JudgeSettings) -> list[Match]:
    """What is right but for a setting that says otherwise; else the known-wrong formulas that every failing vector equals."""
    if plain := _right_after_all(failing, settings):
        return plain
    rows = candidate_rows(failing[0].case, settings)
    return matching((_row_match(row, failing, settings) for row in rows), failing, settings)


def _right_after_all(failing: Sequence[Outcome], settings: JudgeSettings) -> list[Match]:
    """The right result, where --convention or --expect first-order asks for another."""
    usual = settings._replace(convention="", expect="exact")
    if usual == settings:
        return []
    said = f"--convention {settings.convention}" if settings.convention else f"--expect {settings.expect}"
    asked = settings.quantity if failing[0].case.about.quantities else ""
    value: Candidate = lambda case, name: _right(case, asked or name, usual)
    more = f": drop {said}, if that is what it is to compute"
    return matching([match_of("the right result itself", value, failing, more)], failing, settings)


def _row_match(row: Wrong, failing: Sequence[Outcome], settings: JudgeSettings) -> Match:
    """The sentence on a row, with its likely cause and where to read on."""
    what, chapter = f"{row.slug} ({row.formula})", failing[0].case.about.chapter_of(row)
    start = KINDS[row.kind].format(what=what, where=in_all(failing), slug=row.slug)
    more = f"likely: {row.cause}; see derivations/{chapter}.md and `python -m refmeta explain {row.slug}`"
    return Match(what, f"{start}; {more}", value_of(row, settings), slug=row.slug)


def quantity_matches(failing: Sequence[Outcome], settings: JudgeSettings) -> list[Match]:
    """The right value of another quantity than was asked for."""
    candidates = []
    for name in failing[0].case.about.quantities:
        value = candidate_of(lambda case, _, q=name: case.expected[q].value, settings)  # type: ignore[misc]
        more = f": say --quantity {name}, if that is what it is to compute"
        candidates.append(match_of(f"the right {name}", value, failing, more))
    return matching(candidates, failing, settings)


def _right(case: Case, name: str, settings: JudgeSettings) -> Array:
    """The right result; of a part that is not expected of a case beside the vectors, the library's."""
    if name in case.expected:
        return right_result(case, name, settings)
    return as_returned(np.asarray(case.about.answer(name, case.problem), float), case, settings, name)
