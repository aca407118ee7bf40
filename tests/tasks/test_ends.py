"""Ends: the refusals, values and visits by hand and in fractions, derivatives by the judges, and γ = 1 without a horizon."""

import copy
import pickle
from fractions import Fraction as F
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refmeta as rm
from refmeta.commands.verify import checks_of
from refmeta.judges import adjoint_gap, complex_step
from refmeta.tasks.ends import reaches_end
from tests import independent
from tests.strategies import assert_close, assert_right, seeds

EPS = np.finfo(float).eps
UNDISCOUNTED, DISCOUNTED, TIMED = (1.0, None), (0.9, None), (1.0, 6)


def with_ends(rng, gamma, horizon, tasks=2, states=4, actions=3):
    """Processes whose last state is an end in every task, and in the second task the first state, too; ρ is positive there."""
    P = rng.dirichlet(np.ones(states), size=(tasks, states, actions))
    R = 0.5 + rng.normal(size=(tasks, states, actions))
    end = np.zeros((tasks, states), bool)
    end[:, -1] = end[1:2, 0] = True
    P = np.where(end[..., None, None], np.eye(states)[:, None], P)
    R = np.where(end[..., None], 0, R)
    return rm.FiniteMDP(P, R, rng.dirichlet(np.ones(states), size=tasks), gamma, horizon, end)


def task_of(mdp):
    return rm.PolicyReturn(mdp, rm.TabularSoftmax(mdp.states, mdp.actions))


def random_walk(gamma=1.0):
    """Sutton and Barto's random walk: five states between two ends; entering the right end pays 1; action 0 left, 1 right."""
    P = np.zeros((7, 2, 7))
    for s in range(1, 6):
        P[s, 0, s - 1] = P[s, 1, s + 1] = 1
    P[0, :, 0] = P[6, :, 6] = 1
    R = np.zeros((7, 2))
    R[5, 1] = 1
    return rm.FiniteMDP(P, R, np.eye(7)[3], gamma, terminal=[True, *[False] * 5, True])


def gridworld():
    """Sutton and Barto's 4 x 4 gridworld: −1 a step, two corners are ends, a move against a wall does nothing."""
    P, end = np.zeros((16, 4, 16)), np.isin(np.arange(16), (0, 15))
    for s, (a, (down, right)) in product(range(16), enumerate([(-1, 0), (1, 0), (0, -1), (0, 1)])):
        row, column = (min(max(x, 0), 3) for x in (s // 4 + down, s % 4 + right))
        P[s, a, s if end[s] else 4 * row + column] = 1
    return rm.FiniteMDP(P, -1.0 * np.repeat(~end[:, None], 4, axis=1), np.full(16, 1 / 16), 1.0, terminal=end)


def test_the_random_walk_of_sutton_and_barto_has_the_values_i_over_6():
    point = task_of(random_walk()).at(np.zeros(14))
    np.testing.assert_allclose(point.value, [0, 1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 0], rtol=8 * EPS)
    np.testing.assert_allclose(point.occupancy, [0, 1, 2, 3, 2, 1, 0], rtol=8 * EPS)  # by hand: d = ρ + Pᵀd
    # ∂J/∂logit[s, right] = d(s)·½·½(Q(s, right) − Q(s, left)) = d(s)/12, with Q(s, a) = V of the next state, 1 at the end
    np.testing.assert_allclose(-point.grad.reshape(7, 2)[:, 1], np.array([0, 1, 2, 3, 2, 1, 0]) / 12, rtol=16 * EPS)
    np.testing.assert_allclose(rm.optimal_values(random_walk()).value, [0, 1, 1, 1, 1, 1, 0], rtol=8 * EPS)


def test_the_gridworld_of_sutton_and_barto_has_the_values_14_18_20_22():
    mdp = gridworld()
    value = task_of(mdp).at(np.zeros(64)).value.reshape(4, 4)
    np.testing.assert_allclose(
        value, [[0, -14, -20, -22], [-14, -18, -20, -20], [-20, -20, -18, -14], [-22, -20, -14, 0]], rtol=64 * EPS
    )
    best = rm.optimal_values(mdp)
    distance = [[0, 1, 2, 3], [1, 2, 3, 2], [2, 3, 2, 1], [3, 2, 1, 0]]
    np.testing.assert_allclose(best.value.reshape(4, 4), -np.array(distance), rtol=8 * EPS)
    assert best.best_return == pytest.approx(-np.mean(distance), rel=8 * EPS)


def fractions_of(mdp, pi):
    """V and d of one task at γ = 1 in fractions, by elimination on the states that are no ends."""
    alive = np.flatnonzero(~mdp.terminal)
    P, R, weight = (np.vectorize(F, otypes=[object])(x) for x in (mdp.P, mdp.R, pi))
    weight = weight / weight.sum(-1, keepdims=True)
    K, r = (weight[..., None] * P).sum(1), (weight * R).sum(1)
    M = [[F(int(s == t)) - F(mdp.gamma) * K[s, t] for t in alive] for s in alive]
    V, d = np.zeros(mdp.states), np.zeros(mdp.states)
    V[alive] = [float(x) for x in independent.solved(M, [r[s] for s in alive])]
    d[alive] = [float(x) for x in independent.solved([list(column) for column in zip(*M, strict=True)], [F(mdp.rho[s]) for s in alive])]
    return V, d


@pytest.mark.eq("undiscounted-return")
@given(rng=seeds, gamma=st.sampled_from((1.0, 0.9)))
def test_values_and_visits_are_those_of_elimination_in_fractions(rng, gamma):
    mdp = with_ends(rng, gamma, None)
    point = task_of(mdp).at(rng.normal(size=12))
    for i in range(2):
        V, d = fractions_of(mdp.entry(i, mdp.shape), point.probabilities[i])
        np.testing.assert_allclose(point.value[i], V, rtol=0, atol=1e-11 * np.max(np.abs(V)))
        np.testing.assert_allclose(point.occupancy[i], d, rtol=0, atol=1e-11 * np.max(d))
    np.testing.assert_allclose(
        -point.loss, np.sum(point.occupancy * mdp.rewards(point.probabilities), axis=-1), rtol=0,
        atol=1e-11 * np.max(np.abs(point.value)),
    )  # fmt: skip


@pytest.mark.eq("undiscounted-return")
@pytest.mark.parametrize(("gamma", "horizon"), [UNDISCOUNTED, DISCOUNTED, TIMED])
@given(rng=seeds)
def test_the_gradient_and_the_hessian_product_are_complex_steps(gamma, horizon, rng):
    task = task_of(with_ends(rng, gamma, horizon))
    theta, v = 0.5 * rng.normal(size=(2, task.dim))
    assert_close(lambda t: task.at(t).grad, theta, complex_step(lambda t: task.at(t).loss, theta))
    assert_close(lambda z: task.at(z[0]).hvp(z[1]), (theta, v), complex_step(lambda t: task.at(t).grad, theta, v))
    point = task.at(theta)
    w = np.random.default_rng(0).normal(size=(2, task.dim))
    assert adjoint_gap(point.hvp, point.hvp, w, w[::-1]) < 1e-12


@pytest.mark.parametrize(("gamma", "horizon"), [UNDISCOUNTED, DISCOUNTED, TIMED])
def test_everything_is_zero_in_an_end_and_a_start_there_counts_for_nothing(gamma, horizon):
    mdp = with_ends(np.random.default_rng(1), gamma, horizon)
    theta = np.random.default_rng(2).normal(size=12)
    point = task_of(mdp).at(theta)
    end = np.broadcast_to(mdp.terminal if horizon is None else mdp.terminal[:, None], point.occupancy.shape)
    for array in (point.occupancy, point.action_value, point.advantage):
        assert np.all(array[end] == 0) and np.all(array[~end] != 0)
    assert np.all(point.grad.reshape(2, 4, 3)[mdp.terminal] == 0)
    assert np.all(point.hvp(theta).reshape(2, 4, 3)[mdp.terminal] == 0)
    alive = np.where(mdp.terminal, 0, mdp.rho)
    started = alive.sum(-1)
    moved = rm.FiniteMDP(mdp.P, mdp.R, alive / started[:, None], gamma, horizon, mdp.terminal)
    other = task_of(moved).at(theta)
    np.testing.assert_allclose(point.loss, started * other.loss, rtol=1e-13)
    np.testing.assert_allclose(point.grad, started[:, None] * other.grad, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(("gamma", "horizon"), [DISCOUNTED, (0.9, 6)])
def test_a_declared_end_returns_what_a_loop_without_rewards_returns(gamma, horizon):
    """With a discount or a horizon the self-loop may stay undeclared: return and derivatives are the same, not the visits."""
    mdp = with_ends(np.random.default_rng(3), gamma, horizon)
    loop = rm.FiniteMDP(mdp.P, mdp.R, mdp.rho, gamma, horizon)
    theta, v = np.random.default_rng(4).normal(size=(2, 12))
    one, other = task_of(mdp).at(theta), task_of(loop).at(theta)
    for name in ("value", "action_value", "advantage", "loss", "grad"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=0, atol=1e-12)
    np.testing.assert_allclose(one.hvp(v), other.hvp(v), rtol=0, atol=1e-12)
    end = np.broadcast_to(mdp.terminal if horizon is None else mdp.terminal[:, None], one.occupancy.shape)
    np.testing.assert_allclose(one.occupancy[~end], other.occupancy[~end], rtol=1e-12)
    assert np.all(other.occupancy[end] > 0) and np.all(one.occupancy.sum(-1) < other.occupancy.sum(-1) - 0.01)


def test_a_task_of_a_batch_a_copy_and_a_pickle_keep_the_ends():
    mdp = with_ends(np.random.default_rng(5), *UNDISCOUNTED)
    task, theta = task_of(mdp), np.random.default_rng(6).normal(size=12)
    for i in range(2):
        np.testing.assert_array_equal(task[i].mdp.terminal, mdp.terminal[i])
        np.testing.assert_allclose(task[i].at(theta).grad, task.at(theta).grad[i], rtol=1e-12)
    for other in (copy.deepcopy(task), pickle.loads(pickle.dumps(task))):
        np.testing.assert_array_equal(other.at(theta).grad, task.at(theta).grad)
        assert not other.mdp.terminal.flags.writeable
    flags = np.array([False, True])
    one = rm.FiniteMDP([[[0, 1]], [[0, 1]]], [[1], [0]], [1, 0], 1.0, terminal=flags)
    flags[:] = False
    assert one.terminal.tolist() == [False, True] and not rm.FiniteMDP(one.P, one.R, one.rho, 0.5).terminal.any()


def test_ends_may_differ_from_task_to_task_where_P_and_R_are_shared():
    P = np.broadcast_to(np.eye(3)[:, None], (3, 2, 3))
    mdp = rm.FiniteMDP(P, np.zeros((3, 2)), np.ones(3) / 3, 0.5, terminal=np.eye(3, dtype=bool))
    assert mdp.shape == (3,)
    np.testing.assert_allclose(task_of(mdp).at(np.zeros(6)).occupancy, 2 / 3 * (1 - np.eye(3)), rtol=4 * EPS)


def test_the_enumerated_return_of_a_process_that_ends_is_the_undiscounted_one():
    """Three states in a row that can only go on: every trajectory of four steps has ended."""
    P = np.zeros((4, 2, 4))
    P[0, 0], P[0, 1], P[1, 0], P[1, 1] = [0, 0.5, 0.5, 0], [0, 0, 0.25, 0.75], [0, 0, 1, 0], [0, 0, 0, 1]
    P[2:, :, 3] = 1
    R = np.array([[1.0, -2.0], [3.0, 0.5], [-1.0, 4.0], [0.0, 0.0]])
    mdp, theta = rm.FiniteMDP(P, R, [0.5, 0.25, 0, 0.25], 1.0, terminal=[0, 0, 0, 1]), np.linspace(-1, 1, 8)
    policy = rm.TabularSoftmax(4, 2)
    got = rm.enumeration.expectation(lambda t: rm.returns.whole_return(t, gamma=1.0)[..., 0], mdp, policy, theta, horizon=4)
    point = rm.PolicyReturn(mdp, policy).at(theta)
    assert got.mean == pytest.approx(-point.loss, rel=1e-14)
    estimate = rm.enumeration.expectation(
        lambda t: rm.estimators.gpomdp(policy, theta, t, gamma=1.0), mdp, policy, theta, horizon=4
    )
    np.testing.assert_allclose(estimate.mean, -point.grad, rtol=0, atol=1e-14)


LOOP = np.array([[[0.5, 0.5, 0], [0, 0, 1]], [[1, 0, 0], [1, 0, 0]], [[0, 0, 1], [0, 0, 1]]])
PAID = np.array([[1.0, 2.0], [3.0, 4.0], [0.0, 0.0]])


def bad(**changes):
    return lambda: rm.FiniteMDP(**{"P": LOOP, "R": PAID, "rho": [1, 0, 0], "gamma": 1.0, "terminal": [0, 0, 1], **changes})


APART = np.where(np.arange(3)[:, None, None] == 1, np.eye(3)[1], LOOP)


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (bad(terminal=[0, 1, 1]), ValueError, r"P\[1, 0, 0\] is 1, expected 0: its state is an end in terminal=, and an end is never left"),
        (bad(R=PAID + [[0], [0], [5]]), ValueError, r"R\[2, 0\] is 5, expected 0: its state is an end in terminal=, and an end pays nothing"),
        (bad(R=np.repeat(PAID[..., None], 3, -1) + np.eye(3)[2][:, None, None] * np.eye(3)[1]), ValueError, r"R\[2, 0, 1\] is 1, expected 0"),
        (bad(terminal=[[0, 0, 1], [1, 0, 1]]), ValueError, r"P\[1, 0, 0, 1\] is 0.5, expected 0: its state is an end"),
        (bad(terminal=[0, 1]), ValueError, r"terminal has shape \(2,\), expected last axis 3 = the number of states"),
        (bad(terminal=True), ValueError, r"terminal has shape \(\), expected last axis 3"),
        (bad(terminal=[0, 0, 2]), ValueError, r"terminal\[2\] is 2, expected 0 <= it < 2"),
        (bad(terminal=[0.0, 0.0, 1.0]), TypeError, "terminal must be integers, got dtype float64"),
        (bad(P=np.stack([LOOP] * 2), R=np.stack([PAID] * 2), terminal=np.zeros((3, 3))), TypeError, "terminal must be integers"),
        (bad(P=np.stack([LOOP] * 2), R=np.stack([PAID] * 2), terminal=np.zeros((3, 3), int)), ValueError, r"batch axes must broadcast .*terminal \(3,\), P \(2,\)"),
        (bad(terminal=None), ValueError, "gamma must satisfy 0 <= gamma < 1, got 1.0; use horizon= for an undiscounted task, or declare its ends in terminal="),
        (bad(terminal=[[0, 0, 1], [0, 0, 0]]), ValueError, "declare its ends in terminal="),
        (bad(gamma=1.5), ValueError, "gamma must satisfy 0 <= gamma <= 1, got 1.5"),
        (bad(P=APART), ValueError, "an end is reached from every state; no policy reaches one from state 1; give gamma < 1 or a horizon"),
        (bad(P=np.stack([LOOP, APART]), R=np.stack([PAID] * 2)), ValueError, r"no policy reaches one from state 1 of task \[1\]"),
    ],
)  # fmt: skip
def test_bad_ends_are_refused_with_the_index(call, error, sentence):
    with pytest.raises(error, match=sentence):
        call()


def test_a_policy_that_never_reaches_an_end_is_refused_with_the_state():
    task = task_of(bad()())
    assert np.isfinite(task.at(np.zeros(6)).loss)
    with pytest.raises(ValueError, match="the policy at theta does not reach one from state 0; give gamma < 1 or a horizon"):
        task.at([800.0, 0, 0, 0, 0, 0])  # the probability of action 1 is 0 in double precision
    for gamma, horizon in ((0.9, None), (1.0, 5)):
        other = task_of(rm.FiniteMDP(LOOP, PAID, [1, 0, 0], gamma, horizon, [0, 0, 1]))
        assert np.isfinite(other.at([800.0, 0, 0, 0, 0, 0]).loss)


def test_the_states_that_reach_an_end():
    moves = np.array([[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0], [0, 0, 0, 1]], bool)
    np.testing.assert_array_equal(reaches_end(moves, np.array([0, 0, 1, 0], bool)), [True, True, True, False])
    np.testing.assert_array_equal(reaches_end(moves, np.zeros(4, bool)), False)


def test_the_geometry_of_a_policy_holds_without_a_discount():
    """The parts of the Hessian add up to it, and the Fisher product is the Hessian of the divergence, with d of the ends 0."""
    mdp = with_ends(np.random.default_rng(7), *UNDISCOUNTED)
    theta, v = np.random.default_rng(8).normal(size=(2, 12))
    point = task_of(mdp).at(theta)
    np.testing.assert_allclose(sum(rm.fisher.hessian_split(point, v)), -point.hvp(v), rtol=0, atol=1e-12)
    np.testing.assert_allclose(rm.PolicyKL(point).at(theta).hvp(v), rm.fisher.product(point, v), rtol=1e-12)
    assert np.all(rm.fisher.product(point, v).reshape(2, 4, 3)[mdp.terminal] == 0)


@pytest.mark.eq("thm:episode-length")
@given(rng=seeds)
def test_the_visits_add_up_to_the_length_of_an_episode(rng):
    assert_right("thm:episode-length", checks_of(["thm:episode-length"])[0].draw(rng))


@pytest.mark.eq("thm:episode-length")
def test_the_length_of_a_random_walk_by_hand():
    """i(6 − i) steps from state i; E γᵀ = u(i) = γ/2 (u(i − 1) + u(i + 1)), which is 1/26 in the middle for γ = 1/2."""
    for start, steps in ((1, 5), (2, 8), (3, 9), (4, 8), (5, 5)):
        mdp = rm.FiniteMDP(random_walk().P, random_walk().R, np.eye(7)[start], 1.0, terminal=random_walk().terminal)
        assert task_of(mdp).at(np.zeros(14)).occupancy.sum() == pytest.approx(steps, rel=16 * EPS)
    halved = task_of(random_walk(0.5)).at(np.zeros(14)).occupancy.sum()
    assert halved == pytest.approx(2 * (1 - 1 / 26), rel=16 * EPS)
    pair = rm.FiniteMDP([[[0.75, 0.25]], [[0, 1]]], [[1], [0]], [0.5, 0.5], 1.0, terminal=[False, True])
    assert task_of(pair).at(np.zeros(2)).occupancy.sum() == pytest.approx(0.5 * 4, rel=8 * EPS)  # a start in the end has T = 0
