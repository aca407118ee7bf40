"""Formulas of the numbers of a case, the simplest first."""

import numpy as np
import pytest

from refmeta.oracle.diagnosis.numbers import formulas, numbers_of
from tests.oracle.targets import valid

CASES = [case for case in valid("maml-regression") if np.ndim(case.input["alpha"]) == 0]


def values(formula):
    return [formula(numbers_of(case)) for case in CASES]


@pytest.mark.parametrize(
    ("text", "formula"),
    [
        ("−1", lambda x: -1.0), ("½", lambda x: 0.5), ("α", lambda x: x["α"]), ("d²", lambda x: x["d"] ** 2), ("√K", lambda x: x["K"] ** 0.5),
        ("−2α/d", lambda x: -2 * x["α"] / x["d"]), ("K·α", lambda x: x["α"] * x["K"]), ("1/(d·α)", lambda x: 1 / (x["α"] * x["d"])),
        ("(N − 1)/N", lambda x: (x["N"] - 1) / x["N"]),
    ],
)  # fmt: skip
def test_the_simplest_formula_comes_first(text, formula):
    shared = [case for case in CASES if {"K", "(N − 1)"} <= set(numbers_of(case))]
    found = formulas(shared, [formula(numbers_of(case)) for case in shared], [1e-12] * len(shared))
    least = [f.text.split(",")[0] for f in found if f.cost <= found[0].cost]
    assert text in least, found
    for f in found:
        np.testing.assert_allclose([f.value(case) for case in shared], [formula(numbers_of(case)) for case in shared], rtol=1e-11)


def test_numbers_of_no_reason_have_no_formula():
    rng = np.random.default_rng(0)
    assert not formulas(CASES, list(rng.uniform(0.1, 3, len(CASES))), [1e-9] * len(CASES))


def test_a_case_without_a_number_has_no_value_of_its_formula():
    (found, *_) = formulas(CASES, values(lambda x: x["α"]), [1e-12] * len(CASES))
    other = next(case for case in valid("maml-regression") if np.ndim(case.input["alpha"]) > 0)
    assert np.isnan(found.value(other))
