"""The known-wrong rows of `implicit`: each is what it says."""

import numpy as np
import pytest

import refmeta as rm
from refmeta.oracle.suites.implicit import SUITE
from refmeta.oracle.suites.implicit.problem import Proximity, dense_gradient, minimiser
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
