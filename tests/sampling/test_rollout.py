"""Sampling: shapes, seeds, ends, rewards of the next state, and agreement with exact expectations."""

import os

import numpy as np
import pytest

import refmeta as rm
from refmeta.problems import random_linear_quadratic, random_process

BATCHES = 100_000 if os.environ.get("HYPOTHESIS_PROFILE") == "deep" else 4_000


def chain():
    """0 → 1 → 2, where 2 is an end; action 1 stays put."""
    P = np.zeros((3, 2, 3))
    P[0, 0, 1] = P[1, 0, 2] = P[0, 1, 0] = P[1, 1, 1] = P[2, :, 2] = 1
    R = np.array([[1.0, 0.5], [2.0, 0.25], [0.0, 0.0]])
    return rm.FiniteMDP(P, R, [1.0, 0.0, 0.0], 0.75, terminal=[False, False, True])


def test_shapes_seeds_and_batch_axes():
    rng = np.random.default_rng(0)
    mdp, policy = random_process(rng, tasks=3), rm.TabularSoftmax(3, 3)
    theta = rng.normal(size=(2, 1, 9))
    one, same = (rm.rollout(mdp, policy, theta, episodes=4, horizon=5, rng=7) for _ in range(2))
    other = rm.rollout(mdp, policy, theta, episodes=4, horizon=5, rng=8)
    for x, y in zip(one, same, strict=True):
        assert x.shape == (2, 3, 4, 5)
        np.testing.assert_array_equal(x, y)
    assert np.any(one.states != other.states) and one.mask.all()
    np.testing.assert_array_equal(one.rewards, mdp.R[np.arange(3)[:, None, None], one.states, one.actions])
    generator = np.random.default_rng(7)
    np.testing.assert_array_equal(
        rm.rollout(mdp, policy, theta, episodes=4, horizon=5, rng=generator).states, one.states
    )


def test_the_horizon_is_the_process_s_own_or_must_be_given():
    mdp, policy = random_process(np.random.default_rng(0), horizon=4), rm.TabularSoftmax(3, 3)
    assert rm.rollout(mdp, policy, np.zeros(9), episodes=2, rng=0).mask.shape == (2, 2, 4)
    with pytest.raises(ValueError, match="horizon must be 4 as that of the process, got 3"):
        rm.rollout(mdp, policy, np.zeros(9), episodes=2, horizon=3)
    with pytest.raises(ValueError, match="horizon is required: the process has none"):
        rm.rollout(chain(), rm.TabularSoftmax(3, 2), np.zeros(6), episodes=2)


def test_a_trajectory_ends_in_a_declared_end_and_nowhere_else():
    got = rm.rollout(chain(), rm.TabularSoftmax(3, 2), [2.0, 0, 2.0, 0, 0, 0], episodes=200, horizon=5, rng=0)
    np.testing.assert_array_equal(got.mask, got.states != 2)
    assert np.all(got.mask[..., 0]) and not np.all(got.mask) and np.all(got.rewards[~got.mask] == 0)
    assert np.all(np.diff(got.mask.astype(int), axis=-1) <= 0)
    nested = rm.FiniteMDP(chain().P, chain().R[..., None] * np.ones(3), chain().rho, 0.75, terminal=chain().terminal)
    again = rm.rollout(nested, rm.TabularSoftmax(3, 2), [2.0, 0, 2.0, 0, 0, 0], episodes=200, horizon=5, rng=0)
    for x, y in zip(got, again, strict=True):
        np.testing.assert_array_equal(x, y)
    undeclared = rm.FiniteMDP(chain().P, chain().R, chain().rho, 0.75)
    for process in (undeclared, rm.FiniteMDP(chain().P, 0 * chain().R, chain().rho, 0.75)):
        free = rm.rollout(process, rm.TabularSoftmax(3, 2), [2.0, 0, 2.0, 0, 0, 0], episodes=50, horizon=5, rng=0)
        assert free.mask.all() and np.any(free.states == 2)


def test_one_state_one_action_one_step_and_no_task():
    bandit = rm.FiniteMDP(np.ones((1, 1, 1)), [[2.0]], [1.0], 0.5)
    got = rm.rollout(bandit, rm.TabularSoftmax(1, 1), [0.0], episodes=1, horizon=1, rng=0)
    assert (got.states, got.actions, got.rewards, got.mask) == (0, 0, 2.0, True)
    arms = rm.FiniteMDP(np.ones((3, 1, 4, 1)), np.arange(12.0).reshape(3, 1, 4), np.ones((3, 1)), 0.5)
    got = rm.rollout(arms, rm.TabularSoftmax(1, 4), np.zeros(4), episodes=2, horizon=3, rng=0)
    np.testing.assert_array_equal(got.rewards, got.actions + 4 * np.arange(3)[:, None, None])
    none = rm.rollout(rm.FiniteMDP(np.zeros((0, 2, 2, 2)), np.zeros((0, 2, 2)), np.zeros((0, 2)), 0.5),
                      rm.TabularSoftmax(2, 2), np.zeros(4), episodes=2, horizon=3, rng=0)  # fmt: skip
    assert none.mask.shape == (0, 2, 3)
    assert rm.surrogates.dice(rm.TabularSoftmax(2, 2), np.zeros(4), none, gamma=0.5).at(np.zeros(4)).grad.shape == (
        0,
        4,
    )


def test_impossible_states_and_actions_are_never_drawn():
    P = np.zeros((3, 2, 3))
    P[..., 0], P[..., 1] = 0.25, 0.75
    mdp = rm.FiniteMDP(P, np.ones((3, 2)), [0.0, 1.0, 0.0], 0.5)
    got = rm.rollout(mdp, rm.TabularSoftmax(3, 2), [700.0, 0, 700.0, 0, 0, 0], episodes=500, horizon=6, rng=0)
    assert np.all(got.states[..., 0] == 1) and set(np.unique(got.states)) == {0, 1} and np.all(got.actions == 0)


def test_a_reward_of_the_next_state_is_that_of_the_state_drawn():
    rng = np.random.default_rng(1)
    base = random_process(rng, tasks=2)
    R = rng.normal(size=(2, 3, 3, 3))
    mdp = rm.FiniteMDP(base.P, R, base.rho, 0.75)
    got = rm.rollout(mdp, rm.TabularSoftmax(3, 3), np.zeros(9), episodes=5, horizon=4, rng=0)
    task = np.arange(2)[:, None, None]
    expected = R[task, got.states[..., :-1], got.actions[..., :-1], got.states[..., 1:]]
    np.testing.assert_array_equal(got.rewards[..., :-1], expected)


def test_sampled_means_are_the_exact_ones_within_four_standard_errors():
    """E-MAML's gradient, GPOMDP and the return, on batches of two trajectories against enumeration."""
    rng = np.random.default_rng(2)
    one = random_process(rng, 1, 2, 2, 0.75, 2)
    mdp = rm.FiniteMDP(one.P[0], one.R[0], one.rho[0], 0.75, 2)
    policy = rm.TabularSoftmax(2, 2)
    task, theta = rm.PolicyReturn(mdp, policy), rng.normal(size=4)

    def estimates(batch):
        surrogate = rm.surrogates.reinforce(policy, theta, batch, gamma=0.75)
        dice = rm.surrogates.dice(policy, theta, batch, gamma=0.75).at(theta)
        return np.concatenate([
            rm.sampled.emaml_gradient(theta, surrogate, task, alpha=0.5), rm.estimators.gpomdp(policy, theta, batch, gamma=0.75),
            dice.hvp(np.array([1.0, -0.5, 0.25, 2.0])), np.mean(rm.returns.whole_return(batch, gamma=0.75), axis=-1)[:, None],
        ], axis=-1)  # fmt: skip

    exact = rm.enumeration.expectation(estimates, mdp, policy, theta, episodes=2)
    batch = rm.rollout(mdp, policy, np.broadcast_to(theta, (BATCHES, 4)), episodes=2, rng=3)
    estimate = estimates(batch)
    error = np.sqrt(np.diag(exact.covariance) / BATCHES)
    assert np.all(np.abs(estimate.mean(0) - exact.mean) < 4 * error), (estimate.mean(0) - exact.mean) / error
    spread = np.cov(estimate.T)
    np.testing.assert_allclose(np.diag(spread), np.diag(exact.covariance), rtol=40 / np.sqrt(BATCHES))


def test_noise_of_the_rewards_is_drawn_last_and_has_the_deviation_of_its_task():
    """States and actions are those of the seed without noise; r − R is N(0, σ²), 0 where σ is and after the end."""
    mdp, policy, theta = random_process(np.random.default_rng(0), tasks=3), rm.TabularSoftmax(3, 3), np.zeros(9)
    sigma = np.array([0.0, 0.5, 2.0])
    plain = rm.rollout(mdp, policy, theta, episodes=1000, horizon=4, rng=7)
    noisy = rm.rollout(mdp, policy, theta, episodes=1000, horizon=4, reward_noise=sigma, rng=7)
    np.testing.assert_array_equal(noisy.states, plain.states)
    np.testing.assert_array_equal(noisy.actions, plain.actions)
    error = noisy.rewards - plain.rewards
    assert not np.any(error[0])
    np.testing.assert_allclose(error[1:].std(axis=(1, 2)), sigma[1:], rtol=4 / np.sqrt(8000))
    assert np.all(np.abs(error[1:].mean(axis=(1, 2))) < 4 * sigma[1:] / np.sqrt(4000))
    assert np.abs(np.mean(error[2, :, 1:] * error[2, :, :-1])) < 4 * 4 / np.sqrt(3000), "steps are independent"
    left, spent = np.random.default_rng(7), np.random.default_rng(7)
    silent = rm.rollout(mdp, policy, theta, episodes=1000, horizon=4, reward_noise=0.0, rng=left)
    spent.random((1 + 2 * 4, 3, 1000))
    assert left.random() == spent.random(), "a start, and an action and a next state in every step: nothing else is drawn"
    for x, y in zip(silent, plain, strict=True):
        np.testing.assert_array_equal(x, y)
    ends = rm.rollout(chain(), rm.TabularSoftmax(3, 2), np.zeros(6), episodes=50, horizon=6, reward_noise=1.0, rng=0)
    assert not ends.mask.all() and not np.any(ends.rewards[~ends.mask]) and np.all(ends.rewards[ends.mask] != 0)


def test_costs_get_noise_as_well():
    lq = random_linear_quadratic(np.random.default_rng(4), tasks=2)
    policy = rm.LinearGaussian(lq.states, lq.actions)
    plain, noisy = (rm.rollout(lq, policy, np.zeros(policy.dim), episodes=2, reward_noise=x, rng=0) for x in (0, 1))
    np.testing.assert_array_equal(plain.states, noisy.states)
    assert np.all(plain.rewards != noisy.rewards)


@pytest.mark.parametrize(
    ("noise", "error", "message"),
    [
        (-1.0, ValueError, "reward_noise must be at least 0, got -1.0"),
        ([0.5, -2.0], ValueError, r"reward_noise\[1\] must be at least 0, got -2.0"),
        (np.nan, ValueError, "reward_noise is nan"),
        (1j, TypeError, "reward_noise must be real"),
        ("much", TypeError, "reward_noise must be numbers"),
        (np.ones(3), ValueError, r"got reward_noise \(3,\), tasks \(2,\)"),
        (np.ones((3, 2)), ValueError, r"reward_noise has shape \(3, 2\), expected one number or one per task, \(2,\)"),
        (1e308, FloatingPointError, "a reward and its noise left the finite numbers"),
    ],
)
def test_a_noise_that_cannot_be_is_refused(noise, error, message):
    mdp = random_process(np.random.default_rng(0), tasks=2)
    with pytest.raises(error, match=message):
        rm.rollout(mdp, rm.TabularSoftmax(3, 3), np.zeros(9), episodes=9, horizon=9, reward_noise=noise, rng=0)


@pytest.mark.parametrize("theta", [[700.0, 0, 0], [1e308, 0, 0], [0, 0, 700.0], [0, 0, 1e308], [-700.0, 0, 700.0]])
def test_a_linear_quadratic_rollout_that_overflows_is_named(theta):
    """x' = (1 + k) x: a gain of 700 leaves the floats after some 108 steps, σ = e^700 in the first reward."""
    lq = rm.LinearQuadratic(np.eye(2), [[1.0], [0.0]], np.diag([1.0, 0.0]), [[1.0]], [[1.0, 1.0], [1.0, 1.0]],
                            np.zeros((2, 2)), 0.5, 200)  # fmt: skip
    with pytest.raises(FloatingPointError, match="the (states|rewards) left the finite numbers: the gain"):
        rm.rollout(lq, rm.LinearGaussian(2, 1), theta, episodes=2, rng=0)


def test_linear_quadratic_rollouts_have_the_exact_cost_within_four_standard_errors():
    rng = np.random.default_rng(4)
    lq = random_linear_quadratic(rng, tasks=2)
    policy = rm.LinearGaussian(lq.states, lq.actions)
    theta = 0.3 * rng.normal(size=policy.dim)
    got = rm.rollout(lq, policy, theta, episodes=BATCHES, rng=0)
    assert got.states.shape == (2, BATCHES, 4, 3) and got.actions.shape == (2, BATCHES, 4, 2)
    np.testing.assert_allclose(got.states[..., -1], 1.0, rtol=1e-14)
    G = rm.returns.whole_return(got, gamma=lq.gamma)
    exact = -rm.PolicyCost(lq).at(theta).loss
    assert np.all(np.abs(G.mean(-1) - exact) < 4 * G.std(-1) / np.sqrt(BATCHES))
    again = rm.rollout(lq, policy, theta, episodes=BATCHES, rng=0)
    np.testing.assert_array_equal(again.actions, got.actions)


def test_a_noiseless_system_moves_as_it_must():
    """x' = x + a, a = −x/2 with σ → 0: 1, 1/2, 1/4; the reward is −(x² + a²)."""
    lq = rm.LinearQuadratic(np.eye(2), [[1.0], [0.0]], np.diag([1.0, 0.0]), [[1.0]], [[1.0, 1.0], [1.0, 1.0]],
                            np.zeros((2, 2)), 0.5, 3)  # fmt: skip
    got = rm.rollout(lq, rm.LinearGaussian(2, 1), [-0.5, 0.0, -700.0], episodes=1, rng=0)
    np.testing.assert_allclose(got.states[0, :, 0], [1, 0.5, 0.25], rtol=1e-15)
    np.testing.assert_allclose(got.rewards[0], [-1.25, -0.3125, -0.078125], rtol=1e-15)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((chain(), rm.LinearGaussian(3, 2), np.zeros(8)), TypeError, "rollout takes a FiniteMDP and a softmax policy"),
        (("process", rm.TabularSoftmax(3, 2), np.zeros(6)), TypeError, "got str and TabularSoftmax"),
        ((chain(), rm.TabularSoftmax(2, 2), np.zeros(4)), ValueError, r"\(states, actions\) = \(2, 2\), expected \(3, 2\)"),
        ((chain(), rm.TabularSoftmax(3, 2), np.zeros(5)), ValueError, r"theta has shape \(5,\), expected last axis 6"),
        ((chain(), rm.TabularSoftmax(3, 2), np.zeros(6) + 1j), TypeError, "theta must be real"),
        ((chain(), rm.TabularSoftmax(3, 2), np.full(6, np.nan)), ValueError, "theta.* is nan"),
    ],
)  # fmt: skip
def test_bad_input_is_named(arguments, error, message):
    with pytest.raises(error, match=message):
        rm.rollout(*arguments, episodes=2, horizon=3, rng=0)


@pytest.mark.parametrize("episodes", [0, -1, 1.5, True])
def test_a_number_of_episodes_that_is_none_is_refused(episodes):
    with pytest.raises((ValueError, TypeError), match="episodes must be"):
        rm.rollout(chain(), rm.TabularSoftmax(3, 2), np.zeros(6), episodes=episodes, horizon=3)
