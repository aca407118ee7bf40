"""Training on episodes: the rows are what they are called, and a score term that is dropped is seen in the curve."""

import numpy as np
import pytest

import refmeta
from refmeta.commands.experiments import two_bandits
from tests.commands.experiments.conftest import assert_whole


def test_on_episodes_the_curves_rise_unless_the_score_term_is_dropped():
    part = assert_whole(two_bandits.training(np.random.default_rng(1), seeds=2, iterations=24))
    rows = {name: row[:4] for name, row in part.tables[0].rows.items()}
    start = rows["exact MAML"][0]
    assert all(row[0] == start for row in rows.values())
    assert all(rows[name][-1] > start + 0.05 for name in ("exact MAML", "E-MAML", "DiCE", "ProMP"))
    assert rows["score term dropped"][-1] < start + 0.02
    assert part.curves[0].lines["DiCE"][-1] == rows["DiCE"][-1]


def test_the_two_tasks_are_drawn_equally_often_and_the_bound_is_one():
    batch = two_bandits.TwoBandits().sample(400, np.random.default_rng(0)).support
    first = batch.mdp.R[:, 0, 0]
    assert set(first) == {0.0, 1.0} and abs(np.mean(first) - 0.5) < 0.1
    assert two_bandits.bayes_bound(2) == pytest.approx(1) and two_bandits.bayes_bound(0) == pytest.approx(0.5)


def test_where_episodes_have_one_step_lvc_is_dice():
    tasks = two_bandits.TwoBandits().sample(5, np.random.default_rng(0))
    rules = (refmeta.SampledMAML(6.0, e, 2) for e in (refmeta.sampled_maml.LVC, refmeta.sampled_maml.DICE))
    lvc, dice = (rule.sample_direction(two_bandits.START, *tasks, rng=1) for rule in rules)
    np.testing.assert_allclose(lvc, dice, rtol=0, atol=1e-14)


def test_promp_ends_an_iteration_where_its_two_steps_end():
    found = two_bandits.trainings()
    assert found["ProMP"].rule.estimator.beta == found["ProMP"].beta
    assert found["ProMP"].rule.estimator.epochs * found["ProMP"].beta == found["DiCE"].beta == found["exact MAML"].beta
