"""Known-wrong formulas as a target would return them: reduced, turned and by part as it does."""

import numpy as np
import pytest

from refmeta.oracle.diagnosis.rows import candidate_rows, departure_of, distances, value_of
from refmeta.oracle.judge import JudgeSettings, gap, limit_of, right_result
from refmeta.oracle.known import EVERY
from refmeta.oracle.match import NEAR
from refmeta.oracle.suites import SUITES
from tests.oracle.targets import rejecting, valid

FIRST = next(row for row in SUITES["maml-regression"].rows if row.slug == "first-order")
CASE = next(case for case in valid("maml-regression") if case.problem.steps == 2 and len(case.problem.support.X) > 1)


def test_a_row_is_returned_as_the_target_returns_its_result():
    rows = FIRST.function(CASE.problem)
    value = lambda **settings: value_of(FIRST, JudgeSettings(**settings))(CASE, "gradient")
    np.testing.assert_array_equal(value(), rows)
    np.testing.assert_array_equal(value(ascent=True), -rows)
    np.testing.assert_allclose(value(reduce="sum"), rows.sum(0), rtol=1e-14)
    np.testing.assert_allclose(value(reduce="mean", ascent=True), -rows.mean(0), rtol=1e-14)


def test_a_row_that_is_reduced_itself_is_turned_by_ascent_alone():
    """A wrong sum over the tasks: it is what the target returns, and is not summed again."""
    row = next(row for row in SUITES["maml-regression"].rows if row.quantity in ("sum", "mean"))
    settings, total = JudgeSettings(reduce=row.quantity), row.function(CASE.problem)
    assert np.any(total) and np.ndim(total) == 1
    np.testing.assert_array_equal(value_of(row, settings)(CASE, "gradient"), total)
    np.testing.assert_array_equal(value_of(row, settings._replace(ascent=True))(CASE, "gradient"), -np.asarray(total))


def test_a_row_of_one_part_has_no_value_of_another():
    row = next(row for row in SUITES["policy-gradient"].rows if row.quantity not in (EVERY, ""))
    case, other = valid("policy-gradient")[0], next(p for p in SUITES["policy-gradient"].parts if p != row.quantity)
    assert value_of(row, JudgeSettings())(case, row.quantity) is not None
    assert value_of(row, JudgeSettings())(case, other) is None and departure_of(row, JudgeSettings())(case, other) is None


def test_rows_of_what_was_not_asked_for_are_no_candidates():
    of = lambda **settings: {row.quantity for row in candidate_rows(CASE, JudgeSettings(**settings))}
    assert "objective" not in of() and "sum" not in of() and "mean" not in of()
    assert "mean" in of(reduce="mean") | of(reduce="sum")
    assert {"gradient"} <= of() and "gradient" not in of(quantity="objective")


@pytest.mark.parametrize("suite", SUITES)
def test_a_departure_is_a_formula_less_the_right_result_and_its_distance_is_in_tolerances(suite):
    """Of every formula that a vector is said to reject; the least of these distances is above the judge's."""
    settings, compared = JudgeSettings(), 0
    case = next(case for case in valid(suite) if case.discriminates)
    for part in case.expected:
        found = distances(case, part, settings)
        for row in candidate_rows(case, settings):
            value, right = value_of(row, settings)(case, part), right_result(case, part, settings)
            if value is None or value.shape != right.shape:
                assert row.slug not in found and departure_of(row, settings)(case, part) is None
                continue
            np.testing.assert_array_equal(departure_of(row, settings)(case, part), value - right)
            off = gap(value, right, limit_of(case, part, settings))
            assert (row.slug in found) == (off > NEAR), (row.slug, off)
            compared += case in rejecting(suite, row)
    assert compared
