"""The diagnosis as a whole: what stands in no catalogue is named too, several parts and noise are told apart."""

import numpy as np
import pytest

import refmeta as rm
from refmeta.oracle import cases
from refmeta.oracle.check import as_target, run
from refmeta.oracle.diagnosis import diagnose, explain
from refmeta.oracle.judge import JudgeSettings, judge
from refmeta.oracle.suites import SUITES
from refmeta.oracle.suites.maml.problem import adjoint_product, inner_path
from tests.oracle.diagnosis.planted import diagnosis, exact

ROWS = {row.slug: row for row in SUITES["maml-tabular"].rows}
NOTHING = "no mistake that is known here explains every failing vector"


@pytest.mark.parametrize(
    ("mistake", "sentence"),
    [
        (lambda x: -x, "times −1: the sign, in"),
        (lambda x: x[::-1], "the right rows, the tasks in another order: the last one first"),
        (lambda x: x / len(x), "times 1/N, N the number of tasks"),
    ],
)
def test_mistakes_of_every_part_are_named_whatever_its_shape(mistake, sentence):
    """A sign of what is no return has no --ascent; rows may be numbers, vectors or tables."""
    for part in ("kl", "mean", "actor_grad"):
        text = diagnosis(lambda **x: {part: mistake(SUITES["pearl"].answer(part, SUITES["pearl"].problem(x)))}, "pearl", slice(3))  # noqa: B023
        assert f"{part}: the right " in text and sentence in text, text


def test_a_sum_over_the_tasks_is_reported_where_rows_are_wanted():
    reduced = lambda **x: {"encoder_mean_grad": SUITES["pearl"].answer("encoder_mean_grad", SUITES["pearl"].problem(x)).sum(0)}
    outcomes = run(as_target(reduced), cases("pearl"), JudgeSettings(skip_flags=("validation",)))
    assert "the axis of the tasks is missing: results have one row per task" in outcomes[0].message


def factors(inputs, change):
    points, alphas, g = inner_path(SUITES["maml-tabular"].problem(inputs))
    keep = np.ones((len(alphas), 1))
    change(keep)
    return adjoint_product(points, alphas * keep, g)


def test_a_detached_step_that_no_row_describes_is_found():
    text = diagnosis(lambda **x: factors(x, lambda keep: keep[1:2].fill(0)))
    assert "inner step 2 is detached" in text
    text = diagnosis(
        lambda **x: factors(
            x,
            lambda keep: (
                keep[[k for k in (0, 2) if k < len(keep)]].fill(0)
                or keep.__setitem__([k for k in (0, 2) if k < len(keep)], 0)
            ),
        )
    )
    assert "inner step 1, 3 is detached" in text


def test_a_hessian_term_scaled_by_nine_tenths_is_found():
    text = diagnosis(lambda **x: factors(x, lambda keep: keep.fill(0.9)))
    assert (
        "the Hessian term αH is scaled by 0.9 in every factor" in text and "1 Hessian has the coefficient 0.9" in text
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda g, x: -g, "the right result times −1: the sign"),
        (lambda g, x: g * len(g), "the right result times N, the number of tasks"),
        (lambda g, x: g / len(g), "the right result times 1/N"),
        (lambda g, x: g * (1 - x["gamma"]), "the right result times 1 − γ"),
        (lambda g, x: 0.3 * g, "the right result times 0.3"),
        (lambda g, x: g[::-1], "the right rows, the tasks in another order: the last one first"),
        (lambda g, x: g.astype(np.float32), "right to single precision only"),
    ],
)
def test_factors_orders_and_precision_are_found(change, sentence):
    assert sentence in diagnosis(lambda **x: change(exact(x), x), vectors=slice(6))


def test_no_diagnosis_is_given_that_does_not_hold_on_every_failing_vector():
    """First order on half of the cases, noise on the others: nothing is said."""

    def mixed(**inputs):
        p = SUITES["maml-tabular"].problem(inputs)
        first = rm.maml.first_order_gradient(p.theta, *p.split, **p.hyper)
        return first if p.steps % 2 else first + np.cos(np.arange(first.size)).reshape(first.shape)

    assert diagnosis(mixed, seconds=1.0).startswith(NOTHING)


def test_a_tie_is_reported_as_one():
    """K = 1 alone cannot tell the first step from the last."""
    case = next(c for c in cases("maml-quadratic") if c.input["steps"] == 2 and np.ndim(c.input["alpha"]) == 0)
    outcome = judge(case, ROWS["last-step-only"].function(case.problem), JudgeSettings())
    text = "\n".join(diagnose([outcome], JudgeSettings()))
    assert "a tie: 2 formulas" in text and "last-step-only" in text and "first-step-only" in text


def test_pure_noise_is_never_explained():
    """Fewer numbers than unknowns fit everything: nothing is said of one case, nor of a single number."""
    for suite, name, got in (
        ("maml-quadratic", "maml-quadratic-014", [[12.34, -5.0]]),
        ("reptile", "reptile-007", [7.0]),
    ):
        case = next(c for c in cases(suite) if c.id == name)
        outcome = judge(case, got, JudgeSettings())
        assert [line for e in explain([outcome], JudgeSettings(), seconds=1.0) for line in e.lines][0].startswith(NOTHING)
    noise = lambda **x: np.sin(1 + np.arange(exact(x).size)).reshape(exact(x).shape)
    assert diagnosis(noise, seconds=2.0).startswith(NOTHING)


@pytest.mark.parametrize(("factor", "number"), [(2.0, "2"), (-1.0, "−1")])
def test_a_known_wrong_formula_times_a_number_is_named(factor, number):
    text = diagnosis(lambda **x: factor * ROWS["first-order"].function(SUITES["maml-tabular"].problem(x)))
    assert f"known-wrong formula first-order (g_q), times {number}" in text


def test_the_first_wrong_part_of_a_policy_gradient_is_explained_and_the_others_named():
    def swapped(**inputs):
        point = SUITES["policy-gradient"].problem(inputs).task.at(inputs["theta"])
        return {"loss": -point.loss, "grad": point.grad, "hvp": 2 * point.hvp(inputs["v"])}

    text = diagnosis(swapped, "policy-gradient")
    assert "loss: the right result times −1: the sign (if it works with returns, say --ascent" in text
    assert text.endswith("also wrong, perhaps because of it: hvp") and "grad:" not in text


def test_with_ascent_only_the_part_that_is_wrong_is_explained():
    """Signs of returns, everything right but the Hessian product, which is doubled."""

    def doubled(**inputs):
        point = SUITES["policy-gradient"].problem(inputs).task.at(inputs["theta"])
        return {"loss": -point.loss, "grad": -point.grad, "hvp": -2 * point.hvp(inputs["v"])}

    text = diagnosis(doubled, "policy-gradient", ascent=True)
    assert "hvp: the right result times 2" in text and "loss:" not in text and "grad:" not in text, text


def test_one_over_the_number_of_parameters_is_named():
    def objective(**inputs):
        p = SUITES["maml-tabular"].problem(inputs)
        return rm.maml.objective(p.theta, *p.split, **p.hyper) / p.theta.size

    assert "times 1/d, d the number of parameters" in diagnosis(objective, quantity="objective")


def test_noise_has_one_explanation():
    rng = np.random.default_rng(0)
    for size in (1e-12, 1e-9, 1.0):
        noisy = lambda **x: exact(x) + size * rng.normal(size=exact(x).shape)  # noqa: B023
        outcomes = run(as_target(noisy), cases("maml-tabular")[:5], JudgeSettings(), repeat=None)
        (line,) = diagnose(outcomes, JudgeSettings())
        assert line.startswith("the first case was asked twice and the answers differ"), line
    calls = iter(range(100))
    turning = lambda **x: -exact(x) if next(calls) else exact(x)
    outcomes = run(as_target(turning), cases("maml-tabular")[:3], JudgeSettings(), repeat=None)
    (line,) = diagnose(outcomes, JudgeSettings())
    assert all(o.verdict == "mismatch" for o in outcomes) and "asked twice" in line, line
