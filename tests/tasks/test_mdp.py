"""The process: its linear maps against loops, and every refusal."""

import numpy as np
import pytest
from hypothesis import given

from refmeta.judges import adjoint_gap
from refmeta.problems import random_process
from refmeta.tasks.mdp import FiniteMDP
from tests.strategies import assert_right, points, seeds, sizes, widths

EPS = np.finfo(float).eps
P = np.array([[[0.5, 0.5], [0.25, 0.75]], [[1.0, 0.0], [0.0, 1.0]]])
R = np.array([[1.0, -1.0], [0.5, 2.0]])
RHO = np.array([0.25, 0.75])


@pytest.mark.eq("policy-model")
@given(case=points(kinds=("discounted", "linear-features")))
def test_the_policy_model_is_the_sum_over_actions(case):
    assert_right("policy-model", case[:2])


@given(rng=seeds, states=sizes, actions=widths)
def test_push_is_the_transpose_of_expect(rng, states, actions):
    mdp = random_process(rng, 1, states, actions)
    u, w = rng.normal(size=(1, states)), rng.normal(size=(1, states, actions))
    assert adjoint_gap(mdp.expect, mdp.push, u, w) < 16 * EPS


def test_a_reward_of_the_next_state_is_averaged_over_it():
    nxt = np.arange(8.0).reshape(2, 2, 2)
    mdp = FiniteMDP(P, nxt, RHO, 0.5)
    np.testing.assert_array_equal(mdp.expected_reward, [[0.5, 2.75], [4.0, 7.0]])
    np.testing.assert_array_equal(mdp.R, nxt)


def test_rewards_are_read_by_their_number_of_axes():
    """Two states, two actions, two tasks: only the number of axes can tell (N, S, A) from (S, A, S)."""
    three = np.arange(8.0).reshape(2, 2, 2)
    assert FiniteMDP(P, three, RHO, 0.5).shape == ()
    shared = FiniteMDP(P[None], three, RHO, 0.5)
    assert shared.shape == (2,)
    np.testing.assert_array_equal(shared.expected_reward, three)


def test_arrays_are_own_read_only_copies_in_c_order():
    P2, R2, rho2 = np.asfortranarray(P), R.copy(), RHO.copy()
    mdp = FiniteMDP(P2, R2, rho2, 0.5)
    R2[:] = 7
    np.testing.assert_array_equal(mdp.R, R)
    for name in ("P", "R", "rho"):
        assert getattr(mdp, name).flags.c_contiguous and not getattr(mdp, name).flags.writeable
        assert getattr(mdp, name).dtype == np.float64
    with pytest.raises(ValueError, match="read-only"):
        mdp.P[0, 0, 0] = 1


def test_float32_and_integers_and_lists_are_taken_where_they_are_exact():
    mdp = FiniteMDP(
        P.astype(np.float32).tolist(), [[1, 0], [0, 2]], np.array([0, 1], dtype=np.int8), 0, horizon=np.int64(3)
    )
    assert mdp.P.dtype == mdp.R.dtype == np.float64 and mdp.horizon == 3 and mdp.gamma == 0.0


def test_a_task_of_a_batch_is_its_own_process():
    mdp = random_process(np.random.default_rng(1), 3)
    one = mdp.entry(1, mdp.shape)
    np.testing.assert_array_equal(one.P, mdp.P[1])
    assert one.shape == () and one.gamma == mdp.gamma


def bad(**changes):
    return lambda: FiniteMDP(**{"P": P, "R": R, "rho": RHO, "gamma": 0.9, **changes})


NAN, TALL = P.copy(), P.copy()
NAN[0, 1, 0], TALL[1, 0, 0] = np.nan, 1.1
NEGATIVE = np.array([[[1.5, -0.5], [0.25, 0.75]], [[1.0, 0.0], [0.0, 1.0]]])
ROUNDED = np.full((3, 1, 3), np.float32(1 / 3))


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (bad(P=TALL), ValueError, r"P\[1, 0, 0\] is 1.1; rows of P over the next state must be probabilities"),
        (bad(P=P * 0.9), ValueError, r"P\[0, 0\] sums to 0.9 \(\|sum - 1\| = 0.1 > 1e-12\); rows of P over the next state must be probabilities$"),
        (bad(P=NEGATIVE), ValueError, r"P\[0, 0, 0\] is 1.5"),
        (bad(P=NAN), ValueError, r"P\[0, 1, 0\] is nan; every number must be finite"),
        (bad(P=ROUNDED, R=np.ones((3, 1)), rho=[1, 0, 0]), ValueError, r"P\[0, 0\] sums to 1.0000000\d+ .* divide in float64: P = np.asarray\(P, float\); P / P.sum\(-1, keepdims=True\)"),
        (bad(P=P[0]), ValueError, r"P has shape \(2, 2\), expected \(..., S, A, S\)"),
        (bad(P=np.ones((2, 2, 3)) / 3), ValueError, r"P has shape \(2, 2, 3\)"),
        (bad(P=P.astype(complex)), TypeError, "P must be real, got dtype complex128"),
        (bad(P=P.astype(object)), TypeError, "P must be numbers of float64 or less, got dtype object"),
        (bad(P=P.astype(np.longdouble)), TypeError, "P must be numbers of float64 or less, got dtype"),
        (bad(P=P > 0), TypeError, "P must be numbers of float64 or less, got dtype bool"),
        (bad(P=np.ma.masked_array(P)), TypeError, "P must be a plain array of numbers, got a masked array"),
        (bad(P=[[1, 2], [3]]), ValueError, "P must be a rectangular array of numbers"),
        (bad(R=R[0]), ValueError, r"R has shape \(2,\), expected last axes \(2, 2\)"),
        (bad(R=np.ones((3, 2, 2))), ValueError, r"R has shape \(3, 2, 2\), expected last axes \(2, 2, 2\).*give P\[None\]"),
        (bad(R=R * np.inf), ValueError, r"R\[0, 0\] is inf"),
        (bad(rho=[0.5, 0.25]), ValueError, "rho sums to 0.75"),
        (bad(rho=[1.0]), ValueError, r"rho has shape \(1,\), expected last axis 2"),
        (bad(rho="start"), TypeError, "rho must be numbers"),
        (bad(gamma=1.0), ValueError, r"gamma must satisfy 0 <= gamma < 1, got 1.0; use horizon= for an undiscounted task"),
        (bad(gamma=-0.1, horizon=2), ValueError, r"gamma must satisfy 0 <= gamma <= 1, got -0.1"),
        (bad(gamma=float("nan")), ValueError, "gamma must be finite, got nan"),
        (bad(gamma=1.5, horizon=2), ValueError, "gamma must satisfy 0 <= gamma <= 1, got 1.5"),
        (bad(gamma=[0.5, 0.6]), ValueError, r"gamma must be one number, got shape \(2,\)"),
        (bad(gamma=True), TypeError, "gamma must be numbers of float64 or less, got dtype bool"),
        (bad(gamma=0.5j), TypeError, "gamma must be real"),
        (bad(P=np.ones((1, 1, 1)) * (1 + 9e-13), R=[[1.0]], rho=[1.0], gamma=1 - 1e-13), ValueError, "times a row of P sums to 1 or more by rounding"),
        (bad(horizon=0), ValueError, "horizon must be at least 1, got 0"),
        (bad(horizon=2.0), TypeError, "horizon must be an integer, got 2.0"),
        (bad(horizon=True), TypeError, "horizon must be an integer, got True"),
        (bad(P=np.stack([P] * 2), R=np.stack([R] * 3)), ValueError, r"batch axes must broadcast against each other, got P \(2,\), R \(3,\), rho \(\)"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_in_a_sentence(call, error, sentence):
    with pytest.raises(error, match=sentence):
        call()


def test_an_expected_reward_that_overflows_is_named():
    top = np.finfo(float).max
    mdp = FiniteMDP(np.full((3, 1, 3), 1 / 3), np.full((3, 1, 3), top), [1.0, 0, 0], 0.5)
    assert np.all(mdp.expected_reward <= top)
    with pytest.raises(FloatingPointError, match="dot left the finite numbers"):
        _ = FiniteMDP([[[1 + 5e-13]]], [[[top]]], [1.0], 0.5).expected_reward


def test_the_hint_for_rounded_rows_works():
    P = np.asarray(ROUNDED, float)
    assert FiniteMDP(P / P.sum(-1, keepdims=True), np.ones((3, 1)), [1, 0, 0], 0.9).states == 3


@pytest.mark.parametrize("horizon", [None, 3])
def test_rewards_of_the_next_state_give_the_values_of_their_mean_everywhere(horizon):
    """R[s, a, s'], batched: value, gradient, Hessian product and optimum are those of its expectation; so is a task."""
    import refmeta as rm

    rng = np.random.default_rng(2)
    base = random_process(rng, 2, 3, 2, horizon=horizon)
    nxt = rng.normal(size=(2, 3, 2, 3))
    detailed = FiniteMDP(base.P, nxt, base.rho, base.gamma, horizon)
    mean = FiniteMDP(base.P, np.sum(base.P * nxt, axis=-1), base.rho, base.gamma, horizon)
    policy, theta, v = rm.TabularSoftmax(3, 2), rng.normal(size=6), rng.normal(size=6)
    one, other = (rm.PolicyReturn(mdp, policy).at(theta) for mdp in (detailed, mean))
    for name in ("value", "action_value", "loss", "grad"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(one.hvp(v), other.hvp(v), rtol=1e-12, atol=1e-14)
    best, expected = rm.optimal_values(detailed), rm.optimal_values(mean)
    np.testing.assert_allclose(best.action_value, expected.action_value, rtol=1e-13)
    np.testing.assert_array_equal(detailed.entry(1, (2,)).R, nxt[1])
    assert not detailed.expected_reward.flags.writeable


def test_no_states_no_actions_and_negative_probabilities_below_one_are_refused():
    with pytest.raises(ValueError, match="P has shape"):
        FiniteMDP(np.zeros((0, 2, 0)), np.zeros((0, 2)), np.zeros(0), 0.5)
    with pytest.raises(ValueError, match=r"P\[0, 0, 2\] is -0.2"):
        FiniteMDP(np.tile([[0.6, 0.6, -0.2]], (3, 1, 1)).transpose(0, 1, 2), np.ones((3, 1)), [1, 0, 0], 0.5)
    with pytest.raises(ValueError, match=r"gamma must be one number, got shape \(1,\)"):
        FiniteMDP(P, R, RHO, [0.5])
