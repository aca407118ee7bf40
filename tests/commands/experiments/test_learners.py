"""REINFORCE on few episodes, and its step size."""

import numpy as np

import refmeta
from refmeta.commands.experiments import learners

ACTING = learners.Acting(refmeta.GoalGridworlds(size=3), 20, 0.95, 20.0)


def test_the_own_step_size_is_the_best_on_the_training_tasks():
    """From zeros a step gains, and none gains nothing."""
    task = ACTING.family.sample(100, 0).support
    zeros, rng = np.zeros(task.dim), np.random.default_rng(0)
    assert learners.own_step_size(task, zeros, ACTING, rng, [0.0, 20.0]) == 20.0


def test_without_an_episode_nothing_changes_and_each_prefix_is_used_alone():
    task = ACTING.family.sample(3, 0).support
    theta = np.random.default_rng(1).normal(size=task.dim)
    returns = learners.by_policy_gradient(task, theta, ACTING, np.random.default_rng(2))
    batch = learners.reinforce_batch(task, theta, ACTING, np.random.default_rng(2))
    np.testing.assert_allclose(returns[0], -task.at(theta).loss)
    first = refmeta.Trajectories(*(part[:, :1] for part in batch))
    step = ACTING.alpha * refmeta.surrogates.reinforce(task.policy, theta, first, gamma=ACTING.gamma).at(theta).grad
    np.testing.assert_allclose(returns[1], -task.at(theta - step).loss)
