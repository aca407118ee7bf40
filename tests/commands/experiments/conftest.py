"""What the tests of the experiments share: a record is whole, fits a terminal, and has no number that a view loses."""

import json

import pytest

from refmeta.commands.experiments.record import Experiment, ExperimentPart, Result
from refmeta.commands.experiments.views import as_json, part_text


def assert_whole(part: ExperimentPart) -> ExperimentPart:
    """Every row has a cell per column, every line a value per x; the text fits 80 columns, and the JSON holds the tables."""
    for table in part.tables:
        assert table.rows and {len(row) for row in table.rows.values()} == {len(table.heads)}, table.title
        assert table.formats is None or len(table.formats) == len(table.heads)
    for curves in part.curves:
        assert {len(line) for line in curves.lines.values()} == {len(curves.x)}, curves.title
        assert all(set(curves.slopes) <= set(curves.lines) and len(slope) == len(curves.x) for slope in curves.slopes.values())
    lines = part_text(part).splitlines()
    assert max(map(len, lines)) <= 80 and len([line for line in lines if line.startswith("- ")]) == len(part.sentences) > 0
    document = json.loads(as_json(Result(Experiment("name", "Title", "Why?", "all", {}), 3, {"one": part})))
    assert [table["title"] for table in document["parts"]["one"]["tables"]] == [table.title for table in part.tables]
    return part


@pytest.fixture(autouse=True)
def _columns(monkeypatch):
    """A terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
