"""A number of terms, steps or rewards that is not the one asked for is named with its number, and *where* says so."""

import re

import pytest

from refmeta.oracle.check import as_target, questions, run
from refmeta.oracle.clock import now
from refmeta.oracle.diagnosis.counts import count_matches, counts_of
from refmeta.oracle.diagnosis.where import locate
from refmeta.oracle.judge import JudgeSettings, judge
from refmeta.oracle.match import refuting
from refmeta.oracle.suites import SUITES
from tests.oracle.diagnosis.planted import UNKNOWN, failures
from tests.oracle.right import products
from tests.oracle.targets import valid

OTHERS = [
    ("implicit-early", "cg", "cg_steps", lambda k: 4, "cg_steps is 4 in every case"),
    ("implicit-early", "cg", "cg_steps", lambda k: min(k, 2), "cg_steps is at most 2"),
    ("implicit-early", "neumann", "terms", lambda k: 7, "terms is 7 in every case"),
    ("implicit-early", "finite_difference", "terms", lambda k: min(k, 4), "terms is at most 4"),
    ("implicit-early", "neumann", "terms", lambda k: max(k, 4), "terms is at least 4"),
    ("returns", "n_step", "n_steps", lambda k: 4, "n_steps is 4 in every case"),
    ("returns", "n_step", "n_steps", lambda k: min(k, 3), "n_steps is at most 3"),
    ("returns", "n_step", "n_steps", lambda k: k + 2, "n_steps is 2 more"),
    ("maml-regression", "", "steps", lambda k: 3, "steps is 3 in every case"),
]


def with_count(suite, part, name, change):
    """A change for `failures`: the library's answer for another number; right where it refuses that."""
    about = SUITES[suite]

    def answer(right, x):
        try:
            return about.answer(part or about.array, about.problem(x | {name: change(x[name])}))
        except ValueError:
            return right

    return answer


@pytest.mark.parametrize(("suite", "part", "name", "change", "words"), OTHERS, ids=[row[-1] for row in OTHERS])
def test_another_number_is_named_first_of_those_that_no_passing_vector_refutes(suite, part, name, change, words):
    failing, settings = failures(suite, with_count(suite, part, name, change), part)
    if suite == "maml-regression":  # where a row of step sizes stands for each step, no other number can be meant
        failing = [o for o in failing if not isinstance(o.case.input["alpha"], list)]
    right = {case.id: case for case in valid(suite)}
    for o in failing:
        right.pop(o.case.id, None)
    passing = [judge(case, {part: case.expected[part].value} if part else case.expected[case.about.array].value, settings) for case in right.values()]
    stand = [m for m in count_matches(failing, settings) if suite == "maml-regression" or not refuting(passing, settings, m.value)]
    assert min(stand, key=lambda m: m.cost).what == f"the right result where {words}"


@pytest.mark.parametrize("change", UNKNOWN)
def test_other_numbers_are_no_count(change):
    failing, settings = failures("implicit-early", change, "cg")
    assert not count_matches(failing, settings)


def test_arrays_and_sizes_of_arrays_are_no_counts():
    assert counts_of(SUITES["implicit-early"]) == ["terms", "cg_steps", "steps", "kept"]
    assert counts_of(SUITES["returns"]) == ["n_steps"] and counts_of(SUITES["surrogates"]) == []


def test_after_its_time_nothing_is_tried():
    failing, settings = failures("returns", with_count("returns", "n_step", "n_steps", lambda k: 4), "n_step")
    assert not count_matches(failing, settings, now() - 1)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda k: 10, r"right exactly where cg_steps >= d: cg_steps may not be read: once the solution is reached, every larger number gives the same"),
        (lambda k: 3, r"right exactly where cg_steps >= d or cg_steps = 3: cg_steps may not be read"),
        (lambda k: min(k, 2), r"right (exactly )?where cg_steps <= 2.*: cg_steps may be limited to 2"),
        (lambda k: max(k, 2), r"right (exactly )?where cg_steps >= 2.*: cg_steps may count as 2 at least, or its end be reached whatever it is"),
    ],
)
def test_where_a_count_is_not_read_the_count_is_said_and_not_the_matrix(change, line):
    """Where A is 0 every number of steps gives the same: that is true, but says little, and stands behind."""
    target, settings = as_target(lambda **x: {"cg": products.answer(**(x | {"cg_steps": change(x["cg_steps"])}))["cg"]}), JudgeSettings()
    where = locate(run(target, valid("implicit-early"), settings), settings, questions(target, settings))
    assert re.match(line, where.lines[0]), where.lines
