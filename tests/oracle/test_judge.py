"""`--convention`: a formula that is meant on purpose is judged instead of the right one, and the report says so."""

import numpy as np
import pytest

import refmeta as rm
from refmeta.__main__ import main
from refmeta.oracle.check import as_target, questions, run
from refmeta.oracle.diagnosis import SECONDS
from refmeta.oracle.judge import JudgeSettings, limit_of
from refmeta.oracle.known import EVERY
from refmeta.oracle.report import Report, markdown, text
from refmeta.oracle.suites import SUITES
from refmeta.oracle.verdict import finding
from tests.oracle.targets import known_wrong, library, valid

MEANT = [(suite, row) for suite, about in SUITES.items() for row in about.rows if row.kind == "convention" and row.quantity in (*about.parts, EVERY)]


def row_of(suite, slug):
    return next(row for row in SUITES[suite].rows if row.slug == slug)


def verdict_on(function, suite, chosen=None, seconds=SECONDS, **settings):
    """The verdict of `check`, which may ask the target more."""
    target, of = as_target(function), JudgeSettings(**settings)
    return finding(suite, run(target, chosen or valid(suite), of), of, questions(target, of), seconds=seconds)


def completed(suite, row):
    """What a target by this convention returns: the row's parts, and the right ones where the row has none."""
    right, wrong = library(suite), known_wrong(suite, row)
    return wrong if SUITES[suite].array else lambda **x: right(**x) | wrong(**x)


@pytest.mark.parametrize(("suite", "row"), MEANT, ids=lambda value: value if isinstance(value, str) else value.slug)
def test_what_is_meant_is_right_and_the_sentence_says_by_which_convention(suite, row):
    verdict = verdict_on(completed(suite, row), suite, convention=row.slug)
    assert verdict.word == "RIGHT" and f", by the convention {row.slug}, to " in verdict.sentence, verdict.sentence


@pytest.mark.parametrize("suite", ["maml-regression", "reptile", "policy-gradient", "pearl"])
def test_the_right_result_is_wrong_by_a_convention_and_the_advice_is_to_drop_it(suite):
    """Also where the right result equals a known-wrong formula: on linear regression the Hessian is the same everywhere."""
    slug = next(row.slug for of, row in MEANT if of == suite)
    verdict = verdict_on(library(suite), suite, convention=slug)
    assert verdict.word == "WRONG" and len(verdict.explanation) <= 2, verdict.explanation
    assert "the right result itself, in " in verdict.explanation[0] and f"drop --convention {slug}, if" in verdict.explanation[0]


def test_on_purpose_first_order_and_the_right_gradient_are_told_apart():
    verdict = verdict_on(library("maml-regression"), "maml-regression", expect="first-order")
    (line,) = verdict.explanation
    assert "the right result itself, in " in line and "drop --expect first-order" in line
    assert verdict_on(library("maml-regression", "first_order"), "maml-regression", convention="first-order").word == "RIGHT"


def test_another_convention_than_the_one_that_is_meant_is_wrong():
    target = known_wrong("maml-tabular", row_of("maml-tabular", "loss-scale-half"))
    verdict = verdict_on(target, "maml-tabular", convention="loss-scale-double")
    assert verdict.word == "WRONG" and "by the convention loss-scale-double" in verdict.sentence
    assert "a convention: loss-scale-half" in verdict.explanation[0] and "--convention loss-scale-half" in verdict.explanation[0]


def test_without_the_option_the_diagnosis_names_it():
    target = known_wrong("maml-tabular", row_of("maml-tabular", "loss-scale-half"))
    verdict = verdict_on(target, "maml-tabular")
    assert verdict.word == "WRONG" and "if you mean it, accept it with --convention loss-scale-half" in verdict.explanation[0]
    rm.oracle.check(target, "maml-tabular", convention="loss-scale-half")
    with pytest.raises(AssertionError, match="accept it with --convention loss-scale-half"):
        rm.oracle.check(target, "maml-tabular")


def test_cases_that_are_asked_beside_the_vectors_go_by_the_convention_too():
    """2L instead of L is meant, and from the second step on something else is wrong: that is found and confirmed by asking."""
    meant = known_wrong("maml-regression", row_of("maml-regression", "loss-scale-double"))
    verdict = verdict_on(lambda **x: meant(**x) * (1 if x["steps"] <= 1 else 3), "maml-regression", seconds=0.5, convention="loss-scale-double")
    assert verdict.where.lines[0].startswith("right exactly where K <= 1"), verdict.where
    verdict = verdict_on(lambda **x: 3 * meant(**x), "maml-regression", convention="loss-scale-double")
    assert verdict.explanation[0].startswith("the right result times 3"), verdict.explanation


def test_the_head_of_a_report_names_it():
    chosen, settings = valid("reptile", 3), JudgeSettings(convention="sum-over-tasks")
    verdict = verdict_on(known_wrong("reptile", row_of("reptile", "sum-over-tasks")), "reptile", chosen, convention="sum-over-tasks")
    report = Report("f", settings, (verdict,))
    assert text(report).startswith("refmeta check of f: float64, expected: exact, by the convention sum-over-tasks\n")
    assert "expected: exact, by the convention sum-over-tasks" in markdown(report)
    assert "RIGHT: 3 of 3 cases, by the convention sum-over-tasks, to " in " ".join(text(report).split())


def test_its_tolerance_is_ten_times_as_wide_and_grows_with_the_result():
    case, plain = valid("reptile")[0], JudgeSettings()
    meant = plain._replace(convention="sum-over-tasks")
    value = row_of("reptile", "sum-over-tasks").function(case.problem)
    expected = case.expected["update"]
    size = max(1.0, np.max(np.abs(value)) / max(np.max(np.abs(expected.value)), np.max(expected.scale)))
    np.testing.assert_allclose(limit_of(case, "update", meant), 10 * size * limit_of(case, "update", plain))


@pytest.mark.parametrize(
    ("suite", "slug", "sentence"),
    [
        ("maml-tabular", "loss-scale-haf", r"no convention is called 'loss-scale-haf' \(did you mean 'loss-scale-half'\?\)"),
        ("reptile", "first-order", "no convention is called 'first-order'.*those of reptile are "),
        ("maml-tabular", "mean-over-tasks", "no convention is called 'mean-over-tasks'"),  # it is said with --reduce
    ],
)
def test_an_unknown_convention_is_refused_with_what_is_near(suite, slug, sentence, capsys):
    with pytest.raises(ValueError, match=sentence):
        rm.oracle.check(library(suite), suite, convention=slug)
    with pytest.raises(SystemExit) as stopped:
        main(["check", "mymodule:f", "--suite", suite, "--convention", slug])
    assert stopped.value.code == 2 and f"no convention is called {slug!r}" in " ".join(capsys.readouterr().err.split())


def test_where_the_right_answer_is_0_a_convention_does_not_accept_any_numbers():
    """One action: the gradient is 0, the convention's is not."""
    meant = completed("policy-gradient", row_of("policy-gradient", "no-baseline-in-logits"))

    def target(**x):
        result = meant(**x)
        return result | {"grad": result["grad"] + np.cos(np.arange(result["grad"].size)).reshape(result["grad"].shape) * (x["P"].shape[-2] < 2)}

    verdict = verdict_on(target, "policy-gradient", seconds=0.5, convention="no-baseline-in-logits")
    assert verdict.word == "WRONG" and verdict.worst[1].part == "grad"
