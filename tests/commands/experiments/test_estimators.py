"""`experiment estimators`: which have a bias, how it grows, and what it does to training."""

import numpy as np
import pytest

from refmeta.commands.bias.estimators import ESTIMATORS
from refmeta.commands.experiments import estimators
from tests.commands.experiments.conftest import assert_whole

RNG = np.random.default_rng(0)


def test_the_bias_of_a_missing_term_is_of_the_first_order_in_alpha_and_that_of_dice_of_the_second():
    part = assert_whole(estimators.against_alpha(RNG, alphas=(2.0**-6, 2.0**-5, 0.125, 0.5, 2.0), episodes=1))
    lines = part.curves[0].lines
    power = {name: np.log2(line[1] / line[0]) for name, line in lines.items()}
    assert power["first-order"] == pytest.approx(1, abs=0.05) and power["score-term-dropped"] == pytest.approx(1, abs=0.05)
    assert power["dice"] == pytest.approx(2, abs=0.1) and "e-maml" not in lines
    assert max(part.tables[0].rows["e-maml"][::2]) < 1e-9 and part.sentences[0].endswith(": e-maml.")


def test_more_trajectories_bring_the_two_formulations_together():
    part = assert_whole(estimators.against_episodes(RNG, counts=(1, 2)))
    assert part.curves[1].lines["first-order"][1] < part.curves[1].lines["first-order"][0]
    assert part.sentences[-2].count("M = ") == 2


def test_training_along_a_biased_direction_ends_lower():
    part = assert_whole(estimators.learning(RNG, iterations=12))
    (table,), (curves,) = part.tables, part.curves
    last = {name: row[-1] for name, row in table.rows.items()}
    assert last["score-term-dropped"] < last["joint training"] < last["first-order"] < last["e-maml"] < 1
    assert last["Bayes-adaptive optimum"] == pytest.approx(1) and curves.lines["e-maml"][-1] == last["e-maml"]


def test_the_direction_without_bias_does_not_lower_the_return():
    e_maml = next(e for e in ESTIMATORS if e.name == "e-maml")
    returns, theta = estimators.learning_curve(e_maml, alpha=1.0, episodes=1, beta=0.1, iterations=5)
    assert np.all(np.diff(returns) > 0) and theta.shape == (3,)
