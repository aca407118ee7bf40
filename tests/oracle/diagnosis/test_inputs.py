"""Inputs that are changed in the library's objects: each is found at its place, and nothing else is."""

import numpy as np
import pytest

from refmeta.oracle import cases
from refmeta.oracle.diagnosis.inputs import (
    SHIFTS,
    answer_with,
    change_floats,
    float_inputs,
    group_text,
    input_groups,
    is_at,
    rounded_result,
    slope_in,
)
from refmeta.oracle.judge import JudgeSettings
from refmeta.oracle.suites import SUITES
from tests.oracle.targets import valid


def test_every_float_input_of_every_suite_has_its_place_in_the_problem():
    """Each moves something in the problem, and only what has its name."""
    for suite in SUITES:
        for name in {n for case in cases(suite) if case.result == "valid" for n in float_inputs(case)}:
            case = next(c for c in cases(suite) if c.result == "valid" and name in float_inputs(c))
            paths = []
            change_floats(case.problem, lambda path: paths.append(path) or False, lambda x: x)  # noqa: B023
            places = [path for path in paths if is_at(path, name, SUITES[suite])]
            assert places and all(p.startswith(("query.", "query_")) for p in places) == name.startswith("query_"), (suite, name, paths)


@pytest.mark.parametrize("suite", ["maml-regression", "maml-lq", "pearl", "surrogates"])
def test_the_answer_for_a_changed_input_is_that_of_the_changed_problem(suite):
    """As the library computes it from the inputs, where it takes them."""
    about, case = SUITES[suite], valid(suite)[0]
    part = list(about.parts)[-1] if not about.array else about.array
    compared = 0
    for name in float_inputs(case):
        change = lambda x: x * (1 + 1e-3)
        try:
            expected = about.answer(part, about.problem({**case.arguments(), name: change(case.arguments()[name])}))
        except ValueError:
            continue  # rows that no longer add to 1
        compared += not np.allclose(expected, case.expected[part].value, rtol=1e-9)
        np.testing.assert_allclose(answer_with(case, part, (name,), change), expected, rtol=1e-12, atol=1e-14, err_msg=name)
    assert compared >= 2


def test_floats_are_changed_and_integers_and_the_problem_itself_are_not():
    case = next(c for c in valid("maml-regression") if c.problem.steps > 1)
    before = case.problem.support.X.copy()
    other = change_floats(case.problem, lambda path: path.startswith("support."), lambda x: 2 * x)
    np.testing.assert_array_equal(other.support.X, 2 * before)
    np.testing.assert_array_equal(case.problem.support.X, before)
    np.testing.assert_array_equal(other.query.X, case.problem.query.X)
    every = change_floats(case.problem, lambda path: True, lambda x: 2 * x)
    np.testing.assert_array_equal(every.theta, 2 * case.problem.theta)
    assert every.steps == case.problem.steps and type(every.steps) is int


def test_a_slope_is_the_derivative_in_epsilon():
    """The quadratic ½ (φ − c)ᵀA(φ − c) at K = 1: c enters linearly, so that a difference is exact."""
    case = next(c for c in valid("maml-quadratic") if c.input["steps"] == 1)
    settings, p = JudgeSettings(), case.problem
    c = p.query.c
    times, plus = (slope_in(("query_c",), how, settings)(case, "gradient") for how in ("times", "plus"))
    at = lambda c: answer_with(case, "gradient", ("query_c",), lambda _: c)
    np.testing.assert_allclose(times, at(2 * c) - at(c), rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(plus, at(c + 1) - at(c), rtol=1e-8, atol=1e-9)
    np.testing.assert_array_equal(SHIFTS["plus, but for 0"](np.array([0.0, 2.0]), 0.5), [0.0, 2.5])


def test_groups_are_each_input_alone_support_and_query_and_all():
    groups = input_groups(valid("maml-quadratic"))
    names = ["theta", "A", "c", "query_A", "query_c", "alpha"]
    assert groups == [*((n,) for n in names), ("A", "query_A"), ("c", "query_c"), tuple(names)]
    assert [group_text(each) for each in groups[-3:]] == ["A and query_A", "c and query_c", "every input"]


def test_a_rounded_input_that_single_precision_holds_changes_nothing():
    exact = next(c for c in valid("maml-quadratic") if "inexact" not in c.flags)
    value = rounded_result(("A",), JudgeSettings())(exact, "gradient")
    np.testing.assert_array_equal(value, exact.expected["gradient"].value)
