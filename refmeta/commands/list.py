"""`python -m refmeta list`: the vectors, and which known-wrong formula each rejects."""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from refmeta.commands.arguments import as_suites
from refmeta.oracle.suite import Case
from refmeta.oracle.suites import SUITES
from refmeta.oracle.vectors import cases
from refmeta.tables import Column, layout, table, width

__all__ = ["add", "comment_of", "flags_of"]


def add(commands: Any) -> None:
    """Add the command to the parser's."""
    command = commands.add_parser("list", help="the vectors; --matrix: which known-wrong formula each rejects")
    command.add_argument("--suite", action="append", metavar="SUITE", help="only this suite; may be repeated")
    command.add_argument("--matrix", action="store_true", help="known-wrong formulas down, vectors across")
    command.set_defaults(run=_list)


def _list(options: Any) -> int:
    """`list`: the vectors or the matrix of every suite that is asked for."""
    for suite in as_suites(options.suite):
        print(_matrix(suite) if options.matrix else _vectors(suite), end="\n\n")
    return 0


def _vectors(suite: str) -> str:
    """A suite's vectors, one row each."""
    clause = _shared_clause(case.comment for case in cases(suite))
    title = f"{suite}: {SUITES[suite].title}; {len(cases(suite))} cases" + f"\n(*) {clause}" * bool(clause) + "\n"
    rows = [(case.id, case.result, comment_of(case, clause) + flags_of(case, "  [{}]")) for case in cases(suite)]
    return table(title, (Column("case"), Column("result"), Column("comment  [flags]", text=True)), rows)


def _shared_clause(comments: Iterable[str]) -> str:
    """The clause after a semicolon that four comments or more end with, if there is one."""
    clauses = Counter(comment.partition("; ")[2] for comment in comments if "; " in comment)
    return next((clause for clause, times in clauses.most_common(1) if times > 3), "")


def comment_of(case: Case, clause: str = "") -> str:
    """The comment of a case, with 1 before the singular, and (*) for a clause that many share."""
    comment = case.comment.replace(clause, "(*)") if clause else case.comment
    return re.sub(r"\b1 (task|state|action|parameter|point|feature|step)s\b", r"1 \1", comment)


def flags_of(case: Case, form: str) -> str:
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
