"""Sampled MAML as a rule: its direction's mean by enumeration of every episode that it may draw, ProMP, and the draws."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refmeta as rm
from refmeta import sampled, sampled_maml
from refmeta.evidence.sampled import random_promp, random_tiny
from refmeta.sampling.enumeration import likelihoods, paths
from refmeta.sampling.surrogates import dice, likelihood_ratio, reinforce
from tests.strategies import assert_right, batch_sizes, policies, seeds

BANDIT = rm.FiniteMDP([[[1.0], [1.0]]], [[1e200, 2e200]], [1.0], 0.5, 1)
CURVATURES = {"naive": reinforce, "lvc": likelihood_ratio, "dice": dice}


def mean_direction(rule, theta, task, monkeypatch):
    """Σ p · direction over all episodes, one tuple after another, with p of the θ where the rule itself asks for them."""
    mean, total, tuples = np.zeros(task.dim), 0.0, list(zip(*_tuples(task, rule.episodes), strict=True))
    for chosen in itertools.product(tuples, repeat=rule.steps + 1):
        script, weights = iter(chosen), []

        def scripted(mdp, policy, at, *, episodes, rng, script=script, weights=weights, **more):
            batch, weight = next(script)
            weights.append(weight * likelihoods(policy, at, batch))
            return batch

        monkeypatch.setattr(sampled_maml, "rollout", scripted)
        direction = rule.direction(theta, task)
        assert next(script, None) is None
        mean, total = mean + np.prod(weights) * direction, total + np.prod(weights)
    assert total == pytest.approx(1, rel=1e-12)
    return mean


def _tuples(task, episodes):
    """All M-tuples of trajectories, (M, H) each, and their weights."""
    batches, weights = [], []
    for batch, weight in paths(task.mdp, tuples_of=episodes).batches(episodes):
        batches += [rm.Trajectories(*(x[i] for x in batch)) for i in range(len(weight))]
        weights += list(weight)
    return batches, weights


def tiny(seed):
    """A task whose episodes have one step."""
    task, theta, alpha = random_tiny(np.random.default_rng(seed), horizon=1)
    return task, theta, alpha


@pytest.mark.eq("emaml-score-term", "formulation-sampled")
@pytest.mark.parametrize(("episodes", "steps"), [(1, 1), (2, 1), (1, 2)])
def test_e_maml_has_the_gradient_of_the_second_objective_as_its_mean(episodes, steps, monkeypatch):
    task, theta, alpha = tiny(episodes + 10 * steps)
    rule = rm.SampledMAML(alpha, sampled_maml.EMAML, episodes, steps)
    got = mean_direction(rule, theta, task, monkeypatch)
    expected = sampled.formulation_sampled(theta, task, alpha=alpha, episodes=episodes, steps=steps).gradient
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-13)


@pytest.mark.eq("emaml-score-term", "formulation-sampled")
def test_the_same_on_two_time_steps(monkeypatch):
    task, theta, alpha = random_tiny(np.random.default_rng(4))
    got = mean_direction(rm.SampledMAML(alpha, sampled_maml.EMAML, 1), theta, task, monkeypatch)
    expected = sampled.formulation_sampled(theta, task, alpha=alpha, episodes=1).gradient
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-13)


@pytest.mark.eq("lvc", "dice", "surrogate-naive")
@pytest.mark.parametrize("name", CURVATURES)
def test_without_a_score_term_the_mean_is_that_of_the_table_of_biases(name, monkeypatch):
    """With the exact query it is enumerated in another way; sampling the query adds no bias, and leaves that of the curvature."""
    task, theta, _ = random_tiny(np.random.default_rng(7))
    alpha, make = 0.75, CURVATURES[name]
    got = mean_direction(rm.SampledMAML(alpha, sampled_maml.Curvature(make), 1), theta, task, monkeypatch)
    exact_query = lambda t, support: rm.maml.gradient(t, support, task, alpha=alpha, steps=1)
    surrogate = lambda t, batch: make(task.policy, t, batch, gamma=task.mdp.gamma)
    expected = sampled.moments(exact_query, surrogate, theta, task, alpha=alpha, episodes=1).mean
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-13)
    truth = sampled.formulation_sampled(theta, task, alpha=alpha, episodes=1).gradient
    assert np.linalg.norm(got - truth) > 1e-3 * np.linalg.norm(truth), "it has a bias"


def test_the_constants_are_the_estimators_of_these_names():
    assert sampled_maml.LVC == sampled_maml.Curvature(likelihood_ratio) != sampled_maml.DICE
    assert repr(sampled_maml.LVC) == "Curvature(likelihood_ratio)"
    assert sampled_maml.DICE == sampled_maml.Curvature(dice) and sampled_maml.EMAML == sampled_maml.ScoreTerm()


@pytest.mark.eq("promp-outer-step")
@given(case=st.builds(random_promp, seeds, kind=policies, **batch_sizes))
def test_promp_descends_on_the_summed_objectives_of_one_set_of_episodes(case):
    assert_right("promp-outer-step", case)


@pytest.mark.eq("promp-outer-step", "lvc")
def test_one_epoch_of_promp_is_lvc_and_sgd_ends_where_the_epochs_end():
    tasks = rm.GoalGridworlds(size=3, horizon=4).sample(4, 0)
    theta = np.random.default_rng(1).normal(size=36)
    make = lambda estimator: rm.SampledMAML(0.5, estimator, 3)
    lvc, once = (make(e).sample_direction(theta, *tasks, rng=5) for e in (sampled_maml.LVC, sampled_maml.ProMP(0.1, epochs=1)))
    np.testing.assert_allclose(once, lvc, rtol=0, atol=1e-14)
    rule = make(sampled_maml.ProMP(0.1, epsilon=0.05, penalty=0.5, epochs=3))
    episodes = rule.sample_episodes(theta, *tasks, rng=5)
    (support,), policy, gamma = episodes.support, tasks.support.policy, 0.95
    query = rm.surrogates.clipped(policy, episodes.adapted, episodes.query, gamma=gamma, epsilon=0.05)
    kl, point = rm.SampledKL(policy, theta, support.trajectories), theta
    for _ in range(3):
        point = point - 0.1 * np.sum(sampled.promp_gradient(point, support, query, kl, alpha=0.5, penalty=0.5), axis=0)
    np.testing.assert_allclose(theta - 0.1 * rule.sample_direction(theta, *tasks, rng=5), point, rtol=0, atol=1e-14)
    assert np.max(np.abs(point - (theta - 0.3 * lvc))) > 1e-3, "the later epochs see ratios and a divergence"


def test_episodes_are_drawn_where_they_are_used_and_the_query_in_its_own_tasks():
    family = rm.GoalGridworlds(size=3, horizon=4)
    support, query = (family.sample(2, seed).support for seed in (0, 3))
    theta, rule = np.random.default_rng(1).normal(size=36), rm.SampledMAML(2.0, sampled_maml.DICE, 3, steps=2)
    got, rng, at = rule.sample_episodes(theta, support, query, 7), np.random.default_rng(7), theta
    for surrogate in got.support:
        expected = dice(support.policy, at, rm.rollout(support.mdp, support.policy, at, episodes=3, rng=rng), gamma=0.95)
        assert all(np.array_equal(x, y) for x, y in zip(expected.trajectories, surrogate.trajectories, strict=True))
        np.testing.assert_array_equal(surrogate.theta_sampled, at)
        at = at - 2.0 * expected.at(at).grad
    np.testing.assert_array_equal(got.adapted, at)
    after = rm.rollout(query.mdp, query.policy, at, episodes=3, rng=rng)
    assert all(np.array_equal(x, y) for x, y in zip(after, got.query, strict=True))
    made = dice(query.policy, at, after, gamma=0.95)
    expected = rm.maml.gradient(theta, list(got.support), made, alpha=2.0, steps=2).sum(0)
    np.testing.assert_allclose(rule.sample_direction(theta, support, query, 7), expected, rtol=0, atol=1e-14)


def test_the_query_is_scored_by_its_own_policy():
    """Features of the query's own: the support's policy gives other probabilities at the same parameters."""
    rng = np.random.default_rng(2)
    task = rm.RandomMDPs(3, 2, horizon=3).sample(1, 0).support[0]
    support, query = (rm.PolicyReturn(task.mdp, rm.LinearSoftmax(rng.normal(size=(3, 2, 5)))) for _ in range(2))
    theta = rng.normal(size=5)
    for estimator, link in ((sampled_maml.LVC, likelihood_ratio), (sampled_maml.DICE, dice)):
        rule = rm.SampledMAML(0.5, estimator, 8)
        drawn = rule.sample_episodes(theta, support, query, 3)
        made = link(query.policy, drawn.adapted, drawn.query, gamma=1.0)
        expected = rm.maml.gradient(theta, list(drawn.support), made, alpha=0.5)
        assert np.max(np.abs(expected)) > 0.1
        np.testing.assert_allclose(rule.sample_direction(theta, support, query, 3), expected, rtol=0, atol=1e-14)
    drawn = rm.SampledMAML(0.5, sampled_maml.EMAML, 8).sample_episodes(theta, support, query, 3)
    made, value = reinforce(query.policy, drawn.adapted, drawn.query, gamma=1.0), -np.mean(drawn.query.rewards.sum(-1))
    expected = sampled.emaml_gradient(theta, drawn.support, made, alpha=0.5, value=value)
    np.testing.assert_allclose(sampled_maml.EMAML.direction(theta, drawn, 0.5), expected, rtol=0, atol=1e-14)


def test_horizon_noise_and_linear_quadratic_tasks():
    """Without a horizon the episodes are cut where the rule says; noise and costs reach the query."""
    grids = rm.GoalGridworlds(size=3).sample(2, 0).support
    rule = rm.SampledMAML(1.0, sampled_maml.EMAML, 2, horizon=5, reward_noise=0.5)
    drawn = rule.sample_episodes(np.zeros(36), grids, rng=0)
    assert drawn.query.mask.shape == (2, 2, 5) and not np.all(np.isin(drawn.query.rewards, (0.0, 1.0)))
    plane = rm.Navigation(horizon=3)
    tasks, theta = plane.sample(2, 0), plane.start(0)
    for estimator in (sampled_maml.EMAML, sampled_maml.LVC, sampled_maml.ProMP(1e-4)):
        direction = rm.SampledMAML(1e-3, estimator, 4).sample_direction(theta, *tasks, rng=0)
        assert direction.shape == (8,) and np.all(np.isfinite(direction))
    costs = rm.SampledMAML(1e-3, sampled_maml.LVC, 4).sample_episodes(theta, tasks.support, rng=0).query.rewards
    assert np.all(costs <= 0) and np.any(costs < 0)


@pytest.mark.parametrize("estimator", [sampled_maml.EMAML, sampled_maml.LVC, sampled_maml.DICE, sampled_maml.ProMP(0.1)])
def test_no_tasks_give_the_direction_zero(estimator):
    for family in (rm.GoalGridworlds(size=3, horizon=4), rm.Navigation(horizon=3)):
        tasks = family.sample(2, 0).support[0:0]
        np.testing.assert_array_equal(rm.SampledMAML(0.1, estimator, 2).direction(np.zeros(tasks.dim), tasks), np.zeros(tasks.dim))


def test_training_is_reproducible_and_the_episodes_do_not_change_the_tasks():
    family, start, seen = rm.GoalGridworlds(size=3, horizon=4), np.zeros(36), []

    class Watched:
        def sample(self, n, rng):
            seen.append(family.sample(n, rng))
            return seen[-1]

    fixed = {"outer": rm.SGD(0.1), "iterations": 3, "batch": 4}
    rule = rm.SampledMAML(1.0, sampled_maml.EMAML, 2)
    first, again, other = (rm.meta_train(family, start, rule=rule, rng=seed, **fixed).theta for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)
    for each in (rule, rm.MAML(1.0)):
        rm.meta_train(Watched(), start, rule=each, rng=1, **fixed)
    assert all(np.array_equal(a.support.mdp.R, b.support.mdp.R) for a, b in zip(seen[:3], seen[3:], strict=True))
    rng, draws = np.random.default_rng(1), np.random.default_rng(1).spawn(1)[0]
    theta = start
    for _ in range(3):
        theta = theta - 0.1 * rule.sample_direction(theta, *family.sample(4, rng), rng=draws)
    np.testing.assert_array_equal(first, theta)


@pytest.mark.parametrize(
    ("make", "error", "sentence"),
    [
        (lambda: rm.SampledMAML(1.0, sampled_maml.EMAML, 0), ValueError, "episodes must be at least 1"),
        (lambda: rm.SampledMAML(1.0, sampled_maml.EMAML, 1, steps=0), ValueError, "steps must be at least 1"),
        (lambda: rm.SampledMAML(1.0, dice, 1), TypeError, r"estimator must be an object with surrogate and direction\(...\)"),
        (lambda: rm.SampledMAML(1.0, sampled_maml.ProMP, 1), TypeError, r"estimator must be an object with surrogate and direction\(...\)"),
        (lambda: rm.SampledMAML(1.0, rm.MAML(0.1), 1), TypeError, r"surrogate and direction\(...\), as sampled_maml.EMAML, got MAML"),
        (lambda: sampled_maml.ProMP(0.0), ValueError, "beta must be"),
        (lambda: sampled_maml.ProMP(0.1, epochs=0), ValueError, "epochs must be at least 1"),
        (lambda: sampled_maml.ProMP(0.1, penalty=-1.0), ValueError, "penalty must be"),
        (
            lambda: rm.SampledMAML(1.0, sampled_maml.EMAML, 1).direction(np.zeros(2), rm.Quadratic(np.eye(2), np.zeros(2))),
            TypeError, "episodes are drawn in a PolicyReturn or a PolicyCost, got Quadratic",
        ),
        (
            lambda: rm.SampledMAML(1.0, sampled_maml.ProMP(0.1), 1, steps=2).direction(
                np.zeros(36), *rm.GoalGridworlds(size=3, horizon=4).sample(1, 0)
            ),
            ValueError, "ProMP has one inner step, got steps = 2",
        ),
        (
            lambda: rm.SampledMAML(1.0, sampled_maml.EMAML, 1).direction(np.zeros(36), *rm.GoalGridworlds(size=3).sample(1, 0)),
            ValueError, "horizon is required",
        ),
        (
            lambda: rm.SampledMAML(1.0, sampled_maml.EMAML, 1).direction(np.zeros(2), rm.PolicyReturn(BANDIT, rm.TabularSoftmax(1, 2), 0.5)),
            ValueError, "task has the temperature 0.5, expected 0: trajectories hold the rewards of the process and no entropy",
        ),
        (
            lambda: rm.SampledMAML(1.0, sampled_maml.LVC, 1).direction(
                np.zeros(2), *(rm.PolicyReturn(BANDIT, rm.TabularSoftmax(1, 2), tau) for tau in (0.0, 0.5))
            ),
            ValueError, "task has the temperature 0.5, expected 0",
        ),
        (
            lambda: rm.SampledMAML(1e300, sampled_maml.EMAML, 1).direction(np.zeros(2), rm.PolicyReturn(BANDIT, rm.TabularSoftmax(1, 2))),
            FloatingPointError, "inner step 1 left the finite numbers; alpha may be too large",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_refused_in_a_sentence(make, error, sentence):
    with pytest.raises(error, match=sentence):
        make()
