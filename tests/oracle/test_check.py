"""`check` in this process: right code passes, wrong code does not, and a message says what a target should return."""

import numpy as np
import pytest

import refmeta as rm
from refmeta.arrays import replace_fields
from refmeta.oracle import cases
from refmeta.oracle.check import as_target, run
from refmeta.oracle.judge import RIGHT, JudgeSettings, judge
from refmeta.oracle.report import Report, indistinct, status
from refmeta.oracle.report import text as report_text
from refmeta.oracle.suites import SUITES
from refmeta.oracle.verdict import findings
from refmeta.problems import random_problem
from tests.oracle.targets import library, valid


@pytest.mark.parametrize("suite", SUITES)
def test_a_right_implementation_passes_every_case_to_fourteen_digits(suite):
    """Or to those that its condition leaves, where that is fewer: an error of eps κ, a thirtieth of the tolerance."""
    outcomes = rm.oracle.check(library(suite), suite, validation=True)
    assert all(o.verdict in RIGHT for o in outcomes)
    for o in outcomes:
        if o.verdict == "pass":
            kappa = max(np.max(part.kappa) for part in o.case.expected.values())
            assert o.digits >= min(13.9, -np.log10(np.finfo(float).eps * kappa)), o.case.id
    assert {o.verdict for o in outcomes if o.case.result == "invalid"} <= {"refused"}


@pytest.mark.parametrize(("suite", "quantity"), [(name, of) for name, about in SUITES.items() for of in about.quantities])
def test_every_quantity_may_be_asked_for_alone(suite, quantity):
    rm.oracle.check(library(suite, quantity), suite, quantity=quantity)


def test_an_inner_problem_solved_to_a_residual_of_1e_11_is_right_and_one_of_1e_7_is_not():
    """Gradient descent on the proximal problem until its relative residual is small enough, and a dense solve."""
    norm = lambda x: np.linalg.norm(x, axis=-1, keepdims=True)

    def iterative(end):
        def function(**inputs):
            p = SUITES["implicit"].problem(inputs)
            H = np.stack([p.support.at(p.theta).hvp(e) for e in np.eye(p.theta.size)], axis=-1)
            residual = lambda x: p.support.at(x).grad + p.strength * (x - p.theta)
            phi = np.broadcast_to(p.theta, (*p.support.shape, p.theta.size))
            limit = end * np.maximum(norm(r := residual(phi)), p.strength * norm(phi))
            rate = 1 / (p.strength + np.linalg.eigvalsh(H)[:, -1:])
            while np.any(left := norm(r) > limit):
                phi = phi - np.where(left, rate, 0) * r
                r = residual(phi)
            return np.linalg.solve(np.eye(p.theta.size) + H / p.strength, p.query.at(phi).grad[..., None])[..., 0]

        return function

    for end, word in ((1e-11, "RIGHT"), (1e-9, "ROUNDING"), (1e-7, "WRONG")):
        (verdict,) = findings(run(as_target(iterative(end)), valid("implicit", 1), JudgeSettings()), JudgeSettings())
        assert verdict.word == word, verdict


@pytest.mark.parametrize("reduce", ["sum", "mean"])
def test_reductions_ascent_and_first_order_on_purpose(reduce):
    right = library("maml-tabular")
    reduced = lambda **x: getattr(np, reduce)(right(**x), axis=0)
    rm.oracle.check(reduced, "maml-tabular", reduce=reduce)
    rm.oracle.check(lambda **x: -reduced(**x), "maml-tabular", reduce=reduce, ascent=True)
    rm.oracle.check(library("maml-tabular", "first_order"), "maml-tabular", expect="first-order")
    with pytest.raises(AssertionError, match="WRONG"):
        rm.oracle.check(right, "maml-tabular", reduce=reduce)
    with pytest.raises(AssertionError, match="WRONG"):
        rm.oracle.check(right, "maml-tabular", expect="first-order")


@pytest.mark.parametrize(
    ("suite", "turned"),
    [("pearl", ()), ("model", ("objective", "gradient")), ("policy-gradient", ("loss", "grad", "hvp")), ("soft-return", ("loss", "grad", "hvp")),
     ("episodic-return", ("loss", "grad", "hvp"))],
)
def test_ascent_turns_returns_and_their_derivatives_only(suite, turned):
    right = library(suite)

    def ascent(**inputs):
        return {name: -value if name in turned else value for name, value in right(**inputs).items()}

    rm.oracle.check(ascent, suite, ascent=True)
    if turned:
        with pytest.raises(AssertionError, match="the sign"):
            rm.oracle.check(right, suite, ascent=True)


def test_a_policy_gradient_may_return_any_subset():
    right = library("policy-gradient")
    for names in (("loss",), ("grad", "hvp"), ("value", "optimal_value")):
        rm.oracle.check(lambda names=names, **x: {k: v for k, v in right(**x).items() if k in names}, "policy-gradient")
    for bad in ({}, {"gradient": 1.0}, [1.0]):
        with pytest.raises(AssertionError, match="expected a dict with some of value, action_value"):
            rm.oracle.check(lambda bad=bad, **x: bad, "policy-gradient")


def test_single_precision_is_judged_as_single_precision():
    """A float32 kernel passes with dtype float32, is refused with float64, and the faint rows are named."""
    suite = "maml-quadratic"

    def single(theta, A, c, query_A, query_c, alpha, steps):
        if not np.all(np.isfinite(theta)) or not np.array_equal(A, A.swapaxes(-1, -2)) or steps < 0:
            raise ValueError("refused")
        rm.meta.inner.as_step_sizes(alpha, steps, theta.size)
        A, c, query_A, query_c, alpha = (np.asarray(x, np.float32) for x in (A, c, query_A, query_c, alpha))
        rows = np.broadcast_to(alpha, (steps, theta.size)).astype(np.float32)
        x = np.broadcast_to(theta, c.shape).astype(np.float32)
        for a in rows:
            x = x - a * np.einsum("nij,nj->ni", A, x - c)
        g = np.einsum("nij,nj->ni", query_A, x - query_c)
        for a in rows[::-1]:
            g = g - np.einsum("nij,nj->ni", A, a * g)
        return g

    rm.oracle.check(single, suite, dtype="float32")
    with pytest.raises(AssertionError, match="right to single precision only"):
        rm.oracle.check(single, suite)
    assert indistinct(cases(suite), JudgeSettings()) == []
    assert indistinct(cases("maml-tabular"), JudgeSettings(dtype="float32")) == ["probabilities-clamped"]
    alone = replace_fields(cases("maml-tabular")[0], discriminates={"reversed-product": 1e8, "first-order": 1e12})
    assert indistinct([alone], JudgeSettings(dtype="float32")) == ["reversed-product"]


def test_skipped_is_never_passed_and_nothing_run_is_never_right():
    chosen = JudgeSettings(skip_flags=("validation", "one-task", "edge"), validation=True)
    outcomes = run(as_target(library("reptile")), cases("reptile"), chosen)
    assert sum(o.verdict == "skip" for o in outcomes) == 3 and status(outcomes) == 0
    assert status([o for o in outcomes if o.verdict == "skip"]) == status([]) == 5
    flagged = [c for c in cases("reptile") if c.flags]
    every = tuple({flag for c in flagged for flag in c.flags})
    assert status(run(as_target(library("reptile")), flagged, JudgeSettings(skip_flags=every))) == 5


def test_assert_matches_carries_the_diagnosis():
    case = cases("maml-tabular")[2]
    problem = case.problem
    rm.oracle.assert_matches(case, rm.maml.gradient(problem.theta, *problem.split, **problem.hyper))
    wrong = rm.maml.first_order_gradient(problem.theta, *problem.split, **problem.hyper)
    with pytest.raises(AssertionError, match=r"maml-tabular-003: off by .* tolerances(.|\n)*first-order"):
        rm.oracle.assert_matches(case, wrong)
    with pytest.raises(AssertionError, match=r"returned shape \(2,\) for gradient, expected \(3, 6\)"):
        rm.oracle.assert_matches(case, np.zeros(2))


def test_lines_fit_the_terminal_whatever_the_target_says():
    def loud(**inputs):
        raise ValueError("x" * 300)

    outcomes = run(as_target(loud), cases("reptile")[:1], JudgeSettings())
    text = report_text(Report("n" * 200, JudgeSettings(), tuple(findings(outcomes, JudgeSettings()))))
    assert max(map(len, text.splitlines())) <= 80 and text.replace("\n", "").replace(" ", "").count("x" * 300) == 1


def test_a_refusal_counts_only_beside_a_result():
    """A function of the wrong signature has refused nothing."""
    with pytest.raises(AssertionError, match="NOT RUN: the target gave no result that can be read in 21 of 21 cases"):
        rm.oracle.check(lambda A: A, "maml-quadratic", validation=True)
    invalid = [c for c in cases("maml-quadratic") if c.result == "invalid"]
    outcomes = run(as_target(lambda A: A), invalid, JudgeSettings(validation=True))
    assert {o.verdict for o in outcomes} == {"error"} and status(outcomes) == 5


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"quantity": "gradients"}, "quantity must be one of adapted, objective, first_order, gradient, step_size_gradient, got 'gradients'"),
        ({"reduce": "Sum"}, "reduce must be one of none, sum, mean, got 'Sum'"),
        ({"expect": "first_order"}, "expect must be one of exact, first-order, got 'first_order'"),
        ({"dtype": "float16"}, "dtype must be one of float64, float32, got 'float16'"),
        ({"skip_flags": "validation"}, "skip_flags must be a tuple of flags, got the string 'validation'"),
    ],
)  # fmt: skip
def test_settings_that_do_not_exist_are_refused(settings, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        rm.oracle.check(library("maml-quadratic"), "maml-quadratic", **settings)


@pytest.mark.parametrize("settings", [{"quantity": "objective"}, {"reduce": "sum"}, {"expect": "first-order"}])
def test_a_suite_with_one_kind_of_answer_has_no_settings_of_it(settings):
    for suite in ("reptile", "pearl"):
        with pytest.raises(ValueError, match=rf"must be one of \w+, got .* \(suite {suite}\)"):
            rm.oracle.check(lambda **x: None, suite, **settings)


def test_expected_values_cannot_be_written_to():
    with pytest.raises(ValueError, match="read-only"):
        cases("reptile")[0].expected["update"].value[0] = 7


def test_a_sum_without_its_option_is_hinted_at_also_in_a_tuple_of_one():
    """torch.autograd.grad returns a tuple, and the sum over the tasks where the losses are added."""
    case = cases("maml-regression")[0]
    total = case.expected["gradient"].value.sum(0)
    for got in (total, (total,)):
        with pytest.raises(AssertionError, match=r"it is the sum over the tasks: say so with --reduce sum"):
            rm.oracle.assert_matches(case, got)
    assert "return its entry [0]" in judge(case, (total,), JudgeSettings(reduce="sum")).message


def test_messages_have_no_control_characters_and_an_end():
    def loud(**inputs):
        raise ValueError("\x1b[31m\x00" + "x" * 10000)

    outcome = run(as_target(loud), cases("reptile")[:1], JudgeSettings())[0]
    assert "\x1b" not in outcome.message and "\x00" not in outcome.message and len(outcome.message) < 520


def test_what_is_called_a_false_alarm_is_right():
    """Reptile's sign under plain SGD; K = 1 is gradient descent on the mean; K = 1 has one step, first and last."""
    case = random_problem(np.random.default_rng(0), "softmax-regression", tasks=3, steps=1)
    adapted = rm.adapt(case.theta, case.support, **case.hyper).adapted
    right = rm.reptile.update(case.theta, adapted, epsilon=0.5)
    direction = rm.reptile.gradient(case.theta, adapted, alpha=case.alpha)
    np.testing.assert_allclose(case.theta - 0.5 * case.alpha * direction.mean(0), right, rtol=1e-13)
    mean = case.support.at(case.theta).grad.mean(0)
    np.testing.assert_allclose(case.theta - 0.5 * case.alpha * mean, right, rtol=1e-13)
    for slug in ("first-step-only", "last-step-only"):
        row = next(row for row in SUITES["maml-tabular"].rows if row.slug == slug)
        exact = rm.maml.gradient(case.theta, *case.split, **case.hyper)
        np.testing.assert_allclose(row.function(case), exact, rtol=1e-13)


def test_a_missing_axis_is_hinted_at_only_where_it_is_the_one_of_the_tasks():
    case, parts = cases("maml-quadratic")[0], cases("pearl")[0]
    axis = "the axis of the tasks is missing"
    for got, hinted in ((parts.expected["mean"].value[0], True), (np.zeros(9), False)):
        assert (axis in judge(parts, {"mean": got}, JudgeSettings()).message) == hinted
    assert axis not in judge(case, np.full(case.expected["gradient"].value.shape[1:], 7.0), JudgeSettings()).message


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (([1.0], [1.0, 2.0]), "returned a tuple of 2 for gradient with the shapes .*; return the result that is asked for alone"),
        ({"gradient": 1.0}, "returned a dict with the keys gradient for gradient; return the array alone"),
        ([object()], "returned dtype object for gradient with entries of type object; return one array of float64"),
        (None, "returned None for gradient: is a return statement missing"),
    ],
)
def test_what_is_no_array_is_reported_with_its_remedy(value, sentence):
    with pytest.raises(AssertionError, match=sentence):
        rm.oracle.assert_matches(cases("maml-quadratic")[0], value)


def test_a_tensor_of_an_autograd_graph_is_detached_and_a_tuple_of_one_is_hinted_at():
    case = cases("maml-quadratic")[0]

    class Tensor:
        """As PyTorch's, which NumPy cannot read while it requires a gradient."""

        def detach(self):
            return case.expected["gradient"].value

        def __array__(self, *_, **__):
            raise RuntimeError("Can't call numpy() on Tensor that requires grad")

    rm.oracle.assert_matches(case, Tensor())
    with pytest.raises(AssertionError, match="returned a tuple of 1 for gradient with the shapes .*; return its entry alone"):
        rm.oracle.assert_matches(case, (case.expected["gradient"].value,))
