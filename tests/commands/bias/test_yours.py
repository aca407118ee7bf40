"""`python -m refmeta bias MODULE:FUNCTION`: an estimator of a user's own, its figures and its name."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from refmeta.__main__ import main
from refmeta.commands.bias.estimators import ESTIMATORS
from refmeta.commands.bias.likeness import SINGLE, Likeness, always, likeness_text
from refmeta.commands.bias.processes import read_process
from refmeta.commands.bias.tables import cells
from refmeta.commands.bias.yours import your_moments
from refmeta.meta import sampled
from refmeta.oracle.suites.expected_estimators.by_batch import as_batch_function
from tests.commands import plain_estimators
from tests.commands.conftest import refused

PLAIN = "tests.commands.plain_estimators:"
NAMES = {
    "e_maml": ["e-maml"], "score_term_dropped": ["score-term-dropped"], "score_term_alpha": ["score-term-alpha"],
    "score_term_mean": ["score-term-mean"], "first_order": ["first-order"], "lvc": ["lvc"], "dice": ["dice"],
    "naive_exact_v": ["naive, exact V"], "tmaml_exact_v": ["loaded-dice, exact V", "tmaml, exact V"],
    "advantages_normalised": ["advantages-normalised"], "normalised_ddof_1": ["normalised, ddof 1"],
    "mean_over_time": ["mean-over-time"], "undiscounted_visits": ["undiscounted-visits"],
}  # fmt: skip
SETTINGS = (["--episodes", "2", "--steps", "1"], ["--episodes", "1", "--steps", "2"])


def document(capsys, name, *options, alpha="0.75"):
    """The JSON of the command for a function of plain_estimators."""
    assert main(["bias", PLAIN + name, "--alpha", alpha, "--format", "json", *options]) == 0
    return json.loads(capsys.readouterr().out)


def equal(setting):
    """The recipes that yours equals, with their factors."""
    return {x["name"]: x["factor"] for x in setting["likenesses"] if x["equal"]}


def text(capsys, name, *options):
    """What the command prints, with single spaces."""
    assert main(["bias", PLAIN + name, "--alpha", "0.75", *options]) == 0
    return " ".join(capsys.readouterr().out.split())


@pytest.mark.eq("estimator-bias", "estimator-covariance")
@pytest.mark.parametrize("name", NAMES)
def test_an_estimator_of_the_table_in_plain_numpy_has_its_figures_and_its_name(name, capsys):
    """Every figure, to a relative 1e-9; with two trajectories, and with two steps, the second batch drawn at its own φ."""
    for options in SETTINGS:
        (setting,) = document(capsys, name, *options)["settings"]
        rows = {row["estimator"]: row for row in setting["estimators"]}
        for expected in NAMES[name]:
            for key in ("exact", "sampled"):
                got, wanted = rows["yours"][key], rows[expected][key]
                for figure, value in wanted.items():
                    assert got[figure] == pytest.approx(value, rel=1e-9, abs=1e-13), (options, key, figure)
            assert equal(setting)[expected] == pytest.approx(1.0, rel=1e-9)
        if options is SETTINGS[0]:
            table = set(equal(setting)) & {e.name for e in ESTIMATORS}
            assert table == set(NAMES[name])


def test_the_names_of_all_settings_together_are_fewer_than_those_of_one(capsys):
    """With one trajectory e-maml and score-term-mean are the same; with two they are not."""
    out = text(capsys, "score_term_mean", "--episodes", "1", "2", "--steps", "1")
    assert "yours is e-maml and score-term-mean, which are the same here: equal on every one of 8 batches" in out
    assert "yours is score-term-mean: equal on every one of 64 batches" in out
    assert out.endswith("At every setting above, yours is: score-term-mean.")


def test_planted_departures_change_the_figures_and_the_name(capsys):
    """The score term times 0.9 is in no table: the nearest batch by batch and the nearest in the mean, with their distances."""
    (setting,) = document(capsys, "nine_tenths", "--episodes", "2", "--steps", "1")["settings"]
    rows = {row["estimator"]: row["sampled"] for row in setting["estimators"]}
    assert equal(setting) == {}
    assert 1e-3 < rows["yours"]["relative"] < 0.9 * rows["score-term-alpha"]["relative"]
    by_name = {x["name"]: x for x in setting["likenesses"]}
    nearest = min(by_name.values(), key=lambda x: x["each"])
    assert nearest["name"] == "e-maml" and 0.05 < nearest["each"] < 0.11
    out = text(capsys, "nine_tenths", "--episodes", "2", "--steps", "1")
    assert "nearest batch by batch: e-maml, 8.8 % away" in out and "nearest in the mean: " in out
    assert out.endswith("At every setting above, yours is: no estimator that is known here.")


def test_a_multiple_is_called_so(capsys):
    options = ("--episodes", "2", "--steps", "1")
    assert "yours is 2 times e-maml: equal on every one of 64" in text(capsys, "twice", *options)
    assert "yours is -1 times e-maml: equal" in text(capsys, "turned", *options)
    assert "yours is: no estimator" in text(capsys, "turned", *options)


def test_an_estimate_with_the_mean_of_another_is_not_called_that(capsys, monkeypatch):
    """The gradient of the sampled formulation itself on every batch: E-MAML's mean, and no deviation."""
    task, theta = read_process("two-state")
    truth = sampled.formulation_sampled(theta, task, alpha=0.75, episodes=2).gradient
    monkeypatch.setattr(plain_estimators, "e_maml", lambda theta, query: truth)
    out = text(capsys, "e_maml", "--episodes", "2", "--steps", "1")
    assert re.search(r"yours has the mean of e-maml, to \de-1\d, but is another estimator: single batches \d+ % away", out)


def test_a_gradient_in_single_precision_is_recognised_after_the_adaptation_too(capsys):
    """The gradient at φ is in double precision, and off by what φ is off: as torch's tensors are without a dtype."""
    options = ["--mdp", "bandit", "--episodes", "1", "2", "inf", "--steps", "1", "2"]
    found = document(capsys, "policy_gradient_in_single_precision", *options)
    for setting in (*found["settings"], *found["loss gradients"]):
        if setting["episodes"] != "inf":
            assert [x["name"] for x in setting["likenesses"] if x["equal"] and abs(x["factor"] - 1) < 1e-5] != []
        else:
            assert "note" not in setting and setting["estimators"][-1]["estimator"] == "yours"


def test_single_precision_is_still_recognised(capsys):
    (setting,) = document(capsys, "single_precision", "--episodes", "2", "--steps", "1")["settings"]
    assert "e-maml" in equal(setting)
    gap = {x["name"]: x["gap"] for x in setting["likenesses"]}["e-maml"]
    assert 1e-9 < gap < SINGLE


def test_n_batches_at_once_and_one_at_a_time_agree(capsys):
    for options in SETTINGS:
        one = document(capsys, "one_first_order", *options)["settings"][0]
        many = document(capsys, "vectorised_first_order", "--vectorised", *options)["settings"][0]
        np.testing.assert_allclose(
            [list(row["sampled"].values()) for row in many["estimators"]],
            [list(row["sampled"].values()) for row in one["estimators"]], rtol=1e-9, atol=1e-13,
        )  # fmt: skip
        assert equal(many).keys() == equal(one).keys() and "first-order" in equal(many)


def test_an_estimate_of_the_gradient_has_a_table_of_its_own_and_becomes_first_order_maml(capsys):
    got = document(capsys, "policy_gradient", "--episodes", "1", "2", "--steps", "1")
    for block in got["loss gradients"]:
        rows = {row["estimator"]: row for row in block["estimators"]}
        assert {k: v for k, v in rows["yours"].items() if k != "estimator"} == pytest.approx(
            {k: v for k, v in rows["reinforce"].items() if k != "estimator"}, rel=1e-9, abs=1e-13
        )
        assert rows["reinforce"]["relative"] < 1e-13 < 1e-2 < rows["undiscounted-visits"]["relative"]
        assert "reinforce" in equal(block) and "gpomdp" not in equal(block)
    assert all("first-order, whole return" in equal(setting) for setting in got["settings"])
    out = text(capsys, "undiscounted", "--episodes", "1", "--steps", "2")
    assert "Estimates of ∇L from one batch, M = 1" in out and "yours is undiscounted-visits: equal on every one of 8" in out
    assert "At every setting above, yours is: first-order, undiscounted visits." in out


@pytest.mark.parametrize("name", ["is_far", "e_maml", "undiscounted"])
def test_the_tables_fit_80_columns(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["bias", PLAIN + name, "--alpha", "0.125", "5", "--episodes", "2", "--steps", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80 and sum(line.startswith("yours  ") for line in lines) >= 3


@pytest.mark.parametrize("size", [0.0, 1e-9, 0.5, 0.9994, 0.9996, 1.0, 99.9, 100.0, 12345.0, 1e13, np.nan])
@pytest.mark.parametrize("cosine", [0.5, -0.123456, -1e-9, -1.0, 1.0])
def test_no_cell_is_wider_than_a_table_of_80_columns_allows(size, cosine):
    """21 for the name, 9 for the deviation, 7 gaps of two: 18 are left for each of the two formulations."""
    widths = [len(cell) for cell in cells(sampled.Bias(size, size, cosine, 1.0))]
    assert np.all(np.array(widths) <= [7, 4, 7])
    share = cells(sampled.Bias(size, size, cosine, 1.0))[1]
    assert float(share) == pytest.approx(100 * size, rel=0.3, abs=0.05, nan_ok=True)


@pytest.mark.eq("estimator-bias")
@pytest.mark.parametrize("steps", [1, 2])
def test_the_distance_in_the_mean_is_that_of_two_exact_means(steps):
    """Each mean under its own probabilities: with two steps, two estimators draw their second batches at other parameters."""
    task, theta = read_process("two-state")
    size = {"alpha": 0.75, "episodes": 1, "steps": steps}
    moments, likenesses = your_moments(as_batch_function(plain_estimators.advantages_normalised), task, theta, **size)
    by_name = {x.name: x for x in likenesses}
    for e in ESTIMATORS[:10]:
        make = lambda x, batch, e=e: e.make(task, x, batch)
        mean = sampled.moments(lambda x, s, e=e: e.estimate(task, x, s, 0.75), make, theta, task, **size).mean
        expected = np.linalg.norm(moments.mean - mean) / np.linalg.norm(mean)
        assert by_name[e.name].mean == pytest.approx(expected, rel=1e-10) and expected > 1e-3


def test_zero_is_no_multiple_of_anything(capsys):
    (setting,) = document(capsys, "is_zero", "--episodes", "1", "--steps", "1")["settings"]
    assert equal(setting) == {} and setting["estimators"][-1]["sampled"]["relative"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("wrong_shape", [], r"error: tests.commands.plain_estimators:wrong_shape: on batch 1 of 64 \(states \[\[\[0, 0\], \[0, 0\]\]\], .*returned shape \(3,\), expected \(4,\)"),
        ("gives_nan", [], r"on batch \d+ of 64 .*: returned nan at index \[0\]"),
        ("is_huge", [], r"on batch 1 of 64 .*: returned -?\d.*e\+\d+ at index \[0\]; numbers up to 1e\+100"),
        ("gives_nothing", [], "returned None: is a return statement missing"),
        ("crashes", [], r"on batch 6 of 64 \(states .*, actions \[\[\[0, 0\], \[1, 1\]\]\], .*\): raised ZeroDivisionError: two ones"),
        ("leaves", [], r"the target called sys.exit\(3\)"),
        ("is_random", [], "another call on the same batch gave an estimate that differs by .*; is there a random number"),
        ("remembers", [], "another call on the same batch"),
        ("moves_theta", [], "on batch 1 of 64 .*: theta was changed in place; work on a copy of it"),
        ("moves_rewards", [], "rewards was changed in place"),
        ("asks_too_much", [], "the function requires entropy; it is called with keywords out of theta, states"),
        ("asks_for_v", [], "asks for v, as an estimate of Hessian products does"),
        ("never_asks", ["--steps", "2"], r"the function never called query\(phi\)"),
        ("asks_at_two_points", ["--steps", "2"], "called query at parameters that differ by 1"),
        ("asks_at_a_wrong_shape", [], r"phi has shape \(2,\), expected \(4,\)"),
        ("vectorised_mixing", ["--vectorised"], "batch 1 of 64 has another estimate alone than among 64 batches.*over the leading axis"),
        ("first_order", ["--vectorised"], "on the batches 1 to 64 of 64: raised"),
        ("no_such_name", [], "no attribute 'no_such_name'"),
        ("not_a_function", [], "is no function but int"),
    ],
)  # fmt: skip
def test_a_function_that_cannot_be_judged_is_refused_in_a_sentence(name, options, message, capsys):
    steps = [] if "--steps" in options else ["--steps", "1"]
    episodes = ["1"] if "--steps" in options else ["2"]
    error = refused(capsys, "bias", PLAIN + name, "--alpha", "0.5", "--episodes", *episodes, *steps, *options)
    assert re.search(message, error), error


def test_with_one_step_the_query_may_be_left_out_or_asked_at_several_points(capsys):
    for name in ("never_asks", "asks_at_two_points"):
        assert "nearest" in text(capsys, name, "--episodes", "1", "--steps", "1")


def test_what_the_function_prints_is_not_in_the_output(capsys):
    assert main(["bias", PLAIN + "prints", "--alpha", "0.5", "--episodes", "1", "--steps", "1", "--format", "json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) and "noise" in err


def test_bad_targets_and_options(capsys):
    assert "expected MODULE:FUNCTION" in refused(capsys, "bias", "mine")
    assert "cannot import no_such_module:f" in refused(capsys, "bias", "no_such_module:f")
    assert "--vectorised is of a function of your own" in refused(capsys, "bias", "--vectorised")


def test_the_help_shows_the_form_of_a_function(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["bias", "--help"])
    out = capsys.readouterr().out
    assert "def estimate(theta, states, actions, rewards, mask, gamma, alpha, query):" in out
    assert max(map(len, out.splitlines())) <= 80


def test_the_names_common_to_all_settings():
    like = lambda name, factor, same: Likeness(name, factor, 0.0, same, 0.0, 0.0)
    first, second = (like("a", 1.0, True), like("b", 1.0, True)), (like("a", 1.0, True), like("b", 2.0, True))
    assert always([first]) == ["a", "b"] and always([first, second]) == ["a"] and always([]) == []
    assert "2 times b: equal" in likeness_text((like("b", 2.0, True), like("a", 1.0, False)), 8)


def test_as_a_user_types_it(tmp_path):
    """From a folder of one's own, in a process of its own."""
    (tmp_path / "mine.py").write_text(Path(plain_estimators.__file__).read_text("utf-8"), "utf-8")
    command = [sys.executable, "-W", "error", "-m", "refmeta", "bias", "mine:dice", "--alpha", "0.75", "--episodes", "2", "--steps", "1"]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", cwd=tmp_path, env={**os.environ, "PYTHONUTF8": "1"})
    assert done.returncode == 0, done.stderr
    assert "yours                  mine:dice" in done.stdout and done.stdout.endswith("At every setting above, yours is: dice.\n")


def test_on_other_processes_the_figures_are_the_same_to_the_last_bit(capsys):
    options = ("--alpha", "0.25", "0.75", "--episodes", "1", "--steps", "1", "2", "--format", "json")
    printed = []
    for workers in ("1", "2"):
        assert main(["bias", PLAIN + "e_maml", *options, "--workers", workers]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert len(json.loads(printed[0])["settings"]) == 4
