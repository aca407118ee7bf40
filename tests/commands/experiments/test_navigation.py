"""Navigation in `experiment adaptation`, on goals that no start was trained on."""

import re

import numpy as np
import pytest

import refmeta
from refmeta.commands.experiments import navigation
from tests.commands.experiments.conftest import assert_whole


def test_navigation_is_good_at_one_step_size_and_joint_training_at_its_own():
    """A short training: MAML's one step gains more than five of joint training at the common α; joint training's own α helps."""
    sizes = {"family": refmeta.Navigation(30), "alpha": 2e-3, "iterations": 40, "tasks": 5}
    part = assert_whole(navigation.navigation(np.random.default_rng(0), **sizes))
    best = float(re.search(r"The optimum is ([\d.]+), the mean squared distance", part.sentences[0])[1])
    rows, own, edges = ({name.split(" (")[0]: np.array(row) for name, row in table.rows.items()} for table in part.tables)
    assert np.all(rows.pop("optimum") == pytest.approx(best, abs=1e-3))
    assert set(rows) == set(edges) == {
        "random", "MAML, 1 step", "first-order MAML, 1 step", "Reptile, 3 steps", "joint training", "implicit MAML",
    }  # fmt: skip
    assert all(len(row) == 5 and np.all(row > best) for row in rows.values())
    maml, joint = rows["MAML, 1 step"], rows["joint training"]
    assert maml[1] < joint[4] and maml[1] < 0.2 * maml[0] and own["joint training"][1] < 0.3 * joint[1]
    proximal = {name: row[2] for name, row in edges.items()}
    assert min(proximal.values()) > best and proximal["implicit MAML"] < min(proximal["random"], proximal["joint training"])
    low, high = (float(x) for x in re.search(r"from ([\d.]+) to ([\d.]+) times this alpha", " ".join(part.sentences)).groups())
    assert 0.8 <= low < 1 < high <= 1.2


def test_the_range_ends_before_the_first_step_size_that_fails():
    """7 fails, so that 8 and 9, which hold, do not count."""
    assert navigation._last(lambda n: n != 7, range(1, 10)) == 6


def test_the_edge_of_stability_is_the_largest_of_the_tasks():
    task = refmeta.Quadratic([[[3.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, -0.5]]], np.zeros((2, 2)))
    for alpha, expected in ((0.9, 1.7), (0.1, 1.05)):
        assert navigation.spectral_radius(task, np.zeros(2), alpha) == pytest.approx(expected)


def test_where_a_step_overflows_the_edge_is_infinite():
    """From K = −3I the closed loop is −2I, and a step of length 1 leads to powers of it that overflow over 100 steps."""
    family = refmeta.Navigation()
    theta = np.concatenate([(-3 * np.eye(2, 3)).ravel(), np.zeros(2)])
    before, after, _ = navigation.stability(theta, family.tasks([[0.1, 0.2]]), 1.0)
    assert np.isfinite(before) and after == np.inf
