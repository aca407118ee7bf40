"""Log-likelihoods: products of probabilities, complex steps, adjoints; the linear-Gaussian policy."""

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refmeta as rm
from refmeta.evidence.sampling import random_batch, random_direction
from refmeta.judges import adjoint_gap, complex_step
from refmeta.problems import POLICIES, random_trajectories
from refmeta.sampling.likelihood import likelihood_at, trusted_at
from tests.strategies import assert_right, batch_sizes, policies, seeds


@pytest.mark.eq("log-likelihood")
@given(case=st.builds(random_batch, seeds, kind=policies, **batch_sizes))
def test_log_likelihood_is_that_of_each_step_and_zero_after_the_end(case):
    assert_right("log-likelihood", case)


@pytest.mark.eq("log-likelihood")
def test_log_likelihood_by_hand():
    """π(0|·) = 1/4 and 1/2: log(1/4 · 1/2) for actions 0, 0; and N(2; 1, 4) = exp(−1/8)/√(8π)."""
    theta = np.log([1.0, 3.0, 1.0, 1.0])
    batch = rm.Trajectories([[0, 1]], [[0, 0]], [[0.0, 0.0]], [[True, True]])
    ell = rm.likelihood(rm.TabularSoftmax(2, 2), theta, batch).log_prob
    assert np.sum(ell) == pytest.approx(np.log(1 / 8), rel=1e-15)
    gaussian = rm.LinearGaussian(1, 1)
    one = rm.Trajectories([[[0.5]]], [[[2.0]]], [[0.0]], [[True]])
    expected = -1 / 8 - np.log(8 * np.pi) / 2
    assert rm.likelihood(gaussian, [2.0, np.log(2)], one).log_prob[0, 0] == pytest.approx(expected, rel=1e-15)


@pytest.mark.eq("log-likelihood-score", "log-likelihood-hvp")
@given(case=st.builds(random_direction, seeds, kind=policies, **batch_sizes), rng=seeds)
def test_the_weighted_score_and_its_product_are_complex_steps_and_keep_their_symmetries(case, rng):
    assert_right("log-likelihood-score", case[:4])
    assert_right("log-likelihood-hvp", case)
    policy, theta, batch, w, u = case
    like, v = rm.likelihood(policy, theta, batch), rng.normal(size=policy.dim)
    slope = complex_step(lambda t: rm.likelihood(policy, t, batch).log_prob, theta, u)
    np.testing.assert_allclose(like.along(u), slope, rtol=0, atol=1e-12 * np.max(np.abs(slope)))
    assert adjoint_gap(lambda x: like.along(x), lambda y: np.sum(like.pull(y), axis=0), u, w) < 1e-14
    size = np.max(np.abs(like.curve(w, u))) + np.max(np.abs(like.curve(w, v)))
    np.testing.assert_allclose(like.curve(w, u) @ v, like.curve(w, v) @ u, rtol=0, atol=1e-12 * size)


@pytest.mark.parametrize("kind", POLICIES)
@pytest.mark.parametrize("step", [0.0, 1e-20j])
def test_a_likelihood_of_the_same_steps_has_the_bits_of_a_new_one(kind, step):
    """`trusted_at` checks nothing and keeps the places of the steps, for tables with and without batch axes."""
    rng = np.random.default_rng(4)
    policy, theta, batch = random_trajectories(rng, kind)
    first = likelihood_at(policy, theta, batch)
    w, u = rng.normal(size=batch.mask.shape), rng.normal(size=(2, 1, policy.dim))
    for at in (theta, theta + 0.1 * rng.normal(size=(3, 1, policy.dim)) + step):
        new, right = trusted_at(first, at), rm.likelihood(policy, at, batch)
        for of in (lambda x: x.log_prob, lambda x: x.pull(w), lambda x: x.along(u[0]), lambda x: x.curve(w, u[0])):
            np.testing.assert_array_equal(of(new), of(right))


@pytest.mark.eq("log-likelihood", "log-likelihood-score", "log-likelihood-hvp")
@pytest.mark.parametrize("kind", POLICIES)
def test_batch_axes_of_parameters_and_directions_are_those_of_one_after_another(kind):
    """θ (3, 1, d) and u (2, 1, 1, d) on trajectories (N, M, H): each slice is that of one θ and one u."""
    rng = np.random.default_rng(5)
    policy, theta, batch = random_trajectories(rng, kind)
    w, thetas, us = rng.normal(size=batch.mask.shape), theta + rng.normal(size=(3, 1, policy.dim)), rng.normal(size=(2, 1, 1, policy.dim))
    like = rm.likelihood(policy, thetas, batch)
    for i in range(3):
        one = rm.likelihood(policy, thetas[i, 0], batch)
        np.testing.assert_allclose(like.log_prob[i], one.log_prob, rtol=1e-14)
        np.testing.assert_allclose(like.pull(w)[i], one.pull(w), rtol=1e-13, atol=1e-14)
        for j in range(2):
            np.testing.assert_allclose(like.along(us)[j, i], one.along(us[j, 0, 0]), rtol=1e-13, atol=1e-14)
            np.testing.assert_allclose(like.curve(w, us)[j, i], one.curve(w, us[j, 0, 0]), rtol=1e-12, atol=1e-13)


def test_directions_of_many_shapes_leave_nothing_behind_but_two_tables_of_places():
    batch = rm.Trajectories([[0, 1]], [[0, 0]], [[0.0, 0.0]], [[True, True]])
    like = rm.likelihood(rm.TabularSoftmax(2, 2), np.zeros(4), batch)
    for n in range(1, 20):
        assert like.along(np.ones((n, 4))).shape == (n, 1, 2)
    assert like._places.cache_info().currsize == 2


def test_a_nearly_certain_policy_keeps_its_digits():
    """Logit gap 40, the likely action taken: the score is e^−40 = 4e-18, not 0."""
    policy, theta = rm.TabularSoftmax(1, 2), np.array([40.0, 0.0])
    batch = rm.Trajectories([[0]], [[0]], [[1.0]], [[True]])
    got = rm.likelihood(policy, theta, batch).pull(np.ones((1, 1)))
    np.testing.assert_allclose(got, np.exp(-40.0) * np.array([1, -1]), rtol=1e-14)


def test_features_of_each_task_broadcast_with_its_trajectories():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(2, 3, 2, 4))
    _, _, batch = random_trajectories(rng)
    theta, w, u = rng.normal(size=4), rng.normal(size=batch.mask.shape), rng.normal(size=4)
    like = rm.likelihood(rm.LinearSoftmax(features), theta, batch)
    for n in range(2):
        one = rm.likelihood(rm.LinearSoftmax(features[n]), theta, rm.Trajectories(*(x[n] for x in batch)))
        np.testing.assert_allclose(like.pull(w)[n], one.pull(w[n]), rtol=1e-13)
        np.testing.assert_allclose(like.curve(w, u)[n], one.curve(w[n], u), rtol=1e-13)
        np.testing.assert_array_equal(like.log_prob[n], one.log_prob)


@pytest.mark.parametrize("kind", POLICIES)
def test_axes_of_theta_broadcast_with_those_of_the_tasks(kind):
    rng = np.random.default_rng(1)
    policy, _, batch = random_trajectories(rng, kind)
    thetas = 0.5 * rng.normal(size=(3, 1, policy.dim))
    w = rng.normal(size=batch.mask.shape)
    like = rm.likelihood(policy, thetas, batch)
    assert like.log_prob.shape == (3, *batch.mask.shape) and like.pull(w).shape == (3, 2, policy.dim)
    for k in range(3):
        one = rm.likelihood(policy, thetas[k, 0], batch)
        np.testing.assert_allclose(like.pull(w)[k], one.pull(w), rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(like.curve(w, thetas[0, 0])[k], one.curve(w, thetas[0, 0]), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda b: b._replace(mask=np.array([[1, 0, 1, 0]] * 3)), ValueError, r"mask\[0, 2\] is True after the end"),
        (lambda b: b._replace(mask=np.ones(4)), TypeError, "mask must be integers, got dtype float64"),
        (lambda b: b._replace(mask=np.ones(4, bool)), ValueError, r"mask has shape \(4,\), expected \(..., M, H\)"),
        (lambda b: b._replace(mask=np.full((3, 4), 2)), ValueError, "mask.* is 2"),
        (lambda b: b._replace(rewards=b.rewards[:, :2]), ValueError, r"rewards has shape \(3, 2\), expected \(3, 4\)"),
        (lambda b: b._replace(rewards=np.full((3, 4), np.nan)), ValueError, r"rewards\[0, 0\] is nan"),
        (lambda b: b._replace(rewards=np.full((3, 4), 1j)), TypeError, "rewards must be real"),
        (lambda b: b._replace(rewards=np.full((3, 4), "a")), TypeError, "rewards must be numbers"),
        (lambda b: b._replace(states=np.full((3, 4), 3)), ValueError, r"states\[0, 0\] is 3, expected 0 <= it < 3"),
        (lambda b: b._replace(actions=np.full((3, 4), -1)), ValueError, r"actions\[0, 0\] is -1"),
        (lambda b: b._replace(actions=np.full((3, 4), 0.5)), TypeError, "actions must be integers"),
        (lambda b: tuple(b)[:3], TypeError, r"expected|must be Trajectories\(states"),
    ],
)  # fmt: skip
def test_a_batch_that_is_none_is_refused_by_name(change, error, message):
    policy, theta, batch = random_trajectories(np.random.default_rng(0), tasks=1)
    one = rm.Trajectories(*(x[0] for x in batch))._replace(mask=np.ones((3, 4), bool))
    with pytest.raises(error, match=message):
        rm.likelihood(policy, theta, change(one))


def test_gaussian_states_and_actions_have_the_policy_s_widths():
    policy, theta, batch = random_trajectories(np.random.default_rng(0), "linear-gaussian")
    with pytest.raises(ValueError, match=r"states has shape \(2, 3, 4, 2\), expected last axis 3"):
        rm.likelihood(policy, theta, batch._replace(states=batch.states[..., :2]))
    with pytest.raises(ValueError, match=r"actions has shape \(2, 3, 4\), expected \(2, 3, 4\) \+ \(n,\)"):
        rm.likelihood(policy, theta, batch._replace(actions=batch.actions[..., 0]))
    with pytest.raises(
        ValueError, match=r"theta has shape \(5,\), expected last axis 8 = 2 x 3 gains and 2 logarithms"
    ):
        rm.likelihood(policy, np.zeros(5), batch)


def test_what_stands_after_the_end_is_not_read_and_nothing_given_is_changed():
    policy, theta, batch = random_trajectories(np.random.default_rng(2))
    spoiled = [np.where(batch.mask, x, bad) for x, bad in zip(batch[:3], (99, -7, np.nan), strict=True)]
    kept = [x.copy() for x in spoiled]
    w = np.ones(batch.mask.shape)
    got = rm.likelihood(policy, theta, rm.Trajectories(*spoiled, batch.mask)).pull(w)
    np.testing.assert_array_equal(got, rm.likelihood(policy, theta, batch).pull(w))
    for before, after in zip(kept, spoiled, strict=True):
        np.testing.assert_array_equal(before, after)


class TestLinearGaussian:
    """The policy itself, one state and action at a time."""

    policy = rm.LinearGaussian(3, 2)

    @given(rng=seeds)
    def test_score_and_its_product_are_complex_steps(self, rng):
        theta, x, a, u = 0.5 * rng.normal(size=8), rng.normal(size=3), rng.normal(size=2), rng.normal(size=8)
        slope = complex_step(lambda t: self.policy.log_prob(t, x, a), theta)
        np.testing.assert_allclose(self.policy.score(theta, x, a), slope, rtol=0, atol=1e-13 * np.max(np.abs(slope)))
        bent = complex_step(lambda t: self.policy.score(t, x, a), theta, u)
        np.testing.assert_allclose(
            self.policy.score_hvp(theta, x, a, u), bent, rtol=0, atol=1e-13 * np.max(np.abs(bent))
        )

    def test_log_prob_is_that_of_python_s_own_normal_distribution(self):
        rng = np.random.default_rng(0)
        theta, x, a = rng.normal(size=8), rng.normal(size=(4, 3)), rng.normal(size=(4, 2))
        mean = x @ theta[:6].reshape(2, 3).T
        sigma = np.broadcast_to(np.exp(theta[6:]), a.shape)
        density = [NormalDist(m, s).pdf(x) for m, s, x in zip(mean.flat, sigma.flat, a.flat, strict=True)]
        expected = np.log(density).reshape(a.shape).sum(-1)
        np.testing.assert_allclose(self.policy.log_prob(theta, x, a), expected, rtol=1e-13)
        np.testing.assert_allclose(self.policy.mean(theta, x), mean, rtol=1e-14)

    def test_samples_have_the_mean_and_deviation_and_are_repeatable(self):
        theta, x = np.array([1.0, -2.0, 0.5, 0.0, 1.0, 2.0, np.log(0.5), np.log(3.0)]), np.ones((20000, 3))
        actions = self.policy.sample(theta, x, 1)
        np.testing.assert_array_equal(actions, self.policy.sample(theta, x, np.random.default_rng(1)))
        error = np.array([0.5, 3.0]) / np.sqrt(20000)
        assert np.all(np.abs(actions.mean(0) - [-0.5, 3.0]) < 4 * error)
        assert np.all(np.abs(actions.std(0) - [0.5, 3.0]) < 4 * error)

    def test_bad_arguments_are_named(self):
        with pytest.raises(ValueError, match="states must be at least 1, got 0"):
            rm.LinearGaussian(0, 1)
        with pytest.raises(ValueError, match="state has shape"):
            self.policy.mean(np.zeros(8), np.zeros(2))
        with pytest.raises(TypeError, match="theta must be real"):
            self.policy.sample(np.zeros(8) + 1j, np.zeros(3))
        with pytest.raises(ValueError, match="batch axes must broadcast"):
            self.policy.log_prob(np.zeros((3, 8)), np.zeros((2, 3)), np.zeros(2))
        assert self.policy.entry(0, (2,)) is self.policy and self.policy.shape == ()
