"""`experiment adaptation`: what its tables say, measured on small trainings."""

import re

import numpy as np
import pytest

import refmeta
from refmeta.commands.experiments import adaptation
from refmeta.commands.experiments.held_out import goal_families
from tests.commands.experiments.conftest import assert_whole


def rows_of(table):
    return {name: np.array(row) for name, row in table.rows.items()}


def test_sinusoids_show_the_theorem_s_tie_and_what_meta_lstm_learns():
    """Every start gains with every step; MAML's training ends at its closed form; Meta-LSTM's five steps reach what gradients do."""
    sizes = {"iterations": 150, "tasks": 200, "lstm_iterations": 400}
    part = assert_whole(adaptation.sinusoids(np.random.default_rng(0), **sizes))
    losses, own = rows_of(part.tables[0]), rows_of(part.tables[1])
    assert np.all(losses.pop("optimum") == 0)
    assert len(losses) == 6 and all(np.all(np.diff(loss) < 0) for loss in losses.values())
    joint = "joint training (= MAML, exact)"
    np.testing.assert_allclose(losses["MAML, trained"] / losses[joint], 1, rtol=0, atol=0.05)
    assert losses["zeros"][0] > losses["MAML, trained"][0]
    np.testing.assert_allclose(losses["Meta-LSTM, trained"][-1] / losses[joint][-1], 1, rtol=0, atol=0.1)
    assert own[joint][1] < own["zeros"][1] < own["random, N(0, 1)"][1]
    assert any(f"MAML, trained {losses['MAML, trained'][1]:.3f}, {joint} {losses[joint][1]:.3f}" in text for text in part.sentences)


@pytest.mark.parametrize(("family", "alpha", "sizes"), [("random_mdps", 10, {"tasks": 20}), ("gridworlds", 20, {})])
def test_returns_gain_below_the_optimum_and_a_long_step_from_zeros_comes_near_it(family, alpha, sizes):
    """Every start gains with every step; an α of its own leaves MAML's start little to gain over zeros."""
    part = assert_whole(getattr(adaptation, family)(np.random.default_rng(0), iterations=4, **sizes))
    rows, own = rows_of(part.tables[0]), rows_of(part.tables[1])
    best = rows.pop("optimum")[0]
    assert len(rows) == 7 and all(np.all(np.diff(value) >= 0) and value[-1] < best for value in rows.values())
    zeros = "zeros (uniform logits)"
    assert rows[zeros][-1] > 0.85 * best and own[zeros][1] > 0.97 * best > rows[zeros][1]
    assert rows["Meta-LSTM"][0] < rows["Meta-LSTM"][-1] < rows[zeros][-1]
    stars = {name: [i for i in (0, 2) if part.tables[1].rows[name][i] in (alpha / 8, 64 * alpha)] for name in own}
    assert stars[zeros] and part.tables[1].ends == {name: columns for name, columns in stars.items() if name != "optimum"}
    assert any(f"{zeros} (end of the grid)" in text for text in part.sentences)
    longest = float(re.search(r"Its longest step on these tasks is ([\d.]+) gradients", part.sentences[-1])[1])
    assert 0 < longest < alpha and part.sentences[-1].endswith(f"each step of gradient descent is {alpha}.")
    (curves,) = part.curves
    at_common = {name: line[curves.x.index(float(alpha))] for name, line in curves.lines.items()}
    assert at_common == pytest.approx({name: rows[name][1] for name in at_common})


def test_gridworlds_are_judged_on_goals_that_training_has_not_met(monkeypatch):
    """What the starts are trained on, and what the tables show, are goals of a division of all 24."""
    met = []
    monkeypatch.setattr(adaptation, "trained_starts", lambda family, theta, rules, rng, **more: met.append(family) or dict.fromkeys(rules, theta))
    part = adaptation.gridworlds(np.random.default_rng(3), lstm=False)
    families = goal_families(refmeta.GoalGridworlds(), np.random.default_rng(3))
    assert met == [families.training] * 2
    shown = -np.mean(families.held_out.tasks(families.held_out.cells).at(np.zeros(100)).loss)
    assert part.tables[0].rows["MAML"][0] == pytest.approx(shown, rel=1e-12) and "8 held-out tasks" in part.tables[0].title
