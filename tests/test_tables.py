"""Text for a terminal: widths, wrapped paragraphs and cells, aligned columns, the nearest name."""

import re

import pytest

from refmeta.tables import (
    Column,
    layout,
    number_table,
    number_text,
    paragraphs,
    suggestion,
    table,
    unknown_name,
    width,
)

WORDS = "Meta-gradients of 1,234.5678 and -0.000123456789 units each"
COLUMNS = (Column("name", text=True), Column("first\nunit", right=True), Column("text", text=True))
ROWS = [("a-long-name of a row", "-1234.567", f"{WORDS} {WORDS}"), ("b", "0.1", "x̄ y")]


@pytest.fixture(params=[80, 120, 200])
def columns(request, monkeypatch):
    """A terminal of this width."""
    monkeypatch.setenv("COLUMNS", str(request.param))
    return request.param


@pytest.mark.parametrize(
    ("variable", "expected"), [("40", 80), ("80", 80), ("131", 131), ("", 80), ("many", 80), ("0", 80)]
)
def test_the_width_is_the_terminal_s_and_at_least_80(variable, expected, monkeypatch):
    """Pytest's standard output may be a terminal, so that one is taken away."""
    monkeypatch.setattr("sys.__stdout__", None)
    monkeypatch.setenv("COLUMNS", variable)
    assert width() == expected


def test_a_paragraph_is_broken_at_spaces_only_and_keeps_its_words(columns):
    text = " ".join([WORDS] * 9)
    lines = paragraphs(text, "# ", "#   ").split("\n")
    assert max(map(len, lines)) <= columns < max(map(len, lines)) + 20
    assert " ".join(line.lstrip("# ") for line in lines) == text
    assert lines[0].startswith("# M") and all(line.startswith("#   ") for line in lines[1:])
    assert paragraphs("one\n\ntwo", "  ") == "  one\n\n  two"


def test_cells_are_wrapped_numbers_are_not_and_every_column_begins_where_its_head_does(columns):
    out = table("A title", COLUMNS, ROWS)
    title, *lines = out.split("\n")
    rule = lines[2]
    assert title == "A title" and max(map(len, lines)) <= columns and set(rule) == {"-", " "}
    starts = [match.start() for match in re.finditer("-+", rule)]
    ends = [match.end() for match in re.finditer("-+", rule)]
    assert lines[0].split() == ["first"] and lines[1].split() == ["name", "unit", "text"]
    cells = [[line[a:b].strip() for a, b in zip(starts, ends, strict=True)] for line in lines[3:]]
    assert " ".join(" ".join(row[2] for row in cells).split()) == f"{WORDS} {WORDS} x̄ y"
    assert [row[1] for row in cells if row[1]] == ["-1234.567", "0.1"]
    assert all(line[a - 2 : a].strip() == "" for line in lines for a in starts[1:])
    assert lines[3][starts[1] : ends[1]] == "-1234.567" and lines[-1][starts[1] : ends[1]] == "      0.1"


def test_what_fits_is_not_wrapped_and_narrow_texts_leave_their_room_to_wide_ones(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    texts = [Column(name, text=True) for name in "abc"]
    assert layout(texts, [("x" * 20, "y" * 20, "z" * 20)]).widths == (20, 20, 20)
    assert layout(texts, [("x" * 10, "y" * 90, "z" * 90)]).widths == (10, 33, 33)
    assert layout(texts, [("x" * 90, "y" * 90, "z" * 10)]).widths == (33, 33, 10)
    assert layout([texts[0], Column("number")], [("x" * 90, "1" * 60)]).widths == (18, 60)


def test_a_mark_on_a_letter_takes_no_space():
    form = layout((Column("a", text=True), Column("b")), [("Q̄Q̄", "end"), ("long", "end")])
    assert form.row(("Q̄Q̄", "end")).replace("\u0304", "") == "QQ    end" and form.row(("long", "end")) == "long  end"


def test_a_table_of_numbers_has_title_unit_and_rows_in_the_format_of_each_column(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    rows = {"here": [1.0, -2.25], "far": [1e5, float("nan")]}
    assert number_table("Title", "in units", "start", ["0 steps", "1 step"], rows) == (
        "Title\n(in units)\n\nstart   0 steps  1 step\n-----  --------  ------\nhere      1.000  -2.250\nfar    diverges       –"
    )
    assert number_table("T", "u", "", ["x", "y"], {"a": [1e-3, 2.0]}, ["g", ".1f"]).endswith("a  0.001  2.0")
    assert number_table("T", "u", "", ["x", "y"], {"a": [1.0, 2.0]}, [".0f", ".0f"], {"a": [1]}).endswith("a  1  2*")
    assert number_text(-1e-9) == "0.000"
    assert number_text(-1e5) == number_text(float("inf")) == "diverges" and number_text(99999.0) == "99999.000"


def test_the_nearest_name_is_asked_for_and_a_far_one_is_not():
    assert (
        suggestion("FIRST-ORDRE", ["first-order", "second"]) == " (did you mean 'first-order'?)" and suggestion("x", ["abc"]) == ""
    )
    assert unknown_name("suite", "b", ["bb"], "see list") == "no suite is called 'b' (did you mean 'bb'?); see list"
