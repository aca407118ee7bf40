"""The known-wrong rows of `soft-return`, its choices, and what is refused."""

import itertools

import numpy as np
import pytest

import refmeta as rm
from refmeta.judges import complex_step
from refmeta.oracle.check import as_target, run
from refmeta.oracle.choices import singles
from refmeta.oracle.judge import JudgeSettings, gap
from refmeta.oracle.suites.soft_return import SUITE
from refmeta.oracle.suites.soft_return.problem import Evaluation
from refmeta.oracle.vectors import cases
from refmeta.oracle.verdict import findings
from refmeta.tolerance import tolerance
from tests.oracle.targets import library, rejecting

VALID = [case for case in cases("soft-return") if case.result == "valid"]
GENERIC = [case for case in VALID if not case.flags or case.flags == ("finite-horizon",)]
ROWS = {row.slug: row for row in SUITE.rows}
CLAMPS = {"probabilities-clamped", "logits-clamped"}
LOG2, LOG3, TAU = np.log(2), np.log(3), 0.375


def two_states(horizon=None):
    """The process of derivations/exact-policy-gradient.md: action 0 stays, action 1 moves; π = (1/4, 3/4), (1/2, 1/2)."""
    P = [[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]]
    mdp = rm.FiniteMDP([P], [[[3.0, 2.0], [1.0, -1.0]]], [[0.25, 0.75]], 0.5, horizon)
    return Evaluation(np.log([1.0, 3.0, 1.0, 1.0]), rm.PolicyReturn(mdp, rm.TabularSoftmax(2, 2), TAU), np.array([5.0, 0.0, 3.0, 0.0]))


E = 4 / 9 * LOG2 - LOG3 / 3
GAPS = {
    "entropy-bonus": (2 + TAU * LOG3, 1),
    "entropy-own-slope-missing": (2 + TAU * E, 1 - TAU * E),
    "log-without-temperature": (2 + TAU * E + LOG3, 1 - TAU * E),
    "entropy-sign": (2 - TAU * (E + LOG3), 1 + TAU * E),
    "entropy-twice": (2 + TAU * (2 * E + LOG3), 1 - 2 * TAU * E),
    "entropy-forgotten": (2, 1),
    "temperature-left-out": (2 + E + LOG3, 1 - E),
    "temperature-squared": (2 + TAU**2 * (E + LOG3), 1 - TAU**2 * E),
    "temperature-inverted": (2 + (E + LOG3) / TAU, 1 - E / TAU),
    "reward-scaled": (2 / TAU + E + LOG3, 1 / TAU - E),
    "entropy-mean-over-actions": (2 + TAU / 2 * (E + LOG3), 1 - TAU / 2 * E),
    "entropy-in-bits": (2 + TAU / LOG2 * (E + LOG3), 1 - TAU / LOG2 * E),
}


@pytest.mark.parametrize("slug", GAPS)
def test_a_known_wrong_gradient_is_what_it_says_by_hand(slug):
    """The entries for "stay" are an eighth and a third of the gaps that the chapter's table has."""
    grad = ROWS[slug].function(two_states())["grad"][0]
    expected = np.repeat(np.array(GAPS[slug]) * [1 / 8, 1 / 3], 2) * [1, -1, 1, -1]
    np.testing.assert_allclose(-grad, expected, rtol=1e-13)


def test_known_wrong_values_by_hand():
    """V = (3, 1) + τ(10/3 log 2 − log 3, 22/9 log 2 − 1/3 log 3), Ent = (2 log 2 − 3/4 log 3, log 2)."""
    problem = two_states()
    entropy, point = np.array([2 * LOG2 - 3 / 4 * LOG3, LOG2]), problem.task.at(problem.theta)
    V = np.array([3, 1]) + TAU * np.array([10 / 3 * LOG2 - LOG3, 22 / 9 * LOG2 - LOG3 / 3])
    np.testing.assert_allclose(ROWS["entropy-of-next-states"].function(problem)["value"][0], V - TAU * entropy, rtol=1e-14)
    np.testing.assert_allclose(ROWS["entropy-sign"].function(problem)["value"][0], 2 * np.array([3, 1]) - V, rtol=1e-14)
    np.testing.assert_allclose(ROWS["action-value-with-entropy"].function(problem), point.action_value + TAU * entropy[:, None], rtol=1e-14)
    mean = np.sum(point.probabilities * ROWS["advantage-without-log"].function(problem), axis=-1)[0]
    np.testing.assert_allclose(mean, -TAU * entropy, rtol=1e-13)


def test_entropy_summed_otherwise_by_hand():
    """H = 2, γ = 1/2: the states are ρ = (1/4, 3/4), then (7/16, 9/16), and after the last step (25/64, 39/64)."""
    problem, entropy = two_states(2), np.array([2 * LOG2 - 3 / 4 * LOG3, LOG2])
    right = problem.task.at(problem.theta).loss
    more = {"entropy-undiscounted": [7 / 32, 9 / 32], "entropy-one-state-more": [25 / 256, 39 / 256], "entropy-of-next-states": [-1 / 4, -3 / 4]}
    for slug, visits in more.items():
        np.testing.assert_allclose(ROWS[slug].function(problem)["loss"], right - TAU * entropy @ visits, rtol=1e-13, err_msg=slug)


def test_a_hessian_product_without_the_slope_of_the_logarithm_lacks_fishers_product():
    """∇²J v = … − τ F v."""
    for case in GENERIC:
        problem = case.problem
        point = problem.task.at(problem.theta)
        missing = problem.task.temperature * rm.fisher.product(point, problem.v)
        np.testing.assert_allclose(ROWS["log-slope-forgotten"].function(problem), point.hvp(problem.v) - missing, rtol=1e-11, atol=1e-11)


OF_OBJECTIVE = [each for each in singles(SUITE.choices) if each[0] in ("temperature", "entropy", "entropy of", "steps of the entropy", "factor")]


@pytest.mark.parametrize("each", [each for each in OF_OBJECTIVE if each[1] != "each state twice in the value"], ids=": ".join)
def test_another_objective_has_the_gradient_of_that_objective(each):
    """By central differences of its own loss; and the Hessian product is the slope of its gradient."""
    h, point = 1e-5, {each[0]: SUITE.choices[each[0]][each[1]]}
    for case in GENERIC[::2]:
        p = case.problem
        at = lambda theta, part, p=p: SUITE.variant(part, Evaluation(theta, p.task, p.v), point)
        for part, slope in (("loss", at(p.theta, "grad") @ p.v), ("grad", at(p.theta, "hvp"))):
            along = (at(p.theta + h * p.v, part) - at(p.theta - h * p.v, part)) / (2 * h)
            np.testing.assert_allclose(slope, along, rtol=1e-6, atol=1e-6 * np.max(np.abs(at(p.theta, part))))


def test_the_bonus_is_the_gradient_of_no_function():
    """On the chapter's example its mixed derivatives differ; those of the right gradient do not."""
    p = two_states()

    def mixed(slug):
        columns = [ROWS[slug].function(Evaluation(p.theta, p.task, e))["hvp"][0] for e in np.eye(4)]
        return abs(columns[0][2] - columns[2][0])

    assert mixed("entropy-bonus") > 1e-3 and mixed("entropy-sign") < 1e-14


@pytest.mark.parametrize("case", VALID, ids=lambda case: case.id)
def test_without_a_departure_a_variant_is_right(case):
    for part, expected in case.expected.items():
        value = SUITE.variant(part, case.problem, {})
        assert value is not None and gap(value, expected.value, tolerance(expected.kappa, expected.scale, "float64")) < 1, part


def is_seen(point):
    """Is a part elsewhere than it should be, by ten tolerances, in a vector?"""
    for case, part in itertools.product(VALID, SUITE.parts):
        value, expected = SUITE.variant(part, case.problem, point), case.expected[part]
        if value is not None and gap(value, expected.value, tolerance(expected.kappa, expected.scale, "float64")) > 10:
            return True
    return False


def test_every_departure_is_seen_in_a_vector():
    assert [each for each in singles(SUITE.choices) if not is_seen({each[0]: SUITE.choices[each[0]][each[1]]})] == []


def planted(row):
    """What a target with the mistake returns: its parts, and the right ones where it has none."""
    right = library("soft-return")

    def target(**x):
        value = row.result(SUITE.problem(x))
        return right(**x) | (value if isinstance(value, dict) else {row.quantity: value})

    return target


@pytest.mark.parametrize("row", [row for row in SUITE.rows if row.slug not in CLAMPS], ids=lambda row: row.slug)
def test_a_known_wrong_formula_is_named(row):
    chosen = [case for case in rejecting("soft-return", row) if "extreme" not in case.flags]
    (verdict,) = findings(run(as_target(planted(row)), chosen, JudgeSettings()), JudgeSettings())
    assert verdict.word == "WRONG" and any(row.slug in line for line in verdict.explanation), verdict.explanation


def test_a_reward_of_the_action_held_constant_gives_the_right_gradient():
    """A false alarm: Σ d π (R − τ log π as a number), by the score function, without the slope of log π."""
    for case in GENERIC:
        p = case.problem
        if p.task.mdp.horizon is not None:
            continue
        paid = p.task.mdp.expected_reward - p.task.temperature * np.log(p.task.at(p.theta).probabilities)
        held = rm.PolicyReturn(rm.FiniteMDP(p.task.mdp.P, paid, p.task.mdp.rho, p.task.mdp.gamma), p.task.policy)
        np.testing.assert_allclose(held.at(p.theta).grad, p.task.at(p.theta).grad, rtol=1e-10, atol=1e-12)


def test_any_subset_of_the_parts_may_be_returned():
    right = library("soft-return")
    for names in (("loss", "grad"), ("hvp",), ("value", "advantage")):
        (verdict,) = findings(run(as_target(lambda names=names, **x: {k: v for k, v in right(**x).items() if k in names}), VALID[:5], JudgeSettings()), JudgeSettings())
        assert verdict.word == "RIGHT"


def test_the_definition_has_the_gradient_of_its_loss_on_random_problems():
    """Unequal weights, several tasks: the library's gradient against a complex step of its own loss at other temperatures."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        mdp = rm.FiniteMDP(rng.dirichlet(np.ones(3), (2, 3, 2)), rng.normal(size=(2, 3, 2)), rng.dirichlet(np.ones(3), 2), rng.uniform(0.2, 0.9))
        task, theta = rm.PolicyReturn(mdp, rm.TabularSoftmax(3, 2), rng.uniform(0.05, 3)), rng.normal(size=6)
        np.testing.assert_allclose(task.at(theta).grad, complex_step(lambda t, task=task: task.at(t).loss, theta), rtol=1e-11, atol=1e-13)
