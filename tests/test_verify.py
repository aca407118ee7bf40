"""`verify` and `demo` as commands, and a planted mistake that `verify` must see."""

import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest

import refmeta
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
    row = command.judge(check, seed=seed, problems=3)
    assert row.problems == 3 and row.passed, row.said


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
        ("step-size-gradient", "refmeta.meta.maml", "adjoints", lambda f: lambda *a: [x[0] for x in [f(*a)]] * 4),
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


def tables(text):
    """The rows of every table by name, each the numbers after the name; "diverges" is infinite."""
    found = []
    for line in text.splitlines():
        if line.startswith(("start  ", "episodes of")):
            found.append({})
        row = re.fullmatch(r"(.*?)((?:\s+(?:-?\d+\.\d{3}|diverges)){5,})", line)
        if row:
            found[-1][row[1]] = np.array([float("inf") if x == "diverges" else float(x) for x in row[2].split()])
    return found


def test_the_demo_shows_what_it_says(tmp_path):
    """Every start gains with every step, and the theorem's tie holds to the noise of training."""
    done = run("demo", "sinusoids", "random-mdps", "gridworlds", folder=tmp_path)
    assert done.returncode == 0 and done.stderr == ""
    losses, returns, grids = tables(done.stdout)
    assert len(losses) == len(returns) == len(grids) == 6
    tie = losses["MAML, trained"] / losses["MAML, closed form (= joint)"]
    np.testing.assert_allclose(tie, 1, rtol=0, atol=0.05)
    assert all(np.all(np.diff(loss) < 0) for loss in losses.values())
    assert losses["zeros"][0] > losses["MAML, trained"][0]
    for rows, best in (
        (returns, r"depend on time, is ([\d.]+) on average"),
        (grids, r"optimum is (0[\d.]+) on average"),
    ):
        best = float(re.search(best, done.stdout)[1])
        assert all(np.all(np.diff(value) > 0) and value[-1] < best for value in rows.values())
        assert rows["zeros (uniform logits)"][-1] > 0.9 * best
        assert rows["Meta-LSTM, trained"][-1] < rows["zeros (uniform logits)"][-1], "its steps are bounded"
    assert losses["Meta-LSTM, trained"][-1] < 0.9 * losses["MAML, closed form (= joint)"][-1]


def test_the_demo_of_navigation_on_goals_that_no_start_was_trained_on(capsys):
    """A short training: MAML's one step gains more than five of joint training, and the edge is beside the table."""
    from refmeta.demo import edge, navigation

    navigation(np.random.default_rng(0), iterations=40, tasks=20)
    said = capsys.readouterr().out
    (rows,) = tables(said)
    best = float(re.search(r"The optimum is ([\d.]+), the mean squared distance", said)[1])
    assert {name.split(" (")[0] for name in rows} == {
        "random", "MAML, 1 step", "first-order MAML, 1 step", "Reptile, 3 steps", "joint training", "implicit MAML",
    }  # fmt: skip
    assert all(len(row) == 8 and np.all(row[:6] > best) for row in rows.values())
    assert (
        rows["MAML, 1 step"][1] < rows["joint training"][4] and rows["MAML, 1 step"][1] < 0.2 * rows["MAML, 1 step"][0]
    )
    assert rows["implicit MAML"][5] < min(rows["random"][5], rows["joint training"][5])
    task = refmeta.Quadratic([[[3.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, -0.5]]], np.zeros((2, 2)))
    assert edge(task, np.zeros(2), 0.9) == pytest.approx(1.7) and edge(task, np.zeros(2), 0.1) == pytest.approx(1.05)


@pytest.mark.parametrize(("family", "iterations", "bayes"), [("gridworlds", 6, True), ("random_mdps", 4, False)])
def test_the_demo_of_few_episodes(family, iterations, bayes, capsys):
    """A short training: what was met pays, what another task's context says does not, and the belief narrows."""
    from refmeta import episodes

    getattr(episodes, family)(np.random.default_rng(0), tasks=150, iterations=iterations)
    said = capsys.readouterr().out
    (rows,) = tables(said)
    best = float(re.search(r"([\d.]+) on average", said)[1])
    entropies = [rows.pop(name) for name in list(rows) if name.startswith("entropy")]
    assert len(entropies) == 1 + bayes and all(np.all(np.diff(entropy) < 0) for entropy in entropies)
    assert all(len(row) == 6 and np.all(row < best) for row in rows.values())
    gain = {name: row[-1] - row[0] for name, row in rows.items()}
    misled = rows["PEARL, another task's context"]
    least, most = (0.05, 0.3) if bayes else (0.04, 0.25)  # the rewards of the random MDPs are noisy: less can be learned
    assert rows["PEARL"][-1] - misled[-1] > least * best and gain["PEARL"] > least * best
    assert all(gain[name] > most * best for name in gain if name.startswith("learned model"))
    assert all(gain[name] > 0 for name in gain if "REINFORCE" in name)
    assert ("exact Bayes, Thompson sampling" in rows) == bayes


def test_a_family_that_does_not_exist_is_named():
    done = run("demo", "mazes")
    assert done.returncode == 2 and "no family is called 'mazes'; the families are sinusoids, navigation" in done.stderr
    from refmeta.__main__ import FAMILIES
    from refmeta.demo import TABLES

    assert tuple(TABLES) == FAMILIES


def test_training_that_diverges_in_the_demo_is_said_and_an_interrupt_ends_it():
    from refmeta.demo import trained

    class Interrupted(refmeta.Sinusoids):
        def sample(self, n, rng=None):
            raise KeyboardInterrupt

    family, rules = refmeta.Navigation(), {"far too large": refmeta.MAML(1.0, steps=5)}
    found = trained(family, family.start(0), rules, np.random.default_rng(0), iterations=3)
    assert list(found) == ["far too large (diverged in iteration 1)"]
    np.testing.assert_array_equal(found["far too large (diverged in iteration 1)"], family.start(0))
    with pytest.raises(KeyboardInterrupt):
        trained(Interrupted(), np.zeros(3), {"any": refmeta.MAML(0.1)}, np.random.default_rng(0))


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
    """Also where the test itself runs with SIGINT ignored, which a child inherits."""
    code = "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); from refmeta.__main__ import run; sys.exit(run())"
    command = [sys.executable, "-c", code, "verify", "--problems", "1000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            process.stdout.readline()
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=30)[1]
        finally:
            process.kill()
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
