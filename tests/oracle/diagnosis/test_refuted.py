"""What a passing vector contradicts is not named as the mistake; what is special in the failing ones is said."""

import numpy as np
import pytest

import refmeta as rm
from refmeta.oracle import cases
from refmeta.oracle.check import as_target, run
from refmeta.oracle.diagnosis import diagnose, explain
from refmeta.oracle.diagnosis.refuted import flag_sentence, refutation
from refmeta.oracle.judge import JudgeSettings, judge, right_result
from refmeta.oracle.match import Match
from refmeta.oracle.suites import SUITES
from refmeta.oracle.suites.maml.problem import adjoint_product, inner_path
from tests.oracle.diagnosis.planted import diagnosis, exact
from tests.oracle.targets import library, valid


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
    text = diagnosis(steps(change), "maml-regression", seconds=1.0)
    assert text.startswith(f"equals {what} (") and special in text and "EXACT" not in text, text


def test_factors_multiples_and_orders_are_refuted_too():
    """Each on the vectors of two tasks only; others are right."""
    text = diagnosis(lambda theta, adapted, epsilon: theta + abs(epsilon) * np.mean(adapted - theta, axis=0), "reptile", seconds=1.0)
    assert text.startswith("computes another formula, in the one failing vector: length: its size"), text
    for change, what in (
        (lambda g: 3 * g, "the right result times 3"),
        (lambda g: g[::-1], "the right rows, the tasks in another order: the last one first"),
    ):
        text = diagnosis(lambda **x: change(exact(x)) if len(x["P"]) == 2 else exact(x), vectors=slice(12), seconds=1.0)  # noqa: B023
        assert text.startswith(f"equals {what}") and "the number of tasks is 2" in text, text


def test_where_nothing_is_known_the_flag_is_named_that_only_failing_vectors_have():
    """A stationary cost that is wrong by itself, in a way of its own; with noise everywhere no flag is named."""

    def only_without_horizon(**inputs):
        g = exact(inputs, "maml-lq")
        return g if inputs["horizon"] is not None else g + 1e-3 * np.cos(7 * g)

    text = diagnosis(only_without_horizon, "maml-lq", seconds=1.0)
    assert "; it is wrong exactly where the flag is 'stationary', and right in the 15 others" in text, text

    def geometry(**inputs):
        point = SUITES["policy-gradient"].problem(inputs).task.at(inputs["theta"])
        F = rm.fisher.product(point, inputs["v"])
        return {"fisher": F if inputs["horizon"] is None else F + 1e-3 * np.cos(9 * F), "loss": point.loss}

    text = diagnosis(geometry, "policy-gradient", seconds=1.0)
    assert text.startswith("fisher: no mistake that is known") and "where the flag is 'finite-horizon'" in text, text


def test_a_part_counts_as_right_also_where_another_part_is_wrong():
    """The Fisher product is wrong with a horizon, the loss everywhere and in no known way; the ill-conditioned case is none.

    Both errors are small: what explains large ones alone is not searched for.
    """

    def both(**inputs):
        point = SUITES["policy-gradient"].problem(inputs).task.at(inputs["theta"])
        F, wrong = rm.fisher.product(point, inputs["v"]), inputs["horizon"] is not None
        return {"loss": point.loss * (1 + 1e-10 * np.cos(9 * point.loss)), "fisher": F * (1 + wrong * 1e-10 * np.cos(9 * F))}

    outcomes = run(as_target(both), cases("policy-gradient"), JudgeSettings())
    loss, fisher = explain(outcomes, JudgeSettings())
    others = sum(o.case.result == "valid" and o.case.input["horizon"] is None for o in outcomes)
    assert (loss.part, fisher.part) == ("loss", "fisher") and "flag" not in loss.lines[0]
    assert fisher.lines[0].endswith(f"the flag is 'finite-horizon', and right in the {others} others"), fisher


def outcomes_of(wrong):
    """Quadratics: twice the right gradient where `wrong` holds, and what is right."""
    exact = library("maml-quadratic")
    every = [judge(c, exact(**c.arguments()) * (1 + wrong(c)), JudgeSettings()) for c in valid("maml-quadratic")]
    return [o for o in every if o.verdict == "mismatch"], [o for o in every if o.verdict == "pass"]


def test_what_all_failing_vectors_have_and_no_other_is_said():
    settings = JudgeSettings()
    twice = Match("twice", "twice", lambda case, name: 2 * right_result(case, name, settings))
    failing, passing = outcomes_of(lambda c: c.input["steps"] == 2)
    sentence = refutation(twice, failing, passing, settings)
    assert sentence.startswith(f"equals twice in the {len(failing)} failing vectors, but is right in ") and "steps is 2" in sentence
    failing, passing = outcomes_of(lambda c: c.input["theta"][0] > 0.3)
    assert failing and passing and "what only the failing have: no flag and no number" in refutation(twice, failing, passing, settings)


def test_a_word_that_the_failing_vectors_have_is_said_and_no_bound_of_a_number_beside_it():
    settings, of = JudgeSettings(), SUITES["maml-optimisers"]
    twice = Match("twice", "twice", lambda case, name: 2 * right_result(case, name, settings))
    answer = as_target(lambda **x: of.answer("gradient", of.problem(x)) * (2 if x["decay"] in ("coupled", "decoupled") else 1))
    every = run(answer, valid("maml-optimisers"), settings)
    failing, passing = ([o for o in every if (o.verdict == "pass") is right] for right in (False, True))
    assert refutation(twice, failing, passing, settings).endswith("what only the failing have: decay is coupled or decoupled")


def test_a_flag_is_named_only_if_every_failing_vector_has_it_and_no_passing_one():
    failing, passing = outcomes_of(lambda c: "one-task" in c.flags)
    assert flag_sentence(failing, passing).startswith("; it is wrong exactly where the flag is ") and "'one-task'" in flag_sentence(failing, passing)
    assert flag_sentence(failing[1:], [*passing, failing[0]]) == flag_sentence(failing, []) == ""
