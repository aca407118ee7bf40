"""The algorithms of a user's own problem: their answers by plain loops, and variants that are right where nothing departs."""

import numpy as np
import pytest

import refmeta as rm
from refmeta.oracle.choices import singles
from refmeta.oracle.suites.own.algorithms import ALGORITHMS

RNG = np.random.default_rng(8)
M, C = RNG.normal(size=(2, 2, 3, 3)), RNG.normal(size=(2, 2, 3))
SUPPORT, QUERY = (rm.Quadratic(M[i] @ M[i].swapaxes(-1, -2), C[i]) for i in range(2))
THETA, ALPHA, STEPS, STRENGTH = RNG.normal(size=3), 0.05, 3, 1.5
GIVEN = {"maml": (ALPHA, STEPS), "reptile": (ALPHA, STEPS), "implicit": (STRENGTH,)}


def by_loops(algorithm, i):
    """The gradient of one task, Hessians written out."""
    A, B = (task.A[i] for task in (SUPPORT, QUERY))
    c, q = (task.c[i] for task in (SUPPORT, QUERY))
    if algorithm == "implicit":
        J = np.eye(3) + A / STRENGTH
        phi = np.linalg.solve(J, THETA + A @ c / STRENGTH)
        return np.linalg.solve(J, B @ (phi - q))
    phi = THETA
    for _ in range(STEPS):
        phi = phi - ALPHA * A @ (phi - c)
    g = (THETA - phi) / ALPHA
    return g if algorithm == "reptile" else np.linalg.matrix_power(np.eye(3) - ALPHA * A, STEPS) @ B @ (phi - q)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_answer_is_that_of_loops_and_a_variant_without_departures(name):
    algorithm = ALGORITHMS[name]
    problem = algorithm.problem(THETA, SUPPORT, QUERY, *GIVEN[name])
    suite = algorithm.suite(lambda x: problem)
    expected = [by_loops(name, i) for i in range(2)]
    np.testing.assert_allclose(suite.answer("gradient", problem), expected, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(suite.variant("gradient", problem, {}), expected, rtol=1e-9, atol=1e-10)
    assert np.all(np.asarray(suite.terms("gradient", problem, np.array(expected))) > 0)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_most_choices_apply_to_any_losses_and_depart(name):
    algorithm = ALGORITHMS[name]
    problem = algorithm.problem(THETA, SUPPORT, QUERY, *GIVEN[name])
    suite, right = algorithm.suite(lambda x: problem), algorithm.answer("gradient", problem)
    values = [suite.variant("gradient", problem, {choice: suite.choices[choice][words]}) for choice, words in singles(suite.choices)]
    departing = [v for v in values if v is not None and np.max(np.abs(v - right)) > 1e-6]
    assert len(departing) > {"maml": 200, "implicit": 150, "reptile": 40}[name]
