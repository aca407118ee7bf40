"""Optimal values against every deterministic policy, and Bellman's equation."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refmeta as rm
from refmeta import FiniteMDP, PolicyReturn, TabularSoftmax, optimal_values, soft_values
from refmeta.problems import random_ending_process, random_process
from tests import independent
from tests.strategies import assert_right, seeds, sizes, widths

EPS = np.finfo(float).eps


@st.composite
def soft_processes(draw):
    """(process, temperature)."""
    mdp = random_process(draw(seeds), 2, draw(sizes), draw(widths), gamma=draw(st.sampled_from((0.0, 0.5, 0.9))))
    return mdp, draw(st.sampled_from((0.05, 0.7, 5.0)))


@pytest.mark.eq("optimal-values")
@given(rng=seeds, states=st.integers(1, 3), actions=widths)
def test_the_optimum_is_the_best_of_all_deterministic_policies(rng, states, actions):
    assert_right("optimal-values", random_process(rng, 2, states, actions, gamma=0.6))


@pytest.mark.eq("optimal-values")
@pytest.mark.parametrize("gamma", [0.7, 1.0])
@pytest.mark.parametrize("horizon", [1, 2, 3])
def test_the_horizon_s_optimum_is_the_best_of_all_policies_that_depend_on_time(gamma, horizon):
    mdp = random_process(np.random.default_rng(8), 2, 2, 3, gamma=gamma, horizon=horizon)
    best = optimal_values(mdp)
    for i in range(2):
        expected = independent.best_nonstationary(mdp.P[i], mdp.R[i], mdp.rho[i], gamma, horizon)
        assert best.best_return[i] == pytest.approx(expected, rel=1e-14)
    assert best.value.shape == (2, horizon + 1, 2) and best.action_value.shape == (2, horizon, 2, 3)
    assert best.action.shape == (2, horizon, 2)


@given(rng=seeds, states=sizes, actions=widths)
def test_bellman_s_optimality_holds_and_the_action_attains_it(rng, states, actions):
    mdp = random_process(rng, 2, states, actions, gamma=0.9)
    best = optimal_values(mdp)
    scale = np.max(np.abs(best.action_value))
    np.testing.assert_allclose(best.action_value.max(-1), best.value, rtol=0, atol=256 * EPS * scale)
    theta = 800.0 * np.eye(actions)[best.action].reshape(2, -1)
    greedy = PolicyReturn(mdp, TabularSoftmax(states, actions)).at(theta)
    np.testing.assert_allclose(-greedy.loss, best.best_return, rtol=0, atol=64 * EPS * scale)


@given(rng=seeds, horizon=st.sampled_from((None, 4)))
def test_no_policy_returns_more(rng, horizon):
    mdp = random_process(rng, 3, 3, 3, gamma=0.9, horizon=horizon)
    task = PolicyReturn(mdp, TabularSoftmax(3, 3))
    best = optimal_values(mdp).best_return
    assert np.all(-task.at(3 * rng.normal(size=(50, 1, 9))).loss <= best + 1e-12 * np.abs(best))


@pytest.mark.parametrize("power", [-300, 0, 300])
@pytest.mark.parametrize("gamma", [0.9, 1 - 2.0**-20])
def test_it_stops_whatever_the_scale_of_the_rewards_and_with_ties(power, gamma):
    mdp = random_process(np.random.default_rng(1), 2, 4, 3, gamma=gamma)
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


def test_anything_but_a_process_and_an_overflow_are_refused():
    with pytest.raises(TypeError, match="optimal_values takes a FiniteMDP, got TabularSoftmax"):
        optimal_values(TabularSoftmax(2, 2))
    for horizon in (None, 9):
        with pytest.raises(FloatingPointError, match="optimal_values left the finite numbers"):
            optimal_values(FiniteMDP([[[1.0]]], [[1e308]], [1.0], 0.9, horizon))


def test_with_a_horizon_every_step_obeys_bellman_and_ties_take_the_first_action():
    mdp = random_process(np.random.default_rng(4), 2, 3, 3, gamma=0.9, horizon=4)
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


@pytest.mark.eq("soft-values")
@given(case=soft_processes())
def test_soft_values_are_the_limit_of_sweeps(case):
    assert_right("soft-values", case)
    mdp, tau = case
    got = rm.soft_values(mdp, temperature=tau)
    np.testing.assert_allclose(got.best_return, np.sum(mdp.rho * got.value, -1), rtol=0, atol=8 * EPS * np.max(np.abs(got.value)))
    np.testing.assert_allclose(got.probabilities, np.exp((got.action_value - got.value[..., None]) / tau), rtol=1e-11)


@pytest.mark.eq("soft-values")
@given(rng=seeds, horizon=st.integers(1, 4))
def test_soft_values_with_a_horizon_are_a_sum_over_trajectories_of_exponentials_where_the_moves_are_certain(
    rng, horizon
):
    """With deterministic transitions and γ = 1, V_0(s) = τ log Σ over action sequences of exp(Σ r/τ): no −τ log|A|."""
    move = rng.integers(0, 3, size=(3, 2))
    R, tau = rng.normal(size=(3, 2)), 0.6
    mdp = rm.FiniteMDP(np.eye(3)[move], R, np.ones(3) / 3, 1.0, horizon)
    expected = []
    for s in range(3):
        sums = []
        for actions in itertools.product((0, 1), repeat=horizon):
            here, total = s, 0.0
            for a in actions:
                total, here = total + R[here, a], move[here, a]
            sums.append(np.exp(total / tau))
        expected.append(tau * np.log(np.sum(sums)))
    got = rm.soft_values(mdp, temperature=tau)
    np.testing.assert_allclose(got.value[0], expected, rtol=1e-13, atol=1e-14)
    assert got.value.shape == (horizon + 1, 3) and got.probabilities.shape == (horizon, 3, 2)
    np.testing.assert_array_equal(got.value[-1], 0)


@given(rng=seeds, tau=st.sampled_from((1e-3, 0.3, 4.0)))
def test_soft_values_are_the_best_return_with_entropy_and_lie_between_their_bounds(rng, tau):
    mdp = random_process(rng, gamma=0.8)
    soft, hard = rm.soft_values(mdp, temperature=tau), rm.optimal_values(mdp)
    gap = soft.value - hard.value
    assert np.all(gap >= -1e-12) and np.all(gap <= tau * np.log(3) / (1 - 0.8) + 1e-12)

    def with_entropy(pi):
        r = np.sum(pi * (mdp.R - tau * np.log(np.maximum(pi, 1e-300))), -1)
        M = np.eye(3) - 0.8 * np.einsum("nsa,nsat->nst", pi, mdp.P)
        return np.linalg.solve(M, r[..., None])[..., 0]

    np.testing.assert_allclose(with_entropy(soft.probabilities), soft.value, rtol=0, atol=1e-11)
    other = rng.dirichlet(np.ones(3), size=(2, 3))
    assert np.all(with_entropy(other) <= soft.value + 1e-12)


def test_soft_values_scale_with_rewards_and_temperature_bitwise_and_shift_with_rewards():
    mdp = random_process(np.random.default_rng(3), gamma=0.9)
    one = rm.soft_values(mdp, temperature=0.5)
    four = rm.soft_values(rm.FiniteMDP(mdp.P, 4 * mdp.R, mdp.rho, 0.9), temperature=2.0)
    np.testing.assert_array_equal(4 * one.value, four.value)
    np.testing.assert_array_equal(one.probabilities, four.probabilities)
    up = rm.soft_values(rm.FiniteMDP(mdp.P, mdp.R + 3, mdp.rho, 0.9), temperature=0.5)
    np.testing.assert_allclose(up.value, one.value + 30, rtol=1e-14)


def test_soft_values_at_the_edges():
    """γ = 1 − 2⁻²⁰, a temperature of 1e-9 beside rewards of one, and one action: finite, and what they must be."""
    rng = np.random.default_rng(4)
    slow = random_process(rng, gamma=1 - 2.0**-20, states=5)
    soft, hard = rm.soft_values(slow, temperature=1e-9), rm.optimal_values(slow)
    np.testing.assert_allclose(soft.value, hard.value, rtol=1e-8)
    np.testing.assert_allclose(np.sum(soft.probabilities, -1), 1, rtol=1e-14)
    single = random_process(rng, actions=1, gamma=0.7)
    np.testing.assert_allclose(
        rm.soft_values(single, temperature=3.0).value, rm.optimal_values(single).value, rtol=1e-14
    )


def test_soft_values_settle_where_rewards_of_all_sizes_meet():
    """Rewards from 1e-12 to 1e12 side by side: the rounding of the large ones keeps the small ones from settling exactly."""
    for seed in range(60):
        rng = np.random.default_rng(seed)
        S, A = int(rng.integers(2, 9)), 1
        P = rng.dirichlet(np.full(S, 0.1), size=(S, A))
        R = rng.normal(size=(S, A)) * 10.0 ** rng.uniform(-12, 12, size=(S, 1))
        gamma, tau = 1 - 10.0 ** -rng.uniform(0, 4), 10.0 ** rng.uniform(-6, 0)
        got = rm.soft_values(rm.FiniteMDP(P / P.sum(-1, keepdims=True), R, np.ones(S) / S, gamma), temperature=tau)
        Q = got.action_value
        top = Q.max(-1, keepdims=True)
        swept = top[..., 0] + tau * np.log(np.sum(np.exp((Q - top) / tau), -1))
        np.testing.assert_allclose(got.value, swept, rtol=0, atol=1e-14 * np.max(np.abs(got.value)) + 1e-15 * tau)
        back = R + gamma * P @ got.value
        np.testing.assert_allclose(back, Q, rtol=0, atol=1e-12 * np.max(np.abs(Q)))


def test_soft_values_refuse_what_they_cannot_do():
    mdp = random_process(np.random.default_rng(3), gamma=0.9)
    for tau in (0.0, -1.0):
        with pytest.raises(ValueError, match=f"temperature must be positive, got {tau}"):
            rm.soft_values(mdp, temperature=tau)
    with pytest.raises(ValueError, match="temperature must be finite"):
        rm.soft_values(mdp, temperature=np.nan)
    with pytest.raises(TypeError, match="soft_values takes a FiniteMDP, got int"):
        rm.soft_values(3, temperature=1.0)
    with pytest.raises(FloatingPointError, match="left the finite numbers"):
        rm.soft_values(mdp, temperature=1e-310)


@pytest.mark.parametrize("horizon", [None, 6])
def test_a_reward_that_is_always_paid_changes_no_choice(horizon):
    """Rows of sixteenths: optimal actions of R + 10¹², and soft policies, are those of R."""
    rng = np.random.default_rng(0)
    P, R = rng.multinomial(16, np.full(3, 1 / 3), size=(3, 4)) / 16, rng.integers(-9, 9, size=(3, 4)) / 4
    one, raised = (FiniteMDP(P, R + c, np.eye(3)[0], 0.99, horizon) for c in (0.0, 1e12))
    np.testing.assert_array_equal(optimal_values(raised).action, optimal_values(one).action)
    soft = [soft_values(mdp, temperature=0.5).probabilities for mdp in (one, raised)]
    np.testing.assert_allclose(soft[1], soft[0], rtol=1e-11)


def test_a_discount_without_digits_is_named():
    P = np.array([[[0.3, 0.7]], [[0.6, 0.4]]])
    mdp = FiniteMDP(P, [[1.0], [2.0]], [1, 0], 1 - 2.0**-53)
    try:
        assert np.isfinite(optimal_values(mdp).best_return)
    except FloatingPointError as error:
        assert "1 - gamma is too small" in str(error)


def ending(P, R, end, gamma=1.0, rho=None):
    """A process of one task with the ends of these indices."""
    flags = np.isin(np.arange(len(P)), end)
    P, R = np.array(P, float), np.array(R, float)
    P[flags], R[flags] = np.eye(len(P))[flags][:, None], 0
    return FiniteMDP(P, R, np.full(len(P), 1 / len(P)) if rho is None else rho, gamma, terminal=flags)


@pytest.mark.eq("optimal-values", "undiscounted-return")
@given(rng=seeds, ties=st.booleans())
def test_without_a_discount_the_optimum_is_the_best_policy_that_ends(rng, ties):
    """Every deterministic policy that reaches an end; rewards below 0, so that no loop pays; with ties, whole numbers."""
    S, A = 4, 2
    P = np.eye(S)[rng.integers(0, S, size=(S, A))] if ties else rng.dirichlet(np.ones(S), size=(S, A))
    P[0, 0] = 0.5 * P[0, 0] + 0.5 * np.eye(S)[3]
    P[1, 1], P[2, 0] = 0.5 * P[1, 1] + 0.5 * np.eye(S)[0], 0.5 * P[2, 0] + 0.5 * np.eye(S)[1]
    mdp = ending(P, -rng.integers(0, 3, size=(S, A)) if ties else -rng.exponential(size=(S, A)), [3])
    best = np.full(S, -np.inf)
    for choice in itertools.product(range(A), repeat=3):
        K, r = mdp.P[np.arange(3), choice][:, :3], mdp.R[np.arange(3), choice]
        if np.all(np.linalg.matrix_power(K, 64).sum(1) < 1):
            best[:3] = np.maximum(best[:3], np.linalg.solve(np.eye(3) - K, r))
    got = optimal_values(mdp)
    np.testing.assert_allclose(got.value[:3], best[:3], rtol=0, atol=1e-11 * (1 + np.max(np.abs(best[:3]))))
    K, r = mdp.P[np.arange(3), got.action[:3]][:, :3], mdp.R[np.arange(3), got.action[:3]]
    np.testing.assert_allclose(np.linalg.solve(np.eye(3) - K, r), got.value[:3], rtol=0, atol=1e-11 * (1 + np.max(np.abs(best[:3]))))
    assert got.action[3] == 0 and got.value[3] == 0 and np.all(got.action_value[3] == 0)


def test_where_every_action_ties_the_actions_still_lead_to_the_end():
    """A ring of eight states; every way ends in state 0, which is worth 1 from everywhere: an argmax would go in a circle."""
    P = np.zeros((8, 2, 8))
    for s in range(8):
        P[s, 0, (s + 1) % 8] = P[s, 1, (s - 1) % 8] = 1
    R = np.zeros((8, 2))
    R[7, 0] = R[1, 1] = 1
    best = optimal_values(ending(P, R, [0]))
    np.testing.assert_allclose(best.value, [0] + [1] * 7, rtol=64 * EPS)
    assert best.action.tolist() == [0, 1, 1, 1, 0, 0, 0, 0]


def test_rounding_on_a_long_way_closes_no_loop():
    """Rewards φ(s') − φ(s), φ = 0 in the end: V = −φ for every policy that ends, after some hundred steps of a random walk.

    A gain beyond the rounding of one step, but not of the whole way, would close a loop for some of these seeds.
    """
    for seed in range(30):
        rng, S = np.random.default_rng(seed), 60
        P, potential = np.zeros((S, 3, S)), np.append(rng.normal(size=S - 1), 0)
        for s, a, _ in np.ndindex(S, 3, 2):
            P[s, a, (s + rng.integers(-3, 4)) % S] += rng.random()
        P[np.arange(S), 0, (np.arange(S) + 1) % S] += 0.5
        P /= P.sum(-1, keepdims=True)
        mdp = ending(P, np.sum(P * (potential - potential[:, None, None]), axis=-1), [S - 1])
        best = optimal_values(mdp)
        np.testing.assert_allclose(best.value, -potential, rtol=0, atol=1e-11)
        point = PolicyReturn(mdp, TabularSoftmax(S, 3)).at(800.0 * np.eye(3)[best.action].ravel())  # refused if it did not end
        np.testing.assert_allclose(point.value, -potential, rtol=0, atol=1e-10)


def test_to_stay_for_nothing_is_no_policy_that_ends_and_to_stay_for_a_reward_is_refused():
    """Action 0 stays and pays r, action 1 ends and costs 1."""
    P = [[[1, 0], [0, 1]], [[0, 1], [0, 1]]]
    best = optimal_values(ending(P, [[0, -1], [0, 0]], [1], rho=[1, 0]))
    assert best.best_return == pytest.approx(-1, rel=4 * EPS) and best.action.tolist() == [1, 0]
    assert optimal_values(ending(P, [[0, -1], [0, 0]], [1], gamma=0.9, rho=[1, 0])).best_return == 0
    for r in (1e-9, 1.0):
        with pytest.raises(ValueError, match="going on for ever pays, and no end is reached from state 0; give gamma < 1 or a horizon"):
            optimal_values(ending(P, [[r, -1], [0, 0]], [1]))


def test_a_way_that_is_too_long_for_any_digit_is_refused():
    """A lock of n numbers: a wrong one leads back to the start; the uniform policy needs 2ⁿ⁺¹ − 2 steps."""

    def lock(n):
        P = np.zeros((n + 1, 2, n + 1))
        P[np.arange(n), 0, np.arange(n) + 1] = P[np.arange(n), 1, 0] = 1
        return ending(P, -np.ones((n + 1, 2)), [n], rho=np.eye(n + 1)[0])

    assert optimal_values(lock(20)).best_return == pytest.approx(-20, rel=64 * EPS)
    with pytest.raises(ValueError, match=r"takes 2.2\d*e\+12 steps to an end, expected at most 5.37e\+08: going on for ever pays, or"):
        optimal_values(lock(40))


@pytest.mark.eq("soft-values")
@given(rng=seeds, tau=st.sampled_from((0.2, 1.0)))
def test_without_a_discount_soft_values_solve_a_linear_system_where_moves_are_certain(rng, tau):
    """z = exp(V/τ) solves z(s) = Σ_a exp(R/τ) z(s'), z = 1 in the end; here one action in three leads nearer to the end."""
    S = 5
    move = rng.integers(0, S, size=(S, 3))
    move[:, 0] = np.minimum(np.arange(S) + 1, S - 1)
    R = -rng.uniform(1.2, 3, size=(S, 3)) * tau
    K = np.zeros((S, S))
    for s, a in np.ndindex(S - 1, 3):
        K[s, move[s, a]] += np.exp(R[s, a] / tau)
    z = np.linalg.solve(np.eye(S - 1) - K[:-1, :-1], K[:-1, -1])
    got = soft_values(ending(np.eye(S)[move], R, [S - 1]), temperature=tau)
    np.testing.assert_allclose(got.value, [*(tau * np.log(z)), 0], rtol=1e-10, atol=1e-12)
    assert np.all(got.action_value[-1] == 0)


@pytest.mark.eq("soft-values", "optimal-values", "undiscounted-return")
@given(rng=seeds, tau=st.sampled_from((0.05, 0.7, 5.0)))
def test_without_a_discount_soft_and_best_values_are_the_limits_of_sweeps(rng, tau):
    """At every step the process ends with probability 0.2 or more: 0.8²⁰⁰ < 1e-19."""
    mdp = random_ending_process(rng, tasks=2, states=4, actions=3)
    soft, best = np.zeros((2, 4)), np.zeros((2, 4))
    for _ in range(200):
        Q, hard = (mdp.R + np.einsum("nsat,nt->nsa", mdp.P, V) for V in (soft, best))
        top = Q.max(-1, keepdims=True)
        soft = (top[..., 0] + tau * np.log(np.sum(np.exp((Q - top) / tau), -1))) * ~mdp.terminal
        best = hard.max(-1)
    got, optimum = soft_values(mdp, temperature=tau), optimal_values(mdp)
    np.testing.assert_allclose(got.value, soft, rtol=0, atol=1e-12 * (1 + np.max(np.abs(soft))))
    np.testing.assert_allclose(optimum.value, best, rtol=0, atol=1e-12 * (1 + np.max(np.abs(best))))


@pytest.mark.parametrize("gamma", [1.0, 0.9])
def test_an_end_earns_no_entropy(gamma):
    """One step of two actions that pay (0, 1): V = τ log(1 + e^{1/τ}); with a horizon, and without one."""
    P = [[[0, 1], [0, 1]], [[0, 1], [0, 1]]]
    mdp = ending(P, [[0, 1], [0, 0]], [1], gamma=gamma, rho=[1, 0])
    timed = FiniteMDP(mdp.P, mdp.R, mdp.rho, gamma, 3, mdp.terminal)
    expected = 0.5 * np.log(1 + np.exp(2.0))
    assert soft_values(mdp, temperature=0.5).best_return == pytest.approx(expected, rel=1e-14)
    soft = soft_values(timed, temperature=0.5)
    assert soft.best_return == pytest.approx(expected, rel=1e-14) and np.all(soft.value[:, 1] == 0)


@pytest.mark.parametrize(("r", "finite"), [(-0.7, True), (-np.log(2), False), (-0.69, False), (1.0, False)])
def test_soft_values_are_refused_where_going_on_pays_with_its_entropy(r, finite):
    """Two actions that stay, one that ends: V = −log(1 − 2e^r) at τ = 1, if r < −log 2."""
    mdp = ending([[[1, 0], [1, 0], [0, 1]]] * 2, [[r, r, 0]] * 2, [1], rho=[1, 0])
    if finite:
        assert soft_values(mdp, temperature=1.0).best_return == pytest.approx(-np.log(1 - 2 * np.exp(r)), rel=1e-12)
    else:
        with pytest.raises(ValueError, match="going on for ever pays"):
            soft_values(mdp, temperature=1.0)
