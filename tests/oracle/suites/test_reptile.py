"""The known-wrong formulas of Reptile are far off, and are what they say."""

from types import SimpleNamespace

import numpy as np
import pytest

import refmeta as rm
from refmeta import maml, reptile
from refmeta.oracle.choices import singles
from refmeta.oracle.judge import JudgeSettings, gap, limit_of
from refmeta.oracle.suites.reptile import SUITE, wrong
from refmeta.oracle.suites.reptile.problem import Interpolation
from refmeta.oracle.vectors import cases
from refmeta.problems import KINDS, random_problem
from tests.oracle.suites.test_maml import rejected_by_three

REPTILE = {
    "update": lambda c: reptile.update(c.theta, adapted(c), epsilon=wrong.EPSILON),
    "serial": lambda c: reptile.update_serial(c.theta, c.support, epsilon=wrong.EPSILON, **c.hyper),
    "direction": lambda c: reptile.gradient(c.theta, adapted(c), alpha=c.alpha),
    "first-order step": lambda c: -c.alpha * maml.first_order_gradient(c.theta, *c.split, **c.hyper),
}


def adapted(case):
    return rm.adapt(case.theta, case.support, **case.hyper).adapted


@pytest.mark.parametrize("row", [row for row in wrong.ROWS if row.slug != "gradient-clipped"], ids=lambda row: row.slug)
def test_a_known_wrong_reptile_formula_is_rejected_by_a_thousand_tolerances(row):
    problems = (random_problem(np.random.default_rng(seed), kind, steps=3) for seed, kind in enumerate(KINDS, start=50))
    assert rejected_by_three(REPTILE[row.quantity], row, problems)


@pytest.mark.parametrize("row", wrong.ROWS, ids=lambda row: row.slug)
def test_a_known_wrong_reptile_formula_is_what_it_says_by_hand(row):
    """L_i = ½(θ − c_i)², c = (0, 7), α = ½, K = 2, θ = 4: φ = (1, 25/4); the query is ½(θ − c'_i)², c' = (2, 21/4)."""
    support = rm.Quadratic(np.ones((2, 1, 1)), [[0.0], [7.0]])
    query = rm.Quadratic(np.ones((2, 1, 1)), [[2.0], [5.25]])
    case = SimpleNamespace(theta=np.array([4.0]), support=support, query=query, alpha=0.5, steps=2)
    step = np.array([1.0, 6.25]) - 4
    by_hand = {
        "query-gradient-called-reptile": [[1.0 - 2.0], [6.25 - 5.25]],
        "serial-from-one-start": [((4 + 0.5 * (1 - 4)) + 6.25) / 2],
        "sum-over-tasks": [4 + 0.5 * step.sum()],
        "wrong-direction": [4 - 0.5 * step.mean()],
        "alpha-divided": [4 + 0.5 / 0.5 * step.mean()],
        "last-optimiser-step": [[-0.5 * 2.0], [-0.5 * -1.5]],
        "gradient-clipped": [4 + 0.5 * step.mean()],
    }
    np.testing.assert_array_equal(row.function(case), by_hand[row.slug])


VALID = [case for case in cases("reptile") if case.result == "valid"]


def test_the_point_without_departures_is_the_answer_of_the_library():
    for case in VALID:
        np.testing.assert_allclose(SUITE.variant("update", case.problem, {}), SUITE.answer("update", case.problem), rtol=1e-12)


@pytest.mark.parametrize(("choice", "words"), singles(SUITE.choices))
def test_every_departure_is_seen_by_a_vector(choice, words):
    values = [(case, SUITE.variant("update", case.problem, {choice: SUITE.choices[choice][words]})) for case in VALID]
    assert any(
        value is not None and gap(value, case.expected["update"].value, limit_of(case, "update", JudgeSettings())) > 10
        for case, value in values
    )


@pytest.mark.parametrize(
    ("choice", "words", "expected"),
    [
        ("towards", "theta - phi", 11 / 2), ("towards", "phi", 9 / 2), ("average", "sum", -1 / 2), ("average", "median", 2),
        ("average", "one task after another", 9 / 4), ("average", "one task after another, backwards", 3 / 4),
        ("average", "sum over N - 1", 7 / 4), ("length", "epsilon^2", 13 / 4), ("length", "1", 1), ("length", "epsilon/N", 7 / 2),
        ("theta", "not added", -3 / 2), ("step", "clipped to norm 1", 7 / 2), ("every task's step", "clipped to norm 1", 11 / 3),
    ],
)  # fmt: skip
def test_points_by_hand(choice, words, expected):
    """θ = 4, φ = (0, −1, 4), ε = ½: the steps are (−4, −5, 0), their mean −3, the answer 5/2."""
    case = Interpolation(np.array([4.0]), np.array([[0.0], [-1.0], [4.0]]), 0.5)
    value = SUITE.variant("update", case, {choice: SUITE.choices[choice][words]})
    np.testing.assert_allclose(value, [expected], rtol=1e-14)


def test_terms_have_the_shape_of_an_update():
    for case in VALID:
        assert all(np.shape(term()) == case.problem.theta.shape for term in SUITE.additions("update", case.problem).values())


def test_a_step_of_norm_20_is_halved():
    case = SimpleNamespace(theta=np.zeros(2), adapted=np.array([[12.0, 16.0]]), epsilon=0.5)
    row = next(row for row in wrong.ROWS if row.slug == "gradient-clipped")
    np.testing.assert_allclose(row.function(case), [3.0, 4.0], rtol=1e-15)
