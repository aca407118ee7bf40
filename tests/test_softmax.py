"""Softmax and its products against plain scalars, rationals and the complex step."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refmeta.judges import complex_step
from refmeta.softmax import centred, centred_at, likeliest, log_softmax, softmax
from tests import independent
from tests.strategies import assert_right, seeds, widths

EPS = np.finfo(float).eps


@st.composite
def logits(draw, spread=3.0):
    return spread * draw(seeds).normal(size=(draw(st.integers(1, 3)), draw(widths)))


@pytest.mark.eq("softmax")
def test_logs_of_integers_give_rational_probabilities():
    got = softmax(np.log([[1.0, 2.0, 5.0], [7.0, 1.0, 1.0]]))
    expected = [[float(Fraction(k, 8)) for k in (1, 2, 5)], [float(Fraction(k, 9)) for k in (7, 1, 1)]]
    np.testing.assert_allclose(got, expected, rtol=4 * EPS)


@pytest.mark.eq("softmax", "log-softmax", "softmax-jvp")
@given(x=logits(), rng=seeds)
def test_softmax_equals_the_sum_in_plain_scalars_and_its_product_the_complex_step(x, rng):
    """Softmax itself entry by entry: the smallest probability has its digits, too."""
    np.testing.assert_allclose(softmax(x), independent.softmax(x), rtol=8 * EPS)
    assert_right("softmax", x)
    assert_right("log-softmax", x)
    assert_right("softmax-jvp", (x, rng.normal(size=x.shape)))


@given(x=logits(), shift=st.integers(-1000, 1000))
def test_a_shift_that_is_exact_changes_no_bit(x, shift):
    x = np.round(x * 1024) / 1024
    np.testing.assert_array_equal(softmax(x + shift), softmax(x))
    np.testing.assert_array_equal(log_softmax(x + shift), log_softmax(x))


def test_rows_of_different_scale_do_not_disturb_each_other():
    x = np.array([[700.0, -700.0, 0.0], [-1e4, -1e4 + 1, -1e4 - 1], [1e4, 0.0, -1e4], [1.0, 2.0, 3.0]])
    pi = softmax(x)
    np.testing.assert_array_equal(pi[3], softmax(x[3]))
    np.testing.assert_array_equal(pi[1], softmax(np.array([0.0, 1.0, -1.0])))
    np.testing.assert_array_equal(pi[2], [1.0, 0.0, 0.0])
    np.testing.assert_array_equal(log_softmax(x)[2], [0.0, -1e4, -2e4])


@pytest.mark.eq("log-softmax")
@given(x=logits(), rng=seeds)
def test_the_complex_step_of_log_softmax_is_the_score(x, rng):
    u = rng.normal(size=x.shape)
    expected = u - np.sum(independent.softmax(x) * u, axis=-1, keepdims=True)
    np.testing.assert_allclose(complex_step(log_softmax, x, u), expected, rtol=0, atol=30 * EPS * np.max(np.abs(u)))


@pytest.mark.parametrize("gap", [1, 40, 300, 700])
def test_centring_loses_no_digit_of_the_sum_over_pairs(gap):
    """Against rationals of the same π and x, relative to Σ_b π_b |x_a − x_b|: at most n ε in real arithmetic."""
    rng = np.random.default_rng(gap)
    logits, x = rng.normal(size=(8, 4)), rng.normal(size=(8, 4)) + 1e3
    logits[:, 2] += gap
    pi = softmax(logits)
    for p, u, row in zip(pi, x, centred(pi, x), strict=True):
        p, u = ([Fraction(float(value)) for value in values] for values in (p, u))
        for a, got in enumerate(row):
            exact, size = (sum(q * f(u[a] - y) for q, y in zip(p, u, strict=True)) for f in (lambda z: z, abs))
            assert abs(Fraction(float(got)) - exact) <= 4 * Fraction(EPS) * size


def test_centring_is_holomorphic_and_broadcasts_without_an_array_of_pairs():
    rng = np.random.default_rng(0)
    pi, x = softmax(rng.normal(size=(1, 2, 3))), rng.normal(size=(4, 1, 3)) + 1j * rng.normal(size=(4, 1, 3))
    pairs = np.sum(pi[..., None, :] * (x[..., :, None] - x[..., None, :]), axis=-1)
    np.testing.assert_allclose(centred(pi, x), pairs, rtol=0, atol=20 * EPS)
    np.testing.assert_allclose(centred(pi + 1e-9j * x, x).imag, pairs.imag, rtol=0, atol=1e-7)
    many = np.zeros(40_000)
    many[7] = 1
    assert centred(softmax(many), many)[7] == pytest.approx(1 - np.e / (np.e + 39_999), rel=1e-12)


@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4), (5, 1, 3, 4)])
@pytest.mark.parametrize("batch", [(), (2, 3)])
@pytest.mark.parametrize("size", [1, 1j])
def test_centring_at_known_places_is_centring(batch, shape, size):
    rng = np.random.default_rng(len(shape))
    pi, x = softmax(rng.normal(size=(*batch, 4)) * (1 + 0.01 * size)), rng.normal(size=shape) * (1 + size)
    place = likeliest(pi)
    np.testing.assert_array_equal(pi.reshape(-1)[place].real, pi.real.max(-1))
    np.testing.assert_array_equal(centred_at(place, pi, x), centred(pi, x))
    less = rng.normal(size=np.broadcast_shapes(shape[:-1], batch))
    np.testing.assert_allclose(centred_at(place, pi, x, less), centred(pi, x) - less[..., None], rtol=0, atol=20 * EPS)


def test_the_pairwise_form_keeps_its_digits_at_a_logit_gap_of_forty():
    """Two actions: x_0 − ⟨π, x⟩ = π_1 (x_0 − x_1), of the order of e⁻⁴⁰; the plain difference has no digit left."""
    pi, x = softmax(np.array([40.0, 0.0])), np.array([1.0 / 3.0, -0.7])
    expected = np.exp(-40.0) / (1 + np.exp(-40.0)) * (x[0] - x[1])
    np.testing.assert_allclose(centred(pi, x)[0], expected, rtol=10 * EPS)
    assert abs(x[0] - pi @ x - expected) > 0.5 * expected


def test_softmax_is_holomorphic_and_never_casts():
    z = np.array([0.3 + 0.2j, -0.1 - 0.4j, 1.0 + 0.0j])
    np.testing.assert_allclose(softmax(z), np.exp(z) / np.exp(z).sum(), rtol=8 * EPS)
    np.testing.assert_allclose(np.exp(log_softmax(z)), softmax(z), rtol=8 * EPS)
    assert softmax(z).dtype == np.complex128 and softmax(z.real).dtype == np.float64


@pytest.mark.eq("softmax")
@pytest.mark.parametrize("gap", [20.0, 40.0, 100.0])
def test_the_complex_step_of_softmax_keeps_its_digits_at_a_large_gap(gap):
    """dπ_0 = π_0π_1(u_0 − u_1) = −dπ_1, of the order of e^−gap, to 10 eps relatively."""
    u, rest = np.array([0.7, -0.4]), np.exp(-gap) / (1 + np.exp(-gap))
    expected = rest / (1 + np.exp(-gap)) * 1.1
    np.testing.assert_allclose(complex_step(softmax, np.array([gap, 0.0]), u), [expected, -expected], rtol=10 * EPS)


@pytest.mark.eq("log-softmax")
def test_ties_of_the_largest_logit_all_count():
    np.testing.assert_allclose(log_softmax(np.zeros((2, 4))), -np.log(4), rtol=4 * EPS)
