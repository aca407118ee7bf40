"""`python -m refmeta show`: a vector, to paste as Python; or a suite: its inputs, answers and losses."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from refmeta.commands.list import comment_of, flags_of
from refmeta.oracle.suite import Case, Input, Part, Suite
from refmeta.oracle.suites import SUITES
from refmeta.oracle.vectors import UsageError, cases
from refmeta.tables import Column, paragraphs, table, unknown_name, width

__all__ = ["add"]

Entries = Mapping[str, Input] | Mapping[str, Part]


def add(commands: Any) -> None:
    """Add the command to the parser's."""
    command = commands.add_parser("show", help="a vector, to paste as Python; or a suite: its inputs, answers and losses")
    command.add_argument("id", metavar="CASE|SUITE", help="as maml-quadratic-014, or maml-quadratic")
    command.set_defaults(run=_show)


def _show(options: Any) -> int:
    """`show`: a suite, or a vector."""
    if options.id in SUITES:
        print("\n".join(_suite(SUITES[options.id])))
        return 0
    every = {case.id: case for suite in SUITES for case in cases(suite)}
    if options.id not in every:
        listing = "`python -m refmeta list` lists all cases, `show SUITE` the inputs of a suite"
        raise UsageError(unknown_name("case or suite", options.id, [*every, *SUITES], listing))
    print("\n".join(_snippet(every[options.id])))
    return 0


def _suite(suite: Suite) -> Iterator[str]:
    """What a suite asks for and expects."""
    yield paragraphs(f"{suite.name}: {suite.title}. {len(cases(suite.name))} cases.\n")
    yield paragraphs(f"Sizes: {suite.sizes}.", later="  ")
    yield paragraphs(f"Losses: {suite.losses}\n", later="  ")
    yield _entries("Inputs, as keywords", suite.inputs)
    others = ", ".join(name for name in suite.quantities if name != suite.array)
    one = f"Answer: an array, {suite.array}" + f"; --quantity asks for another of these: {others}" * bool(others)
    yield _entries(one if suite.array else "Answer: a dict of these parts, or of some of them", suite.parts)
    yield f"To judge your own:\n  python -m refmeta check mymodule:my_function --suite {suite.name}"
    yield f"To see a vector:\n  python -m refmeta show {cases(suite.name)[0].id}"


def _entries(title: str, entries: Entries) -> str:
    """Names, shapes and meanings, one row for each."""
    heads = (Column("name"), Column("shape"), Column("meaning", text=True))
    rows = [(name, entry.shape.replace(" or ", "\nor "), entry.meaning) for name, entry in entries.items()]
    return table(f"{title}\n", heads, rows) + "\n"


def _snippet(case: Case) -> Iterator[str]:
    """A case as Python: its inputs and its certified answers, what each is in a comment before it."""
    about = case.about
    yield paragraphs(f"{case.id}: {comment_of(case)}", "# ")
    refused = ": the input must be refused" if case.result == "invalid" else ""
    yield paragraphs(case.result + refused + flags_of(case, "; flags: {}"), "# ")
    yield paragraphs(f"Sizes: {about.sizes}.\nLosses: {about.losses}", "# ", "#   ")
    yield "import numpy as np\n"
    yield from _keywords("inputs", about.inputs, case.input)
    yield from _keywords("expected", about.parts, {name: x.value.tolist() for name, x in case.expected.items()})
    for slug, margin in case.discriminates.items():
        yield paragraphs(f"{slug} is off by {margin:.2g} tolerances", "# ", "#   ")


def _keywords(name: str, entries: Entries, values: dict[str, Any]) -> Iterator[str]:
    """A dict, each entry after a comment with its shape and meaning."""
    yield f"{name} = dict("
    for key, value in values.items():
        yield paragraphs(f"{key} {entries[key].shape}: {entries[key].meaning}", "    # ", "    #   ")
        if isinstance(value, list):
            start = f"    {key}=np.array("
            yield f"{start}{_literal(value, 4, len(start))}),"
        else:
            yield f"    {key}={_literal(value, 0, 0)},"
    yield ")"


def _literal(value: Any, indent: int, before: int) -> str:
    """A number, a word, None or a nested list as Python reads it; a list too long to follow `before` characters is broken."""
    if not isinstance(value, list):
        with contextlib.suppress(ValueError):  # a word stays one
            value = float(value) if isinstance(value, str) else value
        return f"np.{value}" if isinstance(value, float) and not np.isfinite(value) else repr(value)
    flat = "[" + ", ".join(_literal(entry, 0, 0) for entry in value) + "]"
    if before + len(flat) + 2 <= width():
        return flat
    deeper = indent + 4
    if any(isinstance(entry, list) for entry in value):
        lines = ",\n".join(" " * deeper + _literal(entry, deeper, deeper) for entry in value)
    else:
        lines = paragraphs(flat[1:-1], " " * deeper)
    return f"[\n{lines}\n{' ' * indent}]"
