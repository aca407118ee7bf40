"""`verify` and `demo` as commands, and a planted mistake that `verify` must see."""

import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest

from refmeta import verify as command
from refmeta.__main__ import main
from refmeta.evidence import CHECKS
from refmeta.evidence.judged import Check
from tests.test_labels import in_derivations


def run(*arguments, folder=None):
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "refmeta", *arguments], capture_output=True, text=True, cwd=folder
    )


def test_every_derived_label_is_judged_once():
    assert sorted(check.label for check in CHECKS) == sorted(in_derivations())


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.label)
@pytest.mark.parametrize("seed", [1, 2])
def test_every_formula_passes_on_other_seeds(check, seed):
    row = command.judge(check, seed=seed, problems=5)
    assert row.problems == 5 and row.passed, row.said


def test_verify_prints_a_row_a_label_and_succeeds(capsys):
    assert main(["verify", "softmax", "maml-gradient", "reptile-expansion", "--problems", "3"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in out if " ok " in line] == ["softmax", "maml-gradient", "reptile-expansion"]
    assert "3 of 3 formulas are right" in out[-1]


@pytest.mark.parametrize(
    ("label", "module", "name", "mutant"),
    [
        ("softmax", "refmeta.evidence.shared", "softmax", lambda f: lambda x: f(x) * (1 + 1e-6)),
        ("maml-gradient", "refmeta.meta.maml", "gradient", lambda f: __import__("refmeta").maml.first_order_gradient),
        ("step-size-gradient", "refmeta.meta.maml", "_adjoints", lambda f: lambda *a: [x[0] for x in [f(*a)]] * 4),
        ("reptile-update", "refmeta.meta.reptile", "update", lambda f: lambda t, a, epsilon: f(t, a, epsilon=-epsilon)),
        (
            "reptile-expansion",
            "refmeta.meta.reptile",
            "expansion",
            lambda f: lambda t, m, alpha: f(t, m, alpha=alpha / 2),
        ),
    ],
)
def test_a_planted_mistake_is_found_and_the_exit_status_is_one(label, module, name, mutant, monkeypatch, capsys):
    home = sys.modules[module]
    monkeypatch.setattr(home, name, mutant(getattr(home, name)))
    assert main(["verify", label, "--problems", "3"]) == 1
    assert f"Wrong: {label}" in capsys.readouterr().out


def test_a_check_without_a_single_usable_problem_does_not_pass():
    row = command.judge(Check("none", "", "", lambda rng: float("nan")), seed=0, problems=3)
    assert row.problems == 0 and not row.passed


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["verify", "mamlgradient"], "no formula has the label 'mamlgradient'; the labels are softmax,"),
        (["verify", "--problems", "0"], "must be a whole number of at least 1, got '0'"),
        (["verify", "--seed", "-1"], "must be a whole number of at least 0, got '-1'"),
        (["demonstrate"], "invalid choice: 'demonstrate'"),
        ([], "the following arguments are required: COMMAND"),
    ],
)
def test_wrong_usage_is_status_two_and_a_sentence(arguments, sentence):
    done = run(*arguments)
    assert done.returncode == 2 and sentence in done.stderr and "Traceback" not in done.stderr


def test_the_commands_run_from_an_empty_folder_and_repeat_themselves(tmp_path):
    one, same = (run("verify", "softmax", "bellman", "--problems", "2", folder=tmp_path) for _ in range(2))
    assert one.returncode == 0 and one.stdout.splitlines()[:-1] == same.stdout.splitlines()[:-1]
    assert run("--version").stdout.startswith("refmeta ")


def test_the_demo_shows_what_it_says(tmp_path):
    """Both tables: every start gains with every step, and the theorem's tie holds to the noise of training."""
    done = run("demo", folder=tmp_path)
    assert done.returncode == 0 and done.stderr == ""
    rows = [re.fullmatch(r"(.*?)((?:\s+\d+\.\d{3}){5})", line) for line in done.stdout.splitlines()]
    values = [(row[1], np.array(row[2].split(), float)) for row in rows if row]
    losses, returns = dict(values[:5]), dict(values[5:])
    assert len(losses) == len(returns) == 5
    tie = losses["MAML, trained"] / losses["MAML, closed form (= joint)"]
    np.testing.assert_allclose(tie, 1, rtol=0, atol=0.05)
    assert all(np.all(np.diff(loss) < 0) for loss in losses.values())
    assert all(np.all(np.diff(value) > 0) for value in returns.values())
    assert losses["zeros"][0] > losses["MAML, trained"][0]
    best = float(re.search(r"depend on time, is ([\d.]+) on average", done.stdout)[1])
    assert all(value[-1] < best for value in returns.values()) and returns["zeros (uniform logits)"][-1] > 0.95 * best


def test_a_terminal_that_knows_no_greek_still_gets_its_table():
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "refmeta", "verify", "softmax-jvp", "--problems", "1"]
    done = subprocess.run(command, capture_output=True, env=environment)
    assert done.returncode == 0 and b"1 of 1 formulas are right" in done.stdout and done.stderr == b""


def test_a_reader_that_goes_away_leaves_no_traceback():
    command = [sys.executable, "-m", "refmeta", "verify", "--problems", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()
        assert process.wait() == 141 and said == b""


def test_an_interrupt_is_status_130():
    command = [sys.executable, "-m", "refmeta", "verify", "--problems", "1000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        said = process.communicate()[1]
        assert process.returncode == 130 and said == b"interrupted\n"


def test_defaults_seeds_and_the_number_of_wrong_formulas(capsys, monkeypatch):
    from refmeta.__main__ import _parser

    given = _parser().parse_args(["verify"])
    assert (given.problems, given.seed, given.label) == (20, 0, [])
    for seed in ("1", "2"):
        main(["verify", "softmax", "--problems", "2", "--seed", seed])
    first, second = capsys.readouterr().out.split("Every formula")[1:]
    assert first.splitlines()[4] != second.splitlines()[4]
    import refmeta.evidence.shared as home

    monkeypatch.setattr(home, "softmax", lambda x: 2 * x)
    monkeypatch.setattr(home, "log_softmax", lambda x: 2 * x)
    assert main(["verify", "softmax", "log-softmax", "--problems", "2"]) == 1
    assert "0 of 2 formulas are right" in capsys.readouterr().out


def test_training_goes_downhill_from_a_start_that_is_no_symmetric_point():
    """Reptile's direction with the sign that its optimiser needs: on sinusoids from (3, 3, 3), and on random MDPs."""
    from refmeta import RandomMDPs, Sinusoids, adapt, maml, reptile
    from refmeta.demo import trained

    for family, start, alpha in (
        (Sinusoids(), np.full(3, 3.0), 0.8),
        (RandomMDPs(4, 3, 5), np.linspace(-3, 3, 12), 5.0),
    ):

        def towards(theta, tasks, alpha=alpha):
            return reptile.gradient(theta, adapt(theta, tasks.support, alpha=alpha, steps=2).adapted, alpha=alpha)

        arguments = {"name": "", "iterations": 60, "batch": 20, "alpha": 0.05, "rng": np.random.default_rng(0)}
        end = trained(family, start, towards, **arguments)
        held_out = family.sample(200, 1)
        before, after = (maml.objective(theta, *held_out, alpha=alpha, steps=1).mean() for theta in (start, end))
        assert after < before - 0.02 * abs(before)
