"""Optimal values against every deterministic policy, and Bellman's equation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refmeta import FiniteMDP, PolicyReturn, TabularSoftmax, optimal_values
from refmeta.oracle.problems import process
from tests import independent
from tests.strategies import seeds, sizes, widths

EPS = np.finfo(float).eps


@pytest.mark.eq("optimal-values")
@given(rng=seeds, states=st.integers(1, 3), actions=widths)
def test_the_optimum_is_the_best_of_all_deterministic_policies(rng, states, actions):
    mdp = process(rng, 2, states, actions, gamma=0.6)
    best = optimal_values(mdp)
    for i in range(2):
        expected = independent.best_deterministic(mdp.P[i], mdp.R[i], mdp.rho[i], 0.6, 100)
        assert best.best_return[i] == pytest.approx(expected, rel=1e-13, abs=1e-13)


@pytest.mark.eq("optimal-values")
@pytest.mark.parametrize("gamma", [0.7, 1.0])
@pytest.mark.parametrize("horizon", [1, 2, 3])
def test_the_horizon_s_optimum_is_the_best_of_all_policies_that_depend_on_time(gamma, horizon):
    mdp = process(np.random.default_rng(8), 2, 2, 3, gamma=gamma, horizon=horizon)
    best = optimal_values(mdp)
    for i in range(2):
        expected = independent.best_nonstationary(mdp.P[i], mdp.R[i], mdp.rho[i], gamma, horizon)
        assert best.best_return[i] == pytest.approx(expected, rel=1e-14)
    assert best.value.shape == (2, horizon + 1, 2) and best.action_value.shape == (2, horizon, 2, 3)
    assert best.action.shape == (2, horizon, 2)


@given(rng=seeds, states=sizes, actions=widths)
def test_bellman_s_optimality_holds_and_the_action_attains_it(rng, states, actions):
    mdp = process(rng, 2, states, actions, gamma=0.9)
    best = optimal_values(mdp)
    scale = np.max(np.abs(best.action_value))
    np.testing.assert_allclose(best.action_value.max(-1), best.value, rtol=0, atol=256 * EPS * scale)
    theta = 800.0 * np.eye(actions)[best.action].reshape(2, -1)
    greedy = PolicyReturn(mdp, TabularSoftmax(states, actions)).at(theta)
    np.testing.assert_allclose(-greedy.loss, best.best_return, rtol=0, atol=64 * EPS * scale)


@given(rng=seeds, horizon=st.sampled_from((None, 4)))
def test_no_policy_returns_more(rng, horizon):
    mdp = process(rng, 3, 3, 3, gamma=0.9, horizon=horizon)
    task = PolicyReturn(mdp, TabularSoftmax(3, 3))
    best = optimal_values(mdp).best_return
    assert np.all(-task.at(3 * rng.normal(size=(50, 1, 9))).loss <= best + 1e-12 * np.abs(best))


@pytest.mark.parametrize("power", [-300, 0, 300])
@pytest.mark.parametrize("gamma", [0.9, 1 - 2.0**-20])
def test_it_stops_whatever_the_scale_of_the_rewards_and_with_ties(power, gamma):
    mdp = process(np.random.default_rng(1), 2, 4, 3, gamma=gamma)
    R = mdp.R.copy()
    R[..., 2] = R[..., 1]
    P = mdp.P.copy()
    P[..., 2, :] = P[..., 1, :]
    best = optimal_values(FiniteMDP(P, R * 2.0**power, mdp.rho, gamma))
    unscaled = optimal_values(FiniteMDP(P, R, mdp.rho, gamma))
    np.testing.assert_array_equal(best.value, unscaled.value * 2.0**power)
    assert np.all(np.isfinite(best.value))


@pytest.mark.parametrize(
    ("better", "gamma"), [(2.0, 1 - 1e-9), (1.1, 1 - 1e-7), (1.001, 1 - 2.0**-20), (1 + 1e-6, 0.999)]
)
def test_a_small_gain_a_step_is_taken_however_near_one_the_discount_is(better, gamma):
    """One state, rewards 1 and `better`: the best return is better/(1 − γ), to the rounding of 1 − γ itself."""
    best = optimal_values(FiniteMDP(np.ones((1, 2, 1)), [[1.0, better]], [1.0], gamma))
    assert best.action == 1
    np.testing.assert_allclose(best.best_return, better / (1 - gamma), rtol=16 * EPS)


def test_a_detour_that_pays_later_is_found():
    """γ = 1 − 2⁻²⁰: action 1 pays −1 at once and moves to a state that pays 1/2 for ever."""
    gamma = 1 - 2.0**-20
    P, R = [[[1, 0], [0, 1]], [[0, 1], [0, 1]]], [[0.25, -1.0], [0.5, 0.5]]
    best = optimal_values(FiniteMDP(P, R, [1.0, 0.0], gamma))
    np.testing.assert_array_equal(best.action, [1, 0])
    np.testing.assert_allclose(best.best_return, -1 + gamma * 0.5 / (1 - gamma), rtol=16 * EPS)


@pytest.mark.parametrize("horizon", [None, 2])
def test_a_state_with_huge_rewards_does_not_blind_the_others(horizon):
    """Each state for itself: rewards (10¹⁷, 10¹⁷) and (0, 1), start in the second."""
    P = np.stack([np.eye(2)] * 2, axis=1)
    best = optimal_values(FiniteMDP(P, [[1e17, 1e17], [0.0, 1.0]], [0, 1], 0.5, horizon))
    assert best.best_return == (2.0 if horizon is None else 1.5)


def test_what_is_no_process_and_what_overflows_is_refused():
    with pytest.raises(TypeError, match="optimal_values takes a FiniteMDP, got TabularSoftmax"):
        optimal_values(TabularSoftmax(2, 2))
    for horizon in (None, 9):
        with pytest.raises(FloatingPointError, match="optimal_values left the finite numbers"):
            optimal_values(FiniteMDP([[[1.0]]], [[1e308]], [1.0], 0.9, horizon))


def test_with_a_horizon_every_step_obeys_bellman_and_ties_take_the_first_action():
    mdp = process(np.random.default_rng(4), 2, 3, 3, gamma=0.9, horizon=4)
    best = optimal_values(mdp)
    for t in range(4):
        Q = mdp.R + 0.9 * np.einsum("nsat,nt->nsa", mdp.P, best.value[:, t + 1])
        np.testing.assert_allclose(best.action_value[:, t], Q, rtol=1e-14, atol=1e-15)
        np.testing.assert_array_equal(best.action[:, t], np.argmax(Q, axis=-1))
    for horizon in (None, 2):
        arms = FiniteMDP(np.ones((1, 3, 1)), [[1.0, 1.0, 1.0]], [1.0], 0.5, horizon)
        assert np.all(optimal_values(arms).action == 0)


def test_rounding_alone_replaces_no_action():
    """Rows of P that are permutations among states of one value: every action ties but for the rounding of a sum."""
    P = np.array([[[0.1, 0.2, 0.7], [0.7, 0.1, 0.2], [0.2, 0.7, 0.1]]] * 3)
    best = optimal_values(FiniteMDP(P, np.full((3, 3), 0.3), [1.0, 0, 0], 0.99))
    np.testing.assert_array_equal(best.action, 0)
