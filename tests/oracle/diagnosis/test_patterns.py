"""Every known-wrong formula is named, alone and in the words of its page; so is another quantity than was asked for."""

import numpy as np
import pytest

from refmeta.oracle.check import as_target, run
from refmeta.oracle.diagnosis import diagnose
from refmeta.oracle.diagnosis.patterns import quantity_matches, row_matches
from refmeta.oracle.judge import right_result
from refmeta.oracle.suites import SUITES
from tests.oracle.diagnosis.planted import UNKNOWN, diagnosis, exact, failures
from tests.oracle.targets import known_wrong, rejecting, settings_of, valid
from tests.oracle.test_vectors import NOT_EXPRESSIBLE

ROWS = {row.slug: row for row in SUITES["maml-tabular"].rows}
EVERY = [pytest.param(name, row, id=f"{name}: {row.slug}") for name, about in SUITES.items() for row in about.rows]
KINDS = {
    "wrong": "known-wrong formula", "convention": "a convention:",
    "right": "what is not a mistake, but not what was asked for:",
}  # fmt: skip


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


def test_ascent_and_reduction_do_not_hide_a_formula():
    first = ROWS["first-order"].function
    assert " first-order (" in diagnosis(lambda **x: -first(SUITES["maml-tabular"].problem(x)).sum(0), reduce="sum", ascent=True)


@pytest.mark.parametrize(("suite", "slug"), [("maml-tabular", "one-step-too-many"), ("implicit", "implicit-one-term")])
def test_instead_of_first_order_a_known_wrong_gradient_is_named(suite, slug):
    row = next(row for row in SUITES[suite].rows if row.slug == slug)
    assert f"EXACT match with known-wrong formula {slug} (" in diagnosis(known_wrong(suite, row), suite, expect="first-order")


def test_the_right_value_of_another_quantity_is_named():

    assert "drop --expect first-order" in diagnosis(lambda **x: exact(x), expect="first-order")
    assert "say --quantity gradient" in diagnosis(lambda **x: exact(x), quantity="first_order")


@pytest.mark.parametrize("change", UNKNOWN)
@pytest.mark.parametrize("suite", SUITES)
def test_other_numbers_are_no_known_formula(suite, change):
    part = "" if SUITES[suite].array else list(SUITES[suite].parts)[-1]
    with np.errstate(invalid="ignore"):  # where the right result is 0
        failing, settings = failures(suite, change, part)
    assert failing and not row_matches(failing, settings) and not quantity_matches(failing, settings)


@pytest.mark.parametrize("suite", ["maml-quadratic", "maml-regression"])
def test_half_of_the_right_result_and_its_mean_over_two_parameters_are_a_tie(suite):
    """On vectors with d = 2 nothing tells them apart; with others one of them is named alone."""
    about, settings = SUITES[suite], settings_of(suite, ROWS["mean-over-dimensions"])

    def said(cases, scale):
        target = as_target(lambda **x: about.answer("gradient", about.problem(x)) / scale(len(x["theta"])))
        return diagnose(run(target, cases, settings), settings)

    two = [case for case in valid(suite) if case.problem.support.dim == 2]
    tie, row, half = said(two, lambda d: 2)
    assert tie == "a tie: 2 formulas give the same numbers on these vectors"
    assert "known-wrong formula mean-over-dimensions (1/d of the gradient)" in row and half.startswith("the right result times ½")
    for scale, words in ((lambda d: 2, "the right result times ½"), (lambda d: d, "mean-over-dimensions")):
        (line,) = said(valid(suite), scale)
        assert words in line
