"""Where digits are lost: an input in single precision, a float32 on the way or in the result."""

import numpy as np
import pytest

from refmeta.oracle import cases
from refmeta.oracle.check import as_target, run
from refmeta.oracle.diagnosis import diagnose, explain
from refmeta.oracle.diagnosis.digits import rounding_matches, single_precision_matches
from refmeta.oracle.diagnosis.inputs import single_precision
from refmeta.oracle.judge import JudgeSettings
from tests.oracle.diagnosis.planted import UNKNOWN, changed, diagnosis, exact, failures
from tests.oracle.targets import library


def test_a_discount_kept_in_single_precision_is_found():
    """As torch.tensor(0.9) is: everything else is double, and only numbers that single precision does not hold tell."""
    for suite in ("maml-tabular", "pearl"):
        rounded = lambda gamma, **inputs: library(suite)(gamma=float(np.float32(gamma)), **inputs)  # noqa: B023
        chosen = [case for i, case in enumerate(cases(suite)) if i < 3 or "inexact" in case.flags]
        outcomes = run(as_target(rounded), chosen, JudgeSettings())
        (case,) = [o.case for o in outcomes if o.verdict == "mismatch"]
        assert "inexact" in case.flags
        assert "the right result for gamma in single precision, in the one" in explain(outcomes, JudgeSettings())[0].lines[0]


@pytest.mark.parametrize(
    ("suite", "name"),
    [("implicit", "X"), ("maml-lq", "A"), ("maml-tabular", "query_P"), ("maml-linear-features", "rho"), ("maml-regression", "y")],
)
def test_an_input_in_single_precision_is_named(suite, name):
    vectors = [c for c in cases(suite) if "inexact" in c.flags]
    outcomes = run(as_target(changed(suite, **{name: single_precision})), [*cases(suite)[:2], *vectors], JudgeSettings())
    assert f"the right result for {name} in single precision" in diagnose(outcomes, JudgeSettings())[0]


def test_an_error_that_is_no_rounding_to_single_precision_is_not_called_so():
    assert "single precision" not in diagnosis(
        lambda **x: exact(x) * (1 + 1e-12 * np.sin(np.arange(exact(x).size)).reshape(exact(x).shape)), vectors=slice(6)
    )


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


@pytest.mark.parametrize(
    ("names", "words"), [(("y",), "y"), (("X", "query_X"), "X and query_X"), (("theta", "X", "y", "query_X", "query_y", "alpha"), "every input")]
)
def test_only_the_inputs_that_are_rounded_are_named(names, words):
    failing, settings = failures("maml-regression", lambda right, x: changed("maml-regression", **dict.fromkeys(names, single_precision))(**x))
    found = [m.what for m in rounding_matches(failing, settings)]
    assert found == [f"the right result for {words} in single precision"]
    assert rounding_matches(failing, settings._replace(dtype="float32")) == []


def test_a_result_in_float32_is_told_from_a_float32_on_the_way():
    failing, settings = failures("maml-regression", lambda right, x: np.float32(right))
    (inside,) = single_precision_matches(failing, settings)
    failing, settings = failures("maml-regression", lambda right, x: np.float32(right).astype(float) * (1 + 1e-9))
    (on_the_way,) = single_precision_matches(failing, settings)
    assert "the result is in float32" in inside.line and "float32 on the way" in on_the_way.line
    assert single_precision_matches(failing, settings._replace(dtype="float32")) == []


@pytest.mark.parametrize("size", [1e-3, 1e-11])
def test_more_or_fewer_digits_than_those_of_single_precision_are_not_called_so(size):
    failing, settings = failures("maml-regression", lambda right, x: right + size * np.max(np.abs(right)) * np.cos(40 * right))
    assert failing and not single_precision_matches(failing, settings)


@pytest.mark.parametrize("change", UNKNOWN)
@pytest.mark.parametrize("suite", ["maml-regression", "maml-tabular", "reptile", "implicit"])
def test_other_numbers_are_no_rounding(suite, change):
    failing, settings = failures(suite, change)
    assert not rounding_matches(failing, settings) and not single_precision_matches(failing, settings)
