"""The known-wrong formulas of MAML and of linear-quadratic costs are what they say; the vectors reject them."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

import refmeta as rm
from refmeta import maml
from refmeta.arrays import replace_fields
from refmeta.judges import complex_step
from refmeta.oracle.suites.maml import wrong, wrong_costs
from refmeta.problems import KINDS, random_problem
from refmeta.tolerance import condition_number, error_in_tolerances, max_per_task
from tests.independent import LQ

ROWS, ROWS_OF_COSTS = wrong.ROWS, wrong_costs.ROWS


def right(case):
    """The gradient of MAML."""
    return maml.gradient(case.theta, *case.split, **case.hyper)


def margin(right, wrong, case):
    """How many tolerances the wrong result is off; a result that is reduced over the tasks counts as one task."""
    by_task = np.ndim(right(case)) == 2 == np.ndim(wrong(case))
    rows = lambda f: f if by_task else lambda c: f(c)[None]
    expected = rows(right)(case)
    scale = max_per_task(expected)
    return np.max(error_in_tolerances(rows(wrong)(case), expected, condition_number(rows(right), case, scale), scale))


def rejected_by_three(right, row, cases):
    """Is the row off by more than a thousand tolerances on three of the cases?"""
    far = (case for case in cases if margin(right, row.function, case) > 1e3)
    return len(list(itertools.islice(far, 3))) == 3


def test_meta_steps_in_sequence_are_rejected_by_a_thousand_tolerances():
    """Their result is no meta-gradient, so that no vector can hold it."""
    update = lambda c: maml.update(c.theta, right(c), beta=wrong.BETA)
    (row,) = (row for row in ROWS if row.quantity == "update")
    problems = (random_problem(np.random.default_rng(seed), kind, steps=3) for seed, kind in enumerate(KINDS[2:], start=40))
    assert rejected_by_three(update, row, problems)


@pytest.mark.parametrize("slug", [row.slug for row in ROWS_OF_COSTS])
def test_linear_quadratic_rows_by_hand(slug):
    """One cost x² + a², a = Kx + σε, σ = 1, E x_0² = 2, E x_0 = 1: ∇J = [2(2K_1 + K_2), 2(K_1 + K_2), 2σ²], K = (1, 1)."""
    system = rm.LinearQuadratic(
        np.eye(2), [[1.0], [0]], np.diag([1.0, 0]), [[1.0]], [[2.0, 1], [1, 1]], [[0.5, 0], [0, 0]], 0.5, 1
    )
    task = rm.PolicyCost(rm.LinearQuadratic(*([getattr(system, k)] for k in LQ), 0.5, 1))
    case = SimpleNamespace(theta=np.array([1.0, 1.0, 0.0]), support=task, query=task, alpha=0.0, steps=0)
    np.testing.assert_allclose(maml.gradient(case.theta, task, alpha=0.0, steps=0), [[6.0, 4.0, 2.0]])
    value = next(row for row in ROWS_OF_COSTS if row.slug == slug).function(case)
    by_hand = {
        "lq-gain-negated": [6.0, 4.0, 2.0],
        "lq-variance-for-deviation": [6.0, 4.0, 1.0],
        "lq-exploration-dropped": [6.0, 4.0, 0.0],
        "lq-process-noise-dropped": [6.0, 4.0, 2.0],
        "lq-mean-start": [4.0, 4.0, 2.0],
        "lq-undiscounted": [6.0, 4.0, 2.0],
        "lq-one-cost-too-many": None,
    }[slug]
    if by_hand is None:
        numeric = complex_step(lambda t: rm.PolicyCost(replace_fields(task.lq, horizon=2)).at(t).loss, case.theta)
        np.testing.assert_allclose(value, numeric, rtol=1e-13)
    else:
        np.testing.assert_allclose(value, [by_hand], rtol=1e-14)


def test_a_formula_wrong_by_a_millionth_of_its_hessian_term_is_rejected():
    """The smallest mistake that the tolerance must see: H scaled by 1 + 10⁻⁶ is 10³ tolerances off or more."""
    case = random_problem(np.random.default_rng(0), "discounted", steps=2)
    first = maml.first_order_gradient(case.theta, *case.split, **case.hyper)
    assert margin(right, lambda c: right(c) + 1e-6 * (right(case) - first), case) > 1e3


HAND = {
    "first-order": (-9 / 4, 3 / 2),
    "no-gradient": (0.0, 0.0),
    "reversed-product": (-15 / 16, -21 / 32),
    "gradient-at-start": (4.0, 8.0),
    "mean-over-dimensions": (3 / 128, 57 / 128),
}


@pytest.mark.parametrize("slug", HAND)
def test_a_known_wrong_maml_formula_is_what_it_says_by_hand(slug):
    """The dyadic quadratic of derivations/maml.md, one row of step sizes per step."""
    case = SimpleNamespace(
        theta=np.array([4.0, 8.0]), alpha=np.array([[0.5, 0.25], [0.25, 0.5]]), steps=2,
        support=rm.Quadratic([[[2.0, 1.0], [1.0, 3.0]]], [[0.0, 0.0]]), query=rm.Quadratic([np.eye(2)], [[0.0, 0.0]]),
    )  # fmt: skip
    row = next(row for row in ROWS if row.slug == slug)
    np.testing.assert_array_equal(row.function(case), [HAND[slug]])


@pytest.mark.parametrize("settings", [{}, {"reduce": "sum"}, {"reduce": "mean", "ascent": True}])
def test_the_adapted_parameters_may_be_asked_for_and_have_no_sign(settings):
    reduced = {"sum": lambda x: x.sum(0), "mean": lambda x: x.mean(0)}.get(settings.get("reduce"), lambda x: x)

    def adapted(theta, A, c, query_A, query_c, alpha, steps):
        return reduced(rm.adapt(theta, rm.Quadratic(A, c), alpha=alpha, steps=steps).adapted)

    outcomes = rm.oracle.check(adapted, "maml-quadratic", quantity="adapted", **settings)
    assert sum(o.verdict == "pass" for o in outcomes) == 17
