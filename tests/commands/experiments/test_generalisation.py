"""`experiment generalisation`: what its tables say, measured on small trainings."""

import numpy as np
import pytest

import refmeta
from refmeta.commands.experiments import generalisation
from refmeta.commands.experiments.held_out import goal_families
from tests.commands.experiments.conftest import assert_whole


def test_shifted_gridworlds_stay_below_their_own_optimum_and_scaled_rewards_are_a_scaled_step():
    part = assert_whole(generalisation.gridworlds(np.random.default_rng(0), iterations=10))
    common, own = part.tables
    for table in (common, own):
        assert all(max(row[:-1]) <= row[-1] for row in table.rows.values()), "no start is above the optimum"
    trained = common.rows["held-out goals"]
    zeros, joint, maml = (common.heads.index(name) for name in ("zeros", "joint", "MAML"))
    known = common.rows["goals of the training"]
    assert known[zeros] < known[joint] < known[-1] and known[zeros] < known[maml]
    for name in ("rewards times 1/4", "rewards times 4"):
        assert common.rows[name][-1] == pytest.approx(trained[-1])
    assert common.rows["rewards times 1/4"][zeros] < trained[zeros] < common.rows["rewards times 4"][zeros]
    assert f"'held-out goals': zeros {trained[-1] - trained[zeros]:.3f}" in part.sentences[1]
    better = sum(row[maml] > row[zeros] for row in common.rows.values())
    assert f"At the common alpha, MAML is better than zeros in {better} of 8 rows" in part.sentences[2]
    assert "1280 (end of the grid) for all" in part.sentences[-1]


def test_a_start_that_diverged_keeps_its_place_in_tables_and_sentences(monkeypatch):
    def diverged(family, theta, rules, rng, **more):
        return {f"{name} (diverged in iteration 4)" * (name == "MAML") or name: theta for name in rules}

    monkeypatch.setattr(generalisation, "trained_starts", diverged)
    rng = np.random.default_rng(0)
    grids = generalisation.gridworlds(rng)
    plane = generalisation.navigation(rng, tasks=3, alpha=2e-3, horizon=30)
    for part in (grids, plane):
        assert "MAML (diverged in iteration 4)" in part.tables[0].heads and any("MAML" in text for text in part.sentences)


def test_the_goals_held_out_are_a_third_and_no_goals_of_the_training():
    family = refmeta.GoalGridworlds(size=4)
    families = goal_families(family, np.random.default_rng(5))
    known, others = (set(each.cells.tolist()) for each in families)
    assert len(others) == 5 and not known & others and known | others == set(range(1, 16))
    support = families.training.sample(300, 0).support.mdp.R
    assert set(np.argmax(np.einsum("nsat->nt", support), axis=-1).tolist()) == known
    shifts = generalisation.grid_shifts(families)
    far = np.argmax(np.einsum("nsat->nt", shifts["the 2 farthest of them"][0].mdp.R), axis=-1).tolist()
    assert set(far) < others and min(map(distance, far)) >= max(map(distance, others - set(far)))


def distance(cell):
    """Moves from the corner in a grid of 4 x 4."""
    return cell // 4 + cell % 4


def test_rewards_times_two_is_a_step_twice_as_long():
    task = refmeta.GoalGridworlds(size=3).tasks([8, 5])
    theta = np.random.default_rng(0).normal(size=task.dim)
    double = generalisation.scaled_rewards(task, 2.0)
    step = refmeta.maml.objective(theta, double, task, alpha=1.5)
    assert step == pytest.approx(refmeta.maml.objective(theta, task, alpha=3.0), rel=1e-12)


def test_goals_further_away_cost_more_and_every_start_more_than_the_optimum():
    part = assert_whole(generalisation.navigation(np.random.default_rng(0), tasks=5, iterations=40, alpha=2e-3, horizon=30))
    (table,) = part.tables
    assert all(min(row[:-1]) > row[-1] for row in table.rows.values())
    trained, far = table.rows["as trained"], table.rows["goals 4 times as far"]
    assert far[-1] == pytest.approx(16 * trained[-1]) and all(x < y for x, y in zip(trained, far, strict=True))


def test_a_wrong_prior_has_a_price_and_the_right_one_has_none():
    part = assert_whole(generalisation.wrong_prior(np.random.default_rng(0), episodes=2, horizon=3))
    values, (curves,) = np.array(list(part.tables[0].rows.values())), part.curves
    assert np.all(np.diag(values) >= values.max(axis=0) - 1e-12) and np.any(values < np.diag(values) - 0.01)
    (prices,) = curves.lines.values()
    assert prices[curves.x.index(0.0)] == pytest.approx(0, abs=1e-12) and min(prices) > -1e-12 and max(prices) > 0.01
