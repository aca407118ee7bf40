"""`python -m refmeta explain`: a known-wrong formula: what it computes, its likely cause, where it was seen."""

import sysconfig
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import refmeta
from refmeta.oracle.known import EVERY, Wrong
from refmeta.oracle.suite import Suite
from refmeta.oracle.suites import SUITES
from refmeta.oracle.vectors import UsageError
from refmeta.tables import Column, paragraphs, suggestion, table, width

__all__ = ["add", "derivation", "false_alarms", "catalogue"]

Row = tuple[Suite, Wrong]


def add(commands: Any) -> None:
    """Add the command to the parser's."""
    command = commands.add_parser(
        "explain", help="a known-wrong formula: what it computes, its likely cause, where it was seen"
    )
    command.add_argument(
        "words", nargs="*", metavar="WORD",
        help="a slug, or words to look for in slugs, formulas, causes, code, repairs and sources; none: all slugs by chapter",
    )  # fmt: skip
    command.set_defaults(run=_explain)


def catalogue() -> list[Row]:
    """Every known-wrong formula once, with the first suite that has it."""
    first: dict[int, Row] = {}
    for suite in SUITES.values():
        for row in suite.rows:
            first.setdefault(id(row), (suite, row))
    return list(first.values())


def false_alarms() -> dict[str, str]:
    """Every false alarm of all suites."""
    return {slug: text for suite in SUITES.values() for slug, text in suite.false_alarms.items()}


def _explain(options: Any) -> int:
    """`explain`: the slug, what matches the words, or all slugs."""
    word, every, alarms = " ".join(options.words), catalogue(), false_alarms()
    if not word:
        print("\n".join(_all_slugs(every, alarms)))
        return 0
    pairs = [pair for pair in every if pair[1].slug == word]
    suspected = {slug: text for slug, text in alarms.items() if slug == word}
    if not (pairs or suspected):
        pairs = [(suite, row) for suite, row in every if _matches(options.words, suite.chapter_of(row), *row[:7])]
        suspected = {slug: text for slug, text in alarms.items() if _matches(options.words, slug, text)}
    if not (pairs or suspected):
        raise UsageError(_unknown(word, [*(row.slug for _, row in every), *alarms]))
    one = len({row.slug for _, row in pairs} | set(suspected)) == 1
    whole = [*(_full_text(*pair) for pair in pairs), *(_alarm_text(*pair) for pair in suspected.items())]
    print("\n\n".join(whole) if one else _match_table(word, pairs, suspected))
    return 0


def _unknown(word: str, slugs: Iterable[str]) -> str:
    """The sentence about a word that is found nowhere; it may be the label of a right formula."""
    from refmeta.evidence import CHECKS

    if word in (check.label for check in CHECKS):
        return f"{word!r} is no mistake but a formula of verify: python -m refmeta verify {word}"
    sentence = f"nothing that is known to be wrong matches {word!r}{suggestion(word, slugs)}"
    return f"{sentence}; `python -m refmeta explain` lists all slugs"


def _matches(words: Iterable[str], *texts: str) -> bool:
    """Does every word stand in one of the texts?"""
    return all(word.lower() in "\n".join(texts).lower() for word in words)


def _all_slugs(every: list[Row], alarms: dict[str, str]) -> Iterator[str]:
    """Every slug, chapter by chapter."""
    yield paragraphs("Known-wrong formulas by chapter; `python -m refmeta explain SLUG` explains one, WORD searches.\n")
    for chapter in dict.fromkeys(suite.chapter_of(row) for suite, row in every):
        slugs = ", ".join(row.slug for suite, row in every if suite.chapter_of(row) == chapter)
        yield paragraphs(f"{chapter}: {slugs}", later="  ")
    yield paragraphs(f"false alarms: {', '.join(alarms)}", later="  ")


def _match_table(word: str, rows: list[Row], alarms: dict[str, str]) -> str:
    """One line for each match; a formula that is too long for it ends in …"""
    pairs = [(row.slug, row.formula) for _, row in rows] + [(slug, "a false alarm") for slug in alarms]
    room = width() - 2 - max(len(slug) for slug, _ in pairs)
    pairs = [(slug, textwrap.shorten(formula, room, placeholder=" …")) for slug, formula in pairs]
    title = f"{len(pairs)} match {word!r}; `python -m refmeta explain SLUG` explains one\n"
    return table(title, (Column("slug"), Column("computes")), pairs)


def _full_text(suite: Suite, row: Wrong) -> str:
    """All that is known of a formula."""
    place = f"   (instead of: {row.quantity})" * (row.quantity != EVERY)
    entries = {
        "computes": row.formula + place,
        "where": "; ".join(text for letter, text in suite.letters.items() if letter in row.formula),
        "likely": row.cause,
        "written as": row.hint,
        "repair": row.repair,
        "seen in": row.source,
        "chapter": derivation(f"{suite.chapter_of(row)}.md"),
    }
    texts = [paragraphs(text, f"  {name:11}", " " * 13) for name, text in entries.items() if text]
    return "\n".join([row.slug, *texts])


def derivation(name: str) -> str:
    """The path of a chapter, beside the package or among the data of the installation; else its name alone."""
    folders = Path(refmeta.__file__).parents[1], Path(sysconfig.get_path("data"), "share", "refmeta")
    path = next((p for folder in folders if (p := folder / "derivations" / name).is_file()), Path(name))
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _alarm_text(slug: str, text: str) -> str:
    """A false alarm."""
    return slug + "\n" + paragraphs(f"a false alarm: {text}", "  ")
