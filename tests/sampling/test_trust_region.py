"""The KL on sampled states, and the step in its trust region."""

import types

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refmeta as rm
from refmeta.evidence.sampling import random_kl, random_trust_region
from refmeta.problems import POLICIES, random_trajectories
from tests.strategies import assert_right, batch_sizes, policies, seeds


@pytest.mark.eq("sampled-kl")
@given(case=st.builds(random_kl, seeds, kind=policies, **batch_sizes))
def test_the_divergence_is_a_sum_or_a_quadrature_and_its_derivatives_are_complex_steps(case):
    assert_right("sampled-kl", case)
    policy, start, batch, theta, _ = case
    at = rm.SampledKL(policy, start, batch).at
    assert np.all(at(theta).loss > 0) and np.all(at(start).loss == 0) and np.all(at(start).grad == 0)


@pytest.mark.eq("sampled-kl")
def test_the_divergence_by_hand():
    """N(1, 1) ‖ N(3, 4) at x = 1: log 2 + (1 + 4)/8 − ½; and softmax (¼, ¾) ‖ (½, ½) at two steps of one trajectory in two."""
    gaussian = rm.LinearGaussian(1, 1)
    batch = rm.Trajectories([[[1.0]]], [[[0.0]]], [[0.0]], [[True]])
    got = rm.SampledKL(gaussian, [1.0, 0.0], batch).at([3.0, np.log(2)]).loss
    assert got == pytest.approx(np.log(2) + 5 / 8 - 1 / 2, rel=1e-14)
    both = rm.Trajectories([[0, 0], [0, 0]], [[0, 1], [0, 0]], np.zeros((2, 2)), [[1, 1], [1, 0]])
    got = rm.SampledKL(rm.TabularSoftmax(1, 2), np.log([1.0, 3.0]), both).at([0.0, 0.0]).loss
    assert got == pytest.approx(1.5 * (np.log(1 / 2) / 4 + 3 / 4 * np.log(3 / 2)), rel=1e-14)


@pytest.mark.parametrize("kind", POLICIES)
def test_one_task_is_a_batch_of_one_and_theta_may_have_axes_of_its_own(kind):
    policy, start, batch = random_trajectories(np.random.default_rng(2), kind)
    thetas, v = start + 0.1 * np.random.default_rng(3).normal(size=(3, 1, policy.dim)), np.ones(policy.dim)
    both, one = (rm.SampledKL(policy, start, x) for x in (batch, rm.Trajectories(*(x[1] for x in batch))))
    assert both.shape == (2,) and one.shape == ()
    for part in (lambda p: p.loss, lambda p: p.grad, lambda p: p.hvp(v)):
        several = part(both.at(thetas))
        for k in range(3):
            np.testing.assert_allclose(several[k, 1], part(one.at(thetas[k, 0])), rtol=1e-12, atol=1e-15)


def test_the_gaussian_divergence_keeps_its_digits_near_the_old_policy():
    """σ moved by a factor e^δ: D = δ² + O(δ³), here 1e-18."""
    batch = rm.Trajectories([[[1.0]]], [[[0.0]]], [[0.0]], [[True]])
    got = rm.SampledKL(rm.LinearGaussian(1, 1), [0.0, 0.0], batch).at([0.0, 1e-9]).loss
    assert got == pytest.approx(1e-18, rel=1e-6)


@pytest.mark.eq("trpo-step")
@given(case=st.builds(random_trust_region, seeds, states=st.integers(2, 4), actions=st.integers(2, 4)))
def test_a_step_is_the_natural_gradient_scaled_to_the_radius_and_halved(case):
    assert_right("trpo-step", case)
    task, theta, radius = case
    point, kl = task.at(theta), rm.PolicyKL(task.at(theta))
    got = rm.trpo_step(theta, task, kl, radius=radius)
    assert 0 < got.kl <= radius and got.kl == kl.at(got.theta).loss.sum()
    assert 0 < got.improvement == pytest.approx(point.loss[0] - task.at(got.theta).loss[0])


@pytest.mark.parametrize("kind", POLICIES)
def test_it_runs_on_a_sampled_batch_and_sums_over_tasks(kind):
    policy, theta, batch = random_trajectories(np.random.default_rng(0), kind, episodes=12)
    loss = rm.surrogates.likelihood_ratio(policy, theta, batch, gamma=0.75)
    kl = rm.SampledKL(policy, theta, batch)
    got = rm.trpo_step(theta, loss, kl, radius=0.01, damping=1e-6)
    assert 0 < got.kl <= 0.01 and got.improvement > 0
    assert got.kl == pytest.approx(np.sum(kl.at(got.theta).loss))


def test_where_nothing_is_to_be_gained_the_step_is_none():
    policy, theta, batch = random_trajectories(np.random.default_rng(0))
    flat = rm.surrogates.likelihood_ratio(policy, theta, batch._replace(rewards=0 * batch.rewards), gamma=0.75)
    got = rm.trpo_step(theta, flat, rm.SampledKL(policy, theta, batch), radius=0.01)
    np.testing.assert_array_equal(got.theta, theta)
    assert got.theta is not theta and (got.kl, got.improvement) == (0, 0)
    loss = rm.surrogates.likelihood_ratio(policy, theta, batch, gamma=0.75)
    stuck = rm.trpo_step(theta, loss, rm.SampledKL(policy, theta, batch), radius=1e4, damping=1e-6, backtracks=0)
    assert stuck.kl <= 1e4


def test_a_direction_that_the_divergence_does_not_see_needs_damping():
    """The KL of one state, a loss of another."""
    policy, theta = rm.TabularSoftmax(2, 2), np.zeros(4)
    batch = rm.Trajectories([[0], [1]], [[0], [1]], [[1.0], [2.0]], [[1], [1]])
    loss = rm.surrogates.likelihood_ratio(policy, theta, batch, gamma=0.75)
    blind = rm.SampledKL(policy, theta, rm.Trajectories([[0], [0]], [[0], [1]], [[1.0], [2.0]], [[1], [1]]))
    with pytest.raises(
        FloatingPointError, match="a direction in which the KL has the curvature .*, not above rounding: damping"
    ):
        rm.trpo_step(theta, loss, blind, radius=0.01)
    assert rm.trpo_step(theta, loss, blind, radius=0.01, damping=0.1).improvement > 0


def slope(g):
    """½|θ + g|²: its gradient at 0 is g."""
    return rm.Quadratic(np.eye(2), -np.array(g))


@pytest.mark.parametrize("power", [-300, 0, 300])
@pytest.mark.parametrize("turn", [0.0, 0.7])
@pytest.mark.parametrize("g", [(1.0, 1.0), (1.0, 0.0), (3.0, -2.0)])
def test_a_kl_whose_curvature_is_negative_or_zero_is_named(power, turn, g):
    """diag(1, −1): xᵀFx is 0 but for rounding along (1, 1).  diag(1, 0): what g has along the second axis is not seen."""
    Q = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    F = lambda low: 2.0**power * (Q * [1.0, low]) @ Q.T
    if g[1]:
        for low in (-1.0, 0.0):
            with pytest.raises(FloatingPointError, match="the KL has the curvature .*, not above rounding: damping"):
                rm.trpo_step(np.zeros(2), slope(Q @ g), rm.Quadratic(F(low), np.zeros(2)), radius=0.1)
    else:
        radius = 0.005 * 2.0**power
        got = rm.trpo_step(np.zeros(2), slope(Q @ g), rm.Quadratic(F(0.0), np.zeros(2)), radius=radius)
        np.testing.assert_allclose(got.theta, Q @ [-0.1, 0.0], rtol=0, atol=1e-14)
        assert got.kl == pytest.approx(radius, rel=1e-13), "the whole step, whose KL is the radius to rounding"


def test_a_step_has_no_scale_of_the_loss_and_blames_nothing_that_was_not_given():
    kl, zero = rm.Quadratic(np.eye(2), np.zeros(2)), np.zeros(2)
    for scale in (2.0**-500, 2.0**500):
        got = rm.trpo_step(zero, rm.Quadratic(scale * np.eye(2), [3.0, 4.0]), kl, radius=0.5)
        np.testing.assert_allclose(got.theta, [0.6, 0.8], rtol=1e-14)
    flat = rm.Quadratic(2.0**-1000 * np.eye(2), np.zeros(2))
    with pytest.raises(FloatingPointError, match="theta left the finite numbers: radius is too large"):
        rm.trpo_step(zero, slope([3.0, 4.0]), flat, radius=1e308)


class Sloped:
    """1 + gθ: with g = 1e-15 a step of −1 lowers it by five roundings of the 1."""

    shape, dim, g = (), 1, 1e-15

    def at(self, theta):
        return types.SimpleNamespace(loss=1 + self.g * theta[0], grad=np.array([self.g]), theta=theta)


def test_a_loss_that_falls_by_its_rounding_alone_has_not_fallen():
    kl = rm.Quadratic([[1.0]], [0.0])
    assert Sloped().at([0.0]).loss > Sloped().at([-1.0]).loss
    got = rm.trpo_step([0.0], Sloped(), kl, radius=0.5)
    assert (got.theta, got.kl, got.improvement) == (0, 0, 0)
    steep = Sloped()
    steep.g = 1e-12
    assert rm.trpo_step([0.0], steep, kl, radius=0.5).theta == pytest.approx(-1, rel=1e-14)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"radius": 0.0}, ValueError, "radius must be positive"),
        ({"damping": -1.0}, ValueError, "damping must be at least 0"),
        ({"backtracks": -1}, ValueError, "backtracks must be at least 0"),
        ({"theta": np.zeros((2, 6))}, ValueError, r"theta has shape \(2, 6\), expected \(d,\)"),
        ({"theta": np.zeros(6) + 1j}, TypeError, "theta must be real"),
    ],
)  # fmt: skip
def test_bad_input_is_named(change, error, message):
    policy, theta, batch = random_trajectories(np.random.default_rng(0))
    given_ = {"theta": theta, "radius": 0.01} | change
    loss, kl = rm.surrogates.likelihood_ratio(policy, theta, batch, gamma=0.75), rm.SampledKL(policy, theta, batch)
    with pytest.raises(error, match=message):
        rm.trpo_step(given_.pop("theta"), loss, kl, **given_)
    with pytest.raises(TypeError, match=r"kl must be a task with at\(theta\), got float"):
        rm.trpo_step(theta, loss, 1.0, radius=0.1)
