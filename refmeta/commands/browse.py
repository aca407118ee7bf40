"""The oracle's commands that print what it knows: list, show, explain."""

import re
import sysconfig
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import refmeta
from refmeta.oracle.case import PARTS, SUITES, Case
from refmeta.oracle.cases import UsageError, cases
from refmeta.oracle.inputs import INPUTS_OF, Entries
from refmeta.oracle.wrong import FALSE_ALARMS, WRONG
from refmeta.oracle.wrong.row import Wrong, chapter_of
from refmeta.tables import Column, layout, paragraphs, suggestion, table, unknown_name, width

LETTERS = {
    "g_q": "g_q is the gradient of the query loss at the adapted parameters", "φ": "φ is the adapted parameters",
    "H_": "H_k is the Hessian of the support loss before step k", "H(φ)": "H(φ) is the same at φ",
}  # fmt: skip


def add(commands: Any, labels: Callable[[], Iterable[str]]) -> None:
    """Add the commands to the parser's; `labels` are those of the formulas that are right, which `verify` judges."""
    listed = commands.add_parser("list", help="the vectors; --matrix: which known-wrong formula each rejects")
    listed.add_argument("--suite", action="append", metavar="SUITE", help="only this suite; may be repeated")
    listed.add_argument("--matrix", action="store_true", help="known-wrong formulas down, vectors across")
    listed.set_defaults(run=_list)
    show = commands.add_parser("show", help="a vector, to paste as Python; or a suite: its inputs, answers and losses")
    show.add_argument("id", metavar="CASE|SUITE", help="as maml-quadratic-014, or maml-quadratic")
    show.set_defaults(run=_show)
    explain = commands.add_parser(
        "explain", help="a known-wrong formula: what it computes, its likely cause, where it was seen"
    )
    explain.add_argument(
        "words", nargs="*", metavar="WORD",
        help="a slug, or words to look for in slugs, formulas, causes, hints and sources; none: all slugs by chapter",
    )  # fmt: skip
    explain.set_defaults(run=_explain, labels=labels)


def suites_named(names: Iterable[str] | None) -> tuple[str, ...]:
    """The suites named, all without any; UsageError names one that does not exist."""
    for name in names or ():
        if name not in SUITES:
            raise UsageError(unknown_name("suite", name, SUITES, f"the suites are {', '.join(SUITES)}"))
    return tuple(names or SUITES)


def _list(options: Any) -> int:
    """`list`: the vectors or the matrix of every suite that is asked for."""
    for suite in suites_named(options.suite):
        print(_matrix(suite) if options.matrix else _vectors(suite), end="\n\n")
    return 0


def _vectors(suite: str) -> str:
    """A suite's vectors, one row each."""
    clause = _repeated(case.comment for case in cases(suite))
    title = f"{suite}: {INPUTS_OF[suite].title}; {len(cases(suite))} cases" + f"\n(*) {clause}" * bool(clause) + "\n"
    rows = [(case.id, case.result, _comment(case, clause) + _flags(case, "  [{}]")) for case in cases(suite)]
    return table(title, (Column("case"), Column("result"), Column("comment  [flags]", text=True)), rows)


def _repeated(comments: Iterable[str]) -> str:
    """The clause after a semicolon that four comments or more end with, if there is one."""
    clauses = Counter(comment.partition("; ")[2] for comment in comments if "; " in comment)
    return next((clause for clause, times in clauses.most_common(1) if times > 3), "")


def _comment(case: Case, clause: str = "") -> str:
    """The comment of a case, with 1 before the singular, and (*) for a clause that many share."""
    comment = case.comment.replace(clause, "(*)") if clause else case.comment
    return re.sub(r"\b1 (task|state|action|parameter|point|feature|step)s\b", r"1 \1", comment)


def _flags(case: Case, form: str) -> str:
    """The flags of a case, if it has any."""
    return form.format(", ".join(case.flags)) if case.flags else ""


def _matrix(suite: str) -> str:
    """Known-wrong formulas down, cases across as many tables as the width asks for, powers of ten in the cells."""
    valid = [case for case in cases(suite) if case.result == "valid"]
    slugs = list(dict.fromkeys(slug for case in valid for slug in case.discriminates))
    count = {slug: str(sum(case.discriminates.get(slug, 0) >= 1e3 for case in valid)) for slug in slugs}
    heads = Column("known-wrong formula"), Column("cases", right=True)
    room = layout(heads, [(slug, count[slug]) for slug in slugs])
    tables = -(-len(valid) // ((width() - sum(room.widths) - 2) // 5))
    across = -(-len(valid) // tables)
    parts = [valid[i : i + across] for i in range(0, len(valid), across)]
    title = (
        f"{suite}: margin in tolerances, as a power of ten; blank below 10. Heads are the numbers of the vectors; "
        "'cases' counts those with 10^3 or more.\n"
    )
    return "\n\n".join(
        table(
            title if part is parts[0] else f"{suite}, further vectors\n",
            [*heads, *(Column(case.id.rsplit("-", 1)[1], right=True) for case in part)],
            [[slug, count[slug], *(_power(case.discriminates.get(slug)) for case in part)] for slug in slugs],
        )
        for part in parts
    )


def _power(margin: float | None) -> str:
    """The power of ten of a margin."""
    return str(int(np.log10(margin))) if margin else ""


def _show(options: Any) -> int:
    """`show`: a suite, or a vector."""
    if options.id in SUITES:
        print("\n".join(_suite(options.id)))
        return 0
    every = {case.id: case for suite in SUITES for case in cases(suite)}
    if options.id not in every:
        listing = "`python -m refmeta list` lists all cases, `show SUITE` the inputs of a suite"
        raise UsageError(unknown_name("case or suite", options.id, [*every, *SUITES], listing))
    print("\n".join(_snippet(every[options.id])))
    return 0


def _suite(suite: str) -> Iterator[str]:
    """What a suite asks for and expects."""
    about, several = INPUTS_OF[suite], suite in PARTS
    yield paragraphs(f"{suite}: {about.title}. {len(cases(suite))} cases.\n")
    yield paragraphs(f"Sizes: {about.sizes}.", later="  ")
    yield paragraphs(f"Losses: {about.losses}\n", later="  ")
    yield _entries("Inputs, as keywords", about.inputs)
    first, *others = about.answers
    one = f"Answer: an array, {first}" + f"; --quantity asks for another of these: {', '.join(others)}" * bool(others)
    yield _entries("Answer: a dict of these parts, or of some of them" if several else one, about.answers)
    yield f"To judge your own:\n  python -m refmeta check mymodule:my_function --suite {suite}"
    yield f"To see a vector:\n  python -m refmeta show {cases(suite)[0].id}"


def _entries(title: str, entries: Entries) -> str:
    """Names, shapes and meanings, one row each."""
    heads = (Column("name"), Column("shape"), Column("meaning", text=True))
    rows = [(name, entry.shape.replace(" or ", "\nor "), entry.meaning) for name, entry in entries.items()]
    return table(f"{title}\n", heads, rows) + "\n"


def _snippet(case: Case) -> Iterator[str]:
    """A case as Python: its inputs and its certified answers, what each is in a comment before it."""
    about = INPUTS_OF[case.suite]
    yield paragraphs(f"{case.id}: {_comment(case)}", "# ")
    refused = ": the input must be refused" if case.result == "invalid" else ""
    yield paragraphs(case.result + refused + _flags(case, "; flags: {}"), "# ")
    yield paragraphs(f"Sizes: {about.sizes}.\nLosses: {about.losses}", "# ", "#   ")
    yield "import numpy as np\n"
    yield from _keywords("inputs", about.inputs, case.input)
    yield from _keywords("expected", about.answers, {name: x.value.tolist() for name, x in case.expected.items()})
    for slug, margin in case.discriminates.items():
        yield paragraphs(f"{slug} is off by {margin:.2g} tolerances", "# ", "#   ")


def _keywords(name: str, entries: Entries, values: dict[str, Any]) -> Iterator[str]:
    """A dict, each entry after a comment with its shape and meaning."""
    yield f"{name} = dict("
    for key, value in values.items():
        yield paragraphs(f"{key} {entries[key].shape}: {entries[key].meaning}", "    # ", "    #   ")
        if isinstance(value, list):
            start = f"    {key}=np.array("
            yield f"{start}{_pasted(value, 4, len(start))}),"
        else:
            yield f"    {key}={_pasted(value, 0, 0)},"
    yield ")"


def _pasted(value: Any, indent: int, before: int) -> str:
    """A number, None or a nested list as Python reads it; a list too long to follow `before` characters is broken."""
    if not isinstance(value, list):
        number = float(value) if isinstance(value, str) else value
        return f"np.{number}" if isinstance(number, float) and not np.isfinite(number) else repr(number)
    flat = "[" + ", ".join(_pasted(entry, 0, 0) for entry in value) + "]"
    if before + len(flat) + 2 <= width():
        return flat
    deeper = indent + 4
    if any(isinstance(entry, list) for entry in value):
        lines = ",\n".join(" " * deeper + _pasted(entry, deeper, deeper) for entry in value)
    else:
        lines = paragraphs(flat[1:-1], " " * deeper)
    return f"[\n{lines}\n{' ' * indent}]"


def _explain(options: Any) -> int:
    """`explain`: the slug, what matches the words, or all slugs."""
    word, rows = " ".join(options.words), [(chapter, row) for chapter in WRONG for row in WRONG[chapter]]
    slugs = [row.slug for _, row in rows] + list(FALSE_ALARMS)
    if not word:
        print("\n".join(_all_slugs()))
        return 0
    chosen, alarms = [pair for pair in rows if pair[1].slug == word], [slug for slug in FALSE_ALARMS if slug == word]
    if not (chosen or alarms):
        chosen = [pair for pair in rows if _matches(options.words, pair[0], *pair[1][:6])]
        alarms = [slug for slug in FALSE_ALARMS if _matches(options.words, slug, FALSE_ALARMS[slug])]
    if not (chosen or alarms):
        if word in options.labels():
            raise UsageError(f"{word!r} is no mistake but a formula of verify: python -m refmeta verify {word}")
        sentence = f"nothing that is known to be wrong matches {word!r}{suggestion(word, slugs)}"
        raise UsageError(f"{sentence}; `python -m refmeta explain` lists all slugs")
    one = len({row.slug for _, row in chosen} | set(alarms)) == 1
    whole = [*(_whole(*pair) for pair in chosen), *map(_alarm, alarms)]
    print("\n\n".join(whole) if one else _short(word, chosen, alarms))
    return 0


def _matches(words: Iterable[str], *texts: str) -> bool:
    """Does every word stand in one of the texts?"""
    return all(word.lower() in "\n".join(texts).lower() for word in words)


def _all_slugs() -> Iterator[str]:
    """Every slug, chapter by chapter."""
    yield paragraphs("Known-wrong formulas by chapter; `python -m refmeta explain SLUG` explains one, WORD searches.\n")
    for chapter, rows in WRONG.items():
        yield paragraphs(f"{chapter}: {', '.join(row.slug for row in rows)}", later="  ")
    yield paragraphs(f"false alarms: {', '.join(FALSE_ALARMS)}", later="  ")


def _short(word: str, chosen: list[tuple[str, Wrong]], alarms: list[str]) -> str:
    """One line for each match; a formula that is too long for it ends in …"""
    rows = [(row.slug, row.formula) for _, row in chosen] + [(slug, "a false alarm") for slug in alarms]
    room = width() - 2 - max(len(slug) for slug, _ in rows)
    rows = [(slug, textwrap.shorten(formula, room, placeholder=" …")) for slug, formula in rows]
    title = f"{len(rows)} match {word!r}; `python -m refmeta explain SLUG` explains one\n"
    return table(title, (Column("slug"), Column("computes")), rows)


def _whole(chapter: str, row: Wrong) -> str:
    """All that is known of a formula."""
    place = f"   (instead of: {row.quantity})" * (row.quantity != "parts")
    letters = "; ".join(text for letter, text in LETTERS.items() if chapter == "maml" and letter in row.formula)
    entries = {
        "computes": row.formula + place, "where": letters, "likely": row.cause, "in code": row.hint,
        "seen in": row.seen, "chapter": derivation(f"{chapter_of(chapter, row)}.md"),
    }  # fmt: skip
    texts = [paragraphs(text, f"  {name:11}", " " * 13) for name, text in entries.items() if text]
    return "\n".join([row.slug, *texts])


def derivation(name: str) -> str:
    """The path of a chapter, beside the package or among the data of the installation; else its name alone."""
    folders = Path(refmeta.__file__).parents[1], Path(sysconfig.get_path("data"), "share", "refmeta")
    path = next((p for folder in folders if (p := folder / "derivations" / name).is_file()), Path(name))
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _alarm(slug: str) -> str:
    """A false alarm."""
    return slug + "\n" + paragraphs(f"a false alarm: {FALSE_ALARMS[slug]}", "  ")
