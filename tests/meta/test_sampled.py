"""Sampled meta-gradients: both formulations, E-MAML's estimate, the naive curvature's theorem, ProMP, exact moments."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refmeta as rm
from refmeta.commands.bias import blocks, read_process
from refmeta.evidence.sampled import random_promp, random_tiny
from refmeta.meta import sampled
from refmeta.sampling.enumeration import paths
from refmeta.sampling.surrogates import dice, reinforce
from tests.sampling.test_returns import tiny
from tests.strategies import assert_right, batch_sizes, costly, counts, policies, seeds, up_to_three

EXACT = 1e-12  # sums of up to 65,536 terms of order one
settings = st.sampled_from([(1, 1), (2, 1), (3, 1), (1, 2), (2, 2)])


def naive(task):
    return lambda theta, batch: reinforce(task.policy, theta, batch, gamma=task.mdp.gamma)


@pytest.mark.eq("formulation-exact")
@given(case=st.builds(random_tiny, seeds, horizon=counts), steps=up_to_three)
def test_the_exact_formulation_is_maml_on_the_exact_return(case, steps):
    assert_right("formulation-exact", (case, steps))


@pytest.mark.eq("formulation-sampled")
@costly
@given(rng=seeds, size=st.sampled_from([(1, 1, 3), (2, 1, 2), (3, 1, 1), (1, 2, 2), (2, 2, 1), (1, 0, 2)]))
def test_the_sampled_formulation_is_its_definition(rng, size):
    M, K, horizon = size
    assert_right("formulation-sampled", (random_tiny(rng, horizon), M, K))


def test_the_two_formulations_differ_and_the_second_depends_on_m():
    """ProMP's "same objective" is two: they meet at α = 0, at K = 0, and as M grows."""
    task, theta = read_process("two-state")
    exact = sampled.formulation_exact(theta, task, alpha=1.0)
    gaps = [
        np.linalg.norm(sampled.formulation_sampled(theta, task, alpha=1.0, episodes=M).gradient - exact.gradient)
        for M in (1, 2, 4)
    ]
    assert gaps[0] > 1e-2 * np.linalg.norm(exact.gradient) and gaps[0] > 1.5 * gaps[1] > 2 * gaps[2]
    for arguments in ({"alpha": 0.0, "steps": 1}, {"alpha": 1.0, "steps": 0}):
        both = sampled.formulation_sampled(theta, task, episodes=2, **arguments)
        np.testing.assert_allclose(both.gradient, task.at(theta).grad, rtol=0, atol=EXACT)
        np.testing.assert_allclose(
            sampled.formulation_exact(theta, task, **arguments).gradient, task.at(theta).grad, atol=EXACT
        )


@pytest.mark.eq("emaml-score-term", "formulation-sampled")
@given(rng=seeds, setting=settings)
def test_emaml_is_unbiased_for_the_sampled_formulation(rng, setting):
    M, K = setting
    _, _, theta, task = tiny(rng, horizon=1 if M * K > 2 else 2)
    moments = sampled.moments(
        lambda t, s: sampled.emaml_gradient(t, s, task, alpha=0.75),
        naive(task),
        theta,
        task,
        alpha=0.75,
        episodes=M,
        steps=K,
    )
    expected = sampled.formulation_sampled(theta, task, alpha=0.75, episodes=M, steps=K).gradient
    np.testing.assert_allclose(moments.mean, expected, rtol=0, atol=EXACT)


@pytest.mark.eq("emaml-score-term")
@pytest.mark.parametrize("M", [1, 2, 3])
def test_without_the_score_term_or_with_a_factor_on_it_emaml_is_biased(M):
    _, _, theta, task = tiny(np.random.default_rng(0))
    expected = sampled.formulation_sampled(theta, task, alpha=0.75, episodes=M).gradient

    def off(scale):
        def estimate(t, s):
            phi = rm.adapt(t, s[0], alpha=0.75, steps=1).adapted
            return sampled.emaml_gradient(t, s, task, alpha=0.75, value=scale * task.at(phi).loss)

        mean = sampled.moments(estimate, naive(task), theta, task, alpha=0.75, episodes=M).mean
        return np.linalg.norm(mean - expected) / np.linalg.norm(expected)

    assert off(1.0) < 1e-13
    assert off(0.0) > 0.02 and off(0.75) > 0.005 and (M == 1 or off(1 / M) > 0.005)


@pytest.mark.eq("emaml-score-term")
def test_emaml_with_an_array_of_step_sizes_and_with_a_sampled_query():
    """One α a parameter; the query a DiCE batch drawn at φ, unbiased in value and gradient: two levels enumerated."""
    _, policy, theta, task = tiny(np.random.default_rng(1), horizon=1)
    gamma, alpha = task.mdp.gamma, np.array([0.25, 0.5, 0.75, 1.0])
    expected = sampled.formulation_sampled(theta, task, alpha=alpha, episodes=1).gradient
    every, mean = paths(task.mdp), 0.0
    for batch, weight in every.batches(1):
        for i, w in enumerate(weight):
            one = rm.Trajectories(*(x[i] for x in batch))
            support = reinforce(policy, theta, one, gamma=gamma)
            p = w * np.exp(np.sum(rm.likelihood(policy, theta, one).log_prob))
            phi = rm.adapt(theta, support, alpha=alpha, steps=1).adapted

            def estimate(outer, support=support, phi=phi):
                query = dice(policy, phi, outer, gamma=gamma)
                return sampled.emaml_gradient(theta, support, query, alpha=alpha, value=query.at(phi).loss)

            mean = mean + p * rm.enumeration.expectation(estimate, task.mdp, policy, phi).mean
    np.testing.assert_allclose(mean, expected, rtol=0, atol=EXACT)


@pytest.mark.eq("thm:naive-curvature")
@given(case=st.builds(random_tiny, seeds, horizon=counts))
def test_naive_curvature_less_an_exact_baseline_is_first_order_maml_in_expectation(case):
    assert_right("thm:naive-curvature", case)


@pytest.mark.eq("thm:naive-curvature")
def test_naive_curvature_of_an_independent_batch_is_first_order_maml_and_of_a_shared_one_nearly():
    """φ from another batch: exactly. From the same: the covariance of Ĥ and ∇L(φ), α²/M."""
    _, policy, theta, task = tiny(np.random.default_rng(2))
    point, gamma = task.at(theta), task.mdp.gamma

    def curvature(batch):
        V = rm.returns.exact_baseline(batch, point)
        return reinforce(policy, theta, batch, gamma=gamma, baseline=V)

    def independent(pair, alpha=0.75):
        """Trajectory 0 adapts, trajectory 1 bends."""
        first, second = (rm.Trajectories(*(x[:, i : i + 1] for x in pair)) for i in (0, 1))
        g = task.at(rm.adapt(theta, curvature(first), alpha=alpha, steps=1).adapted).grad
        return np.stack([g, g - alpha * curvature(second).at(theta).hvp(g)], axis=1)

    moments = rm.enumeration.expectation(independent, task.mdp, policy, theta, episodes=2).mean
    np.testing.assert_allclose(moments[1], moments[0], rtol=0, atol=EXACT)

    def gap(M, alpha):
        def shared(batch):
            g = task.at(rm.adapt(theta, curvature(batch), alpha=alpha, steps=1).adapted).grad
            return alpha * curvature(batch).at(theta).hvp(g)

        return np.linalg.norm(rm.enumeration.expectation(shared, task.mdp, policy, theta, episodes=M).mean)

    assert gap(1, 0.75) > 1e-3
    for M in (2, 3):
        assert gap(1, 1e-4) / gap(M, 1e-4) == pytest.approx(M, rel=1e-3)
    assert gap(2, 2e-4) / gap(2, 1e-4) == pytest.approx(4, rel=1e-3)


@pytest.mark.eq("promp-objective")
@given(case=st.builds(random_promp, seeds, kind=policies, **batch_sizes))
def test_promp_is_maml_through_the_ratio_with_a_clipped_query_and_a_penalty(case):
    assert_right("promp-objective", case)


@pytest.mark.eq("estimator-bias", "estimator-covariance")
@costly
@given(case=st.builds(random_tiny, seeds, horizon=st.integers(1, 2)), rng=seeds)
def test_moments_of_emaml_s_estimate_are_those_of_every_trajectory_in_turn(case, rng):
    assert_right("estimator-covariance", case)
    assert_right("estimator-bias", (case, rng.normal(size=4)))


@pytest.mark.eq("estimator-covariance")
@pytest.mark.parametrize(("M", "K"), [(2, 1), (1, 2)])
def test_moments_are_those_of_every_tuple_in_turn(M, K):
    _, policy, theta, task = tiny(np.random.default_rng(M), horizon=1)
    estimate = lambda t, s: rm.maml.gradient(t, list(s), task, alpha=0.5, steps=K)
    moments = sampled.moments(estimate, naive(task), theta, task, alpha=0.5, episodes=M, steps=K)
    every, rows, weights = paths(task.mdp), [], []

    def descend(at, surrogates, p):
        if len(surrogates) == K:
            rows.append(estimate(theta, surrogates))
            weights.append(p)
            return
        for several in itertools.product(range(len(every.weight)), repeat=M):
            batch = rm.Trajectories(*(x[list(several)] for x in every.trajectories))
            likely = np.exp(np.sum(rm.likelihood(policy, at, batch).log_prob)) * np.prod(every.weight[list(several)])
            surrogate = naive(task)(at, batch)
            descend(at - 0.5 * surrogate.at(at).grad, [*surrogates, surrogate], p * likely)

    descend(theta, [], 1.0)
    mean = np.average(rows, axis=0, weights=weights)
    np.testing.assert_allclose(moments.mean, mean, rtol=0, atol=1e-13)
    np.testing.assert_allclose(moments.covariance, np.cov(np.array(rows).T, aweights=weights, ddof=0), rtol=0, atol=1e-13)


@pytest.mark.eq("estimator-bias")
def test_bias_by_hand():
    """Mean (3, 4) against (3, 0): ‖bias‖ = 4, 4/3 of the truth, cosine 3/5; covariance diag(1, 8): deviation 3."""
    moments = rm.enumeration.Expectation(np.array([3.0, 4.0]), np.diag([1.0, 8.0]))
    assert sampled.estimator_bias(moments, np.array([3.0, 0.0])) == pytest.approx((4, 4 / 3, 3 / 5, 3), rel=1e-15)
    small = rm.enumeration.Expectation(np.array([3.0, 4.0]), np.diag([0.0625, 0.1875]))
    assert sampled.estimator_bias(small, np.array([3.0, 0.0])).deviation == 0.5
    nowhere = sampled.estimator_bias(moments, np.zeros(2))
    assert nowhere.norm == 5 and np.isnan(nowhere.relative) and np.isnan(nowhere.cosine)


@pytest.mark.eq("estimator-bias")
def test_the_bias_of_released_recipes_is_no_rounding():
    """Without the score term tens of percent of the gradient at α = 1; E-MAML's itself none, against its own objective."""
    task, theta = read_process("two-state")
    (block,) = blocks(task, theta, steps=[1], episodes=[2], alphas=[1.0])
    rows = {row.estimator.name: row for row in block.rows}
    assert rows["e-maml"].sampled.relative < 1e-14 < 0.05 < rows["e-maml"].exact.relative
    assert rows["score-term-dropped"].sampled.relative > 0.25
    assert rows["dice"].sampled.relative < 0.05 < rows["first-order"].sampled.relative
    assert rows["loaded-dice, exact V"].exact == pytest.approx(rows["tmaml, exact V"].exact, rel=1e-9)


def test_a_batch_drawn_elsewhere_and_a_value_that_is_missing_are_refused():
    _, policy, theta, task = tiny(np.random.default_rng(0))
    batch = rm.rollout(task.mdp, policy, theta, episodes=2, rng=0)
    elsewhere = reinforce(policy, theta + 0.5, batch, gamma=0.5)
    with pytest.raises(ValueError, match=r"the trajectories of step 0 were sampled at other parameters .* by 0.5$"):
        sampled.emaml_gradient(theta, elsewhere, task, alpha=0.5)
    here = reinforce(policy, theta, batch, gamma=0.5)
    with pytest.raises(ValueError, match="trajectories of step 1 were sampled at other parameters"):
        sampled.emaml_gradient(theta, [here, here], task, alpha=0.5)
    query = dice(policy, theta, batch, gamma=0.5)
    with pytest.raises(ValueError, match="value is required if the query is a surrogate"):
        sampled.emaml_gradient(theta, here, query, alpha=0.5)
    with pytest.raises(TypeError, match="support must be a surrogate, or a sequence of them, got PolicyReturn"):
        sampled.emaml_gradient(theta, task, task, alpha=0.5)
    with pytest.raises(ValueError, match="got a sequence of 0 tasks"):
        sampled.emaml_gradient(theta, [], task, alpha=0.5)


def test_too_many_tuples_and_what_is_no_task_are_refused():
    _, _, theta, task = tiny(np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"16 trajectories in tuples of 6 make 1.68e\+07 to enumerate"):
        sampled.formulation_sampled(theta, task, alpha=0.5, episodes=3, steps=2)
    with pytest.raises(TypeError, match="expected a PolicyReturn, got Quadratic"):
        sampled.formulation_sampled(np.zeros(1), rm.Quadratic([[1.0]], [0.0]), alpha=0.5, episodes=1)
    endless = rm.PolicyReturn(rm.FiniteMDP(task.mdp.P, task.mdp.R, task.mdp.rho, 0.5), task.policy)
    with pytest.raises(ValueError, match="horizon is required"):
        sampled.formulation_sampled(theta, endless, alpha=0.5, episodes=1)
    with pytest.raises(ValueError, match="episodes must be at least 1"):
        sampled.formulation_sampled(theta, task, alpha=0.5, episodes=0)
