"""KL penalties from samples: values by hand and by loops, derivatives by complex steps, and what their means are."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refmeta as rm
from refmeta.evidence.kl import FORMS, KINDS, exact_gradients, random_divergence, random_penalty
from refmeta.judges import complex_step, taylor_rates
from refmeta.problems import POLICIES, random_trajectories
from refmeta.sampling.kl import in_reward, k1, k2, k3, step_values, with_ratio
from tests.strategies import assert_right, batch_sizes, costly, policies, seeds

EXACT = 1e-13  # means of order one, over 4 to 64 trajectories, and sums of 60 nodes
MAKERS = {"k1": k1, "k2": k2, "k3": k3}
FORM = {"in_loss": lambda penalty, theta: penalty, "with_ratio": with_ratio, "in_reward": in_reward}
ONE, REF = rm.TabularSoftmax(1, 2), np.log([1.0, 3.0])


def arms(horizon=1, gamma=0.5):
    """One state, two actions."""
    return rm.FiniteMDP([[[1.0], [1.0]]], [[1.0, 0.0]], [1.0], gamma, horizon)


def mean_gradient(mdp, policy, theta, ref, k, form="in_loss"):
    """E of a penalty's gradient at θ, the batch drawn with θ."""
    f = lambda batch: FORM[form](k(policy, ref, batch, gamma=mdp.gamma), theta).at(theta).grad
    return rm.enumeration.expectation(f, mdp, policy, theta).mean


@pytest.mark.eq("kl-estimators")
@pytest.mark.parametrize(
    ("k", "values"),
    [
        (k1, (np.log(2), np.log(2 / 3))),
        (k2, (np.log(2) ** 2 / 2, np.log(2 / 3) ** 2 / 2)),
        (k3, (np.log(2) - 1 / 2, np.log(2 / 3) + 1 / 2)),
    ],
)
def test_values_by_hand(k, values):
    """π = (1/2, 1/2), π_ref = (1/4, 3/4), a = 0, 1: l = log 2 and log 2/3; γ = 1/2.  Ratios to (1/3, 2/3): 3/2 and 3/4."""
    batch = rm.Trajectories([[0, 0]], [[0, 1]], [[7.0, 7.0]], [[1, 1]])
    penalty, zero, sampled = k(ONE, REF, batch, gamma=0.5), np.zeros(2), np.log([1.0, 2.0])
    first, second = values
    np.testing.assert_allclose(step_values(penalty, zero), [values], rtol=1e-14)
    assert penalty.at(zero).loss == pytest.approx(first + second / 2, rel=1e-14)
    assert with_ratio(penalty, sampled).at(zero).loss == pytest.approx(3 / 2 * first + 3 / 8 * second, rel=1e-14)
    slope = (first + second / 2) / 2 - second / 2 / 2
    np.testing.assert_allclose(in_reward(penalty, zero).at(zero).grad, [slope, -slope], rtol=1e-14)


@pytest.mark.eq("kl-estimators")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("k", KINDS)
@given(rng=seeds, kind=policies, sizes=st.fixed_dictionaries(batch_sizes))
@costly
def test_values_are_those_of_their_definitions_and_derivatives_are_complex_steps(k, form, rng, kind, sizes):
    assert_right("kl-estimators", random_penalty(rng, kind, k, form, **sizes))


@pytest.mark.eq("kl-estimators")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("k", KINDS)
def test_taylor_remainders_have_their_orders(k, form):
    rng = np.random.default_rng(0)
    policy, ref, batch = random_trajectories(rng)
    theta, v = ref + rng.normal(size=policy.dim), 2 * rng.normal(size=policy.dim)
    task = FORM[form](MAKERS[k](policy, ref, batch, gamma=0.75), theta + 0.1)
    gradient, product = (np.sum(x, axis=0) for x in (task.at(theta).grad, task.at(theta).hvp(v)))
    assert taylor_rates(lambda t: np.sum(task.at(t).loss), theta, v, gradient=gradient, hvp=product).passed


@pytest.mark.eq("kl-estimators")
@given(rng=seeds, kind=policies)
def test_at_the_reference_every_value_is_zero_and_k2_and_k3_are_lowest_there(rng, kind):
    policy, ref, batch = random_trajectories(rng, kind)
    for k in MAKERS.values():
        penalty = k(policy, ref, batch, gamma=0.75)
        assert not np.any(penalty.at(ref).loss) and not np.any(in_reward(penalty, ref).at(ref).grad)
    away = ref + 0.3 * rng.normal(size=policy.dim)
    for k in (k2, k3):
        penalty = k(policy, ref, batch, gamma=0.75)
        assert not np.any(penalty.at(ref).grad) and np.all(penalty.at(away).loss > 0)
    assert np.all(np.max(np.abs(k1(policy, ref, batch, gamma=0.75).at(ref).grad), axis=-1) > 0)


def test_k3_keeps_its_digits_near_the_reference():
    """l = δ/2 to first order: k3 = δ²/8, here 1.25e-19."""
    batch = rm.Trajectories([[0]], [[0]], [[0.0]], [[1]])
    got = k3(ONE, REF * 0, batch, gamma=0.5).at([1e-9, 0.0]).loss
    assert got == pytest.approx(1.25e-19, rel=1e-6)


@pytest.mark.eq("thm:kl-gradients")
@given(case=st.builds(random_divergence, seeds, horizon=st.integers(1, 3)))
@costly
def test_mean_gradients_are_those_of_the_theorem(case):
    assert_right("thm:kl-gradients", case)


@pytest.mark.eq("thm:kl-gradients")
@pytest.mark.parametrize(
    ("k", "form", "first"),
    [
        (k1, "in_loss", 0.0),
        (k2, "in_loss", np.log(3) / 4),
        (k3, "in_loss", 1 / 4),
        (k1, "with_ratio", np.log(3) / 4),
        (k2, "with_ratio", np.log(3) / 4 + np.log(3) * np.log(4 / 3) / 8),
        (k3, "with_ratio", np.log(3) / 4),
        (k1, "in_reward", np.log(3) / 4),
        (k2, "in_reward", np.log(3) * np.log(4 / 3) / 8),
        (k3, "in_reward", np.log(3) / 4 - 1 / 4),
    ],
)
def test_mean_gradients_by_hand(k, form, first):
    """π = (1/2, 1/2), π_ref = (1/4, 3/4): ∇KL(π ‖ π_ref) is ¼ log 3, ∇KL(π_ref ‖ π) is ¼, in the first logit."""
    got = mean_gradient(arms(), ONE, np.zeros(2), REF, k, form)
    np.testing.assert_allclose(got, [first, -first], rtol=0, atol=1e-15)


@pytest.mark.eq("thm:kl-gradients")
def test_the_forms_differ_visibly_over_three_steps():
    """Held visits, the other divergence and the square each miss the gradient of the divergence by more than 5 %."""
    exact = exact_gradients(random_divergence(np.random.default_rng(0), horizon=3))
    loss_k1, loss_k2, loss_k3, _, ratio_k2, _, moved, reward_k2, reward_k3 = exact
    for wrong in (loss_k1, loss_k2, loss_k3, ratio_k2, reward_k2, reward_k3):
        assert np.linalg.norm(wrong - moved) > 0.05 * np.linalg.norm(moved)
    assert np.linalg.norm(loss_k3 - loss_k2) > 0.05 * np.linalg.norm(loss_k2)


@pytest.mark.eq("thm:kl-gradients")
@given(case=st.builds(random_divergence, seeds, horizon=st.just(3)))
@costly
def test_in_the_reward_the_own_step_alone_holds_the_visits(case):
    """Σ γᵗ ∇log π_t k1(l_t), without the later steps, is the gradient of k2 in the loss; its mean holds the visits."""
    task, theta, ref = case

    def own(batch):
        penalty = k1(task.policy, ref, batch, gamma=task.mdp.gamma)
        weights = task.mdp.gamma ** np.arange(3) * step_values(penalty, theta)
        return rm.likelihood(task.policy, theta, batch).pull(weights)

    paths, gamma = rm.enumeration.paths(task.mdp).trajectories, task.mdp.gamma
    one = rm.Trajectories(*(x[:, None] for x in paths))
    in_loss = k2(task.policy, ref, one, gamma=gamma).at(theta).grad
    np.testing.assert_allclose(own(one), in_loss, rtol=0, atol=10 * EXACT)
    held = exact_gradients(case)[1]
    got = rm.enumeration.expectation(own, task.mdp, task.policy, theta).mean
    np.testing.assert_allclose(got, held, rtol=0, atol=10 * EXACT)
    np.testing.assert_allclose(mean_gradient(task.mdp, task.policy, theta, ref, k2), held, rtol=0, atol=10 * EXACT)


@pytest.mark.eq("thm:kl-gradients")
@given(case=st.builds(random_divergence, seeds, horizon=st.just(2)))
@costly
def test_with_the_log_ratio_of_the_whole_trajectory_k2_is_the_gradient_of_the_trajectories_divergence(case):
    """KL between the distributions of trajectories is Σ_t E KL(·|s_t), without γᵗ; its gradient moves the visits."""
    task, theta, ref = case
    mdp = rm.FiniteMDP(task.mdp.P, task.mdp.R, task.mdp.rho, 1.0, 2)
    policy, slopes = task.policy, {"k1": lambda x: 1 + 0 * x, "k2": lambda x: x, "k3": lambda x: -np.expm1(-x)}

    def mean(k):
        def grad(batch):
            total = np.sum(step_values(k1(policy, ref, batch, gamma=1.0), theta), axis=-1, keepdims=True)
            return rm.likelihood(policy, theta, batch).pull(slopes[k](total) * np.ones(batch.mask.shape))

        return rm.enumeration.expectation(grad, mdp, policy, theta).mean

    forward = exact_gradients((rm.PolicyReturn(mdp, policy), theta, ref))
    np.testing.assert_allclose(mean("k1"), 0, rtol=0, atol=10 * EXACT)
    np.testing.assert_allclose(mean("k2"), forward[6], rtol=0, atol=10 * EXACT)
    paths = rm.enumeration.paths(mdp)
    each = rm.Trajectories(*(x[:, None] for x in paths.trajectories))

    def other(t):
        log_p, log_ref = (np.sum(rm.likelihood(policy, x, each).log_prob, axis=(-2, -1)) for x in (t, ref))
        return paths.weight @ (np.exp(log_ref) * (log_ref - log_p))

    np.testing.assert_allclose(mean("k3"), complex_step(other, theta), rtol=0, atol=10 * EXACT)


@pytest.mark.eq("thm:kl-gradients")
@pytest.mark.parametrize("k", [k1, k3])
def test_with_the_ratio_the_mean_is_the_divergence_whoever_drew_the_batch_and_without_it_is_not(k):
    """One decision: E_sampled[k π/π_sampled] = KL(π ‖ π_ref) at every θ, and so are its derivatives."""
    sampled, theta = np.array([0.5, -0.75]), np.array([-0.25, 0.5])
    exact = rm.PolicyReturn(arms(), ONE)
    pi = exact.at(theta).probabilities[0]
    log_ratio = np.log(pi / [1 / 4, 3 / 4])
    divergence = pi @ log_ratio
    truth = pi * (log_ratio - divergence)

    def mean(form):
        f = lambda batch: form(k(ONE, REF, batch, gamma=0.5)).at(theta)
        both = lambda batch: np.concatenate([f(batch).loss[:, None], f(batch).grad], axis=1)
        return rm.enumeration.expectation(both, arms(), ONE, sampled).mean

    right, wrong = mean(lambda penalty: with_ratio(penalty, sampled)), mean(lambda penalty: penalty)
    np.testing.assert_allclose(right, [divergence, *truth], rtol=0, atol=1e-15)
    assert np.linalg.norm(wrong[1:] - truth) > 0.1 * np.linalg.norm(truth)


@pytest.mark.eq("thm:kl-gradients")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("k", KINDS)
def test_a_gaussian_decision_by_quadrature(k, form):
    """N(1/2, 1) at x = 1, and a reference that is narrower, so that 60 nodes are enough; the divergences in closed form."""
    policy, theta, ref = rm.LinearGaussian(1, 1), np.array([0.5, 0.0]), np.array([0.0, -0.2])
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    actions, shape = 0.5 + nodes, (60, 1, 1)
    batch = rm.Trajectories(np.ones((*shape, 1)), actions.reshape(*shape, 1), np.zeros(shape), np.ones(shape, bool))
    each = FORM[form](MAKERS[k](policy, ref, batch, gamma=0.5), theta).at(theta).grad
    divergence = lambda p, q: q[1] - p[1] + (np.exp(2 * p[1]) + (p[0] - q[0]) ** 2) / (2 * np.exp(2 * q[1])) - 1 / 2
    kl, other = complex_step(lambda t: divergence(t, ref), theta), complex_step(lambda t: divergence(ref, t), theta)
    in_loss = {"k1": 0 * kl, "k2": kl, "k3": other}[k]
    if k == "k2" and form != "in_loss":
        log_ratio = -0.2 - nodes**2 / 2 + actions**2 * np.exp(0.4) / 2
        square = weights / weights.sum() * log_ratio**2 / 2 @ np.stack([nodes, nodes**2 - 1], axis=1)
    else:
        square = kl - in_loss
    expected = {"in_loss": in_loss, "with_ratio": square + in_loss, "in_reward": square}[form]
    np.testing.assert_allclose(weights / weights.sum() @ each, expected, rtol=0, atol=EXACT * 10)


@pytest.mark.eq("kl-estimators")
@given(rng=seeds, kind=policies)
def test_in_the_reward_is_an_estimate_of_the_policy_gradient_with_k_for_a_reward(rng, kind):
    policy, ref, batch = random_trajectories(rng, kind)
    theta = ref + 0.3 * rng.normal(size=policy.dim)
    for k in MAKERS.values():
        penalty = k(policy, ref, batch, gamma=0.75)
        rewarded = batch._replace(rewards=step_values(penalty, theta))
        expected = rm.estimators.gpomdp(policy, theta, rewarded, gamma=0.75)
        size = np.max(np.abs(expected)) + 1e-3
        np.testing.assert_allclose(in_reward(penalty, theta).at(theta).grad, expected, rtol=0, atol=1e-12 * size)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", POLICIES)
def test_a_task_of_the_batch_stands_alone_and_copies_have_the_same_numbers(kind, form):
    rng = np.random.default_rng(3)
    policy, ref, batch = random_trajectories(rng, kind)
    theta, sampled = ref + 0.3 * rng.normal(size=(2, policy.dim))
    both = FORM[form](k3(policy, np.stack([ref, ref + 0.1]), batch, gamma=0.75), sampled)
    alone = k3(policy, ref + 0.1, rm.Trajectories(*(x[1] for x in batch)), gamma=0.75)
    assert both.shape == (2,)
    for one in (both[1], FORM[form](alone, sampled)):
        assert one.shape == ()
        np.testing.assert_allclose(one.at(theta).loss, both.at(theta).loss[1], rtol=1e-12)
        np.testing.assert_allclose(one.at(theta).hvp(sampled), both.at(theta).hvp(sampled)[1], rtol=1e-12)
    for again in (copy.deepcopy(both), pickle.loads(pickle.dumps(both))):
        np.testing.assert_array_equal(again.at(theta).grad, both.at(theta).grad)


def test_maml_runs_on_a_penalised_batch_and_padding_is_not_read():
    policy, ref, batch = random_trajectories(np.random.default_rng(0))
    penalty = k2(policy, ref, batch, gamma=0.75)
    rubbish = rm.Trajectories(*(np.where(batch.mask, x, 1) for x in batch[:3]), batch.mask)
    np.testing.assert_array_equal(k2(policy, ref, rubbish, gamma=0.75).at(ref + 1).hvp(ref), penalty.at(ref + 1).hvp(ref))
    theta = ref + 0.3 * np.cos(np.arange(policy.dim))
    got = rm.maml.gradient(theta, penalty, alpha=0.1, steps=2)
    expected = complex_step(lambda t: rm.maml.objective(t, penalty, alpha=0.1, steps=2), theta)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"gamma": 1.25}, ValueError, "gamma must satisfy 0 <= gamma <= 1, got 1.25"),
        ({"theta_ref": np.zeros(7)}, ValueError, r"theta_ref has shape \(7,\), expected last axis 6"),
        ({"theta_ref": np.zeros(6) + 1j}, TypeError, "theta_ref must be real"),
        ({"theta_ref": np.zeros((3, 6))}, ValueError, "batch axes must broadcast"),
        ({"trajectories": None}, TypeError, r"trajectories must be Trajectories\(states, actions, rewards, mask\)"),
        ({"policy": "softmax"}, TypeError, "policy must be a TabularSoftmax, LinearSoftmax or LinearGaussian, got str"),
    ],
)  # fmt: skip
def test_bad_input_is_named(change, error, message):
    policy, ref, batch = random_trajectories(np.random.default_rng(0))
    arguments = {"policy": policy, "theta_ref": ref, "trajectories": batch, "gamma": 0.75} | change
    for k in MAKERS.values():
        with pytest.raises(error, match=message):
            k(**arguments)


def test_what_is_no_penalty_and_what_is_too_far_away_is_refused():
    policy, ref, batch = random_trajectories(np.random.default_rng(0))
    penalty = k3(policy, ref, batch, gamma=0.75)
    for f in (in_reward, with_ratio, step_values):
        with pytest.raises(TypeError, match="penalty must be a result of kl.k1, kl.k2 or kl.k3, got float"):
            f(1.0, ref)
        with pytest.raises(TypeError, match="penalty must be a result of kl.k1, kl.k2 or kl.k3, got Surrogate"):
            f(rm.surrogates.dice(policy, ref, batch, gamma=0.75), ref)
        with pytest.raises(TypeError, match="must be real"):
            f(penalty, ref + 1j)
        with pytest.raises(ValueError, match="batch axes must broadcast"):
            f(penalty, np.zeros((3, 6)))
        with pytest.raises(FloatingPointError, match="left the finite numbers"):
            f(penalty, -1000 * np.eye(6)[int(batch.states[0, 0, 0] * 2 + batch.actions[0, 0, 0])])
    with pytest.raises(TypeError, match="got Surrogate"):
        with_ratio(with_ratio(penalty, ref), ref)
