"""`demo`: what its tables say, measured on small trainings."""

import re
from functools import partial

import numpy as np
import pytest

import refmeta
from refmeta.__main__ import main
from refmeta.commands import demo, episodes
from refmeta.meta import meta_lstm


def tables(text):
    """The rows of every table by name, each the numbers after the name; "diverges" is infinite."""
    every = []
    for line in text.splitlines():
        if line.startswith("------"):
            every.append({})
        row = re.fullmatch(r"(.*?)((?:\s+(?:-?\d+\.\d{3}|diverges)){3,})", line)
        if row:
            every[-1][row[1]] = np.array([float("inf") if x == "diverges" else float(x) for x in row[2].split()])
    return every


def printed(capsys, monkeypatch, function, **sizes):
    """The tables of a part of the demo at small sizes, and all that it prints; the terminal is too wide to break a name."""
    monkeypatch.setenv("COLUMNS", "1000")
    function(np.random.default_rng(0), **sizes)
    out = capsys.readouterr().out
    return tables(out), out


def test_the_demo_of_sinusoids_shows_the_theorem_s_tie_and_what_meta_lstm_learns(capsys, monkeypatch):
    """Every start gains with every step; MAML's training ends at its closed form; Meta-LSTM's five steps beat gradients."""
    sizes = {"iterations": 150, "tasks": 200, "lstm_iterations": 400}
    (losses,), _ = printed(capsys, monkeypatch, demo.sinusoids, **sizes)
    assert len(losses) == 6 and all(np.all(np.diff(loss) < 0) for loss in losses.values())
    tie = losses["MAML, trained"] / losses["MAML, closed form (= joint)"]
    np.testing.assert_allclose(tie, 1, rtol=0, atol=0.05)
    assert losses["zeros"][0] > losses["MAML, trained"][0]
    assert losses["Meta-LSTM, trained"][-1] < 0.9 * losses["MAML, closed form (= joint)"][-1]


@pytest.mark.parametrize(("family", "alpha"), [("random_mdps", 10), ("gridworlds", 20)])
def test_the_demo_of_returns_shows_gains_below_the_optimum(family, alpha, capsys, monkeypatch):
    """Every start gains with every step, and so does Meta-LSTM, by shorter steps, as the text says that it measured."""
    (rows,), out = printed(capsys, monkeypatch, getattr(demo, family), tasks=20, iterations=4)
    best = float(re.search(r"([\d.]+) on average", out)[1])
    assert len(rows) == 6 and all(np.all(np.diff(value) >= 0) and value[-1] < best for value in rows.values())
    assert rows["zeros (uniform logits)"][-1] > 0.85 * best
    learned = rows["Meta-LSTM, trained"]
    assert learned[0] < learned[-1] < rows["zeros (uniform logits)"][-1]
    longest = float(re.search(r"Its longest step on these tasks is ([\d.]+) gradients", out)[1])
    assert 0 < longest < alpha and f"each step of gradient descent is {alpha}." in out


def test_the_longest_step_of_meta_lstm_is_measured_and_may_be_longer_than_a_gradient():
    """A forget gate of 1/2 halves θ = (8, 0) whatever the gradient is: |θ₁ − θ₀| = 4 of a gradient (0, 1), i = 0."""
    task = refmeta.Quadratic(np.diag([0.0, 1.0])[None], np.array([[0.0, -1.0]]))
    flat = meta_lstm.init(2, hidden=1, rng=0, start=[8.0, 0.0])
    zero = np.zeros(3)
    weights = flat._replace(W_I=zero, b_I=-700.0, W_F=zero, b_F=0.0)
    assert demo.longest_step(weights, task) == pytest.approx(4.0)


def test_the_demo_of_navigation_on_goals_that_no_start_was_trained_on(capsys, monkeypatch):
    """A short training: MAML's one step gains more than five of joint training, and the edge is in a table of its own."""
    sizes = {"family": refmeta.Navigation(30), "alpha": 2e-3, "iterations": 40, "tasks": 5}
    (rows, edges), out = printed(capsys, monkeypatch, demo.navigation, **sizes)
    best = float(re.search(r"The optimum is ([\d.]+), the mean squared distance", out)[1])
    rows, edges = ({name.split(" (")[0]: row for name, row in part.items()} for part in (rows, edges))
    assert set(rows) == set(edges) == {
        "random", "MAML, 1 step", "first-order MAML, 1 step", "Reptile, 3 steps", "joint training", "implicit MAML",
    }  # fmt: skip
    assert all(len(row) == 5 and np.all(row > best) for row in rows.values())
    maml, joint = rows["MAML, 1 step"], rows["joint training"]
    assert maml[1] < joint[4] and maml[1] < 0.2 * maml[0]
    proximal = {name: row[2] for name, row in edges.items()}
    assert all(len(row) == 3 for row in edges.values()) and min(proximal.values()) > best
    assert proximal["implicit MAML"] < min(proximal["random"], proximal["joint training"])
    task = refmeta.Quadratic([[[3.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, -0.5]]], np.zeros((2, 2)))
    for alpha, expected in ((0.9, 1.7), (0.1, 1.05)):
        assert demo.spectral_radius(task, np.zeros(2), alpha) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("table", "sizes", "bayes"),
    [
        (episodes.gridworlds, {"family": refmeta.GoalGridworlds(size=4), "horizon": 30}, True),
        (episodes.random_mdps, {"family": refmeta.RandomMDPs(4, 3, 8)}, False),
    ],
)
def test_the_demo_of_few_episodes(table, sizes, bayes, capsys, monkeypatch):
    """A short training: what was met pays, what another task's context says does not, and the belief narrows."""
    (rows,), out = printed(capsys, monkeypatch, table, tasks=80, iterations=3, **sizes)
    best = float(re.search(r"([\d.]+) on average", out)[1])
    entropies = [rows.pop(name) for name in list(rows) if name.startswith("entropy")]
    assert len(entropies) == 1 + bayes and all(np.all(np.diff(entropy) < 0) for entropy in entropies)
    assert all(len(row) == 6 and np.all(row < best) for row in rows.values())
    gain = {name: row[-1] - row[0] for name, row in rows.items()}
    misled = rows["PEARL, another task's context"]
    assert rows["PEARL"][-1] - misled[-1] > 0.05 * best and gain["PEARL"] > 0.05 * best
    assert all(gain[name] > 0.3 * best for name in gain if name.startswith("learned model"))
    assert [gain[f"{name}'s start (exact gradients), REINFORCE"] > 0 for name in ("MAML", "Reptile")] == [True, True]
    assert ("exact Bayes, Thompson sampling" in rows) == bayes


def test_the_demo_runs_the_families_that_it_is_asked_for_and_fits_the_terminal(capsys, monkeypatch):
    """Every family has a table; the one that runs is stood in for by two of its titles and rows."""
    monkeypatch.setenv("COLUMNS", "80")
    small = partial(demo.sinusoids, iterations=1, tasks=2, lstm_iterations=1)
    few = partial(episodes.random_mdps, tasks=3, iterations=1, family=refmeta.RandomMDPs(2, 2, 2))
    monkeypatch.setattr(demo, "TABLES", {"sinusoids": small, "episodes": few, "none": None})
    assert main(["demo", "episodes", "sinusoids", "--seed", "3"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Adaptation to tasks that nothing was trained on (seed 3).\n\nRandom MDPs after RL^2")
    assert max(map(len, out.split("\n"))) <= 80 and "\nSinusoids A sin(x - phi)" in out


def test_training_that_diverges_in_the_demo_is_reported_and_an_interrupt_ends_it():
    class Interrupted(refmeta.Sinusoids):
        def sample(self, n, rng=None):
            raise KeyboardInterrupt

    family, rules = refmeta.Navigation(), {"far too large": refmeta.MAML(1.0, steps=5)}
    starts = demo.trained_starts(family, family.start(0), rules, np.random.default_rng(0), iterations=3)
    assert list(starts) == ["far too large (diverged in iteration 1)"]
    np.testing.assert_array_equal(starts["far too large (diverged in iteration 1)"], family.start(0))
    with pytest.raises(KeyboardInterrupt):
        demo.trained_starts(Interrupted(), np.zeros(3), {"any": refmeta.MAML(0.1)}, np.random.default_rng(0))
