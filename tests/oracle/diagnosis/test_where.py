"""Where a target is right: a predicate is claimed only if the target, asked with that input moved, confirms it."""

import itertools

import numpy as np
import pytest

from refmeta.oracle.asking import moved, varied
from refmeta.oracle.check import Failed, as_target, questions, run
from refmeta.oracle.diagnosis.predicates import predicates_of
from refmeta.oracle.diagnosis.where import first_wrong_part, locate
from refmeta.oracle.judge import JudgeSettings
from refmeta.oracle.suites import SUITES
from tests.oracle.targets import library, valid


def found(function, suite, **settings):
    """Where a function is right on the valid vectors of a suite, and what it is asked with."""
    options, target = JudgeSettings(**settings), as_target(function)
    ask = questions(target, options)
    return locate(run(target, valid(suite), options), options, ask), ask


def times(suite, factor):
    """The right answer times a factor of the inputs."""
    return lambda **x: factor(x) * library(suite)(**x)


@pytest.mark.parametrize(
    ("suite", "factor", "line"),
    [
        ("maml-regression", lambda x: 1.5 if x["steps"] > 1 else 1.0, "right exactly where K <= 1: from the second inner step on"),
        ("maml-classification", lambda x: 1 + x["ridge"], "right exactly where ridge = 0: what ridge multiplies differs"),
        ("maml-regression", lambda x: 1 + np.ndim(x["alpha"]), "right exactly where alpha is a number: an array of alpha is read"),
        ("maml-lq", lambda x: 1.0 if x["horizon"] is None else 2.0, "wrong exactly where horizon is not None: look at the branch"),
        ("maml-quadratic", lambda x: 1.0 if len(x["A"]) > 1 else 2.0, "wrong exactly where N = 1: look at the branch that such cases take"),
        ("maml-quadratic", lambda x: len(x["A"]), "right exactly where N = 1: something passes between tasks"),
    ],
)
def test_the_smallest_predicate_that_separates_is_said_and_holds_on_fresh_problems(suite, factor, line):
    where, ask = found(times(suite, factor), suite)
    assert where.lines[0].startswith(line), where.lines
    fresh = [varied(case, seed) for case in valid(suite) for seed in range(2)]
    assert all((ask(case).verdict == "pass") == where.exactly(case) for case in fresh if case is not None)


def test_what_holds_by_chance_is_not_confirmed():
    """Right in the two vectors of one task alone: by their numbers, not by their task."""
    numbers = [float(case.arguments()["theta"][0]) for case in valid("maml-quadratic") if "one-task" in case.flags]
    where, _ = found(times("maml-quadratic", lambda x: 1.0 if float(x["theta"][0]) in numbers else 2.0), "maml-quadratic")
    assert not where.sufficient and "N = 1" not in where.lines[0].split("(not asked)")[0]


def test_without_asking_a_predicate_is_a_candidate():
    settings = JudgeSettings()
    outcomes = run(as_target(times("maml-quadratic", lambda x: len(x["A"]))), valid("maml-quadratic"), settings)
    where = locate(outcomes, settings)
    assert where.lines[0].startswith("it may be right exactly where one of these holds (not asked): ") and "N = 1" in where.lines[0]
    assert where.exactly is None


def test_of_several_parts_the_first_wrong_one_is_said_and_those_that_are_right():
    def target(**x):
        right = library("pearl")(**x)
        return right | {"variance": 2 * right["variance"], "kl": 3 * right["kl"]}

    outcomes = run(as_target(target), valid("pearl", 3), JudgeSettings())
    assert first_wrong_part(outcomes, JudgeSettings()) == "variance"
    assert locate(outcomes, JudgeSettings()).lines[0].startswith("first in variance; right in every case: mean, z, critic_loss")


def test_where_a_part_is_right_is_said_of_the_part_alone_if_others_are_wrong_there():
    """Not so where every other wrong part is right in the same cases."""
    right = library("surrogates")

    def answer(factor, other):
        def target(**x):
            parts = right(**x)
            one = len(x["rewards"]) == 1
            return {"kl_k1": parts["kl_k1"] * (1 if one else factor), "kl_k2": parts["kl_k2"] * (1 if one and other else factor)}

        return target

    alone, both = (found(answer(2.0, other), "surrogates")[0].lines for other in (False, True))
    assert "first in kl_k1" in alone[0] and alone[1].startswith("kl_k1: right exactly where N = 1")
    assert alone[2] == "where it is right, other parts are wrong" and alone[2] not in both
    assert "first in kl_k1" in both[0] and both[1].startswith("right exactly where N = 1")


def test_an_extreme_case_takes_no_exactly_away():
    """γᵗ left out of a penalty: where a softmax is saturated, every slope is 0 and nothing differs."""
    variant = SUITES["surrogates"].variant
    answer = lambda case, settings: {"kl_k1": variant("kl_k1", case.problem, {"discount": "dropped"})}
    settings = JudgeSettings()
    where = locate(run(answer, valid("surrogates"), settings), settings, questions(answer, settings))
    assert where.exactly is not None and where.lines[0].startswith("right exactly where H = 1 or gamma = 1"), where.lines


def test_a_crash_in_some_cases_does_not_silence_the_rest():
    def target(**x):
        if np.ndim(x["alpha"]):
            raise ValueError("no arrays")
        return library("maml-regression")(**x) * (1.5 if x["steps"] > 1 else 1.0)

    where, _ = found(target, "maml-regression")
    assert where.lines[0].startswith("right exactly where K <= 1")


LEFT_OUT = "; if yours is not made for such cases, --skip-flag {} leaves them out"


@pytest.mark.parametrize(
    ("suite", "fails", "lines"),
    [
        ("surrogates", lambda x: np.ndim(x["actions"]) == 4, ("no result exactly where the policy is Gaussian" + LEFT_OUT.format("linear-gaussian"),)),
        ("maml-tabular", lambda x: x["horizon"] is not None, ("no result exactly where horizon is not None" + LEFT_OUT.format("finite-horizon"),)),
        ("maml-regression", lambda x: np.ndim(x["alpha"]), ("no result exactly in the cases with the flag array-alpha" + LEFT_OUT.format("array-alpha"),)),
        ("maml-regression", lambda x: np.ndim(x["alpha"]) == 1, ()),
        ("maml-regression", lambda x: x["steps"] <= 1, ("no result exactly where K <= 1",)),
    ],
)
def test_where_there_is_no_result_the_flag_of_exactly_these_cases_is_named(suite, fails, lines):
    """Of more cases, or of fewer, no flag is."""

    def target(**x):
        if fails(x):
            raise NotImplementedError
        return library(suite)(**x)

    where, _ = found(target, suite)
    assert where.lines == lines


def test_a_right_target_is_nowhere_wrong():
    for suite in ("maml-regression", "pearl"):
        assert found(library(suite), suite)[0].lines == ()


def test_every_suite_has_predicates_whose_moves_the_library_takes():
    for name, suite in SUITES.items():
        some = valid(name)[:3]
        tried = ((p, case, p.move(case.arguments())) for p in predicates_of(suite, some) for case in some if not p.holds(case))
        done = (p.name for p, case, x in tried if x is not None and (other := moved(case, x)) is not None and p.holds(other))
        assert len(set(itertools.islice(done, 9))) >= 3, name


def test_where_nothing_is_asked_any_more_nothing_is_said_to_be_asked():
    """After a time-out there are no answers; that K <= 1 tells right from wrong is then a candidate, not refuted."""

    def target(case, settings):
        if "moved" in case.id:
            raise Failed("timeout", "too late")
        return as_target(times("maml-regression", lambda x: 1.5 if x["steps"] > 1 else 1.0))(case, settings)

    settings = JudgeSettings()
    outcomes = run(target, valid("maml-regression"), settings)
    where = locate(outcomes, settings, questions(target, settings))
    assert where.lines == ("it may be right exactly where one of these holds (not asked): K <= 1",)
    wrong = [o for o in outcomes if o.verdict == "mismatch"]
    assert locate(wrong, settings, questions(target, settings)).lines == (f"wrong in all {len(wrong)} cases",)


def test_wrong_exactly_where_is_said_only_if_two_right_cases_become_wrong():
    """Right in the cases without a horizon by their numbers: all but one stay right when they get a horizon."""
    without = [case for case in valid("maml-lq") if case.input["horizon"] is None]
    known = [case.arguments()["theta"] for case in without[1:]]

    def factor(x):
        return 1.0 if x["horizon"] is None or any(np.array_equal(x["theta"], theta) for theta in known) else 2.0

    target = as_target(times("maml-lq", factor))
    outcomes = run(target, [c for c in valid("maml-lq") if c in without or factor(c.arguments()) > 1], JudgeSettings())
    where = locate(outcomes, JudgeSettings(), questions(target, JudgeSettings()))
    assert len(known) > 1 and not where.lines[0].startswith("wrong exactly where")


def test_a_target_that_knows_the_vectors_alone_is_wrong_exactly_nowhere():
    """Wrong in the one vector in which nothing is adapted; other cases it refuses, and that confirms nothing."""
    vectors = [str(case.arguments()) for case in valid("maml-quadratic")]

    def target(**x):
        if str(x) not in vectors:
            raise KeyError("an unknown case")
        return (1.3 if x["steps"] < 1 else 1.0) * library("maml-quadratic")(**x)

    where, _ = found(target, "maml-quadratic")
    assert where.exactly is None and "exactly" not in " ".join(where.lines), where.lines


def test_a_target_that_is_right_on_all_other_numbers_has_no_reading():
    """Wrong on the vectors alone: nothing follows from an input that is moved."""
    vectors = [str(case.arguments()) for case in valid("maml-quadratic")]
    where, _ = found(times("maml-quadratic", lambda x: 1.3 if str(x) in vectors else 1.0), "maml-quadratic")
    assert where.exactly is None and "right in some more cases" in where.lines[1] and ": " not in where.lines[0], where.lines


def test_a_question_without_an_answer_confirms_no_exactly():
    """K <= 1 moves wrong cases to right ones; with other numbers the target fails, so that wrong elsewhere is not shown."""
    thetas = [case.arguments()["theta"] for case in valid("maml-regression")]

    def target(**x):
        if not any(np.array_equal(x["theta"], theta) for theta in thetas):
            raise KeyError("an unknown theta")
        return (1.5 if x["steps"] > 1 else 1.0) * library("maml-regression")(**x)

    where, _ = found(target, "maml-regression")
    assert where.exactly is None and "exactly" not in " ".join(where.lines), where.lines


def test_a_part_that_is_wrong_with_other_numbers_is_not_called_right_in_every_case():
    """A limit that only one part of the vectors reaches: with other numbers another part reaches it, too."""
    limit = max(float(np.max(np.abs(case.expected["mean"].value))) for case in valid("pearl"))

    def target(**x):
        right = library("pearl")(**x)
        return right | {"mean": np.clip(right["mean"], -limit, limit), "variance": 2 * right["variance"]}

    where, _ = found(target, "pearl")
    assert "mean" not in where.right_parts and "critic_loss" in where.right_parts, where


def test_what_is_wrong_in_one_branch_and_with_some_numbers_is_said_without_exactly():
    """Wrong for one task with the theta of a vector; with another theta it is right."""
    known = [case.arguments()["theta"] for case in valid("maml-quadratic")]
    target = times("maml-quadratic", lambda x: 1.3 if len(x["A"]) == 1 and any(np.array_equal(x["theta"], theta) for theta in known) else 1.0)
    where, _ = found(target, "maml-quadratic")
    assert where.exactly is None and where.lines[0] == "wrong only where N = 1" and "right in some more cases" in where.lines[1], where.lines
