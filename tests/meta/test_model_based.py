"""Adaptation through a learned model: posterior, marginal likelihood, its maximum, the meta-gradient and its order."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refmeta as rm
from refmeta.evidence.model_based import A, S, exact_statistics, random_adaptation, random_learning, random_tasks
from refmeta.meta import model_based
from refmeta.meta.model_based import (
    ModelledTasks,
    Prior,
    Statistics,
    fit,
    log_marginal,
    log_marginal_gradient,
    posterior,
    statistics,
)
from refmeta.sampling.transitions import Transitions, empty_transitions, sample_experience
from tests.strategies import assert_right, costly, seeds, up_to_three


@pytest.mark.eq("model-posterior", "model-prior")
@pytest.mark.parametrize("label", ["model-posterior", "model-prior"])
@given(rng=seeds, transitions=st.integers(1, 40))
def test_model_and_likelihood_are_those_of_beliefs_updated_one_by_one(label, rng, transitions):
    assert_right(label, random_learning(rng, transitions))


def test_no_transition_leaves_the_prior_and_a_shared_prior_is_the_spread_one():
    prior = Prior(0.5, 1.0, 2.0, 0.25)
    counted = statistics(empty_transitions(), S, A)
    model = posterior(prior, counted)
    np.testing.assert_allclose(model.P, np.full((S, A, S), 1 / S), rtol=1e-15)
    np.testing.assert_array_equal(model.R, np.ones((S, A)))
    assert log_marginal(prior, counted) == 0
    spread = Prior(np.full((S, A, S), 0.5), np.ones((S, A)), np.full((S, A), 2.0), 0.25)
    counted = statistics(random_learning(np.random.default_rng(0))[1], S, A)
    np.testing.assert_array_equal(log_marginal(prior, counted), log_marginal(spread, counted))


@pytest.mark.eq("model-prior")
def test_the_fit_finds_the_prior_that_the_tasks_were_drawn_from_and_leaves_no_slope():
    rng, tasks, visits = np.random.default_rng(0), 600, 40
    c, mean, variance, noise = np.array([[0.5, 2.0, 1.0], [3.0, 1.0, 0.5]]), np.array([[1.0], [-2.0]]), 0.7, 0.3
    P = np.stack([rng.dirichlet(row, (tasks, 3)) for row in c], axis=2)
    counts = rng.multinomial(visits, P)
    m = mean[:, 0] + np.sqrt(variance) * rng.normal(size=(tasks, 3, 2))
    r = m[..., None] + np.sqrt(noise) * rng.normal(size=(tasks, 3, 2, visits))
    average = r.mean(-1)
    counted = Statistics(counts, average, np.sum((r - average[..., None]) ** 2, axis=-1))
    start = Prior(np.ones((1, 2, 3)), np.zeros((1, 2)), 1.0, noise)
    got = fit(start, counted)
    np.testing.assert_allclose(got.prior.concentration[0], c, rtol=0.1)
    np.testing.assert_allclose(got.prior.mean[0], mean[:, 0], atol=0.1)
    np.testing.assert_allclose(got.prior.variance, variance, rtol=0.1)
    assert got.log_marginal == pytest.approx(np.sum(log_marginal(got.prior, counted))) and got.iterations > 3
    slopes = log_marginal_gradient(got.prior, counted)
    shared = (
        np.sum(slopes.log_concentration, axis=(0, 1)),
        np.sum(slopes.mean, axis=(0, 1)),
        np.sum(slopes.log_variance),
    )
    assert all(np.max(np.abs(slope)) < 0.02 for slope in shared)
    for other in (start, Prior(c[None] * 1.2, mean.T, variance, noise)):
        assert np.sum(log_marginal(other, counted)) < got.log_marginal


@pytest.mark.eq("model-based-maml")
@given(rng=seeds, horizon=st.sampled_from((None, 3)), steps=up_to_three)
def test_the_meta_gradient_is_the_complex_step(rng, horizon, steps):
    assert_right("model-based-maml", random_adaptation(rng, (horizon,), steps))


@pytest.mark.eq("model-based-maml")
@pytest.mark.parametrize("horizon", [None, 3])
def test_it_is_maml_on_the_split_of_model_and_truth(horizon):
    case = random_adaptation(np.random.default_rng(0), (horizon,))
    support = model_based.model_task(case.prior, case.statistics, case.task)
    got = model_based.gradient(case.theta, case.statistics, case.task, **case.options)
    np.testing.assert_array_equal(got, rm.maml.gradient(case.theta, support, case.task, alpha=0.2, steps=2))


@pytest.mark.eq("thm:model-order")
@costly
@given(rng=seeds)
def test_it_tends_to_maml_on_the_true_task_as_one_over_n(rng):
    assert_right("thm:model-order", random_adaptation(rng))


@pytest.mark.eq("model-based-maml")
def test_with_endless_exact_counts_it_is_maml():
    task, theta = random_tasks(np.random.default_rng(0)), np.linspace(-1, 1, S * A)
    prior = random_learning(np.random.default_rng(1)).prior
    got = model_based.gradient(theta, exact_statistics(task, 1e13), task, prior=prior, alpha=0.3, steps=2)
    expected = rm.maml.gradient(theta, task, alpha=0.3, steps=2)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-11)
    assert np.max(np.abs(expected)) > 0.1


def test_modelled_tasks_are_a_family_that_maml_trains_on():
    family = ModelledTasks(rm.GoalGridworlds(size=3), Prior(0.1, 0.0, 0.1, 0.1), episodes=4, horizon=10)
    support, query = family.sample(5, 0)
    assert support.shape == query.shape == (5,) and not np.array_equal(support.mdp.P, query.mdp.P)
    again = family.sample(5, 0)
    np.testing.assert_array_equal(support.mdp.P, again.support.mdp.P)
    start, held_out = np.zeros(36), family.sample(40, 1)
    got = rm.meta_train(family, start, rule=rm.MAML(5.0), outer=rm.Adam(0.05), iterations=20, batch=10, rng=0)
    before, after = (np.mean(rm.maml.objective(x, *held_out, alpha=5.0)) for x in (start, got.theta))
    assert after < before < np.mean(held_out.query.at(start).loss)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"concentration": 0.0}, ValueError, "prior.concentration is 0.0, expected above 0"),
        (
            {"concentration": np.ones(4)},
            ValueError,
            r"prior.concentration has shape \(4,\), expected one that broadcasts to \(3, 2, 3\)",
        ),
        ({"variance": -np.ones((S, A))}, ValueError, r"prior.variance\[0, 0\] is -1.0, expected above 0"),
        ({"mean": np.nan}, ValueError, "prior.mean is nan"),
        ({"noise": 0.0}, ValueError, "prior.noise must be positive, got 0.0"),
    ],
)
def test_a_prior_that_is_none_is_named(change, error, message):
    prior, context = random_learning(np.random.default_rng(0))
    with pytest.raises(error, match=message):
        posterior(prior._replace(**change), statistics(context, S, A))


def test_other_bad_input_is_named():
    prior, context = random_learning(np.random.default_rng(0))
    counted = statistics(context, S, A)
    with pytest.raises(ValueError, match=r"statistics.counts\[0, 0, 0, 0\] is -1"):
        posterior(prior, counted._replace(counts=counted.counts - 1 - counted.counts))
    with pytest.raises(ValueError, match="statistics has shapes"):
        posterior(prior, counted._replace(mean=counted.mean[:, :2]))
    with pytest.raises(TypeError, match="expected a Prior"):
        posterior((1, 2), counted)
    with pytest.raises(TypeError, match="task must be a PolicyReturn, got int"):
        model_based.gradient(np.zeros(6), counted, 3, prior=prior, alpha=0.1)
    with pytest.raises(ValueError, match="episodes must be at least 1"):
        ModelledTasks(rm.RandomMDPs(), prior, episodes=0)
    with pytest.raises(ValueError, match=r"context.states\[0, 0\] is"):
        statistics(context._replace(states=context.states + 9, mask=np.ones_like(context.mask)), S, A)


def test_a_fit_that_does_not_settle_says_what_is_left(monkeypatch):
    import scipy.optimize

    whole = scipy.optimize.minimize
    monkeypatch.setattr(scipy.optimize, "minimize", lambda *a, **k: whole(*a, **k | {"options": {"maxiter": 1}}))
    counted = statistics(random_learning(np.random.default_rng(0), 40)[1], S, A)
    with pytest.raises(FloatingPointError, match="the fit of the prior did not converge .*: a slope of .* is left"):
        fit(Prior(30.0, 5.0, 0.01, 0.3), counted)


def test_a_next_state_that_is_never_seen_gets_the_lowest_concentration_and_a_pair_never_met_keeps_its_own():
    counts = np.zeros((4, 2, 1, 2))
    counts[:, 0, 0, 0] = [3, 1, 4, 1]
    counted = Statistics(counts, np.zeros((4, 2, 1)), np.zeros((4, 2, 1)))
    fitted = model_based.fit(Prior(np.full((2, 1, 2), 0.5), 0.0, 1.0, 1.0), counted).prior
    np.testing.assert_allclose(fitted.concentration[0, 0, 1], 1e-8, rtol=1e-12)
    np.testing.assert_allclose(fitted.concentration[1, 0], 0.5, rtol=1e-12)


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e5, 1e8])
def test_the_marginal_likelihood_keeps_its_digits_at_every_concentration(size):
    """∏ (c + k)/(c· + k), in fractions; a difference of log Γ would lose as many digits as the concentration has."""
    c, n = [Fraction(size), Fraction(2 * size)], [5, 3]
    steps = [(c[j] + k, j) for j in (0, 1) for k in range(n[j])]
    p = math.prod(x for x, _ in steps) / math.prod(sum(c) + k for k in range(8))
    slopes = [c[j] * (sum(1 / x for x, i in steps if i == j) - sum(1 / (sum(c) + k) for k in range(8))) for j in (0, 1)]
    counted = Statistics(np.array([[n, [0, 0]]], float).reshape(2, 1, 2), np.zeros((2, 1)), np.zeros((2, 1)))
    prior = Prior(np.array([float(x) for x in c]), 0.0, 1.0, 1.0)
    rewards = 4 * math.log(2 * math.pi) + math.log(9) / 2
    np.testing.assert_allclose(
        log_marginal(prior, counted) + rewards, math.log(p), rtol=0, atol=1e-14 * (rewards - math.log(p))
    )
    slope = model_based.log_marginal_gradient(prior, counted).log_concentration[0, 0]
    np.testing.assert_allclose(slope, [float(x) for x in slopes], rtol=1e-12)


def test_counts_that_are_not_whole_have_a_posterior_but_no_likelihood():
    counted = Statistics(np.full((1, 1, 1), 1.5), np.zeros((1, 1)), np.zeros((1, 1)))
    model_based.posterior(Prior(1.0, 0.0, 1.0, 1.0), counted)
    with pytest.raises(ValueError, match=r"statistics.counts\[0, 0, 0\] is 1.5, expected a whole number"):
        log_marginal(Prior(1.0, 0.0, 1.0, 1.0), counted)


def test_a_shared_entry_that_was_never_counted_goes_to_its_bound_whatever_axes_the_tasks_have():
    """The next state 2 follows nowhere: entry 2 of a shared row gets 10⁻⁸, with two axes of tasks, with one, with none."""
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 6, (2, 3, 3, 2, 3)).astype(float)
    counts[..., 2] = 0
    for counted in (counts, counts.reshape(6, 3, 2, 3), counts[0, 0]):
        rewards = np.zeros(counted.shape[:-1])
        row = model_based.fit(Prior(np.ones(3), 0.0, 1.0, 1.0), Statistics(counted, rewards, rewards)).prior.concentration
        assert row.shape == (3,) and row[2] == pytest.approx(1e-8) and np.all(row[:2] > 0.1)
        one = model_based.fit(Prior(np.ones(()), 0.0, 1.0, 1.0), Statistics(counted, rewards, rewards)).prior.concentration
        assert one.shape == () and one > 1e-3


def test_a_prior_is_one_for_all_tasks():
    counted = Statistics(np.ones((4, 2, 1, 2)), np.zeros((4, 2, 1)), np.zeros((4, 2, 1)))
    with pytest.raises(
        ValueError, match=r"concentration has shape \(4, 2, 1, 2\), expected one that broadcasts to \(2, 1, 2\)"
    ):
        posterior(Prior(np.ones((4, 2, 1, 2)), 0.0, 1.0, 1.0), counted)
    with pytest.raises(ValueError, match=r"mean has shape \(4, 2, 1\), expected one that broadcasts to \(2, 1\)"):
        posterior(Prior(1.0, np.zeros((4, 2, 1)), 1.0, 1.0), counted)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_statistics_are_those_of_each_task_whatever_their_axes(shape):
    rng, n = np.random.default_rng(2), 12
    ids = [rng.integers(0, k, (*shape, n)) for k in (S, A, S)]
    met = Transitions(
        ids[0], ids[1], rng.normal(size=(*shape, n)), ids[2], np.zeros((*shape, n), bool), rng.random((*shape, n)) < 0.7
    )
    together = statistics(met, S, A)
    for i in np.ndindex(shape):
        counts, rewards = np.zeros((S, A, S)), {}
        for s, a, r, after, _, there in zip(*(part[i] for part in met), strict=True):
            if there:
                counts[s, a, after] += 1
                rewards.setdefault((s, a), []).append(r)
        np.testing.assert_array_equal(together.counts[i], counts)
        for (s, a), counted in rewards.items():
            np.testing.assert_allclose(together.mean[i][s, a], np.mean(counted), rtol=1e-13, atol=1e-15)
            off = np.sum((np.array(counted) - np.mean(counted)) ** 2)
            np.testing.assert_allclose(together.squares[i][s, a], off, rtol=1e-12, atol=1e-15)


def test_what_is_no_prior_and_no_family_of_returns_is_named():
    counted = Statistics(np.ones((1, 1, 1)), np.zeros((1, 1)), np.zeros((1, 1)))
    for call in (fit, posterior):
        with pytest.raises(
            TypeError, match="expected a Prior.concentration, mean, variance, noise. and Statistics, got tuple"
        ):
            call((1.0, 0.0, 1.0, 1.0), counted)
    with pytest.raises(
        TypeError, match="the tasks of family must be PolicyReturn, got LinearRegression"
    ):
        ModelledTasks(rm.Sinusoids(), Prior(1.0, 0.0, 1.0, 1.0), 2, 5).sample(2, 0)


def test_an_end_is_known_and_the_model_of_a_goal_tends_to_the_truth():
    """Nobody acts at a goal: without that knowledge the model's return was 4.3 after any number of episodes, not 0.8."""
    task = rm.GoalGridworlds(size=2, slip=0.0).tasks([1, 2, 3])
    sizes = {"episodes": 4000, "horizon": 12, "rng": 0}
    met = sample_experience(task.mdp, task.policy, np.zeros((3, 16)), **sizes)
    counted, prior = statistics(met, 4, 4), Prior(1.0, 0.5, 1.0, 0.01)
    np.testing.assert_array_equal(counted.ended, np.eye(4, dtype=bool)[1:])
    model = posterior(prior, counted)
    np.testing.assert_array_equal(model.P[0, 1], np.eye(4)[[1] * 4])
    np.testing.assert_array_equal(model.R[0, 1], np.zeros(4))
    ours, truth = (t.at(np.zeros(16)).loss for t in (model_based.model_task(prior, counted, task), task))
    np.testing.assert_allclose(ours, truth, rtol=5e-3)
    forgotten = model_based.model_task(prior, counted._replace(ended=False), task)
    assert np.all(-forgotten.at(np.zeros(16)).loss > 3)


@pytest.mark.parametrize("start", [1e-3, 1e-2, 1.0, 1e3, 1e8])
def test_the_fit_does_not_stay_on_a_plateau_where_there_is_a_maximum(start):
    """300 tasks of rows from Dirichlet(10, 10, 10): the plateau of equal rows is 104 nats below."""
    rng = np.random.default_rng(0)
    counts = rng.multinomial(20, rng.dirichlet([10.0, 10, 10], (300, 3))).reshape(300, 3, 1, 3)
    counted = Statistics(counts, np.zeros((300, 3, 1)), np.zeros((300, 3, 1)))
    got = fit(Prior(np.full(3, start), 0.0, 1.0, 1.0), counted)
    np.testing.assert_allclose(got.prior.concentration, 10.0, rtol=0.25)
    slopes = log_marginal_gradient(got.prior, counted)
    assert np.max(np.abs(np.sum(slopes.log_concentration, axis=(0, 1, 2)))) < 0.1


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        (lambda s: s._replace(squares=np.full((1, 1), 5.0)), ValueError, r"squares\[0, 0\] is 5.0, expected 0 where there are fewer"),
        (lambda s: s._replace(ended=[1]), ValueError, r"ended has shape \(1,\) and dtype int64, expected \(1,\) of bool"),
        (lambda s: s._replace(ended=np.zeros(2, bool)), ValueError, r"ended has shape \(2,\) and dtype bool, expected \(1,\)"),
    ],
)  # fmt: skip
def test_statistics_that_cannot_be_are_named(change, error, sentence):
    counted = Statistics(np.zeros((1, 1, 1)), np.zeros((1, 1)), np.zeros((1, 1)))
    with pytest.raises(error, match=sentence):
        log_marginal(Prior(1.0, 0.0, 1.0, 1.0), change(counted))


def test_concentrations_that_overflow_together_and_bounds_of_a_variance():
    counted = Statistics(np.zeros((2, 1, 2)), np.zeros((2, 1)), np.zeros((2, 1)))
    with pytest.raises(FloatingPointError, match="the sum of the concentrations of a row overflows"):
        posterior(Prior(1e308, 0.0, 1.0, 1.0), counted)
    alike = Statistics(np.full((4, 1, 1, 1), 9.0), np.ones((4, 1, 1)), np.full((4, 1, 1), 2.0))
    np.testing.assert_allclose(fit(Prior(1.0, 0.0, 1.0, 1.0), alike).prior.variance, 1e-8, rtol=1e-6)
    for bad, sentence in ((3, "family must be an object with sample"), (rm.GoalGridworlds(), "prior must be a Prior")):
        with pytest.raises(TypeError, match=sentence):
            ModelledTasks(bad, (1, 2), 2, 5)


def test_modelled_tasks_act_uniformly():
    """Every action equally often in the first state, as what is learned of it says."""

    class Bandit:
        dim = 4

        def sample(self, n, rng=None):
            mdp = rm.FiniteMDP(np.ones((n, 1, 4, 1)), np.arange(4.0) * np.ones((n, 1, 4)), [1.0], 0.5)
            return rm.Split(*[rm.PolicyReturn(mdp, rm.TabularSoftmax(1, 4))] * 2)

    prior = Prior(1.0, 0.0, 1.0, 1.0)
    learned = ModelledTasks(Bandit(), prior, 400, 1).sample(50, 0).support.mdp.R[:, 0, 3]
    weight = learned / 3  # n/(1 + n), n the visits of action 3
    assert abs(np.mean(weight / (1 - weight)) - 100) < 5


@pytest.mark.eq("model-prior")
@pytest.mark.parametrize("n", [1, 31, 32, 33, 200])
@pytest.mark.parametrize("c", [1e-8, 0.3, 32.0, 1e8])
def test_rising_factorials_keep_every_digit_on_both_sides_of_the_series(c, n):
    """Against Σ log(c + k) and Σ 1/(c + k) in decimals, relative to the sum of the magnitudes."""
    from decimal import Decimal

    from refmeta.meta.learned_model import LOG, RECIPROCAL, _rising

    terms = [Decimal(c) + k for k in range(n)]
    for kind, each in ((LOG, [x.ln() for x in terms]), (RECIPROCAL, [1 / x for x in terms])):
        got = Decimal(float(_rising(kind, np.array(c), np.array(float(n)))))
        assert abs(got - sum(each)) <= 8 * Decimal(float(np.finfo(float).eps)) * sum(abs(x) for x in each)
        if c >= 32:
            rest = Decimal(float(kind[1](np.array(c), np.array(float(n)))))
            assert abs(rest - sum(each)) <= 8 * Decimal(float(np.finfo(float).eps)) * sum(abs(x) for x in each)


def test_counts_beyond_any_memory_cost_what_small_ones_do():
    """n of one next state: log Γ(c + n)/Γ(c) − log Γ(2c + n)/Γ(2c), about −c log n, for n to 10³⁰⁰."""
    counts = np.zeros((2, 1, 2))
    for n in (1e6, 1e15, 1e300):
        counts[0, 0, 0] = n
        counted = rm.model_based.Statistics(counts, np.zeros((2, 1)), np.zeros((2, 1)))
        prior = rm.model_based.Prior(np.full((2, 1, 2), 0.5), 0.0, 1e-12 / n, 1 / (2 * np.pi))
        assert np.isfinite(rm.model_based.log_marginal(prior, counted))
        slope = rm.model_based.log_marginal_gradient(prior, counted).log_concentration
        np.testing.assert_allclose(slope[0, 0, 1], 0.5 * -(np.log(n) + np.euler_gamma), rtol=1e-6)


def test_an_overflow_of_the_statistics_and_a_complex_prior_are_named():
    context = Transitions([0, 0], [0, 0], [1e200, -1e200], [0, 0], [False, False], [True, True])
    with pytest.raises(FloatingPointError, match="statistics left the finite numbers"):
        rm.model_based.statistics(context, 1, 1)
    counted = rm.model_based.statistics(context._replace(rewards=[1.0, 2.0]), 1, 1)
    with pytest.raises(TypeError, match="must be real, got complex"):
        rm.model_based.fit(rm.model_based.Prior(1 + 0j, 0.0, 1.0, 1.0), counted)
    prior = rm.model_based.Prior([[[1.0]]], 1e200, 1.0, 1.0)
    with pytest.raises(FloatingPointError, match="left the finite numbers"):
        rm.model_based.fit(prior, counted)
