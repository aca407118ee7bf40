"""The known-wrong formulas of MAML and of linear-quadratic costs are what they say; the vectors reject them."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

import refmeta as rm
from refmeta import maml
from refmeta.arrays import replace_fields
from refmeta.judges import complex_step
from refmeta.oracle.asking import moved
from refmeta.oracle.choices import singles
from refmeta.oracle.judge import JudgeSettings, gap, limit_of
from refmeta.oracle.suites import SUITES
from refmeta.oracle.suites.maml import choices, wrong, wrong_costs
from refmeta.oracle.suites.maml.problem import MetaProblem
from refmeta.oracle.suites.maml.schedules import READINGS
from refmeta.oracle.vectors import cases
from refmeta.problems import KINDS, random_problem
from refmeta.tolerance import condition_number, error_in_tolerances, max_per_task
from tests.independent import LQ

NAMES = [name for name in SUITES if SUITES[name].chapter == "maml"]
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


def valid(suite):
    """The valid vectors of a suite."""
    return [case for case in cases(suite) if case.result == "valid"]


def at(suite, part, problem, *departures):
    """A part at a point, given as (choice, words) pairs."""
    return suite.variant(part, problem, {name: suite.choices[name][words] for name, words in departures})


@pytest.mark.parametrize("name", NAMES)
def test_the_point_without_departures_is_the_answer_of_the_library(name):
    suite = SUITES[name]
    for case in valid(name):
        for part in suite.parts:
            right = suite.answer(part, case.problem)
            value = suite.variant(part, case.problem, {})
            assert value.shape == np.shape(right)
            np.testing.assert_allclose(value, right, rtol=1e-10, atol=1e-10 * np.max(np.abs(right), initial=0))
        phi = rm.adapt(case.problem.theta, case.problem.support, **case.problem.hyper).adapted
        np.testing.assert_allclose(suite.variant("adapted", case.problem, {}), phi, rtol=1e-10)


@pytest.mark.parametrize("words", [words for words, reading in READINGS.items() if reading])
def test_step_sizes_of_no_step_are_read_without_a_warning(words):
    assert np.size(READINGS[words](np.ones((0, 3)))) == 0


CONSTANT = ("theta", "phi", "the next point", "the point before")
NOT_SEEN = {
    ("steps", "at most 3"): "few vectors have more steps",
    ("steps", "at most 5"): "few vectors have more steps",
    ("steps", "at most 10"): "few vectors have more steps",
    ("steps", "at least one"): "not every suite has a vector without steps",
    ("alpha", "steps and parameters exchanged"): "it needs as many steps as parameters",
    ("inner optimiser", "gradient clipped to norm 10"): "it needs large gradients",
    ("inner optimiser", "gradient clipped to [-10, 10]"): "it needs large gradients",
    ("result", "every row clipped to norm 10"): "it needs large gradients",
    ("alpha", "at most 1"): "alpha is small",
    ("alpha", "not negative"): "alpha is negative in few vectors",
    ("alpha", "its size"): "alpha is negative in few vectors",
    ("Hessian", "without its negative eigenvalues"): "a loss of data is convex",
    ("Hessian", "its eigenvalues' sizes"): "a loss of data is convex",
    ("inner optimiser", "the gradient less its mean over the parameters"): "a table's gradient has the mean 0",
    ("inner loop", "phi the best point by the support's loss"): "it needs a loss that rises",
    **{("horizon", f"{H} where there is none"): "it needs a discount near 1" for H in (250, 300, 500, 1000)},
    **{("inner loop", f"a step halved until the loss falls{more}"): "it needs a long step" for more in (
        "", " by 0.0001 of alpha |g|^2", " by 0.01 of alpha |g|^2", " by 0.1 of alpha |g|^2", " by 0.5 of alpha |g|^2",
    )},
    ("charged", "not x_0, in the support only"): "the cost of x_0 does not depend on the parameters",
    **{("Hessians taken at", words): "the Hessian is constant" for words in CONSTANT},
}  # fmt: skip


def departs(suite, point):
    """Is the point off by more than ten tolerances in some part of some vector?"""
    return any(
        value is not None and gap(value, case.expected[part].value, limit_of(case, part, JudgeSettings())) > 10
        for case in valid(suite.name)
        for part in case.expected
        if (value := suite.variant(part, case.problem, point)) is not None
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_departure_is_seen_by_a_vector_or_it_is_said_why_not(name):
    suite = SUITES[name]
    wanted = [each for each in singles(suite.choices) if each not in NOT_SEEN]
    assert not [(choice, words) for choice, words in wanted if not departs(suite, {choice: suite.choices[choice][words]})]


LINEARISED = {  # these change a derivative only, or hold something constant in it
    "Hessian factors", "Hessians taken at", "Hessian", "alpha in the factors", "order of the factors", "query's loss taken at",
    "gradient of alpha", "carried between tasks", "visits", "curvature", "inner gradient",
}  # fmt: skip


def slopes(suite, problem, point, part, field):
    """A gradient along one direction of a field, and a difference of the objective, over the size of the gradient."""
    centre, h = np.asarray(getattr(problem, field), float), 1e-5
    along = np.cos(np.arange(centre.size)).reshape(centre.shape)
    F = lambda t: suite.variant("objective", replace_fields(problem, **{field: centre + t * along}), point)
    if (value := suite.variant(part, problem, point)) is None or (ahead := F(h)) is None:  # a detached gradient is no slope
        return 0.0, 0.0
    difference = (ahead - F(-h)) / (2 * h)
    size = np.max(np.abs(value)) + (np.max(np.abs(value)) == 0)
    return np.sum(value * along, axis=tuple(range(1, value.ndim))) / size, difference / size


KINKS = (  # a result is changed so that it is no slope
    "sign", "clipped to", "norm", "size", "tanh", "standardised", "projected", "median",
)  # fmt: skip
HELD = ("not differentiated", "never reset", "held constant", "the minimum after", "the gradient's mean")  # constants, or zeros


@pytest.mark.parametrize("name", NAMES)
def test_the_gradients_of_a_point_are_the_slopes_of_its_objective(name):
    """By a central difference along one direction of theta and of alpha."""
    suite, case = SUITES[name], next(case for case in valid(name) if case.problem.steps == 2 and len(case.problem.theta) > 2)
    problem = case.problem
    for choice, words in singles(suite.choices):
        if choice in LINEARISED or choice == "result" and any(kink in words for kink in KINKS) or any(held in words for held in HELD):
            continue
        point = {choice: suite.choices[choice][words]}
        for part, field in (("gradient", "theta"), ("step_size_gradient", "alpha")):
            value, slope = slopes(suite, problem, point, part, field)
            np.testing.assert_allclose(value, slope, rtol=1e-5, atol=1e-8, err_msg=f"{choice}: {words}, {part}")


@pytest.mark.parametrize("name", NAMES)
def test_the_gradients_of_a_family_are_the_slopes_of_its_objective(name):
    """At two numbers of each."""
    suite, case = SUITES[name], next(case for case in valid(name) if case.problem.steps == 2 and len(case.problem.theta) > 2)
    for words, (choice, make, *_) in suite.families.items():
        if choice in LINEARISED or choice == "result" or any(held in words for held in HELD) or "trust region" in words:
            continue
        for number in (0.3, 0.6):
            value, slope = slopes(suite, case.problem, {choice: make(number)}, "gradient", "theta")
            np.testing.assert_allclose(value, slope, rtol=1e-5, atol=1e-8, err_msg=f"{choice}: {words}")


@pytest.mark.parametrize("name", [*NAMES, "implicit", "reptile"])
def test_every_family_has_an_effect(name):
    suite = SUITES[name]
    assert suite.families
    for words, (choice, make, *starts) in suite.families.items():
        assert words.count("{") and any(departs(suite, {choice: make(c)}) for c in (*(starts[0] if starts else ()), 0.3, -0.7)), words


AS_POINTS = {
    "first-order": ("Hessian factors", "none (first order)"), "last-step-only": ("Hessian factors", "the last only"),
    "first-step-only": ("Hessian factors", "the first only"), "reversed-product": ("order of the factors", "reversed"),
    "hessians-at-start": ("Hessians taken at", "theta"), "hessian-at-adapted": ("Hessians taken at", "phi"),
    "first-order-in-alpha": ("order of the factors", "expanded to the first power of alpha"),
    "sign-flipped": ("alpha in the factors", "-alpha"), "alpha-twice": ("alpha in the factors", "alpha^2"),
    "alpha-missing": ("alpha in the factors", "1"), "query-is-support": ("split", "the support for both"),
    "support-is-query": ("split", "the query for both"), "gradient-at-start": ("steps", "none"),
    "one-step-too-many": ("steps", "K + 1"), "one-step-too-few": ("steps", "K - 1"), "loss-scale-half": ("loss", "halved"),
    "loss-scale-double": ("loss", "doubled"), "mean-over-dimensions": ("result", "divided by the number of parameters"),
    "lq-gain-negated": ("gain", "a = -Kx"), "lq-variance-for-deviation": ("sigma", "exp of the half (log of the variance)"),
    "lq-exploration-dropped": ("noise", "none of the policy"), "lq-process-noise-dropped": ("noise", "none of the process"),
    "lq-mean-start": ("start", "those of its mean"), "lq-undiscounted": ("discount", "none where there is a horizon"),
    "lq-one-cost-too-many": ("horizon", "H + 1"),
}  # fmt: skip


@pytest.mark.parametrize("slug", AS_POINTS)
def test_a_known_wrong_formula_is_a_point_of_the_product(slug):
    row = next(row for row in ROWS + ROWS_OF_COSTS if row.slug == slug)
    name = "maml-lq" if slug.startswith("lq-") else "maml-tabular"
    for case in valid(name)[1:8]:
        np.testing.assert_allclose(at(SUITES[name], "gradient", case.problem, AS_POINTS[slug]), row.function(case.problem), rtol=1e-9, atol=1e-13)


def test_inner_optimisers_by_hand():
    """L = theta^2/2, theta = 2, alpha = 1/2, K = 2, query = support: the paths in one dimension."""
    task = rm.Quadratic([[[1.0]]], [[0.0]])
    problem = MetaProblem(np.array([2.0]), task, task, 0.5, 2)
    by_hand = {
        "gradient descent": 0.5,  # 2, 1, 1/2
        "every step from theta": 1.5,  # 2, 1, 2 - 1/2
        "the gradient at theta in every step": 0.0,  # 2, 1, 0
        "gradients accumulated over the steps": -0.5,  # m = 2, 3
        "momentum 0.9": -0.4,  # m = 2, 1 + 1.8
        "momentum 0.9 as a running mean": 1.76,  # m = 0.2, 0.18 + 0.19; 1.9, 1.715
        "the gradient's sign": 1.0,
        "gradient clipped to norm 1": 1.0,  # 2, 3/2, 1
        "gradient clipped to [-1, 1]": 1.0,
        "Adam": 1.0 + 1e-2,
    }
    by_hand["momentum 0.9 as a running mean"] = 1.9 - 0.5 * (0.9 * 0.2 + 0.1 * 1.9)
    by_hand["gradient clipped to norm 1"] = 1.5 - 0.5
    by_hand["Adam"] = 1.5 - 0.5 * ((0.9 * 0.2 + 0.15) / 0.19) / np.sqrt((0.999 * 0.004 + 0.00225) / 0.001999)
    for words, phi in by_hand.items():
        value = choices.variant("adapted", problem, {"inner optimiser": choices.CHOICES["inner optimiser"][words]})
        np.testing.assert_allclose(value, [[phi]], rtol=1e-7, err_msg=words)


def test_what_is_carried_between_tasks_by_hand():
    """L_i = (theta - c_i)^2/2, c = (0, 4), alpha = 1/2, K = 1, theta = 2: the second task starts at 1; with momentum 1 it begins with g_1."""
    task = rm.Quadratic(np.ones((2, 1, 1)), [[0.0], [4.0]])
    problem = MetaProblem(np.array([2.0]), task, task, 0.5, 1)
    suite = SUITES["maml-quadratic"]
    parameters = at(suite, "adapted", problem, ("carried between tasks", "the parameters"))
    np.testing.assert_allclose(parameters, [[1.0], [2.5]])
    memory = at(suite, "adapted", problem, ("inner optimiser", "gradients accumulated over the steps, never reset between tasks"))
    np.testing.assert_allclose(memory, [[1.0], [2.0]])  # m = 2, then 2 - 2


def test_choices_run_on_a_task_that_has_points_only():
    """A user's own loss: at(theta) with loss, grad and hvp."""

    class Own:
        shape, dim = (2,), 3

        def at(self, theta):
            theta = np.asarray(theta)
            hvp = lambda v: -np.sin(theta) * v
            return SimpleNamespace(theta=theta, loss=np.sum(np.sin(theta), axis=-1), grad=np.cos(theta), hvp=hvp)

    problem = MetaProblem(np.array([0.1, 0.2, 0.3]), Own(), Own(), 0.5, 2)
    np.testing.assert_allclose(
        choices.variant("gradient", problem, {}), maml.gradient(problem.theta, *problem.split, **problem.hyper), rtol=1e-12
    )
    for choice, words in singles(choices.CHOICES):
        value = choices.variant("gradient", problem, {choice: choices.CHOICES[choice][words]})
        assert value is not None or choice == "gradient of alpha", (choice, words)


@pytest.mark.parametrize("name", NAMES)
def test_terms_have_the_shape_of_their_part_and_layouts_are_orders(name):
    suite = SUITES[name]
    for case in valid(name):
        for part, expected in case.expected.items():
            assert all(np.shape(term()) == expected.value.shape for term in suite.additions(part, case.problem).values())
        assert all(sorted(order) == list(range(case.problem.support.dim)) for order in suite.layouts(case.problem).values())
        assert all(np.isfinite(number) for number in suite.numbers(case.problem).values())


@pytest.mark.parametrize("name", NAMES)
def test_a_predicate_holds_for_some_vectors_and_after_its_move(name):
    for predicate in SUITES[name].predicates:
        held = [predicate.holds(case) for case in valid(name)]
        assert 0 < sum(held) < len(held)
        for case in (case for case, holds in zip(valid(name), held, strict=True) if not holds):
            other = moved(case, predicate.move(case.arguments()))
            assert other is not None and predicate.holds(other)


@pytest.mark.parametrize("settings", [{}, {"reduce": "sum"}, {"reduce": "mean", "ascent": True}])
def test_the_adapted_parameters_may_be_asked_for_and_have_no_sign(settings):
    reduced = {"sum": lambda x: x.sum(0), "mean": lambda x: x.mean(0)}.get(settings.get("reduce"), lambda x: x)

    def adapted(theta, A, c, query_A, query_c, alpha, steps):
        return reduced(rm.adapt(theta, rm.Quadratic(A, c), alpha=alpha, steps=steps).adapted)

    outcomes = rm.oracle.check(adapted, "maml-quadratic", quantity="adapted", **settings)
    assert sum(o.verdict == "pass" for o in outcomes) == 18
