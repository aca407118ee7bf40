"""Exact expectations: recursions of moments, closed forms on a bandit, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refmeta as rm
from refmeta.evidence.sampling import random_enumeration
from refmeta.sampling.enumeration import number_of_paths, paths
from tests.sampling.test_returns import tiny
from tests.sampling.test_rollout import chain
from tests.strategies import assert_right, counts, seeds


@pytest.mark.eq("trajectory-expectation")
@given(
    case=st.builds(
        random_enumeration, seeds, states=counts, actions=st.integers(1, 2), horizon=counts, episodes=st.integers(1, 2)
    )
)
def test_the_moments_of_the_return_are_those_of_a_backward_recursion(case):
    assert_right("trajectory-expectation", case)


@pytest.mark.eq("trajectory-expectation")
@given(rng=seeds)
def test_on_a_bandit_the_estimate_s_mean_and_covariance_are_closed_forms(rng):
    """ĝ = (1/M) Σ (r_a − b)(e_a − π): mean π(r − ⟨π, r⟩), covariance [Σ π (r − b)²(e − π)(e − π)ᵀ − mean meanᵀ]/M."""
    r, theta, b, M = rng.normal(size=3), rng.normal(size=3), float(rng.normal()), int(rng.integers(1, 5))
    bandit, policy = rm.FiniteMDP(np.ones((1, 3, 1)), r[None], [1.0], 0.5, 1), rm.TabularSoftmax(1, 3)
    pi = np.exp(theta) / np.sum(np.exp(theta))
    mean = pi * (r - pi @ r)
    scores = np.eye(3) - pi
    second = np.einsum("a,ai,aj->ij", pi * (r - b) ** 2, scores, scores)
    moments = rm.enumeration.expectation(
        lambda t: rm.estimators.gpomdp(policy, theta, t, gamma=0.5, baseline=b), bandit, policy, theta, episodes=M
    )
    np.testing.assert_allclose(moments.mean, mean, rtol=0, atol=1e-14)
    np.testing.assert_allclose(moments.covariance, (second - np.outer(mean, mean)) / M, rtol=0, atol=1e-13)


@pytest.mark.eq("trajectory-expectation")
@given(rng=seeds)
def test_the_return_s_mean_is_the_exact_value_whatever_the_rewards_depend_on(rng):
    mdp, policy, theta, _ = tiny(rng, horizon=3)
    R = rng.normal(size=(2, 2, 2))
    for process in (mdp, rm.FiniteMDP(mdp.P, R, mdp.rho, mdp.gamma, 3)):
        moments = rm.enumeration.expectation(
            lambda t, g=mdp.gamma: np.mean(rm.returns.whole_return(t, gamma=g), axis=-1), process, policy, theta
        )
        assert moments.mean == pytest.approx(-rm.PolicyReturn(process, policy).at(theta).loss, rel=1e-13, abs=1e-14)
        assert moments.mean.shape == () == moments.covariance.shape


@pytest.mark.eq("trajectory-expectation", "estimator-covariance")
def test_chunks_of_any_size_give_one_answer(monkeypatch):
    mdp, policy, theta, task = tiny(np.random.default_rng(6))
    f = lambda t: 3.0 + rm.estimators.gpomdp(policy, theta, t, gamma=mdp.gamma)
    make = lambda t, batch: rm.surrogates.reinforce(policy, t, batch, gamma=mdp.gamma)
    estimate = lambda t, s: rm.maml.gradient(t, list(s), task, alpha=0.5, steps=len(s))
    results = []
    for chunk in (2**13, 7):
        monkeypatch.setattr("refmeta.sampling.enumeration.CHUNK", chunk)
        moments = rm.sampled.moments(estimate, make, theta, task, alpha=0.5, episodes=1, steps=2)
        sampled = rm.sampled.formulation_sampled(theta, task, alpha=0.5, episodes=2)
        results.append([*rm.enumeration.expectation(f, mdp, policy, theta, episodes=2), *moments, *sampled])
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-13)
        assert np.max(np.abs(one)) > 1e-3


def test_only_possible_trajectories_are_listed_and_their_probabilities_sum_to_one():
    """0 → 1 → 2 ends on reaching 2: moves 0, 0 then the end; the chain has five trajectories in three steps, not 8."""
    policy, theta = rm.TabularSoftmax(3, 2), np.array([0.3, 0.0, -0.4, 0.0, 1.0, 2.0])
    every = paths(chain(), 3)
    # stay, stay, stay|go; stay, go, stay|go; go, stay, stay|go; go, go, ended
    assert len(every.weight) == 7 and np.all(every.weight == 1)
    assert number_of_paths(chain(), 3) == 7 and number_of_paths(chain(), 9) == len(paths(chain(), 9).weight)
    assert np.sum(~every.trajectories.mask) == 1 and every.trajectories.rewards[~every.trajectories.mask] == 0
    total = rm.enumeration.expectation(lambda t: np.ones(len(t.mask)), chain(), policy, theta, horizon=3, episodes=2)
    assert total.mean == pytest.approx(1, abs=1e-15) and total.covariance == pytest.approx(0, abs=1e-15)
    exact = rm.PolicyReturn(rm.FiniteMDP(chain().P, chain().R, chain().rho, 0.75, 3, chain().terminal), policy).at(theta)
    got = rm.enumeration.expectation(
        lambda t: rm.estimators.gpomdp(policy, theta, t, gamma=0.75), chain(), policy, theta, horizon=3
    )
    np.testing.assert_allclose(got.mean, -exact.grad, rtol=0, atol=1e-14)


def test_a_process_whose_rewards_play_no_part_is_enumerated_whole():
    """The chain without rewards and without a declared end: all eight choices of action in three steps."""
    idle = rm.FiniteMDP(chain().P, 0 * chain().R, chain().rho, 0.75)
    every = paths(idle, 3)
    assert number_of_paths(idle, 3) == len(every.weight) == 8 and every.trajectories.mask.all()


def test_too_many_tuples_are_refused_with_their_number():
    mdp, policy, theta, _ = tiny(np.random.default_rng(0), horizon=3)
    with pytest.raises(
        ValueError, match=r"64 trajectories in tuples of 4 make 1.68e\+07 to enumerate, expected at most 1000000"
    ):
        rm.enumeration.expectation(lambda t: np.ones(len(t.mask)), mdp, policy, theta, episodes=4)
    with pytest.raises(ValueError, match="^1267650600228229401496703205376 trajectories in tuples of 1 make 1.27e.30"):
        rm.enumeration.expectation(
            lambda t: np.ones(len(t.mask)), rm.FiniteMDP(mdp.P, mdp.R, mdp.rho, 0.5), policy, theta, horizon=50
        )


@pytest.mark.parametrize(("horizon", "episodes"), [(1000, 1), (2, 10**9), (10**9, 10**9)])
def test_numbers_that_no_memory_holds_are_refused_at_once(horizon, episodes):
    mdp, policy, theta, _ = tiny(np.random.default_rng(0))
    endless = rm.FiniteMDP(mdp.P, mdp.R, mdp.rho, 0.5)
    with pytest.raises(ValueError, match=r"make 10\^\d+ or more to enumerate, expected at most 1000000"):
        rm.enumeration.expectation(lambda t: 1, endless, policy, theta, horizon=horizon, episodes=episodes)


def test_rows_of_different_shapes_are_refused(monkeypatch):
    mdp, policy, theta, _ = tiny(np.random.default_rng(0))
    monkeypatch.setattr("refmeta.sampling.enumeration.CHUNK", 8)
    turns = iter([(8, 2, 3), (8, 3, 2)])
    with pytest.raises(ValueError, match=r"f returned rows of different shapes, \[\(2, 3\), \(3, 2\)\]"):
        rm.enumeration.expectation(lambda t: np.ones(next(turns)), mdp, policy, theta)


def test_rewards_with_noise_are_refused():
    mdp, policy, theta, _ = tiny(np.random.default_rng(0))
    f = lambda t: np.ones(len(t.mask))
    with pytest.raises(ValueError, match="reward_noise must be 0, got 0.5: trajectories with Gaussian rewards cannot be enumer"):
        rm.enumeration.expectation(f, mdp, policy, theta, reward_noise=0.5)
    with pytest.raises(ValueError, match="reward_noise must be at least 0"):
        rm.enumeration.expectation(f, mdp, policy, theta, reward_noise=-1.0)
    assert rm.enumeration.expectation(f, mdp, policy, theta, reward_noise=0.0).mean == pytest.approx(1, abs=1e-14)


def test_what_f_returns_is_judged():
    mdp, policy, theta, _ = tiny(np.random.default_rng(0))
    for f, error, message in (
        (lambda t: 1.0, ValueError, r"f returned shape \(\), expected \(16, \.\.\.\): one row per tuple"),
        (lambda t: np.ones(3), ValueError, r"f returned shape \(3,\), expected \(16"),
        (None, TypeError, "f must be a function of a batch of trajectories, got NoneType"),
        (lambda t: 1j * np.ones(len(t.mask)), TypeError, "the result of f must be real"),
        (lambda t: np.array(["a"] * len(t.mask)), TypeError, "the result of f must be numbers"),
        (lambda t: np.full(len(t.mask), np.nan), FloatingPointError, "the result of f is not finite"),
    ):
        with pytest.raises(error, match=message):
            rm.enumeration.expectation(f, mdp, policy, theta)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda m, p, t: (rm.FiniteMDP(m.P[None], m.R[None], m.rho[None], 0.5, 2), p, t), ValueError, "one task at a time"),
        (lambda m, p, t: (m, p, np.zeros((2, 4))), ValueError, r"theta has shape \(2, 4\), expected \(4,\)"),
        (lambda m, p, t: (m, rm.TabularSoftmax(3, 2), np.zeros(6)), ValueError, r"expected \(2, 2\) as in the process"),
        (lambda m, p, t: (m, p, np.zeros(4) + 1j), TypeError, "theta must be real"),
    ],
)  # fmt: skip
def test_bad_input_is_named(change, error, message):
    mdp, policy, theta, _ = tiny(np.random.default_rng(0))
    with pytest.raises(error, match=message):
        rm.enumeration.expectation(lambda t: np.ones(len(t.mask)), *change(mdp, policy, theta))


def test_an_overflow_of_a_covariance_is_named_and_not_warned_about():
    mdp = rm.FiniteMDP(np.ones((1, 2, 1)), [[1.0, 2.0]], [1.0], 0.5)
    with pytest.raises(FloatingPointError, match="the result of f is too large for its covariance"):
        rm.enumeration.expectation(lambda t: 1e200 * t.rewards[..., 0], mdp, rm.TabularSoftmax(1, 2), [0.0, 1.0], horizon=1)
