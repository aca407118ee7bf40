"""The known-wrong rows of `implicit`: each is what it says."""

import numpy as np
import pytest

import refmeta as rm
from refmeta.oracle.choices import singles
from refmeta.oracle.judge import JudgeSettings, gap, limit_of
from refmeta.oracle.suites.implicit import SUITE
from refmeta.oracle.suites.implicit.problem import Proximity, dense_gradient, minimiser
from refmeta.oracle.vectors import cases
from refmeta.problems import random_problem


def generic(seed, kind, strength):
    """A generic support and query of a kind."""
    case = random_problem(np.random.default_rng(seed), kind)
    return Proximity(case.theta, case.support, case.query, strength)


@pytest.mark.parametrize(
    ("slug", "expected"),
    [
        ("implicit-without-proximal-term", 6), ("implicit-first-order", 3), ("implicit-one-term", 3 / 2),
        ("implicit-not-inverted", 9 / 2), ("implicit-double-strength", 36 / 25), ("implicit-strength-inverted", 8 / 9),
        ("implicit-hessian-at-start", 0), ("implicit-query-hessian", 12 / 7),
    ],
)  # fmt: skip
def test_implicit_rows_by_hand(slug, expected):
    """L = (φ − 3)², L_query = (3/2)φ², θ = 0, λ = 4: φ* = 1, g = 3, H = 2; the right answer is 3/(1 + 2/4) = 2."""
    case = Proximity(np.zeros(1), rm.Quadratic([[[2.0]]], [[3.0]]), rm.Quadratic([[[3.0]]], [[0.0]]), 4.0)
    np.testing.assert_allclose(SUITE.answer("gradient", case), [[2.0]], rtol=1e-14)
    row = next(row for row in SUITE.rows if row.slug == slug)
    np.testing.assert_allclose(row.function(case), [[expected]], rtol=1e-13, atol=1e-15)


def test_the_dense_minimiser_and_solve_are_the_gradient_of_the_library():
    case = generic(5, "quadratic", 2.0)
    right = SUITE.answer("gradient", case)
    dense = dense_gradient(*case.split, minimiser(case, 2.0), 2.0)
    np.testing.assert_allclose(dense, right, rtol=0, atol=1e-13 * np.max(np.abs(right)))


VALID = [case for case in cases("implicit") if case.result == "valid"]
NOT_SEEN = {("Hessian", "the support's at theta"): "the Hessians of these losses are constant"}


def at(part, problem, *departures):
    """A part at a point, given as (choice, words) pairs."""
    return SUITE.variant(part, problem, {name: SUITE.choices[name][words] for name, words in departures})


def test_the_point_without_departures_is_the_answer_of_the_library():
    for case in VALID:
        for part in SUITE.parts:
            right = SUITE.answer(part, case.problem)
            np.testing.assert_allclose(SUITE.variant(part, case.problem, {}), right, rtol=1e-10, atol=1e-10 * np.max(np.abs(right)))
        phi = rm.implicit.adapt(case.problem.theta, case.problem.support, strength=case.problem.strength).adapted
        np.testing.assert_allclose(SUITE.variant("adapted", case.problem, {}), phi, rtol=1e-10, atol=1e-10)


def departs(point):
    """Is the point off by more than ten tolerances in some part of some vector?"""
    return any(
        value is not None and gap(value, case.expected[part].value, limit_of(case, part, JudgeSettings())) > 10
        for case in VALID
        for part in case.expected
        if (value := SUITE.variant(part, case.problem, point)) is not None
    )


def test_every_departure_is_seen_by_a_vector_or_it_is_said_why_not():
    same = {(choice, words) for choice, words in singles(SUITE.choices) if not departs({choice: SUITE.choices[choice][words]})}
    assert same == set(NOT_SEEN)


AS_POINTS = {
    "implicit-without-proximal-term": ("proximal term", "left out"), "implicit-first-order": ("linear system", "g (not solved)"),
    "implicit-one-term": ("linear system", "Neumann's series with 1 Hessian"),
    "implicit-not-inverted": ("linear system", "(I + H/lambda) g (not inverted)"),
    "implicit-double-strength": ("lambda", "2 lambda (no 1/2)"), "implicit-strength-inverted": ("lambda", "1/lambda"),
    "implicit-hessian-at-start": ("phi", "theta"), "implicit-query-hessian": ("Hessian", "the query's at phi"),
}  # fmt: skip


@pytest.mark.parametrize("slug", AS_POINTS)
def test_a_known_wrong_formula_is_a_point_of_the_product(slug):
    row = next(row for row in SUITE.rows if row.slug == slug)
    for case in VALID:
        np.testing.assert_allclose(at("gradient", case.problem, AS_POINTS[slug]), row.function(case.problem), rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize(
    ("departure", "part", "expected"),
    [
        (("phi", "after 1 step of 1/lambda"), "adapted", 3 / 2), (("phi", "after 2 steps of 0.1"), "adapted", 6 / 10 + 24 / 100),
        (("proximal term", "around 0"), "adapted", 1), (("lambda", "lambda^2"), "gradient", 3 * 6 / 18 / (1 + 2 / 16)),
        (("linear system", "Neumann's series with 2 Hessians"), "gradient", 3 * (1 - 1 / 2 + 1 / 4)),
        (("linear system", "1 step of conjugate gradients"), "gradient", 2),
        (("linear system", "1 steps of rate 0.5"), "gradient", 3 / 2),
        (("linear system", "conjugate gradients until the residual is 0.01"), "gradient", 2),
        (("phi", "after 1 step of 1/(2 lambda)"), "adapted", 6 / 8),
        (("gradient", "through 1 step of 0.1"), "gradient", 3 * 6 / 10 * (1 - 2 / 10)),
        (("gradient", "through 3 steps of 1/lambda"), "gradient", 3 * 9 / 8 * (1 - 1 / 2 + 1 / 4 - 1 / 8)),
        (("linear system", "(2I + H/lambda)^-1 g (damped by 1)"), "gradient", 3 / (5 / 2)),
        (("outer loss", "plus the proximal term"), "objective", 3 / 2 + 2),
        (("right side", "the support's gradient at theta"), "gradient", -6 / (3 / 2)), (("lambda", "lambda/2"), "adapted", 3 / 2),
        (("split", "inner loss of support plus query"), "adapted", 6 / 9),
    ],
)  # fmt: skip
def test_points_by_hand(departure, part, expected):
    """L = (φ − 3)², L_query = (3/2)φ², θ = 0, λ = 4: φ* = 1, g = 3, H = 2."""
    case = Proximity(np.zeros(1), rm.Quadratic([[[2.0]]], [[3.0]]), rm.Quadratic([[[3.0]]], [[0.0]]), 4.0)
    np.testing.assert_allclose(np.ravel(at(part, case, departure)), [expected], rtol=1e-13)


def test_as_many_steps_of_conjugate_gradients_as_parameters_solve_the_system():
    for case in (case for case in VALID if len(case.problem.theta) == 3 and "indefinite" not in case.flags):
        for words in ("3 steps of conjugate gradients", "3 steps of conjugate gradients from g"):
            value = at("gradient", case.problem, ("linear system", words))
            np.testing.assert_allclose(value, case.expected["gradient"].value, rtol=1e-8, atol=1e-9)


def test_terms_have_the_shape_of_their_part():
    for case in VALID:
        for part, expected in case.expected.items():
            assert all(np.shape(term()) == expected.value.shape for term in SUITE.additions(part, case.problem).values())
