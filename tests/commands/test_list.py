"""`list`: the cases of every suite, their comments and flags, and the matrix of margins."""

import re

import numpy as np

from refmeta.oracle.suites import SUITES
from refmeta.oracle.vectors import cases
from tests.commands.conftest import printed


def test_a_clause_of_many_comments_is_listed_once(capsys, monkeypatch):
    """And no comment loses anything else."""
    monkeypatch.setenv("COLUMNS", "300")
    out, _ = printed(capsys, "list", "--suite", "maml-regression")
    clause = re.search(r"^\(\*\) (.*)$", out, re.M)[1]
    assert out.count(clause) == 1 and all(case.comment in out.replace("(*)", clause) for case in cases("maml-regression"))


def test_flags_and_labels_of_a_table_can_be_copied(columns, capsys):
    """A cell is broken at spaces, not at the hyphens of a name."""
    out, _ = printed(capsys, "list")
    words = set(re.split(r"[\s,\[\]]+", out))
    assert {flag for suite in SUITES for case in cases(suite) for flag in case.flags} <= words
    assert not [line for line in out.splitlines() if re.search(r"\w-$", line)]


def test_the_matrix_holds_every_margin_at_any_width(columns, capsys):
    """Column by column: a cell is the power of ten of that formula's margin on that vector."""
    case = next(case for case in cases("reptile") if case.result == "valid")
    out, _ = printed(capsys, "list", "--matrix", "--suite", "reptile")
    rows = [line.split() for line in out.splitlines()]
    heads = next(row for row in rows if row[:2] == ["known-wrong", "formula"])
    cells = {row[0]: row for row in reversed(rows) if row and row[0] in case.discriminates}  # the first table, if there are two
    for slug, margin in case.discriminates.items():
        assert int(cells[slug][heads.index(case.id[-3:]) - 1]) == int(np.log10(margin))
