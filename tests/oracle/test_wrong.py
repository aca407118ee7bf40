"""A test of the tests: every known-wrong formula is off by a wide margin on generic problems."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

import refmeta as rm
from refmeta import maml, reptile
from refmeta.arrays import replaced
from refmeta.judges import complex_step
from refmeta.oracle.wrong import WRONG
from refmeta.oracle.wrong.maml import BETA
from refmeta.oracle.wrong.reptile import EPSILON
from refmeta.problems import KINDS, problem
from refmeta.tolerance import condition, in_tolerances, per_task
from tests.independent import LQ

SLUGS = {
    "maml": """first-order no-gradient last-step-only first-step-only reversed-product hessians-at-start
        hessian-at-adapted first-order-in-alpha sign-flipped alpha-twice alpha-missing mean-over-tasks sum-over-tasks
        last-task-only first-task-only sequential-meta-steps query-is-support support-is-query gradient-at-start
        one-step-too-many one-step-too-few loss-scale-half loss-scale-double mean-over-dimensions step-sizes-frozen""",
    "reptile": """query-gradient-called-reptile serial-from-one-start sum-over-tasks wrong-direction alpha-divided
        last-optimiser-step""",
    "lq": """lq-gain-negated lq-variance-for-deviation lq-exploration-dropped lq-process-noise-dropped lq-mean-start
        lq-undiscounted lq-one-cost-too-many""",
}
RIGHT = {
    "gradient": lambda c: maml.gradient(c.theta, *c.split, **c.hyper),
    "sum": lambda c: maml.gradient(c.theta, *c.split, **c.hyper).sum(0),
    "mean": lambda c: maml.gradient(c.theta, *c.split, **c.hyper).mean(0),
    "update": lambda c: maml.update(c.theta, maml.gradient(c.theta, *c.split, **c.hyper), beta=BETA),
    "step-size-gradient": lambda c: maml.step_size_gradient(c.theta, *c.split, **c.hyper),
}
REPTILE = {
    "update": lambda c: reptile.update(c.theta, adapted(c), epsilon=EPSILON),
    "serial": lambda c: reptile.update_serial(c.theta, c.support, epsilon=EPSILON, **c.hyper),
    "direction": lambda c: reptile.gradient(c.theta, adapted(c), alpha=c.alpha),
    "first-order step": lambda c: -c.alpha * maml.first_order_gradient(c.theta, *c.split, **c.hyper),
}


def adapted(case):
    from refmeta import adapt

    return adapt(case.theta, case.support, **case.hyper).adapted


def margin(right, wrong, case):
    """How many tolerances the wrong result is off; a result that is reduced over the tasks counts as one task."""
    tasks = (
        (lambda f: f) if right(case).ndim and len(right(case)) == 2 and wrong(case).shape == right(case).shape else None
    )
    one = tasks or (lambda f: lambda c: f(c)[None])
    expected = one(right)(case)
    scale = per_task(expected)
    return np.max(in_tolerances(one(wrong)(case), expected, condition(one(right), case, scale), scale))


def rejected_by_three(right, row, cases):
    """Is the row off by more than a thousand tolerances on three of the cases?"""
    far = (case for case in cases if margin(right, row.function, case) > 1e3)
    return len(list(itertools.islice(far, 3))) == 3


@pytest.mark.parametrize("chapter", SLUGS)
def test_the_catalogue_is_complete(chapter):
    assert [row.slug for row in WRONG[chapter]] == SLUGS[chapter].split()
    for row in WRONG[chapter]:
        assert row.formula and row.cause and row.seen and callable(row.function)


@pytest.mark.parametrize("row", WRONG["maml"], ids=lambda row: row.slug)
def test_a_known_wrong_maml_formula_is_rejected_by_a_thousand_tolerances(row):
    """Non-quadratic losses, three steps, query ≠ support, two tasks; on three kinds of task at the least."""
    drawn = (problem(np.random.default_rng(seed), kind, steps=3) for seed, kind in enumerate(KINDS[2:], start=40))
    assert rejected_by_three(RIGHT[row.quantity], row, drawn)


@pytest.mark.parametrize("row", WRONG["reptile"], ids=lambda row: row.slug)
def test_a_known_wrong_reptile_formula_is_rejected_by_a_thousand_tolerances(row):
    drawn = (problem(np.random.default_rng(seed), kind, steps=3) for seed, kind in enumerate(KINDS, start=50))
    assert rejected_by_three(REPTILE[row.quantity], row, drawn)


@pytest.mark.parametrize("row", WRONG["lq"], ids=lambda row: row.slug)
def test_a_known_wrong_linear_quadratic_cost_is_rejected_by_a_thousand_tolerances(row):
    drawn = (problem(np.random.default_rng(seed), "linear-quadratic", steps=2, width=2) for seed in range(70, 75))
    assert rejected_by_three(RIGHT["gradient"], row, drawn)


@pytest.mark.parametrize("slug", SLUGS["lq"].split())
def test_linear_quadratic_rows_by_hand(slug):
    """One cost x² + a², a = Kx + σε, σ = 1, E x_0² = 2, E x_0 = 1: ∇J = [2(2K_1 + K_2), 2(K_1 + K_2), 2σ²], K = (1, 1)."""
    system = rm.LinearQuadratic(
        np.eye(2), [[1.0], [0]], np.diag([1.0, 0]), [[1.0]], [[2.0, 1], [1, 1]], [[0.5, 0], [0, 0]], 0.5, 1
    )
    task = rm.PolicyCost(rm.LinearQuadratic(*([getattr(system, k)] for k in LQ), 0.5, 1))
    case = SimpleNamespace(theta=np.array([1.0, 1.0, 0.0]), support=task, query=task, alpha=0.0, steps=0)
    right = [6.0, 4.0, 2.0]
    np.testing.assert_allclose(
        RIGHT["gradient"](SimpleNamespace(**vars(case), split=(task, task), hyper={"alpha": 0.0, "steps": 0})), [right]
    )
    wrong = next(row for row in WRONG["lq"] if row.slug == slug).function(case)
    by_hand = {
        "lq-gain-negated": [6.0, 4.0, 2.0],
        "lq-variance-for-deviation": [6.0, 4.0, 1.0],
        "lq-exploration-dropped": [6.0, 4.0, 0.0],
        "lq-process-noise-dropped": right,
        "lq-mean-start": [4.0, 4.0, 2.0],
        "lq-undiscounted": right,
        "lq-one-cost-too-many": None,
    }[slug]
    if by_hand is None:
        numeric = complex_step(lambda t: rm.PolicyCost(replaced(task.lq, horizon=2)).at(t).loss, case.theta)
        np.testing.assert_allclose(wrong, numeric, rtol=1e-13)
    else:
        np.testing.assert_allclose(wrong, [by_hand], rtol=1e-14)


def test_a_formula_wrong_by_a_millionth_of_its_hessian_term_is_rejected():
    """The smallest mistake that the tolerance must see: H scaled by 1 + 10⁻⁶ is 10³ tolerances off or more."""
    case = problem(np.random.default_rng(0), "discounted", steps=2)
    right = maml.gradient(case.theta, *case.split, **case.hyper)
    first = maml.first_order_gradient(case.theta, *case.split, **case.hyper)
    off = lambda c: maml.gradient(c.theta, *c.split, **c.hyper) + 1e-6 * (right - first)
    assert margin(RIGHT["gradient"], off, case) > 1e3


@pytest.mark.parametrize("row", WRONG["reptile"], ids=lambda row: row.slug)
def test_a_known_wrong_reptile_formula_is_what_it_says_by_hand(row):
    """L_i = ½(θ − c_i)², c = (0, 7), α = ½, K = 2, θ = 4: φ = (1, 25/4); the query is ½(θ − c'_i)², c' = (2, 21/4)."""
    import refmeta as rm

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
    }
    np.testing.assert_array_equal(row.function(case), by_hand[row.slug])


HAND = {
    "first-order": (-9 / 4, 3 / 2),
    "no-gradient": (0.0, 0.0),
    "reversed-product": (-15 / 16, -21 / 32),
    "gradient-at-start": (4.0, 8.0),
    "mean-over-dimensions": (3 / 128, 57 / 128),
}


@pytest.mark.parametrize("slug", HAND)
def test_a_known_wrong_maml_formula_is_what_it_says_by_hand(slug):
    """The dyadic quadratic of derivations/maml.md, a row of step sizes a step."""
    import refmeta as rm

    case = SimpleNamespace(
        theta=np.array([4.0, 8.0]), alpha=np.array([[0.5, 0.25], [0.25, 0.5]]), steps=2,
        support=rm.Quadratic([[[2.0, 1.0], [1.0, 3.0]]], [[0.0, 0.0]]), query=rm.Quadratic([np.eye(2)], [[0.0, 0.0]]),
    )  # fmt: skip
    row = next(row for row in WRONG["maml"] if row.slug == slug)
    np.testing.assert_array_equal(row.function(case), [HAND[slug]])
