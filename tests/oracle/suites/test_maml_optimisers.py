"""The suite of inner optimisers: two roads to one gradient, known-wrong formulas by hand, and departures that vectors see."""

import numpy as np
import pytest

import refmeta as rm
from refmeta.arrays import replace_fields
from refmeta.oracle.choices import singles
from refmeta.oracle.judge import JudgeSettings, gap, limit_of
from refmeta.oracle.suites.maml_optimisers import SUITE, wrong
from refmeta.oracle.suites.maml_optimisers.departures import CLIPS, DECAYS, EPSILONS, MOMENTS, OVER_ALL, UPDATES
from refmeta.oracle.suites.maml_optimisers.problem import OptimiserProblem
from refmeta.oracle.suites.maml_optimisers.rules import InnerRule
from refmeta.oracle.suites.maml_optimisers.unrolled import forward_gradient, gradients, unrolled
from refmeta.oracle.vectors import cases
from refmeta.tolerance import error_in_tolerances

VALID = [case for case in cases("maml-optimisers") if case.result == "valid"]
ROWS = {row.slug: row for row in wrong.ROWS}


def by_hand(rule, *, theta=1.0, alpha=0.5, steps=2, b=0.0, tasks=1):
    """L = ½θ² in every task, query ½(φ − b)²."""
    one = np.ones((tasks, 1, 1))
    support, query = rm.Quadratic(one, np.zeros((tasks, 1))), rm.Quadratic(one, np.full((tasks, 1), b))
    return OptimiserProblem(np.array([theta]), support, query, alpha, steps, rule)


def test_the_point_without_departures_is_the_answer_of_the_library():
    """Complex steps of each step, beside the library's adjoint of each rule."""
    for case in VALID:
        for part, expected in case.expected.items():
            value = SUITE.variant(part, case.problem, {})
            assert np.all(error_in_tolerances(value, expected.value, expected.kappa, expected.scale) < 0.2), (case.id, part)


def test_forwards_and_backwards_are_one_gradient():
    """Also with every change of a step."""
    changes = [x for table in (UPDATES, EPSILONS, CLIPS, DECAYS) for x in table.values() if x is not None] + [MOMENTS["made anew in every step"]]
    for case in VALID[::4]:
        if "zero_gradient" in case.flags:
            continue
        for change in changes:
            one, other = gradients(unrolled(case.problem, change))[0], forward_gradient(case.problem, change)
            np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12 * np.max(np.abs(one)))


def check(problem, right, expected):
    """The library's gradient, and rows by their slugs, of one task."""
    np.testing.assert_allclose(SUITE.answer("gradient", problem)[0], [right], rtol=1e-14, atol=1e-15)
    for slug, value in expected.items():
        np.testing.assert_allclose(ROWS[slug].function(problem)[0], [value], rtol=1e-14, err_msg=slug)


def test_heavy_ball_by_hand():
    """All is linear: φ₂ = sθ, and the gradient is s(s − 3).  m = 1, φ₁ = ½, m = ½ + ½, φ₂ = 0: s = 0, and g_q = −3.

    Nesterov: φ₁ = 1 − ½ · 3/2, φ₂ = ¼ − ½(¼ + ½ · ¾) = −1/16.  With (1 − β)g: φ₁ = ¾, φ₂ = ¾ − ½ · 5/8; with the first
    step as it is: ½ − ½ · ¾.  With m held: φ₁ = ½θ and dφ₂/dφ₁ = ½.
    """
    slopes = {
        "optimiser-ignored": 1 / 4, "optimiser-made-in-every-step": 1 / 4, "one-step-too-few": 1 / 2, "heavy-ball-as-nesterov": -1 / 16,
        "momentum-as-mean": 7 / 16, "momentum-dampened": 1 / 8, "steps-at-most-five": 0, "gradient-clipped": 0,
    }  # fmt: skip
    others = {
        "first-order": -3, "last-step-without-adjoint": -3 / 2, "moments-detached": -3 / 4, "gradient-at-start": -2, "query-is-support": 0,
        "moments-carried-between-tasks": 0,
    }  # fmt: skip
    check(by_hand(InnerRule("heavy_ball", momentum=0.5), b=3.0), 0, {**{slug: s * (s - 3) for slug, s in slopes.items()}, **others})


@pytest.mark.parametrize(
    ("words", "slope"),
    [("Nesterov's step m + beta m", 1 / 4 - (1 / 4 + 1 / 2) * 3 / 4), ("momentum with the factor 1 - beta, Nesterov's g without it", 3 / 8 - (3 / 8 + 7 / 32) / 2)],
)
def test_other_steps_of_nesterov_by_hand(words, slope):
    """m = 1, φ₁ = 1 − ½ · 3/2, m = ½ + ¼; and m = ½, φ₁ = 1 − ½ · 5/4, m = ¼ + 3/16: the slope s of φ₂, and the gradient s(s − 3)."""
    problem = by_hand(InnerRule("nesterov", momentum=0.5), b=3.0)
    np.testing.assert_allclose(gradients(unrolled(problem, UPDATES[words]))[0], [[slope * (slope - 3)]], rtol=1e-14)


def test_the_bias_correction_of_the_first_step_in_every_step():
    """β₁ = β₂ = ½, ε = α = 1, θ = 1: φ₁ = 1 − 1/2; m = ½, v = 3/8, and with the factors ½ φ₂ = ½ − 1/(√¾ + 1)."""
    change = UPDATES["Adam's bias correction of the first step in every step"]
    path = unrolled(by_hand(InnerRule("adam", beta1=0.5, beta2=0.5, epsilon=1.0), alpha=1.0), change).path
    np.testing.assert_allclose(path.thetas[-1], [[1 / 2 - 1 / (np.sqrt(3 / 4) + 1)]], rtol=1e-14)


def test_momentum_of_alpha_times_the_gradient_by_hand():
    """α = ½ and ¼, β = ½, θ = 1: φ₁ = ½, m = ¼ + ⅛; Nesterov φ₁ = ¼, m = ¼ + 1/16, φ₂ = ¼ − 1/16 − 5/32."""
    for name, last in (("heavy_ball", 1 / 8), ("nesterov", 1 / 32)):
        problem = by_hand(InnerRule(name, momentum=0.5), alpha=np.array([[0.5], [0.25]]))
        path = unrolled(problem, UPDATES["momentum of alpha times the gradient"]).path
        np.testing.assert_allclose(path.thetas[-1], [[last]], rtol=1e-14)


def test_other_means_of_squares_by_hand():
    """β = ½, ε = 1, θ = 1, α = 3: v = 1, φ = 1 − 3/2; and v = ½, over 1 − β it is 1."""
    for words in ("RMSProp's v begins at 1", "RMSProp's v over 1 - beta^t, as Adam's"):
        for steps, last in ((1, -1 / 2), (2, -1 / 2 + 3 / 2 / (np.sqrt(5 / 8 if "begins" in words else (1 / 4 + 1 / 8) / (3 / 4)) + 1))):
            problem = by_hand(InnerRule("rmsprop", beta2=0.5, epsilon=1.0), alpha=3.0, steps=steps)
            np.testing.assert_allclose(unrolled(problem, UPDATES[words]).path.thetas[-1], [[last]], rtol=1e-14)


def test_one_moment_may_be_held_alone():
    """Heavy ball has m alone, RMSProp v alone; of Adam's the two differ from each other and from both."""

    def slopes(rule):
        held = [None, MOMENTS["the earlier ones held constant"], MOMENTS["the earlier m held constant"], MOMENTS["the earlier v held constant"]]
        problem = by_hand(rule, theta=2.0, b=3.0)
        return [gradients(unrolled(problem, *([each] if each else [])))[0].item() for each in held]

    right, both, m, v = slopes(InnerRule("heavy_ball", momentum=0.5))
    assert both == m != right == v
    right, both, m, v = slopes(InnerRule("rmsprop", beta2=0.5, epsilon=0.1))
    assert both == v != right == m
    assert len(set(slopes(InnerRule("adam", beta1=0.5, beta2=0.5, epsilon=0.1)))) == 4


def test_a_memory_that_is_carried_is_that_of_the_task_before():
    """The second task begins with m = 1 and K = 1: φ = 1 − ½(½ · 1 + 1) = ¼, the slope in its own θ is ½, g_q = ¼."""
    problem = by_hand(InnerRule("heavy_ball", momentum=0.5), steps=1, tasks=2)
    np.testing.assert_allclose(ROWS["moments-carried-between-tasks"].function(problem), [[1 / 4], [1 / 8]], rtol=1e-15)


@pytest.mark.eq("inner-adam")
def test_adam_by_hand():
    """β₁ = β₂ = 0, α = ε = 1: φ = θ − θ/(θ + 1) = ½, φ' = 1 − 1/4.  With v held φ' = 1 − ½."""
    rule = InnerRule("adam", beta1=0.0, beta2=0.0, epsilon=1.0)
    check(by_hand(rule, alpha=1.0, steps=1), 3 / 8, {"second-moment-detached": 1 / 4, "moments-detached": 3 / 8, "amsgrad": 3 / 8, "epsilon-hat": 3 / 8})


def test_where_the_gradient_is_zero_the_place_of_epsilon_is_the_slope():
    """θ = 0, query ½(φ − 1)²: α over the slope's denominator, less 1."""
    numbers = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
    by_name = {"adam": 9999999.0, "adam_epsilon_root": 999.0, "adam_epsilon_hat": 316226.7660168}
    for name, expected in by_name.items():
        problem = by_hand(InnerRule(name, **numbers), theta=0.0, alpha=0.1, steps=1, b=1.0)
        np.testing.assert_allclose(SUITE.answer("gradient", problem), [[expected]], rtol=1e-12)
        np.testing.assert_allclose(SUITE.variant("gradient", problem, {}), [[expected]], rtol=1e-12)
        np.testing.assert_allclose(ROWS["second-moment-detached"].function(problem), [[expected]], rtol=1e-12)
        rows = {"epsilon-outside": "adam", "epsilon-inside": "adam_epsilon_root", "epsilon-hat": "adam_epsilon_hat"}
        for slug, other in rows.items():
            assert other == name or abs(ROWS[slug].function(problem)[0, 0] / by_name[other] - 1) < 1e-12


def test_clips_by_hand():
    """θ = 4, c = 1, α = ½: φ = 7/2 with the slope 1; with the factor ¼ held 7/8; without a clip φ = 2 and ½.

    Of two tasks that are alike the norm is 4√2, and g/‖g‖ has no slope.
    """
    problem = by_hand(InnerRule("gradient_descent", clip=1.0), theta=4.0, steps=1)
    check(problem, 7 / 2, {"clip-held": 49 / 16, "clip-missing": 1, "clip-by-value": 7 / 2})
    assert 0 < ROWS["clip-with-epsilon"].function(problem)[0, 0] - 7 / 2 < 1e-6
    two = by_hand(InnerRule("gradient_descent", clip=1.0), theta=4.0, steps=1, tasks=2)
    np.testing.assert_allclose(forward_gradient(two, OVER_ALL), 4 - 1 / np.sqrt(8), rtol=1e-14)
    check(by_hand(InnerRule("gradient_descent", clip=5.0), theta=4.0, steps=1), 1, {"clip-held": 1, "clip-with-epsilon": 1, "clip-over-all-tasks": 1})


def test_decays_by_hand():
    """θ = 4, α = w = ½: coupled φ = 4 − ½ · 6 = 1, slope ¼; αw is the same here; w: φ = 0.  Heavy ball does the same in one step."""
    coupled, decoupled, paper = (InnerRule("gradient_descent", decay=each, weight_decay=0.5) for each in ("coupled", "decoupled", "decoupled_paper"))
    once = {"theta": 4.0, "steps": 1}
    check(by_hand(coupled, **once), 1 / 4, {"decay-decoupled": 1 / 4, "decay-missing": 1, "decay-not-differentiated": 1 / 2, "inner-gradients-detached": 3 / 4})
    check(by_hand(decoupled, **once), 1 / 4, {"decay-coupled": 1 / 4, "decay-without-alpha": 0})
    check(by_hand(paper, **once), 0, {"decay-with-alpha": 1 / 4})
    for words, slope in {"decoupled, of the parameters after the step": 3 / 8, "2 w": 0, "w/2": 3 / 8}.items():
        np.testing.assert_allclose(gradients(unrolled(by_hand(decoupled, **once), DECAYS[words]))[0], [[4 * slope**2]], rtol=1e-14)
    clipped = replace_fields(by_hand(coupled, **once), rule=coupled._replace(clip=1.0))
    check(clipped, (4 - 3 / 2) * 3 / 4, {"clip-after-decay": 7 / 2})
    held = gradients(unrolled(clipped, CLIPS["after the decay is added, its factor held constant"]))[0]
    np.testing.assert_allclose(held, [[7 / 2 * (1 - 1 / 2 * 3 / 2 / 6)]], rtol=1e-14)


@pytest.mark.parametrize("row", [row for row in wrong.ROWS if row.quantity == "gradient"], ids=lambda row: row.slug)
def test_a_row_is_wrong_where_a_vector_says_so_and_right_elsewhere(row):
    for case in VALID:
        off = gap(row.function(case.problem), case.expected["gradient"].value, limit_of(case, "gradient", JudgeSettings()))
        assert off > 10 if row.slug in case.discriminates else off < 10, (case.id, off)


def test_two_formulas_are_not_two_names():
    """No two rows compute the same on every vector."""
    found = {slug: [row.result(case.problem) for case in VALID] for slug, row in ROWS.items() if row.quantity == "gradient"}
    for slug, mine in found.items():
        for other, theirs in found.items():
            same = [a is None and b is None or a is not None and b is not None and np.allclose(a, b, rtol=1e-7, atol=1e-12) for a, b in zip(mine, theirs, strict=True)]
            assert slug == other or not all(same), (slug, other)


@pytest.mark.parametrize(("choice", "words"), singles(SUITE.choices))
def test_every_departure_is_seen_by_a_vector(choice, words):
    point, settings = {choice: SUITE.choices[choice][words]}, JudgeSettings()
    for part in SUITE.parts:
        for case in VALID:
            value = SUITE.variant(part, case.problem, point)
            if value is not None and gap(value, case.expected[part].value, limit_of(case, part, settings)) > 10:
                return
    pytest.fail("no vector sees it")


def test_bad_input_is_refused_by_the_library():
    for case in cases("maml-optimisers"):
        if case.result == "invalid":
            with pytest.raises(ValueError, match="momentum|beta2|weight"):
                case.about.answer("gradient", case.problem)
