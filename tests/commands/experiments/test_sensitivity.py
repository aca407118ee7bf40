"""`experiment sensitivity`: slopes are those of the curves, and the starts are minima."""

import numpy as np
import pytest

import refmeta
from refmeta.commands.experiments import sensitivity
from refmeta.commands.experiments.exact_starts import Valleys, sampled_tasks
from refmeta.commands.experiments.record import AT_END
from refmeta.tasks.distributions import Split
from tests.commands.experiments.conftest import assert_whole

RNG = 0


def test_the_slopes_by_the_step_size_are_those_of_differences():
    part = assert_whole(sensitivity.step_size(np.random.default_rng(RNG), tasks=20))
    rows = np.array(list(part.tables[0].rows.values()))
    np.testing.assert_allclose(rows[:, 3], rows[:, 4], rtol=0, atol=1e-5)
    (curves,) = part.curves
    x, (joint, slopes) = np.array(curves.x), (np.array(each["joint start"]) for each in (curves.lines, curves.slopes))
    trapezoid = np.sum(np.diff(x) * (slopes[1:] + slopes[:-1]) / 2)
    assert joint[-1] - joint[0] == pytest.approx(trapezoid, rel=0.2)


def test_the_start_for_no_step_is_joint_training_and_each_start_is_the_best_of_the_training_tasks():
    part = assert_whole(sensitivity.inner_steps(np.random.default_rng(RNG), tasks=20))
    rows = part.tables[0].rows
    assert all(rows["10"][i] < rows["1"][i] for i in (0, 1, 2, 4, 6)) and rows["1"][4] < rows["1"][1]
    assert f"K = 2 {rows['2'][1] - rows['2'][2]:.3f}," in part.sentences[0]
    data = sampled_tasks(Valleys(), np.random.default_rng(RNG), 20)
    trained = lambda theta, K: np.mean(refmeta.maml.objective(theta, *data.training, alpha=sensitivity.ALPHA, steps=K))
    np.testing.assert_allclose(data.start(sensitivity.ALPHA, 0), data.joint, rtol=0, atol=1e-12)
    for K in (1, 3):
        assert trained(data.start(sensitivity.ALPHA, K), K) < trained(data.joint, K)


def test_in_the_valleys_joint_training_and_maml_have_different_best_starts_as_curvature_and_minimum_depend():
    """E[A(c − θ)] = 0 at E[a²]/E[a], which is above the mean of c; MAML's weights are smaller where a is large."""
    data = sampled_tasks(Valleys(), np.random.default_rng(RNG), 2000)
    assert np.all(data.joint > data.start(0.3) + 0.05) and np.all(data.start(0.3) > 0)


def test_more_training_tasks_help():
    part = assert_whole(sensitivity.training_tasks(np.random.default_rng(RNG), draws=3))
    rows = list(part.tables[0].rows.values())
    assert rows[-1][0] < rows[0][0] and rows[-1][2] < rows[0][2] and rows[-1][3] < rows[0][3]


def test_the_slope_by_the_strength_is_that_of_differences():
    part = assert_whole(sensitivity.proximity(np.random.default_rng(RNG), tasks=5, strengths=(0.25, 1.0, 4.0)))
    rows = np.array(list(part.tables[0].rows.values()))
    np.testing.assert_allclose(rows[:, 3], rows[:, 4], rtol=1e-4, atol=1e-7)


def test_with_noise_a_strength_inside_the_table_is_best_and_an_end_of_the_table_is_said():
    inner = sensitivity.proximity(np.random.default_rng(RNG), tasks=10)
    for line in inner.curves[0].lines.values():
        assert 0 < np.argmin(line) < len(line) - 1
    assert AT_END not in " ".join(inner.sentences)
    cut = sensitivity.proximity(np.random.default_rng(RNG), tasks=5, strengths=(1.0, 4.0))
    assert f"The best lambda in the table: 1 {AT_END} for all." in cut.sentences[0]


def test_the_slope_by_the_strength_by_hand():
    """L = φ²/2 from θ = 1: φ = λ/(1 + λ), F = φ²/2, dF/dλ = λ/(1 + λ)³ = 1/8 at λ = 1."""
    task = refmeta.Quadratic([[[1.0]]], [[0.0]])
    assert sensitivity.proximal_slope(np.ones(1), Split(task, task), 1.0) == pytest.approx([1 / 8, 1 / 8])


def test_the_discount_of_the_gradient_changes_the_return_and_stays_below_the_optimum():
    part = assert_whole(sensitivity.discount(np.random.default_rng(RNG), iterations=3))
    (curves,) = part.curves
    assert all(max(line) < curves.levels["optimum"] and line[0] < max(line) for line in curves.lines.values())
