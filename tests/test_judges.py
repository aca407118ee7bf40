"""The judges are judged: right derivatives pass, derivatives wrong by 1e-6 do not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refmeta import problems as make
from refmeta.judges import adjoint_gap, central_difference, complex_step, taylor_rates
from refmeta.meta import maml
from tests.strategies import assert_right, costly, seeds

EPS = np.finfo(float).eps


def cubic(x):
    """x₀³ + 2x₀x₁ + e^{x₁}: gradient (3x₀² + 2x₁, 2x₀ + e^{x₁}), Hessian [[6x₀, 2], [2, e^{x₁}]]."""
    return x[0] ** 3 + 2 * x[0] * x[1] + np.exp(x[1])


X = np.array([0.75, -0.5])
GRADIENT = np.array([3 * X[0] ** 2 + 2 * X[1], 2 * X[0] + np.exp(X[1])])
HESSIAN = np.array([[6 * X[0], 2.0], [2.0, np.exp(X[1])]])
V = np.array([1.0, -0.625])


@pytest.mark.eq("complex-step")
def test_complex_step_gives_every_digit():
    np.testing.assert_allclose(complex_step(cubic, X), GRADIENT, rtol=4 * EPS)
    np.testing.assert_allclose(complex_step(cubic, X, V), GRADIENT @ V, rtol=8 * EPS)
    jacobian = complex_step(lambda x: np.array([x[0] * x[1], x[1] ** 2, np.sin(x[0])]), X)
    np.testing.assert_allclose(jacobian, [[X[1], X[0]], [0, 2 * X[1]], [np.cos(X[0]), 0]], rtol=4 * EPS)


@pytest.mark.eq("complex-step")
def test_complex_step_keeps_the_shape_of_a_table():
    W = np.arange(6.0).reshape(2, 3)
    got = complex_step(lambda w: w @ np.ones(3), W)
    np.testing.assert_array_equal(got, [[[1, 1, 1], [0, 0, 0]], [[0, 0, 0], [1, 1, 1]]])


def test_complex_step_refuses_a_function_that_cuts_the_imaginary_part_off():
    with pytest.raises(TypeError, match="f returned dtype float64 for complex input; a complex step needs"):
        complex_step(lambda x: np.abs(x).sum(), X)
    with pytest.raises(ValueError, match="h must be positive, got 0.0"):
        complex_step(cubic, X, h=0.0)


@pytest.mark.eq("complex-step", "central-difference")
@given(rng=seeds)
def test_a_complex_step_is_right_and_the_error_of_a_central_difference_stays_within_its_budget(rng):
    x, v = rng.uniform(0.25, 2, size=2), rng.uniform(0.25, 2, size=2)
    assert_right("complex-step", x)
    for h in (None, 1e-3, 1e-5, 1e-7):
        assert_right("central-difference", (x, v, h))
        error = central_difference(cubic, x, v, h=h).error
        assert error < 1e-4 * np.linalg.norm(v) * np.exp(np.max(np.abs(x))) * 10
    assert_right("central-difference", (x, None, None))
    assert central_difference(cubic, x).error.shape == (2,)


@pytest.mark.eq("central-difference")
def test_a_central_difference_is_exact_on_a_quadratic_in_dyadic_numbers():
    got = central_difference(lambda x: x @ x, np.array([0.5, 2.0]), h=2.0**-10)
    np.testing.assert_array_equal(got.derivative, [1.0, 4.0])


def test_a_gradient_wrong_by_a_millionth_is_outside_the_budget_and_the_complex_step():
    wrong = GRADIENT * (1 + 1e-6)
    numeric = central_difference(cubic, X)
    assert np.all(np.abs(wrong - numeric.derivative) > 10 * numeric.error)
    assert np.all(np.abs(wrong - complex_step(cubic, X)) > 1e8 * EPS * np.abs(wrong))


@pytest.mark.eq("taylor-rate")
@given(size=st.floats(0.5, 1))
def test_taylor_rates_of_a_right_gradient_and_hessian_are_one_two_three(size):
    assert_right("taylor-rate", (X, size * V))
    assert taylor_rates(cubic, X, size * V, GRADIENT, HESSIAN @ V * size).passed
    assert taylor_rates(cubic, X, size * V, GRADIENT).passed


@pytest.mark.parametrize("size", [1e-1, 1e-3, 1e-6])
def test_a_wrong_gradient_fails_its_taylor_rate(size):
    rates = taylor_rates(cubic, X, V, GRADIENT * (1 + size), h=2.0**-12 if size < 1e-5 else 2.0**-8, halvings=12)
    assert not rates.passed and rates.orders[1] < 1.9


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.01, 2.0])
def test_a_wrong_hessian_product_fails_its_taylor_rate(factor):
    rates = taylor_rates(cubic, X, V, GRADIENT, factor * HESSIAN @ V, halvings=8)
    assert not rates.passed and rates.orders[2] < 2.9


@pytest.mark.eq("taylor-rate")
def test_taylor_rates_count_an_exact_remainder_and_refuse_a_direction_in_which_nothing_moves():
    def square(x):
        return x @ x

    rates = taylor_rates(square, X, V, 2 * X, 2 * V)
    assert rates.orders[2] == np.inf and rates.passed
    flat = taylor_rates(square, X, np.array([X[1], -X[0]]), 2 * X)
    assert flat.orders[0] == pytest.approx(2, abs=0.1) and not flat.passed
    assert not taylor_rates(lambda x: 1.0, X, V, 0 * X).passed


@pytest.mark.eq("adjoint-test")
@given(rng=seeds, n=st.integers(1, 4), m=st.integers(1, 4))
def test_adjoint_gap_accepts_a_transpose_and_refuses_anything_else(rng, n, m):
    A, u, w = rng.normal(size=(n, m)), rng.normal(size=m), rng.normal(size=n)
    assert_right("adjoint-test", (A, u, w))
    off = 1e-6 * abs(w @ A @ u) / (np.abs(w) @ np.abs(A @ u) + np.abs(A.T @ w) @ np.abs(u))
    assert adjoint_gap(lambda x: A @ x, lambda y: A.T @ y * (1 + 1e-6), u, w) == pytest.approx(
        off, rel=1e-5, abs=4 * EPS
    )
    assert adjoint_gap(lambda x: HESSIAN @ x, lambda x: HESSIAN @ x, X, V) < 8 * EPS
    skew = HESSIAN + np.array([[0.0, 1e-6], [0.0, 0.0]])
    assert adjoint_gap(lambda x: skew @ x, lambda x: skew @ x, X, V) > 1e-9


@pytest.mark.eq("decimal-certificate")
@costly
@given(rng=seeds, states=st.integers(1, 2), actions=st.integers(1, 2), horizon=st.sampled_from((None, 1, 2)))
def test_a_certificate_in_decimals_is_the_gradient_of_the_return(rng, states, actions, horizon):
    mdp = make.random_process(rng, 1, states, actions, horizon=horizon)
    assert_right("decimal-certificate", (rng.normal(size=states * actions), mdp))


def test_adjoint_gap_refuses_to_compare_zeros():
    with pytest.raises(ValueError, match="compares two zeros"):
        adjoint_gap(lambda x: 0 * x, lambda x: 0 * x, X, V)


def test_the_budget_of_a_central_difference_holds_at_a_zero_of_the_function():
    got = central_difference(lambda x: x[0] - 1.1, np.array([1.1]))
    assert 0 < abs(got.derivative[0] - 1) <= got.error[0] < 1e-9


def test_a_large_offset_blurs_the_remainders_and_proves_nothing():
    """e^t + 10⁹ with a gradient that is 5 % wrong: the remainder is at the floor, and the floor is not sharp."""
    rates = taylor_rates(lambda t: np.exp(t[0]) + 1e9, np.zeros(1), np.ones(1), np.array([1.05]))
    assert not rates.passed and np.isnan(rates.orders[1])


@pytest.mark.parametrize("h", [0.0, -0.1, np.nan])
def test_a_step_that_is_not_positive_is_refused(h):
    with pytest.raises(ValueError, match="h must be"):
        taylor_rates(cubic, X, V, GRADIENT, h=h)
    with pytest.raises(ValueError, match="h must be"):
        central_difference(cubic, X, h=h)


def test_a_function_that_reuses_its_buffer_or_works_in_single_precision_is_judged_as_it_is():
    buffer = np.zeros(1)

    def reused(x):
        buffer[:] = 2 * x
        return buffer

    np.testing.assert_allclose(central_difference(reused, np.ones(1)).derivative, [[2.0]], rtol=1e-9)
    single = central_difference(lambda x: np.float32(2) * x.astype(np.float32), np.array([1 / 3]))
    assert abs(single.derivative[0, 0] - 2) <= single.error[0, 0] and single.error[0, 0] > 1e-3


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: complex_step(lambda x: x * np.nan, X), FloatingPointError, "f returned a number that is not finite"),
        (lambda: central_difference(lambda x: np.inf, X), FloatingPointError, "f returned a number that is not finite"),
        (lambda: complex_step(cubic, X, V[:1]), ValueError, r"direction has shape \(1,\), expected \(2,\) as x"),
        (lambda: complex_step(cubic, []), ValueError, r"x has shape \(0,\), expected at least one number"),
        (
            lambda: taylor_rates(cubic, X, V, GRADIENT[:1]),
            ValueError,
            r"gradient has shape \(1,\), expected \(2,\) as x",
        ),
        (
            lambda: taylor_rates(cubic, X, V, GRADIENT, hvp=[1.0]),
            ValueError,
            r"hvp has shape \(1,\), expected \(2,\) as x",
        ),
        (
            lambda: adjoint_gap(np.sum, lambda w: w, X, V),
            ValueError,
            r"returned shapes \(\), \(2,\), expected \(2,\), \(2,\)",
        ),
    ],
)
def test_bad_input_is_refused_in_a_sentence(call, error, sentence):
    with pytest.raises(error, match=sentence):
        call()


def test_the_truncation_that_is_reported_is_twice_that_of_a_cubic():
    """x³ at 1, h = 10⁻³: the error is h² = 10⁻⁶, and the difference to the quotient at √3 h is 2h²."""
    got = central_difference(lambda x: x[0] ** 3, np.ones(1), h=1e-3)
    assert 1e-6 * 0.999 < abs(got.derivative[0] - 3) < got.error[0] / 1.99 < 1.01e-6


@pytest.mark.eq("central-difference")
@pytest.mark.parametrize("kind", make.KINDS)
def test_the_error_reported_holds_on_maml_objectives_and_is_not_absurdly_large(kind):
    ratios = []
    for seed, h in ((0, None), (1, 1e-2), (2, 1e-4), (3, 1e-8)):
        rng = np.random.default_rng(seed)
        case = make.random_problem(rng, kind, tasks=1, size=2, width=2, steps=1 + seed % 3)
        f = lambda t, case=case: maml.objective(t, *case.split, **case.hyper)
        exact, got = complex_step(f, case.theta), central_difference(f, case.theta, h=h)
        off = np.abs(got.derivative - exact)
        assert np.all(off <= got.error + 4 * EPS * np.max(np.abs(exact)))
        ratios += list((got.error / np.maximum(off, EPS * np.max(np.abs(exact)))).ravel())
    assert np.median(ratios) < 100


@pytest.mark.eq("central-difference")
def test_the_rounding_reported_covers_thousands_of_functions_right_or_less_right_to_the_last_digit():
    """a sin(x + b), and the same after 16 is added and subtracted, which rounds it by up to 8 ε: it is measured."""
    rng, size = np.random.default_rng(0), {}
    a, b = rng.uniform(1, 2, size=4000), rng.uniform(-0.7, 1.3, size=4000)
    for lift in (0.0, 16.0):
        got = central_difference(lambda x, lift=lift: (a * np.sin(x[0] + b) + lift) - lift, [0.3], h=1e-7)
        off = np.abs(got.derivative[:, 0] - a * np.cos(0.3 + b))
        assert np.all(off <= got.error[:, 0] + EPS * a)
        assert np.mean(np.isfinite(got.error)) > 0.99
        size[lift] = np.median(got.error)
    assert size[16.0] > 2 * size[0.0]


def adam(g):
    """A step of Adam's: its slope at 0 is 10⁸, and a hundredth of that two steps of 10⁻⁷ further."""
    return g[0] / (np.abs(g[0]) + 1e-8)


ROUGH = {
    "adam": (adam, 0.0),
    "kink": (lambda x: np.abs(x[0]), 0.0),
    "kink-near": (lambda x: np.abs(x[0]), 2e-6),
    "ramp": (lambda x: np.sin(x[0]) + np.maximum(x[0], 0), 0.0),
    "smooth-ramp": (lambda x: x[0] * np.abs(x[0]), 1e-6),
    "jump": (lambda x: np.float64(x[0] > 0), 0.0),
    "oscillation": (lambda x: np.sin(1e6 * x[0]), 0.0),
    "small-oscillation": (lambda x: np.sin(x[0]) + 1e-6 * np.sin(1e6 * x[0]), 0.5),
    "whole-periods": (lambda x: np.sin(2 * np.pi * x[0] / 2.0**-16), 0.0),
    "noise": (lambda x: np.sin(x[0]) + 1e-8 * np.random.default_rng(int(abs(x[0]) * 1e15)).normal(), 1.0),
}


@pytest.mark.eq("central-difference")
@pytest.mark.parametrize("name", ROUGH)
def test_no_error_is_reported_where_a_function_is_not_smooth_within_the_step(name):
    f, x = ROUGH[name]
    assert central_difference(f, [x], h=2.0**-16 if name == "whole-periods" else None).error[0] == np.inf


@pytest.mark.eq("central-difference")
def test_a_larger_step_bounds_noise_and_a_smaller_one_a_steep_slope():
    f, x = ROUGH["noise"]
    noisy = central_difference(f, [x], h=1e-2)
    assert abs(noisy.derivative[0] - np.cos(x)) <= noisy.error[0] < 1e-3
    steep = central_difference(adam, [1e-8], h=1e-12)
    assert abs(steep.derivative[0] - 2.5e7) <= steep.error[0] < 10


def test_the_rounding_of_the_points_is_counted_along_a_direction_of_any_length():
    """x₀ − 1.1·10⁶ along (2¹⁰, 0): the step is 2¹⁰ h, and the error of the points, in units of the slope, that much less."""
    f = lambda x: x[0] - 1.1e6
    long = central_difference(f, [1.1e6, 0.0], [1024.0, 0.0], h=2.0**-20)
    unit = central_difference(f, [1.1e6, 0.0], [1.0, 0.0], h=2.0**-10)
    np.testing.assert_allclose(long.derivative, 1024 * unit.derivative, rtol=1e-12)
    np.testing.assert_allclose(long.error, 1024 * unit.error, rtol=1e-3)


@pytest.mark.parametrize(("h", "sentence"), [(1e308, "h is too large"), (5e-324, "h is too small")])
def test_a_step_that_overflows_is_named(h, sentence):
    with pytest.raises(FloatingPointError, match=sentence):
        central_difference(lambda x: np.sign(x[0]), [0.0], h=h)
