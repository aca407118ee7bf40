"""Extrapolated differences: the error that is reported holds, at every scale and under noise, and it is not idle."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refmeta.evidence.differences import random_smooth
from refmeta.judges import complex_step
from refmeta.numerics.differences import _table, noise_of, slope_difference
from refmeta.numerics.losses import gradient_along, loss_gradient, loss_hvp
from tests.strategies import assert_right, seeds

EPS = np.finfo(float).eps
powers = st.integers(-6, 6).map(lambda n: 10.0**n)


def smooth(rng, d, kind):
    """An analytic function of R^d that changes over lengths of about 1, its gradient, and its Hessian product."""
    W, w = rng.normal(size=(5, d)), rng.normal(size=5)
    F, dF, ddF = {
        "tanh": (np.tanh, lambda z: 1 / np.cosh(z) ** 2, lambda z: -2 * np.tanh(z) / np.cosh(z) ** 2),
        "sin": (np.sin, np.cos, lambda z: -np.sin(z)),
        "cube": (lambda z: z**3 + z**2, lambda z: 3 * z**2 + 2 * z, lambda z: 6 * z + 2),
        "pole": (lambda z: 1 / (2 + z**2), lambda z: -2 * z / (2 + z**2) ** 2, lambda z: (6 * z**2 - 4) / (2 + z**2) ** 3),
    }[kind]
    return lambda x: w @ F(W @ x), lambda x: W.T @ (w * dF(W @ x)), lambda x, v: W.T @ (w * ddF(W @ x) * (W @ v))


kinds = st.sampled_from(("tanh", "sin", "cube", "pole"))


@given(rng=seeds, kind=kinds, d=st.integers(1, 4), size=powers, length=powers, offset=st.sampled_from((0.0, 1.0, 100.0)))
def test_the_errors_hold_for_losses_and_parameters_of_every_size(rng, kind, d, size, length, offset):
    base, gradient, product = smooth(rng, d, kind)
    x, v = rng.normal(size=d), rng.normal(size=d)
    exact, curved = size * gradient(x) / length, size * product(x, v) / length**2

    def loss(theta):
        return size * (base(theta / length) + offset)

    own = 30 * EPS * size * np.max(np.abs([*gradient(x), 1e-3])) / length  # the exact value is rounded, too
    found = loss_gradient(loss, x * length)
    assert np.all(np.abs(found.derivative - exact) <= found.error + own)
    along = gradient_along(lambda theta: size * gradient(theta / length) / length, x * length, v, exact)
    assert np.all(np.abs(along.derivative - curved) <= along.error + 100 * own / length)
    mixed = loss_hvp(loss, x * length, v)
    assert np.all(np.abs(mixed.derivative - curved) <= mixed.error + 100 * own / length)


@pytest.mark.parametrize("kind", ["tanh", "sin", "cube", "pole"])
def test_the_errors_are_within_a_factor_of_some_hundred(kind):
    """The median over 60 entries of the bound over the error: above 1, or it would not hold; below some hundred."""
    ratios, relative = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        base, gradient, _ = smooth(rng, 3, kind)
        x = rng.normal(size=3)
        found = loss_gradient(base, x)
        relative.append(np.max(found.error) / np.max(np.abs(gradient(x))))
        ratios.extend(found.error / np.maximum(np.abs(found.derivative - gradient(x)), EPS * np.abs(gradient(x))))
    assert 3 < np.median(ratios) < 300
    assert np.median(relative) < 1e-10


@settings(max_examples=settings.default.max_examples // 2)
@given(rng=seeds, kind=kinds, noise=st.sampled_from((1e-13, 1e-10, 1e-7)), length=powers)
def test_the_error_holds_under_noise(rng, kind, noise, length):
    """Noise of a relative size, another one at every point; the gradient that is judged is that of the smooth loss."""
    base, gradient, _ = smooth(rng, 3, kind)
    x = rng.normal(size=3)

    def loss(theta):
        return (base(theta / length) + 5) * (1 + noise * np.random.default_rng(list(theta.tobytes())).uniform(-1, 1))

    found = loss_gradient(loss, x * length)
    assert np.all(np.abs(found.derivative - gradient(x) / length) <= found.error)


@given(rng=seeds, kind=kinds, length=powers)
def test_single_precision_is_noticed_and_its_error_holds(rng, kind, length):
    base, gradient, _ = smooth(rng, 3, kind)
    x = rng.normal(size=3)
    found = loss_gradient(lambda theta: float(np.float32(base(theta / length))), x * length)
    assert np.all(np.abs(found.derivative - gradient(x) / length) <= found.error)
    assert np.max(found.error) > 1e-8 * np.max(np.abs(gradient(x))) / length


@pytest.mark.eq("richardson-difference", "richardson-mixed-difference")
@given(rng=seeds)
def test_extrapolated_differences_are_the_derivatives_by_hand(rng):
    case = random_smooth(rng)
    assert_right("richardson-difference", case)
    assert_right("richardson-mixed-difference", case)


@pytest.mark.eq("richardson-difference")
def test_one_extrapolation_of_a_fifth_power_by_hand():
    """q = 5 + 10h² + h⁴ at 1; T(k,1) = 5 − h_{k−1}² h_k², T(2,2) = 5, in fractions."""
    squares = [Fraction(1, 7) / 12**k for k in range(3)]
    q = [5 + 10 * h2 + h2**2 for h2 in squares]
    first = [b + (b - a) / 11 for a, b in zip(q, q[1:], strict=False)]
    assert first == [5 - squares[0] * squares[1], 5 - squares[1] * squares[2]]
    assert first[1] + (first[1] - first[0]) / 143 == 5
    floats = np.array([[5 + 10 * 12.0**-k + 144.0**-k] for k in range(4)])
    assert abs(_table(floats, None, np.full((4, 1), 1e-16)).derivative[0] - 5) < 1e-13
    found, _ = slope_difference(lambda t: np.array([(1 + t) ** 5]), np.ones(1), step=0.1, moved=1.0)
    assert 0 < abs(found.derivative[0] - 5) <= found.error[0] < 1e-10


@pytest.mark.eq("sixth-difference-noise")
@given(rng=seeds, size=st.floats(-12, -2))
def test_planted_noise_is_measured(rng, size):
    assert_right("sixth-difference-noise", (rng.normal(size=(40, 9)), 10.0**size))


def test_a_smooth_function_shows_no_noise_but_rounding():
    noise = noise_of(lambda t: np.array([np.exp(t)]), np.zeros(1), 1e-4)
    assert noise.noise[0] < 4 * EPS and noise.eps == EPS


@pytest.mark.parametrize("kink", [np.abs, lambda t: np.maximum(t, 0), lambda t: np.abs(t) ** 1.5, np.sign])
def test_where_the_loss_is_not_smooth_no_error_is_given(kink):
    x = np.array([0.3, -0.7])
    found = loss_gradient(lambda t: float(kink(t[0] - 0.3) + np.sin(t[1])), x)
    assert np.isinf(found.error[0]) or found.error[0] > 0.1
    assert abs(found.derivative[1] - np.cos(-0.7)) <= found.error[1]
    assert kink is np.sign or found.error[1] < 1e-6  # a jump is like noise, in every direction


def test_a_kink_beside_theta_is_avoided_by_finer_steps():
    found = loss_gradient(lambda t: float(np.abs(t[0] - 0.301) + t[0] ** 2), np.array([0.3]))
    assert abs(found.derivative[0] - (0.6 - 1)) <= found.error[0] < 1e-6


def test_a_loss_that_is_defined_on_one_side_of_the_steps_only_is_differentiated_by_finer_ones():
    """log at 10⁻³: the first steps leave the positive numbers."""
    for log in (np.log, math.log):
        found = loss_gradient(lambda t, log=log: float(log(t[0])), np.array([1e-3]))
        assert abs(found.derivative[0] - 1e3) <= found.error[0] < 1e-5


def test_a_wrong_derivative_is_outside_the_error():
    """The judge is judged: what is wrong by a relative 1e-9 is refused."""
    base, gradient, _ = smooth(np.random.default_rng(0), 3, "tanh")
    x = np.array([0.2, -0.4, 0.9])
    found, exact = loss_gradient(base, x), complex_step(base, x)
    np.testing.assert_allclose(exact, gradient(x), rtol=1e-13)
    assert np.all(np.abs(found.derivative - exact) <= found.error)
    assert np.all(np.abs(found.derivative - exact * (1 + 1e-9)) > found.error)


def test_a_parameter_without_effect_has_a_slope_of_zero_and_costs_no_search():
    calls = []
    found = loss_gradient(lambda t: calls.append(0) or float(np.sin(t[0])), np.ones(40))
    assert np.all(found.derivative[1:] == 0) and np.max(found.error) < 1e-10
    assert len(calls) < 40 * 9 + 120
