"""The rows of adaptation through a learned model, by hand, and its choices."""

import numpy as np
import pytest

import refmeta as rm
from refmeta.evidence.model_based import A, S, random_learning, random_tasks
from refmeta.meta.model_based import Prior
from refmeta.oracle.asking import moved
from refmeta.oracle.bicomplex import complex_value
from refmeta.oracle.choices import singles
from refmeta.oracle.judge import gap
from refmeta.oracle.suites import SUITES
from refmeta.oracle.suites.maml import SUITES as MAML
from refmeta.oracle.suites.maml.problem import MetaProblem
from refmeta.oracle.suites.model import SUITE
from refmeta.oracle.suites.model.definition import define
from refmeta.oracle.suites.model.problem import ModelProblem, answer, parts_from_model
from refmeta.oracle.suites.model.variants import PARTS
from refmeta.oracle.vectors import cases
from refmeta.sampling.transitions import Transitions
from refmeta.tolerance import tolerance


def test_what_the_rows_are_made_of_is_right_where_nothing_is_changed():
    rng = np.random.default_rng(0)
    prior, context = random_learning(rng)
    case = ModelProblem(rng.normal(size=S * A), prior._replace(variance=0.7), context, random_tasks(rng, 3), 0.2, 2)
    parts = parts_from_model(case, case.model)
    likelihood = ("log_marginal", "reward_mean_grad", "reward_variance_grad")
    parts |= {part: complex_value(define, part, case.inputs) for part in likelihood}
    assert set(parts) == set(SUITE.parts) - {"concentration_grad"}
    for part, value in parts.items():
        expected = answer(part, case)
        np.testing.assert_allclose(value, expected, rtol=0, atol=1e-13 * max(1, np.max(np.abs(expected))), err_msg=part)


def one_visit_each():
    """One process of two states and one action; (0, 0) was met three times: next 0, 1, 1, rewards 1, 2, 3."""
    zero = np.zeros((1, 3), int)
    context = Transitions(
        zero, zero, np.array([[1.0, 2, 3]]), np.array([[0, 1, 1]]), zero.astype(bool), np.ones((1, 3), bool)
    )
    prior = Prior(np.full((2, 1, 2), 2.0), np.zeros((2, 1)), 4.0, 0.5)
    mdp = rm.FiniteMDP([[[[1.0, 0]], [[0, 1.0]]]], [[[7.0], [0.0]]], [[1.0, 0]], 0.5)
    return ModelProblem(np.zeros(2), prior, context, rm.PolicyReturn(mdp, rm.TabularSoftmax(2, 1)), 0.5, 1)


@pytest.mark.parametrize(
    ("slug", "part", "at", "expected"),
    [
        ("model-most-likely", "transition", (0, 0, 0, 0), 1 / 3), ("model-most-likely", "transition", (0, 1, 0, 0), 1 / 2),
        ("model-most-likely", "reward", (0, 0, 0), 2.0), ("model-add-one", "transition", (0, 0, 0, 0), 2 / 5),
        ("model-variances-swapped", "reward", (0, 0, 0), 0.5 * 3 * 2 / (4 + 0.5 * 3)),
        ("model-reward-of-one", "reward", (0, 0, 0), 4 * 2 / (0.5 + 4)),
        ("query-on-the-model", "objective", (0,), None),
        ("support-on-the-truth", "objective", (0,), -14.0),
        ("marginal-of-counts", "log_marginal", (0,), None),
        ("rewards-independent", "reward_mean_grad", (0, 0, 0), (1 + 2 + 3) / 4.5),
        ("rewards-independent", "reward_variance_grad", (0,), 4 * (-3 / 4.5 + 14 / 4.5**2) / 2),
        ("slopes-without-logarithm", "concentration_grad", (0, 0, 0, 0), 1 / 2 - (1 / 4 + 1 / 5 + 1 / 6)),
    ],
)  # fmt: skip
def test_rows_of_the_model_by_hand(slug, part, at, expected):
    case = one_visit_each()
    wrong = next(row for row in SUITE.rows if row.slug == slug).function(case)[part][at]
    if slug == "marginal-of-counts":
        expected = answer("log_marginal", case)[0] + np.log(3)
    if slug == "query-on-the-model":
        P, r = np.array([[3 / 7, 4 / 7], [1 / 2, 1 / 2]]), np.array([4 * 3 * 2 / 12.5, 0])
        expected = -np.linalg.solve(np.eye(2) - 0.5 * P, r)[0]
    np.testing.assert_allclose(wrong, expected, rtol=1e-13)


CHOSEN = {case.id: case for case in cases("model") if case.result == "valid"}
def point_of(**words):
    """The point of these alternatives; a choice is named with _ for each blank."""
    names = {name.replace(" ", "_").replace("'", ""): name for name in SUITE.choices}
    return {names[choice]: SUITE.choices[names[choice]][each] for choice, each in words.items()}


@pytest.mark.parametrize("id", CHOSEN)
def test_without_a_departure_a_variant_is_the_answer_of_the_library(id):
    problem = CHOSEN[id].problem
    for part in SUITE.parts:
        value = SUITE.answer(part, problem)
        np.testing.assert_allclose(SUITE.variant(part, problem, {}), value, rtol=1e-10, atol=1e-13 * np.max(np.abs(value), initial=1))


def is_seen(point):
    """Is a part elsewhere than it should be, by ten tolerances, in a vector?"""
    for part in SUITE.parts:
        for case in CHOSEN.values():
            value, expected = SUITE.variant(part, case.problem, point), case.expected[part]
            if value is not None and gap(value, expected.value, tolerance(expected.kappa, expected.scale, "float64")) > 10:
                return True
    return False


def test_every_departure_is_seen_in_a_vector():
    """Those of the adaptation are MAML's, and are tested there."""
    own = {choice: each for choice, each in SUITE.choices.items() if choice not in SUITES["maml-tabular"].choices}
    assert [each for each in singles(own) if not is_seen({each[0]: own[each[0]][each[1]]})] == []


@pytest.mark.parametrize(
    ("slug", "parts", "words"),
    [
        ("model-most-likely", ("transition",), {"transitions_of_the_model": "most likely, the prior's mean elsewhere"}),
        ("model-most-likely", ("reward",), {"rewards_of_the_model": "mean reward, the prior's mean elsewhere"}),
        (
            "model-most-likely", ("objective", "gradient"),
            {"transitions_of_the_model": "most likely, the prior's mean elsewhere", "rewards_of_the_model": "mean reward, the prior's mean elsewhere"},
        ),
        ("model-add-one", ("transition", "objective", "gradient"), {"transitions_of_the_model": "counts plus 1"}),
        ("model-variances-swapped", ("reward", "objective", "gradient"), {"rewards_of_the_model": "variances exchanged"}),
        ("model-reward-of-one", ("reward", "objective", "gradient"), {"rewards_of_the_model": "n left out"}),
        ("query-on-the-model", ("objective", "gradient"), {"split": "the support for both"}),
        ("support-on-the-truth", ("objective", "gradient"), {"split": "the query for both"}),
        ("model-first-order", ("gradient",), {"Hessian_factors": "none (first order)"}),
        ("model-hessian-of-truth", ("gradient",), {"Hessians_taken_at": "its step's point, of the query's loss"}),
        ("slopes-without-logarithm", ("concentration_grad",), {"slopes_of_concentration_in": "itself"}),
        ("slopes-without-logarithm", ("reward_variance_grad",), {"slope_of_the_variance_in": "itself"}),
        ("marginal-of-counts", ("log_marginal",), {"likelihood_of_next_states": "of the counts, with n!/prod n_s'!"}),
        (
            "rewards-independent", ("log_marginal", "reward_mean_grad", "reward_variance_grad"),
            {"likelihood_of_rewards": "each alone, N(mean, noise + variance)"},
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("id", ["model-001", "model-002", "model-003", "model-006", "model-013"])
def test_a_known_wrong_formula_is_a_point(id, slug, parts, words):
    case = CHOSEN[id].problem
    values = next(row for row in SUITE.rows if row.slug == slug).function(case)
    for part in parts:
        np.testing.assert_allclose(SUITE.variant(part, case, point_of(**words)), values[part], rtol=1e-10, atol=1e-12, err_msg=part)


@pytest.mark.parametrize(
    ("words", "part", "expected"),
    [
        ({}, "transition", 3 / 7), ({"transitions_of_the_model": "posterior mode"}, "transition", 2 / 5),
        ({"transitions_of_the_model": "counts plus 1/2"}, "transition", 3 / 8), ({"transitions_of_the_model": "prior's mean"}, "transition", 1 / 2),
        ({"transitions_of_the_model": "counts plus the prior's mean"}, "transition", 3 / 8), ({"transitions_of_the_model": "counts doubled"}, "transition", 4 / 10),
        ({"transitions_of_the_model": "each next state counted once"}, "transition", 1 / 2), ({"transitions_of_the_model": "not normalised"}, "transition", 3),
        ({"transitions_of_the_model": "divided by the counts alone"}, "transition", 1), ({"transitions_of_the_model": "the true one"}, "transition", 1),
        ({"transitions_of_the_model": "normalised over s"}, "transition", 3 / 5), ({"transitions_of_the_model": "mean of prior and counts"}, "transition", 5 / 12),
        ({}, "reward", 24 / 12.5), ({"rewards_of_the_model": "n left out of the weights, sum for the mean"}, "reward", 24 / 4.5),
        ({"rewards_of_the_model": "noise taken for a deviation"}, "reward", 24 / 12.25), ({"rewards_of_the_model": "root of the variance"}, "reward", 12 / 6.5),
        ({"rewards_of_the_model": "last reward for the mean"}, "reward", 36 / 12.5), ({"rewards_of_the_model": "first reward, the prior's mean elsewhere"}, "reward", 1),
        ({"rewards_of_the_model": "n + 1 for n"}, "reward", 32 / 16.5), ({"rewards_of_the_model": "half of each"}, "reward", 1),
        ({"rewards_of_the_model": "sum of the rewards"}, "reward", 6), ({"rewards_of_the_model": "the true one"}, "reward", 7),
        ({"context_mask": "without the last transition"}, "transition", 3 / 6), ({"context_mask": "the last transition only"}, "reward", 12 / 4.5),
        ({"context_of_a_task": "rewards of the step before", "context_mask": "the last transition only"}, "reward", 8 / 4.5),
    ],
)  # fmt: skip
def test_points_by_hand(words, part, expected):
    """Concentrations (2, 2), counts (1, 2); rewards 1, 2, 3 with the prior N(0, 4) and the noise 1/2."""
    np.testing.assert_allclose(SUITE.variant(part, one_visit_each(), point_of(**words))[(0,) * 3 + (0,) * (part == "transition")], expected, rtol=1e-14)


def normal(x, mean, variance):
    """ln N(x; mean, variance)."""
    return -(np.log(2 * np.pi * variance) + (x - mean) ** 2 / variance) / 2


@pytest.mark.parametrize(
    ("words", "states", "rewards"),
    [
        ({}, np.log(2 / 4 * 2 / 5 * 3 / 6), normal(1, 0, 4.5) + normal(2, 4 / 4.5, 0.5 + 2 / 4.5) + normal(3, 12 / 8.5, 0.5 + 2 / 8.5)),
        ({"likelihood_of_next_states": "of the prior's mean, each alone"}, 3 * np.log(1 / 2), None),
        ({"likelihood_of_next_states": "of the posterior's mean, each alone"}, np.log(3 / 7 * (4 / 7) ** 2), None),
        ({"likelihood_of_next_states": "without the sums of concentrations"}, np.log(2 * 2 * 3), None),
        ({"likelihood_of_next_states": "with c - 1 for c"}, np.log(1 / 2 * 1 / 3 * 2 / 4), None),
        ({"likelihood_of_rewards": "each alone, N(mean, noise)"}, None, sum(normal(x, 0, 0.5) for x in (1, 2, 3))),
        ({"likelihood_of_rewards": "each alone, N(posterior mean, noise)"}, None, sum(normal(x, 24 / 12.5, 0.5) for x in (1, 2, 3))),
        ({"likelihood_of_rewards": "of the mean reward alone"}, None, normal(2, 0, 4 + 0.5 / 3)),
        ({"likelihood_of_rewards": "prior mean 0"}, None, None),
        ({"log_marginal": "mean over transitions", "likelihood_of_rewards": "left out"}, np.log(1 / 10) / 3, 0),
    ],
)  # fmt: skip
def test_likelihoods_by_hand(words, states, rewards):
    """Next states 0, 1, 1; the mean of the rewards is learned one after another."""
    by_chain = normal(1, 0, 4.5) + normal(2, 4 / 4.5, 0.5 + 2 / 4.5) + normal(3, 12 / 8.5, 0.5 + 2 / 8.5)
    expected = (np.log(1 / 10) if states is None else states) + (by_chain if rewards is None else rewards)
    np.testing.assert_allclose(SUITE.variant("log_marginal", one_visit_each(), point_of(**words)), [expected], rtol=1e-13)


@pytest.mark.parametrize(("choice", "words"), [each for each in singles(SUITE.choices) if each[0] in PARTS["log_marginal"]])
def test_slopes_are_those_of_the_likelihood_that_is_used(choice, words):
    case, point, h = CHOSEN["model-012"].problem, {choice: SUITE.choices[choice][words]}, 1e-6
    value = lambda **changed: SUITE.variant("log_marginal", case._replace(prior=case.prior._replace(**changed)), point)
    steps = {
        "concentration_grad": (case.prior.concentration, lambda e: {"concentration": case.prior.concentration * np.exp(e)}),
        "reward_mean_grad": (case.prior.mean, lambda e: {"mean": case.prior.mean + e}),
        "reward_variance_grad": (np.zeros(()), lambda e: {"variance": case.prior.variance * np.exp(e)}),
    }
    for part, (leaf, change) in steps.items():
        slopes = SUITE.variant(part, case, point)
        axes = np.eye(np.size(leaf)).reshape(-1, *np.shape(leaf))
        numeric = np.stack([(value(**change(h * e)) - value(**change(-h * e))) / (2 * h) for e in axes], axis=-1).reshape(-1, *np.shape(leaf))
        if slopes is None:
            assert np.max(np.abs(numeric - SUITE.answer(part, case))) < 1e-6, part
        else:
            np.testing.assert_allclose(slopes, numeric, rtol=1e-6, atol=1e-7, err_msg=part)


def test_the_adaptation_is_that_of_maml_on_the_model():
    case = CHOSEN["model-002"].problem
    model = case.support
    suite = next(s for s in MAML if s.name == "maml-tabular")
    for choice, words in [("steps", "K + 1"), ("alpha in the factors", "alpha^2"), ("horizon", "100 where there is none"), ("inner optimiser", list(suite.choices["inner optimiser"])[1])]:
        other = MetaProblem(case.theta, model, case.truth, case.alpha, case.steps)
        for part in ("objective", "gradient"):
            value = SUITE.variant(part, case, {choice: SUITE.choices[choice][words]})
            expected = suite.variant(part, other, {choice: suite.choices[choice][words]})
            assert (value is None) == (expected is None)
            if value is not None:
                np.testing.assert_allclose(value, expected, rtol=1e-13)


def test_numbers_and_terms_of_a_case():
    case = one_visit_each()
    assert {name: np.ravel(value).tolist() for name, value in SUITE.numbers(case).items()} == {"transitions": [3], "states and actions met": [1], "S A": [2]}
    halves = [term() for term in SUITE.additions("log_marginal", case).values()]
    np.testing.assert_allclose(sum(halves), answer("log_marginal", case), rtol=1e-13)
    assert list(SUITE.layouts(CHOSEN["model-002"].problem).values())[0].tolist() == [0, 2, 4, 1, 3, 5]


@pytest.mark.parametrize("predicate", SUITE.predicates, ids=lambda p: p.name)
def test_a_predicate_holds_where_its_move_leads(predicate):
    for case in CHOSEN.values():
        other = moved(case, predicate.move(case.arguments()))
        assert other is not None and predicate.holds(other)
