"""A test of the tests: every known-wrong formula is off by a wide margin on generic problems."""

from types import SimpleNamespace

import numpy as np
import pytest

from refmeta import maml, reptile
from refmeta.oracle.problems import KINDS, policy_return, problem
from refmeta.oracle.tolerance import condition, in_tolerances, per_task
from refmeta.oracle.wrong import WRONG
from refmeta.oracle.wrong.maml import BETA
from refmeta.oracle.wrong.reptile import EPSILON

SLUGS = {
    "maml": """first-order no-gradient last-step-only first-step-only reversed-product hessians-at-start
        hessian-at-adapted first-order-in-alpha sign-flipped alpha-twice alpha-missing mean-over-tasks sum-over-tasks
        last-task-only first-task-only sequential-meta-steps query-is-support support-is-query gradient-at-start
        one-step-too-many one-step-too-few loss-scale-half loss-scale-double mean-over-dimensions step-sizes-frozen""",
    "reptile": """query-gradient-called-reptile serial-from-one-start sum-over-tasks wrong-direction alpha-divided
        last-optimiser-step""",
    "policy": """no-baseline-in-logits normalised-occupancy undiscounted-visits stationary-visits-frozen
        transposed-transition discounted-reward-as-return""",
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


@pytest.mark.parametrize("chapter", WRONG)
def test_the_catalogue_is_complete(chapter):
    assert [row.slug for row in WRONG[chapter]] == SLUGS[chapter].split()
    for row in WRONG[chapter]:
        assert row.formula and row.cause and row.seen and callable(row.function)


@pytest.mark.parametrize("row", WRONG["maml"], ids=lambda row: row.slug)
def test_a_known_wrong_maml_formula_is_rejected_by_a_thousand_tolerances(row):
    """Non-quadratic losses, three steps, query ≠ support, two tasks; on three kinds of task at the least."""
    margins = [
        margin(RIGHT[row.quantity], row.function, problem(np.random.default_rng(seed), kind, steps=3))
        for seed, kind in enumerate(KINDS[2:], start=40)
    ]
    assert sum(m > 1e3 for m in margins) >= 3, margins


@pytest.mark.parametrize("row", WRONG["reptile"], ids=lambda row: row.slug)
def test_a_known_wrong_reptile_formula_is_rejected_by_a_thousand_tolerances(row):
    margins = [
        margin(REPTILE[row.quantity], row.function, problem(np.random.default_rng(seed), kind, steps=3))
        for seed, kind in enumerate(KINDS, start=50)
    ]
    assert sum(m > 1e3 for m in margins) >= 3, margins


@pytest.mark.parametrize("row", WRONG["policy"], ids=lambda row: row.slug)
def test_a_known_wrong_policy_gradient_is_rejected_by_a_thousand_tolerances(row):
    margins = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        task = policy_return(rng, "discounted", 2, 3, 3)
        case = SimpleNamespace(task=task, theta=rng.normal(size=9), v=rng.normal(size=9))
        point = task.at(case.theta)
        right = -(point.hvp(case.v) if row.quantity == "hvp" else point.grad)
        scale = per_task(right)
        margins.append(np.max(in_tolerances(row.function(case), right, np.full(2, 100.0), scale)))
    assert min(margins) > 1e3, margins


def test_a_formula_wrong_by_a_millionth_of_its_hessian_term_is_rejected():
    """The smallest mistake that the tolerance must see: H scaled by 1 + 10⁻⁶ is 10³ tolerances off or more."""
    case = problem(np.random.default_rng(0), "discounted", steps=2)
    right = maml.gradient(case.theta, *case.split, **case.hyper)
    first = maml.first_order_gradient(case.theta, *case.split, **case.hyper)
    off = lambda c: maml.gradient(c.theta, *c.split, **c.hyper) + 1e-6 * (right - first)
    assert margin(RIGHT["gradient"], off, case) > 1e3
