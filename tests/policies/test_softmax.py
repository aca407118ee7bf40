"""Policies: the score and its curvature against the complex step of log π, and the two linear maps as transposes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refmeta.policies import LinearSoftmax, TabularSoftmax
from tests import independent
from tests.strategies import assert_right, seeds, sizes, widths

EPS = np.finfo(float).eps


@st.composite
def policies(draw):
    """(policy, theta, state, action, direction)."""
    rng, S, A = draw(seeds), draw(sizes), draw(widths)
    policy = TabularSoftmax(S, A) if draw(st.booleans()) else LinearSoftmax(rng.normal(size=(S, A, 4)))
    state, action = rng.integers(0, S, size=(2, 5)), rng.integers(0, A, size=(2, 5))
    return policy, rng.normal(size=policy.dim), state, action, rng.normal(size=policy.dim)


@given(case=policies())
def test_log_prob_is_the_log_of_the_softmax_in_plain_scalars(case):
    policy, theta, state, action, _ = case
    table = np.eye(policy.states * policy.actions).reshape(policy.states, policy.actions, -1)
    features = getattr(policy, "features", table)
    expected = np.log(independent.softmax(features @ theta))[state, action]
    np.testing.assert_allclose(policy.log_prob(theta, state, action), expected, rtol=1e-13, atol=1e-15)


@pytest.mark.eq("score", "score-hvp", "linear-features")
@given(case=policies())
def test_logits_are_sums_pullback_their_transpose_and_the_score_and_its_product_complex_steps(case):
    policy, theta, state, action, u = case
    assert_right("score", case)
    assert_right("score-hvp", (policy, state, action, (theta, u)))
    assert_right("linear-features", (policy, theta, np.resize(u, (policy.states, policy.actions))))


@pytest.mark.eq("score")
def test_scores_average_to_zero_and_their_square_is_the_negative_curvature():
    """Σ_a π(a)s_a = 0 and Σ_a π(a)s_as_aᵀ = −∇² log π = diag π − ππᵀ; π = (1/8, 2/8, 5/8)."""
    policy, theta, pi = TabularSoftmax(1, 3), np.log([1.0, 2.0, 5.0]), np.array([0.125, 0.25, 0.625])
    scores = policy.score(theta, np.zeros(3, int), np.arange(3))
    np.testing.assert_allclose(scores, np.eye(3) - pi, rtol=0, atol=4 * EPS)
    np.testing.assert_allclose(pi @ scores, 0, rtol=0, atol=4 * EPS)
    curvature = np.stack([policy.score_hvp(theta, 0, 1, e) for e in np.eye(3)])
    np.testing.assert_allclose(np.einsum("a,ai,aj->ij", pi, scores, scores), -curvature, rtol=0, atol=4 * EPS)
    np.testing.assert_allclose(-curvature, np.diag(pi) - np.outer(pi, pi), rtol=0, atol=4 * EPS)


@pytest.mark.eq("linear-features")
def test_logits_are_the_features_times_the_parameters_entry_by_entry():
    rng = np.random.default_rng(5)
    features, theta = rng.normal(size=(2, 3, 4, 2)), rng.normal(size=(2, 2))
    expected = [
        [[sum(x * t for x, t in zip(f, th, strict=True)) for f in s] for s in m]
        for m, th in zip(features, theta, strict=True)
    ]
    np.testing.assert_allclose(LinearSoftmax(features).logits(theta), expected, rtol=1e-14, atol=1e-15)


@pytest.mark.eq("linear-features")
@given(rng=seeds)
def test_identity_features_are_the_table_to_the_last_bit(rng):
    table, linear = TabularSoftmax(3, 2), LinearSoftmax(np.eye(6).reshape(3, 2, 6))
    theta, g = rng.normal(size=(4, 6)), rng.normal(size=(4, 3, 2))
    np.testing.assert_array_equal(table.logits(theta), linear.logits(theta))
    np.testing.assert_array_equal(table.pullback(g), linear.pullback(g))


def test_batches_of_parameters_broadcast_with_states_and_actions():
    policy, rng = TabularSoftmax(3, 2), np.random.default_rng(0)
    theta, state, action = rng.normal(size=(4, 1, 6)), rng.integers(0, 3, (4, 5)), rng.integers(0, 2, (4, 5))
    got = policy.score(theta, state, action)
    assert got.shape == (4, 5, 6)
    for i in range(4):
        np.testing.assert_array_equal(got[i], policy.score(theta[i, 0], state[i], action[i]))
    assert policy.score_hvp(theta, state, action, theta[0, 0]).shape == (4, 5, 6)


def test_samples_follow_the_probabilities_and_a_seed_repeats_them():
    """2,000 draws: each frequency within five standard deviations; an action of probability zero is never drawn."""
    policy, theta = TabularSoftmax(2, 3), np.array([0.0, np.log(2), np.log(5), 0.0, -800.0, 0.0])
    state = np.repeat([0, 1], 2000)
    action = policy.sample(theta, state, rng=7)
    np.testing.assert_array_equal(action, policy.sample(theta, state, rng=7))
    frequency = np.array([np.bincount(action[state == s], minlength=3) / 2000 for s in (0, 1)])
    pi = np.array([[0.125, 0.25, 0.625], [0.5, 0.0, 0.5]])
    assert np.all(np.abs(frequency - pi) <= 5 * np.sqrt(pi * (1 - pi) / 2000))
    with pytest.raises(TypeError, match="theta must be real to sample"):
        policy.sample(theta * 1j, state)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: TabularSoftmax(0, 2), "states must be at least 1, got 0"),
        (lambda: TabularSoftmax(2, 1.5), "actions must be an integer, got 1.5"),
        (lambda: TabularSoftmax(4, 3).logits(np.zeros(7)), r"theta has shape \(7,\), expected last axis 12 = 4 states x 3 actions"),
        (lambda: LinearSoftmax(np.zeros((2, 3))), r"features has shape \(2, 3\), expected \(..., S, A, d\)"),
        (lambda: LinearSoftmax(np.full((1, 1, 1), np.nan)), r"features\[0, 0, 0\] is nan; every number must be finite"),
        (lambda: TabularSoftmax(2, 2).score_hvp(np.zeros(4), 0, 0, np.zeros(3)), r"u has shape \(3,\), expected last axis 4"),
        (lambda: TabularSoftmax(2, 2).log_prob(np.zeros(4), 2, 0), "state is 2, expected 0 <= it < 2"),
        (lambda: TabularSoftmax(2, 2).log_prob(np.zeros(4), [0, 1], [0, -1]), r"action\[1\] is -1, expected 0 <= it < 2"),
        (lambda: TabularSoftmax(2, 2).log_prob(np.zeros(4), 0.5, 0), "state must be integers, got dtype float64"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_in_a_sentence(call, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        call()


def test_a_near_certain_action_keeps_the_digits_of_its_score_and_log_probability():
    """Gap 40: score (1 − π_0, −π_1) = (e⁻⁴⁰, −e⁻⁴⁰)/(1 + e⁻⁴⁰), log π_0 = −log(1 + e⁻⁴⁰)."""
    policy, rest = TabularSoftmax(1, 2), np.exp(-40.0) / (1 + np.exp(-40.0))
    np.testing.assert_allclose(policy.score([40.0, 0.0], 0, 0), [rest, -rest], rtol=8 * EPS)
    np.testing.assert_allclose(policy.log_prob([40.0, 0.0], 0, 0), -np.exp(-40.0), rtol=8 * EPS)


def test_sizes_of_any_integer_type_do_not_overflow():
    assert TabularSoftmax(np.uint8(20), np.uint8(20)).dim == 400 and hash(TabularSoftmax(np.int8(2), 3)) == hash(
        TabularSoftmax(2, 3)
    )


def test_logits_that_overflow_are_named():
    policy = LinearSoftmax(np.full((1, 2, 1), 1e300))
    for call in (policy.logits, lambda t: policy.log_prob(t, 0, 0), lambda t: policy.sample(t, [0, 0], 1)):
        with pytest.raises(FloatingPointError, match="left the finite numbers"):
            call([1e10])


def test_batches_that_do_not_broadcast_are_named():
    with pytest.raises(ValueError, match=r"got theta \(3,\), state \(2,\)"):
        TabularSoftmax(2, 2).log_prob(np.zeros((3, 4)), [0, 1], [0, 1])
    with pytest.raises(ValueError, match=r"got theta \(3,\), features \(2,\)"):
        LinearSoftmax(np.ones((2, 1, 1, 1))).logits(np.zeros((3, 1)))


class Fixed(np.random.Generator):
    """A generator whose random numbers are all one value."""

    def __init__(self, value):
        super().__init__(np.random.PCG64(0))
        self.value = value

    def random(self, size=None):
        return np.full(size, self.value)


def test_the_ends_of_the_unit_interval_draw_actions_that_have_a_probability():
    policy, theta = TabularSoftmax(1, 3), np.array([-800.0, 0.0, 0.0])
    assert policy.sample(theta, [0], Fixed(0.0)) == 1 and policy.sample(theta, [0], Fixed(1 - 2.0**-53)) == 2
    assert policy.sample(np.array([0.0, 0.0, -800.0]), [0], Fixed(1 - 2.0**-53)) == 1


def test_the_curvature_has_the_shape_of_its_actions_and_refuses_an_action_out_of_range():
    policy = TabularSoftmax(1, 3)
    assert policy.score_hvp(np.zeros(3), 0, [0, 1, 2], np.ones(3)).shape == (3, 3)
    with pytest.raises(ValueError, match="action is 3, expected 0 <= it < 3"):
        policy.score_hvp(np.zeros(3), 0, 3, np.ones(3))
    with pytest.raises(ValueError, match="actions must be at least 1"):
        TabularSoftmax(2, 0)
    with pytest.raises(ValueError, match="none of them 0"):
        LinearSoftmax(np.zeros((2, 0, 3)))
