"""What every failing vector may equal: a known-wrong formula, or another quantity than was asked for.

Derivation: derivations/using-the-oracle.md
"""

from collections.abc import Sequence

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.diagnosis.rows import candidate_rows, value_of
from refmeta.oracle.judge import JudgeSettings, Outcome, right_result
from refmeta.oracle.known import Wrong
from refmeta.oracle.match import Match, candidate_of, in_all, match_of, matching
from refmeta.oracle.suite import Case

__all__ = ["quantity_matches", "row_matches"]

KINDS = {
    "wrong": "EXACT match with known-wrong formula {what} {where}",
    "convention": "EXACT match with a convention: {what} {where}; if you mean it, accept it with {accept}",
    "right": "EXACT match with what is not a mistake, but not what was asked for: {what} {where}",
}


def row_matches(failing: Sequence[Outcome], settings: JudgeSettings) -> list[Match]:
    """What is right but for a setting that says otherwise; else the known-wrong formulas that every failing vector equals."""
    if plain := _right_after_all(failing, settings):
        return plain
    rows = candidate_rows(failing[0].case, settings)
    found = matching((_row_match(row, failing, settings) for row in rows), failing, settings)
    return found + _halves(failing, settings) if found else []


def _halves(failing: Sequence[Outcome], settings: JudgeSettings) -> list[Match]:
    """Half of the right result, if that is what every failing vector has: a tie with a row that divides by a size of 2."""

    def half(case: Case, name: str) -> Array:
        return right_result(case, name, settings) / 2

    return matching([match_of("the right result times ½", half, failing)], failing, settings)


def _right_after_all(failing: Sequence[Outcome], settings: JudgeSettings) -> list[Match]:
    """The right result, where --convention or --expect first-order asks for another."""
    usual = settings._replace(convention="", expect="exact")
    if usual == settings:
        return []
    said = f"--convention {settings.convention}" if settings.convention else f"--expect {settings.expect}"
    asked = settings.quantity if failing[0].case.about.quantities else ""
    value = candidate_of(lambda case, name: _answer(case, asked or name), usual)
    more = f": drop {said}, if that is what it is to compute"
    return matching([match_of("the right result itself", value, failing, more)], failing, settings)


def _row_match(row: Wrong, failing: Sequence[Outcome], settings: JudgeSettings) -> Match:
    """The sentence on a row, with its likely cause and where to read on."""
    what, chapter = f"{row.slug} ({row.formula})", failing[0].case.about.chapter_of(row)
    accept = {"sum": "--reduce mean", "mean": "--reduce sum"}.get(row.quantity, f"--convention {row.slug}")
    start = KINDS[row.kind].format(what=what, where=in_all(failing), accept=accept)
    more = f"likely: {row.cause}; see derivations/{chapter}.md and `python -m refmeta explain {row.slug}`"
    return Match(what, f"{start}; {more}", value_of(row, settings), slug=row.slug)


def quantity_matches(failing: Sequence[Outcome], settings: JudgeSettings) -> list[Match]:
    """The right value of another quantity than was asked for."""
    candidates = []
    for name in failing[0].case.about.quantities:
        value = candidate_of(lambda case, _, q=name: _answer(case, q), settings)  # type: ignore[misc]
        more = f": say --quantity {name}, if that is what it is to compute"
        candidates.append(match_of(f"the right {name}", value, failing, more))
    return matching(candidates, failing, settings)


def _answer(case: Case, part: str) -> Array:
    """The certified value of a part; of a case that was moved, which has the part in question alone, the library's."""
    return case.expected[part].value if part in case.expected else np.asarray(case.about.answer(part, case.problem))
