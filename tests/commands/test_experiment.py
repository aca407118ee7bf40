"""`experiment`: three views of one record, progress, and what is refused before the work starts."""

import io
import json
import sys

import numpy as np
import pytest

from refmeta.__main__ import main
from refmeta.commands import experiment
from refmeta.commands.experiments import EXPERIMENTS, figure
from refmeta.commands.experiments.record import Curves, Experiment, ExperimentPart, NumberTable
from tests.commands.conftest import printed, refused

NAMES = ["adaptation", "sample-efficiency", "generalisation", "sensitivity", "estimators"]


def small(rng):
    """A part whose numbers depend on the seed."""
    x = float(rng.integers(1, 1000))
    table = NumberTable("Table", "in units", "start", ("1 step",), {"zeros": [x], "far": [np.inf]})
    curves = Curves("Panel", "alpha", "loss", [1.0, 2.0], {"zeros": [x, 2 * x], "far": [np.inf, 1.0]}, {"optimum": 0.0}, "x", {"zeros": [x, x]})
    return ExperimentPart((table,), (curves,), (f"It is {x:.0f}.",))


@pytest.fixture
def tiny(monkeypatch):
    """An experiment of two quick parts instead of all."""
    one = Experiment("tiny", "A small experiment", "Does it run?", "more than that.", {"first": small, "second": small})
    monkeypatch.setattr(experiment, "EXPERIMENTS", {"tiny": one})
    monkeypatch.setenv("COLUMNS", "80")


def test_every_experiment_asks_a_question_and_says_what_it_does_not_show(capsys):
    out, status = printed(capsys, "experiment", "--list")
    assert list(EXPERIMENTS) == NAMES and status == 0 and max(map(len, out.splitlines())) <= 80
    for name, each in EXPERIMENTS.items():
        assert each.name == name and "?" in each.question and each.limits.endswith(".")
        assert all(part in out for part in each.parts)


def test_text_and_json_are_views_of_one_record(tiny, capsys):
    text, status = printed(capsys, "experiment", "tiny", "--seed", "3")
    assert status == 0 and text.startswith("A small experiment (seed 3).\n\nQuestion: Does it run?\n\nTable\n(in units)\n")
    assert text.count("far    diverges") == 2 and "\nWhat this does not show: more than that.\n(" in text
    out, status = printed(capsys, "experiment", "tiny", "second", "--seed", "3", "--format", "json")
    document = json.loads(out)
    assert status == 0 and list(document["parts"]) == ["second"] and document["seed"] == 3
    part = document["parts"]["second"]
    (x,), (none,) = (part["tables"][0]["rows"][name] for name in ("zeros", "far"))
    assert none is None and part["curves"][0]["lines"]["zeros"] == [x, 2 * x]
    assert part["sentences"] == [f"It is {x:.0f}."] and f"- It is {x:.0f}." in text


def test_a_seed_and_a_part_have_their_own_numbers(tiny, capsys):
    runs = [printed(capsys, "experiment", "tiny", *more, "--format", "json")[0] for more in ([], [], ["--seed", "1"])]
    parts = [json.loads(run)["parts"] for run in runs]
    assert parts[0] == parts[1] != parts[2] and parts[0]["first"] != parts[0]["second"]


def test_a_terminal_sees_which_part_runs(tiny, capsys, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    assert main(["experiment", "tiny"]) == 0
    shown = sys.stderr.getvalue()
    assert "tiny: second, part 2 of 2" in shown and not shown.split("\r")[-2].strip()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "the name of an experiment is required: adaptation, sample-efficiency"),
        (["adaption"], "no experiment is called 'adaption' (did you mean 'adaptation'?); the experiments are adaptation, "),
        (["adaptation", "sinusoid"], "no part of adaptation is called 'sinusoid' (did you mean 'sinusoids'?); the parts are"),
        (["adaptation", "--figure", "x.txt"], "--figure x.txt: the name must end with .svg, .png, .pdf"),
        (["adaptation", "--figure", "no-such-folder/x.svg"], "there is no folder no-such-folder"),
    ],
)
def test_what_does_not_exist_is_said_in_a_sentence(arguments, sentence, capsys):
    assert sentence in refused(capsys, "experiment", *arguments)


def test_without_matplotlib_a_figure_is_refused_before_the_work_starts(tiny, capsys, monkeypatch):
    monkeypatch.setattr(figure, "has_matplotlib", lambda: False)
    monkeypatch.setattr(experiment, "_parts", None)
    message = refused(capsys, "experiment", "tiny", "--figure", "x.svg")
    assert "--figure needs matplotlib, which is not installed: pip install matplotlib" in message


def test_a_figure_that_cannot_be_written_is_refused_before_the_work_starts(tiny, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(figure, "has_matplotlib", lambda: True)
    monkeypatch.setattr(experiment, "_parts", None)
    (tmp_path / "x.svg").mkdir()
    assert "x.svg: it cannot be written there" in refused(capsys, "experiment", "tiny", "--figure", str(tmp_path / "x.svg"))
    monkeypatch.setattr(figure.os, "access", lambda path, mode: path != tmp_path)
    assert "y.svg: it cannot be written there" in refused(capsys, "experiment", "tiny", "--figure", str(tmp_path / "y.svg"))


def test_no_two_of_many_lines_look_the_same():
    styles = [tuple(figure._line_style(i).items()) for i in range(24)]
    assert len(set(styles)) == 24 and len({style[:2] for style in styles}) == 24


def test_the_figure_is_drawn_twice_with_the_same_bytes(tiny, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    files = [tmp_path / "a.svg", tmp_path / "b.svg", tmp_path / "c.png"]
    for file in files:
        assert main(["experiment", "tiny", "first", "--figure", str(file)]) == 0
        assert f"wrote {file}" in capsys.readouterr().err
    assert files[0].read_bytes() == files[1].read_bytes() and files[2].read_bytes()[1:4] == b"PNG"
