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


def test_the_starts_that_are_called_after_estimators_were_trained_on_episodes():
    """With the same seed their tasks are those of the others, and their episodes are those of the rule."""
    starts = learners.gradient_starts(ACTING, np.random.default_rng(3), iterations=2)
    assert list(starts) == ["zeros", "joint training", "Reptile", "exact MAML", "E-MAML", "LVC"]
    seed = int(np.random.default_rng(3).integers(2**63))
    for name, estimator in (("E-MAML", refmeta.sampled_maml.EMAML), ("LVC", refmeta.sampled_maml.LVC)):
        rule = refmeta.SampledMAML(20.0, estimator, 5, horizon=20)
        fixed = {"outer": refmeta.Adam(0.02), "iterations": 2, "batch": 20, "rng": seed}
        expected = refmeta.meta_train(ACTING.family, starts["zeros"], rule=rule, **fixed).theta
        np.testing.assert_array_equal(starts[name], expected)


def test_without_an_episode_nothing_changes_and_each_prefix_is_used_alone():
    task = ACTING.family.sample(3, 0).support
    theta = np.random.default_rng(1).normal(size=task.dim)
    returns = learners.by_policy_gradient(task, theta, ACTING, np.random.default_rng(2))
    batch = learners.reinforce_batch(task, theta, ACTING, np.random.default_rng(2))
    np.testing.assert_allclose(returns[0], -task.at(theta).loss)
    first = refmeta.Trajectories(*(part[:, :1] for part in batch))
    step = ACTING.alpha * refmeta.surrogates.reinforce(task.policy, theta, first, gamma=ACTING.gamma).at(theta).grad
    np.testing.assert_allclose(returns[1], -task.at(theta - step).loss)
