"""The diagnosis: every known-wrong formula is named, and so is much that stands in no catalogue."""

import numpy as np
import pytest

import refmeta as rm
from refmeta.arrays import replace_fields
from refmeta.oracle import cases
from refmeta.oracle.check import as_target, run
from refmeta.oracle.diagnosis import diagnose, explain
from refmeta.oracle.diagnosis.inputs import change_floats, float_inputs, is_at, single_precision
from refmeta.oracle.judge import JudgeSettings, judge, right_result
from refmeta.oracle.suites import SUITES
from refmeta.oracle.suites.maml.problem import adjoint_product, inner_path
from tests.oracle.targets import known_wrong, library, rejecting, settings_of, valid
from tests.oracle.test_vectors import NOT_EXPRESSIBLE

ROWS = {row.slug: row for row in SUITES["maml-tabular"].rows}
EVERY = [pytest.param(name, row, id=f"{name}: {row.slug}") for name, about in SUITES.items() for row in about.rows]
KINDS = {
    "wrong": "known-wrong formula", "convention": "a convention:",
    "right": "what is not a mistake, but not what was asked for:",
}  # fmt: skip
NOTHING = "no mistake that is known here explains every failing vector"


def diagnosis(function, suite="maml-tabular", vectors=slice(None), **settings):
    """The diagnosis of a function on the vectors of a suite, as one text."""
    options = JudgeSettings(**settings)
    outcomes = run(as_target(function), cases(suite)[vectors], options)
    assert any(o.verdict == "mismatch" for o in outcomes)
    return "\n".join(diagnose(outcomes, options))


def exact(inputs, suite="maml-tabular"):
    """The right gradient."""
    return library(suite)(**inputs)


@pytest.mark.parametrize(("suite", "row"), [of for of in EVERY if rejecting(*of.values)])
def test_a_known_wrong_formula_is_named_alone_in_every_part_that_it_spoils(suite, row):
    """One wrong part at a time, on some vectors that reject the formula and one that does not; of several wrong parts the
    first is explained, and the others are listed."""
    vectors, settings = rejecting(suite, row), settings_of(suite, row)
    chosen = [*vectors[:: max(1, len(vectors) // 3)], *[case for case in valid(suite) if case not in vectors][:1]]
    outcomes = run(as_target(known_wrong(suite, row)), chosen, settings)
    right = lambda o, part: right_result(o.case, part, settings)
    parts = {part for o in outcomes for part in o.got if not np.allclose(o.got[part], right(o, part))}
    for part in parts:
        text = "\n".join(diagnose([o._replace(got={part: o.got[part]}) for o in outcomes if part in o.got], settings))
        assert f"EXACT match with {KINDS[row.kind]} {row.slug} (" in text and text.count("EXACT match") == 1, text
        assert f"derivations/{SUITES[suite].chapter_of(row)}.md" in text
    *_, last = diagnose(outcomes, settings)
    assert parts and (len(parts) == 1 or last.startswith("also wrong, perhaps because of it: "))


@pytest.mark.parametrize(("suite", "row"), [of for of in EVERY if not rejecting(*of.values) and of.values[1].slug not in NOT_EXPRESSIBLE])
def test_where_hessians_are_constant_a_formula_that_takes_them_elsewhere_is_right(suite, row):
    outcomes = run(as_target(known_wrong(suite, row)), valid(suite), settings_of(suite, row))
    assert {o.verdict for o in outcomes} == {"pass"}


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


def test_a_discount_kept_in_single_precision_is_found():
    """As torch.tensor(0.9) is: everything else is double, and only numbers that single precision does not hold tell."""
    for suite in ("maml-tabular", "pearl"):
        rounded = lambda gamma, **inputs: library(suite)(gamma=float(np.float32(gamma)), **inputs)  # noqa: B023
        chosen = [case for i, case in enumerate(cases(suite)) if i < 3 or "inexact" in case.flags]
        outcomes = run(as_target(rounded), chosen, JudgeSettings())
        (case,) = [o.case for o in outcomes if o.verdict == "mismatch"]
        assert "inexact" in case.flags
        assert "the right result for gamma in single precision, in the one" in explain(outcomes, JudgeSettings())[0].lines[0]


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

    assert diagnosis(mixed).startswith(NOTHING)


def test_a_tie_is_reported_as_one():
    """K = 1 alone cannot tell the first step from the last."""
    case = next(c for c in cases("maml-quadratic") if c.input["steps"] == 2 and np.ndim(c.input["alpha"]) == 0)
    outcome = judge(case, ROWS["last-step-only"].function(case.problem), JudgeSettings())
    text = "\n".join(diagnose([outcome], JudgeSettings()))
    assert "a tie: 2 formulas" in text and "last-step-only" in text and "first-step-only" in text


def test_ascent_and_reduction_do_not_hide_a_formula():
    first = ROWS["first-order"].function
    assert " first-order (" in diagnosis(lambda **x: -first(SUITES["maml-tabular"].problem(x)).sum(0), reduce="sum", ascent=True)


def test_pure_noise_is_never_explained():
    """Fewer numbers than unknowns fit everything: nothing is said of one case, nor of a single number."""
    for suite, name, got in (
        ("maml-quadratic", "maml-quadratic-014", [[12.34, -5.0]]),
        ("reptile", "reptile-007", [7.0]),
    ):
        case = next(c for c in cases(suite) if c.id == name)
        outcome = judge(case, got, JudgeSettings())
        assert diagnose([outcome], JudgeSettings())[0].startswith(NOTHING)
    noise = lambda **x: np.sin(1 + np.arange(exact(x).size)).reshape(exact(x).shape)
    assert diagnosis(noise).startswith(NOTHING)


def test_a_pattern_that_a_passing_vector_refutes_is_not_named():
    """Step 2 detached, without the vectors that tell steps apart: K = 1 passes, which refutes step 1."""

    def second(**inputs):
        p = SUITES["maml-regression"].problem(inputs)
        points, alphas, g = inner_path(p)
        keep = np.ones((len(alphas), 1))
        keep[1:2] = 0
        return adjoint_product(points, alphas * keep, g)

    chosen = JudgeSettings(skip_flags=("validation", "step-alpha"))
    text = "\n".join(diagnose(run(as_target(second), cases("maml-regression"), chosen), chosen))
    assert "inner step 2 is detached" in text and "inner step 1 is detached" not in text, text


@pytest.mark.parametrize(("factor", "number"), [(2.0, "2"), (-1.0, "−1")])
def test_a_known_wrong_formula_times_a_number_is_named(factor, number):
    text = diagnosis(lambda **x: factor * ROWS["first-order"].function(SUITES["maml-tabular"].problem(x)))
    assert f"known-wrong formula first-order (g_q), times {number}" in text


def test_the_right_value_of_another_quantity_is_named():

    assert "drop --expect first-order" in diagnosis(lambda **x: exact(x), expect="first-order")
    assert "say --quantity gradient" in diagnosis(lambda **x: exact(x), quantity="first_order")


def test_the_first_wrong_part_of_a_policy_gradient_is_explained_and_the_others_named():
    def swapped(**inputs):
        point = SUITES["policy-gradient"].problem(inputs).task.at(inputs["theta"])
        return {"loss": -point.loss, "grad": point.grad, "hvp": 2 * point.hvp(inputs["v"])}

    text = diagnosis(swapped, "policy-gradient")
    assert "loss: the right result times −1: the sign (if it works with returns, say --ascent" in text
    assert text.endswith("also wrong, perhaps because of it: hvp") and "grad:" not in text


def test_an_error_that_is_no_rounding_to_single_precision_is_not_called_so():
    assert "single precision" not in diagnosis(
        lambda **x: exact(x) * (1 + 1e-12 * np.sin(np.arange(exact(x).size)).reshape(exact(x).shape))
    )


def test_with_ascent_only_the_part_that_is_wrong_is_explained():
    """Signs of returns, everything right but the Hessian product, which is doubled."""

    def doubled(**inputs):
        point = SUITES["policy-gradient"].problem(inputs).task.at(inputs["theta"])
        return {"loss": -point.loss, "grad": -point.grad, "hvp": -2 * point.hvp(inputs["v"])}

    text = diagnosis(doubled, "policy-gradient", ascent=True)
    assert "hvp: the right result times 2" in text and "loss:" not in text and "grad:" not in text, text


def test_where_nothing_is_known_the_flag_is_named_that_only_failing_vectors_have():
    """A stationary cost that is wrong by itself, in a way of its own; with noise everywhere no flag is named."""

    def only_without_horizon(**inputs):
        g = exact(inputs, "maml-lq")
        return g if inputs["horizon"] is not None else g + 1e-3 * np.cos(7 * g)

    text = diagnosis(only_without_horizon, "maml-lq")
    assert text.endswith("; it is wrong exactly where the flag is 'stationary', and right in the 15 others"), text

    def geometry(**inputs):
        point = SUITES["policy-gradient"].problem(inputs).task.at(inputs["theta"])
        F = rm.fisher.product(point, inputs["v"])
        return {"fisher": F if inputs["horizon"] is None else F + 1e-3 * np.cos(9 * F), "loss": point.loss}

    text = diagnosis(geometry, "policy-gradient")
    assert text.startswith("fisher: no mistake that is known") and "where the flag is 'finite-horizon'" in text, text


def test_a_part_counts_as_right_also_where_another_part_is_wrong():
    """The Fisher product is wrong with a horizon, the loss everywhere and in no known way; the ill-conditioned case is none."""

    def both(**inputs):
        point = SUITES["policy-gradient"].problem(inputs).task.at(inputs["theta"])
        F, wrong = rm.fisher.product(point, inputs["v"]), inputs["horizon"] is not None
        return {"loss": point.loss + 1e-3 * np.cos(9 * point.loss), "fisher": F + wrong * 1e-3 * np.cos(9 * F)}

    outcomes = run(as_target(both), cases("policy-gradient"), JudgeSettings())
    loss, fisher = explain(outcomes, JudgeSettings())
    others = sum(o.case.result == "valid" and o.case.input["horizon"] is None for o in outcomes)
    assert (loss.part, fisher.part) == ("loss", "fisher") and "flag" not in loss.lines[0]
    assert fisher.lines[0].endswith(f"the flag is 'finite-horizon', and right in the {others} others"), fisher


def test_one_over_the_number_of_parameters_is_named():
    def objective(**inputs):
        p = SUITES["maml-tabular"].problem(inputs)
        return rm.maml.objective(p.theta, *p.split, **p.hyper) / p.theta.size

    assert "times 1/d, d the number of parameters" in diagnosis(objective, quantity="objective")


def steps(change):
    """MAML on regressions with another number of steps, or none where there is one task."""

    def function(**inputs):
        p = SUITES["maml-regression"].problem(inputs)
        steps = change(p)
        alpha = p.alpha[:steps] if np.ndim(p.alpha) == 2 else p.alpha
        return rm.maml.gradient(p.theta, *p.split, alpha=alpha, steps=steps)

    return function


@pytest.mark.parametrize(
    ("change", "what", "special"),
    [
        (lambda p: p.steps - (p.steps == 4), "one-step-too-few", "steps is 4"),
        (lambda p: p.steps * (len(p.support.X) > 1), "gradient-at-start", "the number of tasks is 1"),
    ],
)
def test_a_formula_that_a_passing_vector_refutes_is_not_named_as_the_mistake(change, what, special):
    text = diagnosis(steps(change), "maml-regression")
    assert text.startswith(f"equals {what} (") and special in text and "EXACT" not in text, text


def test_factors_multiples_and_orders_are_refuted_too():
    """Each on the vectors of two tasks only; others are right."""
    text = diagnosis(lambda theta, adapted, epsilon: theta + abs(epsilon) * np.mean(adapted - theta, axis=0), "reptile")
    assert text.startswith("computes another formula, in the one failing vector: length: its size"), text
    for change, what in (
        (lambda g: 3 * g, "the right result times 3"),
        (lambda g: g[::-1], "the right rows, the tasks in another order: the last one first"),
    ):
        text = diagnosis(lambda **x: change(exact(x)) if len(x["P"]) == 2 else exact(x), vectors=slice(12))  # noqa: B023
        assert text.startswith(f"equals {what}") and "the number of tasks is 2" in text, text


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda g, x: g + 1e-8, "the right result + 1e-8, one number for every entry"),
        (lambda g, x: g * (1 + 1e-9 * np.cos(40 * g)), "no mistake that is known"),
        (lambda g, x: g + 1e-7 * np.max(np.abs(g)) * np.cos(40 * g), "right to about single precision"),
    ],
)
def test_what_is_not_in_float32_is_not_called_so(change, sentence):
    text = diagnosis(lambda **x: change(exact(x), x), vectors=slice(6))
    assert text.startswith(sentence) and "JAX" not in text and "PyTorch" not in text, text


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


def changed(suite, **changes):
    """The library's answer for other inputs, none of them checked."""
    names = {n: (n,) for n in changes}

    def function(**inputs):
        problem = SUITES[suite].problem(inputs)
        for name, change in changes.items():
            at = lambda path, name=name: is_at(path, names[name][0], SUITES[suite])
            problem = change_floats(problem, at, change)
        return SUITES[suite].answer(SUITES[suite].array, problem)

    return function


@pytest.mark.parametrize(
    ("suite", "changes", "name"),
    [
        ("maml-regression", {"theta": lambda x: x * (1 + 1e-9)}, "theta·(1 + 1e-9)"),
        ("maml-regression", {"X": lambda x: x / (1 + 1e-8), "query_X": lambda x: x / (1 + 1e-8)},
         "X and query_X times (1 − 1e-8)"),
        ("maml-quadratic", {"c": lambda x: x * (1 - 1e-7)}, "c·(1 − 1e-7)"),
        ("maml-tabular", {"rho": lambda x: x * (1 - 1e-8), "query_rho": lambda x: x * (1 - 1e-8)},
         "rho and query_rho times (1 − 1e-8)"),
        ("maml-tabular", {"gamma": lambda x: x - 1e-8 * (x != 0)}, "gamma − 1e-8 where it is not 0"),
        ("maml-lq", {"noise": lambda x: x * (1 + 1e-6)}, "noise·(1 + 1e-6)"),
        ("reptile", {"epsilon": lambda x: x + 1e-8}, "epsilon + 1e-8"),
    ],
)  # fmt: skip
def test_an_input_that_is_a_little_off_is_named(suite, changes, name):
    vectors = slice(0, None, 6) if "gamma" in changes else slice(5)
    assert f"the right result for {name}, in" in (text := diagnosis(changed(suite, **changes), suite, vectors)), text


@pytest.mark.parametrize(
    ("suite", "name"),
    [("implicit", "X"), ("maml-lq", "A"), ("maml-tabular", "query_P"), ("maml-linear-features", "rho"), ("maml-regression", "y")],
)
def test_an_input_in_single_precision_is_named(suite, name):
    vectors = [c for c in cases(suite) if "inexact" in c.flags]
    outcomes = run(as_target(changed(suite, **{name: single_precision})), [*cases(suite)[:2], *vectors], JudgeSettings())
    assert f"the right result for {name} in single precision" in diagnose(outcomes, JudgeSettings())[0]


def test_every_float_input_of_every_suite_has_its_place_in_the_problem():
    """Each moves something in the problem, and only what has its name."""
    for suite in SUITES:
        for name in {n for case in cases(suite) if case.result == "valid" for n in float_inputs(case)}:
            case = next(c for c in cases(suite) if c.result == "valid" and name in float_inputs(c))
            paths = []
            change_floats(case.problem, lambda path: paths.append(path) or False, lambda x: x)  # noqa: B023
            places = [path for path in paths if is_at(path, name, SUITES[suite])]
            assert places and all(p.startswith("query.") for p in places) == name.startswith("query_"), (suite, name, paths)


def test_a_damped_hessian_and_an_epsilon_on_one_side_are_named():
    def damping(theta, A, c, query_A, query_c, alpha, steps):
        alphas, phi = np.broadcast_to(alpha, (steps, len(theta))), np.broadcast_to(theta, c.shape)
        for a in alphas:
            phi = phi - a * np.einsum("nij,nj->ni", A, phi - c)
        g = np.einsum("nij,nj->ni", query_A, phi - query_c)
        for a in alphas[::-1]:
            g = g - np.einsum("nij,nj->ni", A + 1e-10 * np.eye(len(theta)), a * g)
        return g

    assert "I − α(H + 1e-10·I), in" in diagnosis(damping, "maml-quadratic", slice(6))

    def one_side(**inputs):
        p = SUITES["maml-regression"].problem(inputs)
        n = p.support.X.shape[-2]
        support = replace_fields(p.support, X=p.support.X * (n / (n + 1e-8)) ** 0.5, y=p.support.y * (n / (n + 1e-8)) ** 0.5)
        return rm.maml.gradient(p.theta, support, p.query, **p.hyper)

    assert "1/(n + 1e-8), in the support only, in" in diagnosis(one_side, "maml-regression", slice(6))


@pytest.mark.parametrize(("suite", "slug"), [("maml-tabular", "one-step-too-many"), ("implicit", "implicit-one-term")])
def test_instead_of_first_order_a_known_wrong_gradient_is_named(suite, slug):
    row = next(row for row in SUITES[suite].rows if row.slug == slug)
    assert f"EXACT match with known-wrong formula {slug} (" in diagnosis(known_wrong(suite, row), suite, expect="first-order")
