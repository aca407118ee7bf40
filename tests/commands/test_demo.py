"""`demo`: the tour: what the oracle says of its two functions, a table, a picture or a sentence, where to go on."""

import re
from functools import partial

import numpy as np
import pytest

from refmeta.__main__ import _parsers, main
from refmeta.commands import demo
from refmeta.commands.experiments.adaptation import gridworlds


@pytest.fixture
def tour(monkeypatch, capsys, tmp_path):
    """What the tour prints with a small training, with matplotlib or without."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "gridworlds", partial(gridworlds, iterations=2))

    def printed(installed):
        monkeypatch.setattr(demo, "has_matplotlib", lambda: installed)
        assert main(["demo"]) == 0
        return capsys.readouterr().out

    return printed


def test_the_tour_names_the_mistake_compares_starts_and_says_where_to_go_on(tour, tmp_path):
    out = tour(False)
    assert max(map(len, out.splitlines())) <= 80 and [*tmp_path.iterdir()] == []
    assert re.search(r"> WRONG: 18 of 19 cases", out) and "EXACT match with known-wrong formula first-order" in out
    assert "> RIGHT: 19 of 19 cases" in out and out.index("WRONG") < out.index("RIGHT")
    assert "def wrong_gradient(theta, X, y, query_X, query_y, alpha, steps):" in out
    assert "joint training" in out and "matplotlib, which is not installed" in out
    assert [int(n) for n in re.findall(r"^(\d)\. ", out, re.M)] == [1, 2, 3, 4]


def test_the_commands_that_the_tour_names_exist():
    commands = re.findall(r"^  python -m refmeta (.*?)(?:   .*)?$", demo.NEXT, re.M)
    assert len(commands) == 6
    for line in commands:
        assert callable(_parsers()[0].parse_args(line.split()).run)


def test_the_picture_is_written_where_it_is_said(tour, tmp_path):
    pytest.importorskip("matplotlib")
    assert f"wrote {demo.PICTURE}." in tour(True)
    assert [path.name for path in tmp_path.iterdir()] == [demo.PICTURE]


def test_the_right_function_differs_from_the_wrong_one_by_the_hessian():
    """One task, X = 2, y = 0, query X = 1, y = 0: φ = (1 − 4α)θ, g = φ, ∇F = (1 − 4α)φ."""
    X, y = np.array([[[2.0]]]), np.zeros((1, 1))
    sizes = (np.array([3.0]), X, y, X / 2, y, 0.125, 1)
    assert demo.wrong_gradient(*sizes) == pytest.approx(1.5) and demo.right_gradient(*sizes) == pytest.approx(0.75)
