"""The limit of many episodes: complex steps, hand figures, exact Hessians, and means over batches that are counted by their arms."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from scipy.special import gammaln

import refmeta as rm
from refmeta import many_episodes, sampled
from refmeta.evidence.many_episodes import random_bandits, random_limit
from refmeta.evidence.sampled import random_tiny
from refmeta.sampling.returns import exact_baseline
from refmeta.sampling.surrogates import dice, likelihood_ratio, reinforce
from tests.strategies import assert_right, costly, seeds

EXACT = 1e-12  # sums of 16 terms of order one
ARMS = rm.PolicyReturn(rm.FiniteMDP([[[1.0], [1.0]]], [[1.0, 0.0]], [1.0], 0.5, 1), rm.TabularSoftmax(1, 2))


def step_of(kind, task, **more):
    return lambda at: many_episodes.step_limit(lambda x, batch: kind(task.policy, x, batch, gamma=task.mdp.gamma, **more), at, task)


@pytest.mark.eq("many-episodes-step")
@given(rng=seeds)
def test_a_step_and_its_three_slopes_are_complex_steps_of_the_mean_gradient(rng):
    assert_right("many-episodes-step", random_limit(rng))


@pytest.mark.eq("many-episodes-limit")
@costly
@given(rng=seeds)
def test_the_limit_is_the_slope_of_the_steps_in_a_row(rng):
    assert_right("many-episodes-limit", random_limit(rng))


@pytest.mark.eq("thm:many-episodes")
@given(rng=seeds)
def test_the_mean_comes_to_the_limit_as_one_over_m(rng):
    assert_right("thm:many-episodes", random_bandits(rng))


@pytest.mark.eq("many-episodes-step", "many-episodes-limit")
def test_two_arms_by_hand():
    """In derivations/sampled-meta-gradients.md: −3/16 (1, −1), and 1 − ½ log 3 of it without the score term."""
    alpha, along = 2 * np.log(3), np.array([1.0, -1.0])
    T, A, B, C = step_of(reinforce, ARMS)(np.zeros(2))
    np.testing.assert_allclose(T, -along / 4, rtol=1e-15)
    np.testing.assert_allclose([A, -B], [np.outer(along, along) / 8] * 2, rtol=1e-15)
    np.testing.assert_allclose(C, 0, atol=1e-16)
    for score, factor in ((1.0, 1.0), (0.0, 1 - np.log(3) / 2)):
        got = many_episodes.gradient_limit(step_of(reinforce, ARMS), np.zeros(2), ARMS, alpha=alpha, score=score)
        np.testing.assert_allclose(got, -3 / 16 * factor * along, rtol=1e-14)


@pytest.mark.eq("many-episodes-step")
@given(rng=seeds)
def test_every_slope_has_a_name_in_the_exact_hessian(rng):
    """C = ∇²L for all of them; A = ∇²L for DiCE, A + B = ∇²L for reinforce; with the exact V the naive A is 0, and C stays."""
    task, theta, _ = random_tiny(rng)
    point = task.at(theta)
    hessian = np.stack([point.hvp(unit) for unit in np.eye(4)])
    limits = [step_of(kind, task)(theta) for kind in (reinforce, likelihood_ratio, dice)]
    limits.append(many_episodes.step_limit(
        lambda x, batch: reinforce(task.policy, x, batch, gamma=task.mdp.gamma, baseline=exact_baseline(batch, task.at(x))), theta, task
    ))  # fmt: skip
    for limit in limits:
        np.testing.assert_allclose(limit.gradient, point.grad, rtol=0, atol=EXACT)
        np.testing.assert_allclose(limit.total, hessian, rtol=0, atol=EXACT)
    naive, lvc, magic, with_value = limits
    np.testing.assert_allclose(naive.held + naive.moved, hessian, rtol=0, atol=EXACT)
    np.testing.assert_allclose(magic.held, hessian, rtol=0, atol=EXACT)
    np.testing.assert_allclose(with_value.held, 0, rtol=0, atol=EXACT)
    assert np.max(np.abs(lvc.held - hessian)) > 1e-9 or np.max(np.abs(hessian)) < 1e-6


@pytest.mark.eq("many-episodes-limit", "formulation-exact")
@pytest.mark.parametrize("alpha", [0.75, [0.5, -0.25, 1.0, 0.125], [[0.75], [-0.5]], np.arange(8.0).reshape(2, 4) / 8], ids=["one", "d", "K", "K x d"])
def test_e_maml_and_dice_tend_to_the_gradient_of_exact_adaptation_for_every_kind_of_step_size(alpha):
    task, theta, _ = random_tiny(np.random.default_rng(3))
    exact = sampled.formulation_exact(theta, task, alpha=alpha, steps=2).gradient
    for kind, score in ((reinforce, 1.0), (dice, 0.0)):
        got = many_episodes.gradient_limit(step_of(kind, task), theta, task, alpha=alpha, steps=2, score=score)
        np.testing.assert_allclose(got, exact, rtol=0, atol=EXACT)


@pytest.mark.eq("many-episodes-limit")
def test_without_curvature_and_score_term_it_is_first_order_maml_and_without_steps_the_gradient():
    task, theta, _ = random_tiny(np.random.default_rng(4))
    plain = {"alpha": 0.5, "score": 0.0, "curvature": 0.0}
    got = many_episodes.gradient_limit(step_of(reinforce, task), theta, task, steps=2, **plain)
    np.testing.assert_allclose(got, rm.maml.first_order_gradient(theta, task, alpha=0.5, steps=2), rtol=0, atol=EXACT)
    np.testing.assert_array_equal(many_episodes.gradient_limit(step_of(reinforce, task), theta, task, steps=0, **plain), task.at(theta).grad)


def test_a_query_of_its_own_and_trajectories_that_end():
    """The step is made on one task, another one is met; of an end nothing is counted."""
    P = np.zeros((3, 2, 3))
    P[0, 0, 2] = P[0, 1, 1] = P[1, :, 2] = P[2, :, 2] = 1
    over = rm.FiniteMDP(P, [[1.0, -0.5], [2.0, 0.25], [0.0, 0.0]], [1.0, 0.0, 0.0], 0.75, 3, terminal=[False, False, True])
    support = rm.PolicyReturn(over, rm.TabularSoftmax(3, 2))
    query = rm.PolicyReturn(rm.FiniteMDP(P, 1 - over.R * 0.5, [0.5, 0.5, 0.0], 0.75, 2), support.policy)
    theta = np.array([0.5, -0.25, 0.75, 0.125, 1.0, -1.0])
    got = many_episodes.gradient_limit(step_of(reinforce, support), theta, query, alpha=0.5, steps=2)
    np.testing.assert_allclose(got, rm.maml.gradient(theta, support, query, alpha=0.5, steps=2), rtol=0, atol=EXACT)


def mean_of_two_arms(kind, theta, rewards, alpha, steps, M, score):
    """The exact mean over all batches of two arms, written out: a step is how often the first arm is drawn, along a new axis."""
    drawn = np.stack([np.arange(M + 1), M - np.arange(M + 1)], axis=1)  # (M + 1, arm)
    choose = gammaln(M + 1) - np.sum(gammaln(drawn + 1), axis=1)
    x, weight, jacobian, scores = theta[None], np.ones(1), np.eye(2)[None], np.zeros((1, 2))
    for _ in range(steps):
        pi = (np.exp(x) / np.sum(np.exp(x), axis=1, keepdims=True))[:, None]  # (b, 1, arm)
        s = np.eye(2) - pi  # (b, arm, d)
        w = drawn / M * rewards
        hessian = np.einsum("ca,b->bc", w, pi[:, 0, 0] * pi[:, 0, 1])[..., None, None] * [[1.0, -1.0], [-1.0, 1.0]]
        if kind is not reinforce:
            hessian = hessian - np.einsum("ca,bai,baj->bcij", w, s, s)
        p = np.exp(choose + np.log(pi[:, 0]) @ drawn.T)
        own = np.einsum("ca,bai->bci", drawn, s)
        scores = (scores[:, None] + np.einsum("bij,bcj->bci", jacobian, own)).reshape(-1, 2)
        jacobian = np.einsum("bij,bcjk->bcik", jacobian, np.eye(2) - alpha * hessian).reshape(-1, 2, 2)
        x = (x[:, None] + alpha * np.einsum("ca,bai->bci", w, s)).reshape(-1, 2)
        weight = (weight[:, None] * p).ravel()
    pi = np.exp(x) / np.sum(np.exp(x), axis=1, keepdims=True)
    loss = -pi @ rewards
    slope = -pi * (rewards + loss[:, None])
    return weight @ (np.einsum("bij,bj->bi", jacobian, slope) + score * loss[:, None] * scores)


@pytest.mark.eq("thm:many-episodes", "many-episodes-limit")
@pytest.mark.parametrize(("kind", "score"), [(reinforce, 1.0), (reinforce, 0.4), (likelihood_ratio, 1.0), (dice, 0.0)])
def test_two_steps_of_counted_batches_extrapolate_to_the_limit(kind, score):
    """M = 4, 8, 16, 32 by Richardson's extrapolation: a rest of order M⁻⁴. The second step moves with the first one's batch."""
    theta, rewards = np.array([0.5, -0.25]), np.array([2.0, -0.5])
    means = [mean_of_two_arms(kind, theta, rewards, 0.75, 2, M, score) for M in (4, 8, 16, 32)]
    for order in (2, 4, 8):
        means = [(order * more - few) / (order - 1) for few, more in itertools.pairwise(means)]
    task = rm.PolicyReturn(rm.FiniteMDP([[[1.0], [1.0]]], [rewards], [1.0], 0.5, 1), rm.TabularSoftmax(1, 2))
    got = many_episodes.gradient_limit(step_of(kind, task), theta, task, alpha=0.75, steps=2, score=score)
    np.testing.assert_allclose(means[0], got, rtol=1e-6)
    assert mean_of_two_arms(kind, theta, rewards, 0.75, 2, 3, score) == pytest.approx(enumerated(kind, task, theta, score), rel=1e-12)


def enumerated(kind, task, theta, score):
    """The library's mean over every tuple, three episodes a step."""
    estimate = lambda x, surrogates: sampled.emaml_gradient(
        x, surrogates, task, alpha=0.75, value=score * rm.maml.objective(x, list(surrogates), task, alpha=0.75, steps=2)
    )
    make = lambda x, batch: kind(task.policy, x, batch, gamma=0.5)
    return sampled.moments(estimate, make, theta, task, alpha=0.75, episodes=3, steps=2).mean


@pytest.mark.eq("many-episodes-step")
def test_normalised_returns_do_not_depend_on_an_affine_change_of_the_rewards():
    """Where episodes have one length: (3G + c − μ)/σ is the same number."""
    task, theta, _ = random_tiny(np.random.default_rng(5), horizon=1)
    other = rm.PolicyReturn(rm.FiniteMDP(task.mdp.P, 3 * task.mdp.R + 7, task.mdp.rho, task.mdp.gamma, 1), task.policy)
    for one, two in zip(*(many_episodes.normalised_step_limit(theta, t) for t in (task, other)), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-7, atol=1e-7)  # ε = 1e-8 beside σ


def test_what_is_no_limit_is_refused():
    task, theta, _ = random_tiny(np.random.default_rng(6))
    step = step_of(reinforce, task)
    with pytest.raises(ValueError, match=r"theta has shape \(2, 4\), expected \(4,\)"):
        step(np.zeros((2, 4)))
    with pytest.raises(ValueError, match=r"theta has shape \(1, 4\), expected \(4,\)"):
        many_episodes.gradient_limit(step, theta[None], task, alpha=0.1)
    with pytest.raises(TypeError, match="expected a PolicyReturn, got Quadratic"):
        many_episodes.step_limit(lambda x, batch: None, theta, rm.Quadratic(np.eye(4), np.zeros(4)))
    four = rm.PolicyReturn(rm.FiniteMDP(np.stack([task.mdp.P] * 4), task.mdp.R, task.mdp.rho, task.mdp.gamma, task.mdp.horizon), task.policy)
    with pytest.raises(ValueError, match=r"query has the batch axes \(4,\), expected one task; give query\[i\]"):
        many_episodes.gradient_limit(step, theta, four, alpha=0.1)  # with d = 4 the arrays would fit
    with pytest.raises(TypeError, match="query must be a task"):
        many_episodes.gradient_limit(step, theta, step, alpha=0.1)
    with pytest.raises(ValueError, match="epsilon must be positive"):
        many_episodes.normalised_step_limit(theta, task, epsilon=0.0)
    with pytest.raises(FloatingPointError, match="inner step 1 left the finite numbers; alpha may be too large"):
        many_episodes.gradient_limit(lambda x: step(x)._replace(gradient=np.full(4, np.inf)), theta, task, alpha=0.1)
    warm = rm.PolicyReturn(task.mdp, task.policy, temperature=0.5)
    with pytest.raises(ValueError, match="temperature 0.5, expected 0"):
        many_episodes.normalised_step_limit(theta, warm)
