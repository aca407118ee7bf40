"""The right answer plus a small multiple of a known departure: a formula, an ε, an input that is a little off."""

import numpy as np
import pytest

import refmeta as rm
from refmeta.arrays import replace_fields
from refmeta.oracle.diagnosis.traces import Departure, least_squares, offset, traces
from refmeta.oracle.judge import right_result
from refmeta.oracle.suites import SUITES
from tests.oracle.diagnosis.planted import changed, diagnosis, failures

FIRST = next(row for row in SUITES["maml-regression"].rows if row.slug == "first-order")


@pytest.mark.parametrize(
    ("suite", "changes", "name"),
    [
        ("maml-regression", {"theta": lambda x: x * (1 + 1e-9)}, "theta·(1 + 1e-9)"),
        ("maml-regression", {"X": lambda x: x / (1 + 1e-8), "query_X": lambda x: x / (1 + 1e-8)},
         "X and query_X times (1 − 1e-8)"),
        ("maml-quadratic", {"c": lambda x: x * (1 - 1e-7)}, "c·(1 − 1e-7)"),
        ("maml-tabular", {"rho": lambda x: x * (1 - 1e-8), "query_rho": lambda x: x * (1 - 1e-8)},
         "rho and query_rho times (1 − 1e-8)"),
        ("maml-tabular", {"gamma": lambda x: x - 1e-8 * (x != 0)}, "gamma − 1e-8 where it is not 0"),
        ("maml-lq", {"noise": lambda x: x * (1 + 1e-6)}, "noise·(1 + 1e-6)"),
        ("reptile", {"epsilon": lambda x: x + 1e-8}, "epsilon + 1e-8"),
    ],
)  # fmt: skip
def test_an_input_that_is_a_little_off_is_named(suite, changes, name):
    vectors = slice(0, None, 6) if "gamma" in changes else slice(5)
    assert f"the right result for {name}, in" in (text := diagnosis(changed(suite, **changes), suite, vectors)), text


def test_a_damped_hessian_and_an_epsilon_on_one_side_are_named():
    def damping(theta, A, c, query_A, query_c, alpha, steps):
        alphas, phi = np.broadcast_to(alpha, (steps, len(theta))), np.broadcast_to(theta, c.shape)
        for a in alphas:
            phi = phi - a * np.einsum("nij,nj->ni", A, phi - c)
        g = np.einsum("nij,nj->ni", query_A, phi - query_c)
        for a in alphas[::-1]:
            g = g - np.einsum("nij,nj->ni", A + 1e-10 * np.eye(len(theta)), a * g)
        return g

    assert "I − α(H + 1e-10·I), in" in diagnosis(damping, "maml-quadratic", slice(6))

    def one_side(**inputs):
        p = SUITES["maml-regression"].problem(inputs)
        n = p.support.X.shape[-2]
        support = replace_fields(p.support, X=p.support.X * (n / (n + 1e-8)) ** 0.5, y=p.support.y * (n / (n + 1e-8)) ** 0.5)
        return rm.maml.gradient(p.theta, support, p.query, **p.hyper)

    assert "1/(n + 1e-8), in the support only, in" in diagnosis(one_side, "maml-regression", slice(6))


def first_order(x):
    return FIRST.function(SUITES["maml-regression"].problem(x))


@pytest.mark.parametrize("share", [1e-3, -1e-7])
def test_a_small_part_of_a_known_formula_is_named_with_its_share(share):
    failing, settings = failures("maml-regression", lambda right, x: right + share * (first_order(x) - right))
    found = traces(failing, settings, ())
    assert f"the right result + {share:.3g} · (first-order − the right result)" in [m.what for m in found]
    for o in failing:
        np.testing.assert_allclose(found[0].value(o.case, "gradient"), o.got["gradient"], rtol=1e-9, atol=1e-11)


def test_a_share_that_differs_by_case_is_no_trace():
    failing, settings = failures("maml-regression", lambda right, x: right + 1e-6 * (1 + len(x["X"])) * (first_order(x) - right))
    assert not [m for m in traces(failing, settings, ()) if "first-order" in m.what]


def test_a_large_share_is_no_trace():
    failing, settings = failures("maml-regression", lambda right, x: right + 0.3 * (first_order(x) - right))
    assert not traces(failing, settings, ())


@pytest.mark.parametrize("size", [1e-5, 1e-9])
@pytest.mark.parametrize("suite", ["maml-regression", "maml-tabular", "reptile"])
def test_other_small_errors_are_no_trace_and_no_offset(suite, size):
    def change(right, x):
        return right + size * np.max(np.abs(right)) * np.cos(40 * right / np.max(np.abs(right)))

    failing, settings = failures(suite, change)
    assert failing and not traces(failing, settings, ()) and not offset(failing, settings, ())


def test_one_number_in_every_entry_is_an_offset_and_a_number_that_differs_is_none():
    failing, settings = failures("maml-regression", lambda right, x: right - 3e-7)
    assert [m.what for m in offset(failing, settings, ())] == ["the right result − 3e-07, one number for every entry"]
    failing, settings = failures("maml-regression", lambda right, x: right - 3e-7 * len(x["X"]))
    assert not offset(failing, settings, ())


def test_least_squares_weighs_by_the_tolerance_and_needs_a_value_in_every_failing_case():
    failing, settings = failures("maml-regression", lambda right, x: right + 2e-6)
    ones = Departure("1", lambda case, name: np.ones_like(right_result(case, name, settings)))
    fit = least_squares(ones, failing, (), settings)
    np.testing.assert_allclose(fit.number, 2e-6, rtol=1e-6)
    assert fit.left <= 1 and fit.entries == sum(o.got["gradient"].size for o in failing)
    some = Departure("1", lambda case, name: None if case is failing[0].case else ones.value(case, name))
    assert least_squares(some, failing, (), settings) is None and least_squares(some, failing[1:], failing[:1], settings) is not None
    assert least_squares(Departure("0", lambda case, name: 0 * right_result(case, name, settings)), failing, (), settings) is None
