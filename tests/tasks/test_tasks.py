"""Quadratic, linear and softmax regression: values by loops and rationals, derivatives by the judges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refmeta import LinearQuadratic, LinearRegression, Quadratic, SoftmaxRegression
from refmeta.judges import central_difference, taylor_rates
from refmeta.problems import hessian, random_tasks
from tests import independent
from tests.strategies import assert_right, points, seeds

EPS = np.finfo(float).eps
KINDS = ("quadratic", "linear-regression", "softmax-regression")
supervised = points(kinds=KINDS)


@pytest.mark.eq("quadratic", "linear-regression", "softmax-regression")
@given(case=supervised)
def test_loss_gradient_and_hessian_are_sums_written_out(case):
    """The loops of `independent.py`; bounds relative to the largest number in play, sums of at most 60 terms."""
    task, theta, v = case
    point = task.at(theta)
    for i in range(task.shape[0]):
        other = independent.single(task, i)
        size = 100 * EPS * (1 + np.max(np.abs(other.hess(theta)))) * (1 + np.sum(theta**2)) * 10
        assert abs(point.loss[i] - other.loss(theta)) <= size
        assert np.max(np.abs(point.grad[i] - other.grad(theta))) <= size
        assert np.max(np.abs(point.hvp(v)[i] - other.hess(theta) @ v)) <= size * np.sum(np.abs(v))


@pytest.mark.eq("quadratic", "linear-regression", "softmax-regression")
@given(label=st.sampled_from(KINDS), data=st.data())
def test_the_loss_is_a_sum_written_out_and_its_derivatives_are_complex_steps(label, data):
    task, theta, v = data.draw(points(kinds=(label,)))
    assert_right(label, (task, theta, theta, v))


@given(case=supervised)
def test_the_hessian_is_symmetric_and_central_differences_agree(case):
    task, theta, _ = case
    H = hessian(task, theta)
    np.testing.assert_allclose(H, H.swapaxes(-1, -2), rtol=0, atol=16 * EPS * np.max(np.abs(H)))
    numeric = central_difference(lambda t: task.at(t).loss, theta)
    assert np.all(np.abs(numeric.derivative - task.at(theta).grad) <= 4 * np.max(numeric.error))


@pytest.mark.parametrize("kind", KINDS)
def test_taylor_rates_are_one_two_three(kind):
    rng = np.random.default_rng(1)
    task = random_tasks(rng, kind)[0]
    theta, v = rng.normal(size=task.dim), 0.2 * rng.normal(size=task.dim)
    point = task.at(theta)
    rates = taylor_rates(lambda t: task.at(t).loss, theta, v, point.grad, point.hvp(v), h=0.5)
    assert rates.passed, rates


@pytest.mark.eq("quadratic")
def test_quadratic_by_hand():
    """A = [[2, 1], [1, 3]], c = (1, −1), θ = (2, 1): θ − c = (1, 2), A(θ − c) = (4, 7), L = ½(4 + 14) = 9."""
    point = Quadratic([[2, 1], [1, 3]], [1, -1]).at([2, 1])
    assert point.loss == 9
    np.testing.assert_array_equal(point.grad, [4, 7])
    np.testing.assert_array_equal(point.hvp([1, -1]), [1, -2])


@pytest.mark.eq("linear-regression")
def test_linear_regression_by_hand():
    """X = [[1, 0], [1, 2]], y = (0, 1), θ = (1, −1): residuals (1, −2), L = 5/4, ∇L = (−1/2, −2)."""
    point = LinearRegression([[1, 0], [1, 2]], [0, 1]).at([1, -1])
    assert point.loss == 1.25
    np.testing.assert_array_equal(point.residual, [1, -2])
    np.testing.assert_array_equal(point.grad, [-0.5, -2])
    np.testing.assert_array_equal(point.hvp([2, 1]), [3, 4])


@pytest.mark.eq("softmax-regression")
def test_softmax_regression_by_hand():
    """One row x = 1, W = log(1, 2, 5): π = (1, 2, 5)/8, label 1: L = log 4 + ridge/2·‖θ‖², ∇ = π − e₁ + ridge·θ."""
    theta, pi = np.log([1.0, 2.0, 5.0]), np.array([0.125, 0.25, 0.625])
    point = SoftmaxRegression([[1.0]], [1], classes=3, ridge=0.5).at(theta)
    np.testing.assert_allclose(point.loss, np.log(4) + 0.25 * theta @ theta, rtol=4 * EPS)
    np.testing.assert_allclose(point.grad, pi - [0, 1, 0] + 0.5 * theta, rtol=0, atol=4 * EPS)
    v = np.array([1.0, -1.0, 2.0])
    np.testing.assert_allclose(point.hvp(v), pi * (v - pi @ v) + 0.5 * v, rtol=0, atol=4 * EPS)


def test_parameters_are_class_major():
    """Two features, two classes: the first two parameters are the weights of class 0."""
    task = SoftmaxRegression([[3.0, 0.0]], [0], classes=2)
    np.testing.assert_allclose(task.at([1.0, 9.0, 0.0, 9.0]).loss, np.log1p(np.exp(-3)), rtol=0, atol=4 * EPS)


def test_the_number_of_classes_comes_from_the_largest_label_of_all_tasks_by_default():
    assert SoftmaxRegression(np.ones((2, 2, 1)), [[0, 1], [0, 3]]).dim == 4
    assert SoftmaxRegression(np.ones((2, 1)), [0, 0], classes=5).dim == 5


@given(rng=seeds)
def test_extreme_logits_are_right_and_finite(rng):
    task = SoftmaxRegression([[1.0], [-1.0]], [0, 1], classes=2)
    point = task.at([-700.0, 700.0])
    assert point.loss == 1400
    np.testing.assert_array_equal(point.grad, [-1.0, 1.0])
    np.testing.assert_array_equal(point.hvp(rng.normal(size=2)), [0, 0])


@pytest.mark.parametrize("kind", KINDS)
def test_batch_axes_broadcast(kind):
    rng = np.random.default_rng(0)
    task = random_tasks(rng, kind, tasks=4)
    for theta, shape in ((rng.normal(size=task.dim), (4,)), (rng.normal(size=(5, 1, task.dim)), (5, 4))):
        point, v = task.at(theta), rng.normal(size=(7, *(1,) * len(shape), task.dim))
        assert point.loss.shape == shape and point.grad.shape == (*shape, task.dim)
        assert point.hvp(v).shape == (7, *shape, task.dim) and point.hvp(v[0, ..., :]).shape[-1] == task.dim
        for index in np.ndindex(shape):
            alone = task[index[-1]].at(np.broadcast_to(theta, (*shape, task.dim))[index])
            np.testing.assert_allclose(
                point.grad[index], alone.grad, rtol=0, atol=32 * EPS * (1 + np.max(np.abs(alone.grad)))
            )
            np.testing.assert_allclose(
                point.hvp(v)[(2, *index)], alone.hvp(v[2].ravel()), rtol=0, atol=1e-14 * (1 + np.max(np.abs(v))) * 10
            )


def test_a_field_shared_by_all_tasks_broadcasts():
    task = Quadratic([[2.0, 0.0], [0.0, 1.0]], [[0.0, 0.0], [1.0, 1.0], [2.0, 0.0]])
    assert task.shape == (3,) and task.at(np.zeros((5, 1, 2))).hvp([1, 1]).shape == (5, 3, 2)
    np.testing.assert_array_equal(task[2].A, task.A)
    assert LinearRegression(np.ones((2, 1)), np.zeros((3, 2))).at([1.0]).hvp([1.0]).shape == (3, 1)
    assert SoftmaxRegression(np.ones((2, 1)), np.zeros((3, 2), int), classes=2).at([1.0, 0.0]).hvp([1.0, 0]).shape == (
        3,
        2,
    )


def test_inputs_are_copied_and_never_written_to():
    A, c = np.array([[2.0, 1.0], [1.0, 3.0]], order="F"), np.zeros(2)
    task = Quadratic(A, c)
    A[:], c[:] = 0, 1
    np.testing.assert_array_equal(task.at([4.0, 8.0]).grad, [16, 28])
    theta = np.array([1.0, 2.0])
    point = task.at(theta)
    theta[:] = 0
    assert point.loss == 9
    with pytest.raises(ValueError, match="read-only"):
        point.grad[0] = 1


ONE = np.ones((2, 1))


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: Quadratic([[1, 2], [3, 4]], [0, 0]), ValueError, r"A\[0, 1\] is 2.0, its mirror image 3.0; A must be symmetric: \(A \+ A.T\)/2"),
        (lambda: Quadratic([[1, 2]], [0, 0]), ValueError, r"A has shape \(1, 2\), expected \(..., d, d\)"),
        (lambda: Quadratic([[1.0]], [0, 0]), ValueError, r"c has shape \(2,\), expected last axis 1 as A of shape \(1, 1\)"),
        (lambda: Quadratic([[1.0]], 0.0), ValueError, "c is a scalar"),
        (lambda: Quadratic([[np.nan]], [0.0]), ValueError, r"A\[0, 0\] is nan"),
        (lambda: Quadratic(np.ones((3, 1, 1)), np.ones((2, 1))), ValueError, r"got A \(3,\), c \(2,\)"),
        (lambda: Quadratic([[1.0]], [0.0]).at([1, 2]), ValueError, r"theta has shape \(2,\), expected last axis 1 as A"),
        (lambda: LinearRegression(np.ones((0, 2)), []), ValueError, r"X has shape \(0, 2\), expected \(..., n, f\) with at least one row"),
        (lambda: LinearRegression(ONE, [1.0]), ValueError, r"y has shape \(1,\), expected last axis 2 = the number of rows of X"),
        (lambda: LinearRegression(ONE, [1j, 0]), TypeError, "y must be real"),
        (lambda: LinearRegression(ONE, [1, 2]).at([1, 2]), ValueError, "expected last axis 1 = the number of columns of X"),
        (lambda: SoftmaxRegression(ONE, [0.0, 1.0]), TypeError, "labels must be integers, got dtype float64"),
        (lambda: SoftmaxRegression(ONE, [True, False]), TypeError, "labels must be numbers of float64 or less, got dtype bool"),
        (lambda: SoftmaxRegression(ONE, [0, -1]), ValueError, r"labels\[1\] is -1, expected 0 <= it$"),
        (lambda: SoftmaxRegression([[1.0]], np.array([2**63], "u8")), ValueError, r"labels\[0\] is 9223372036854775808, expected 0 <= it$"),
        (lambda: Quadratic([[1, 1 + 3e-15], [1, 1]], [0, 0]), ValueError, "A must be symmetric"),
        (lambda: Quadratic([[0, 1e308], [-1e308, 0]], [0, 0]), ValueError, "A must be symmetric"),
        (lambda: Quadratic(np.eye(2), np.zeros((2, 2))).at([0, 0]).hvp(np.zeros((3, 2))), ValueError, r"got v \(3,\), point \(2,\)"),
        (lambda: LinearRegression(np.ones((2, 2, 1)), [1, 2]).at([0]).hvp(np.zeros((3, 1))), ValueError, r"got v \(3,\), point \(2,\)"),
        (lambda: SoftmaxRegression(np.ones((2, 2, 1)), [0, 1]).at([0, 0]).hvp(np.zeros((3, 2))), ValueError, r"got v \(3,\), point \(2,\)"),
        (lambda: SoftmaxRegression(ONE, [0, 3], classes=3), ValueError, r"labels\[1\] is 3, expected 0 <= it < 3"),
        (lambda: SoftmaxRegression(ONE, [0, 1], ridge=-0.5), ValueError, "ridge must be at least 0.0, got -0.5"),
        (lambda: SoftmaxRegression(ONE, [0, 1]).at([0.0]), ValueError, "expected last axis 2 = 2 classes x 1 features"),
        (lambda: SoftmaxRegression(ONE, [0, 1], classes=0), ValueError, "classes must be at least 1, got 0"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_in_a_sentence(call, error, sentence):
    with pytest.raises(error, match=sentence):
        call()


def test_a_loss_that_overflows_is_named():
    with pytest.raises(
        FloatingPointError,
        match="QuadraticPoint.grad left the finite numbers: an argument, or a step size, is too large",
    ):
        _ = Quadratic([[1e300]], [0.0]).at([1e300]).loss


def test_a_point_takes_its_direction_by_name_and_a_batch_may_have_no_task():
    assert Quadratic([[2.0]], [0.0]).at([1.0]).hvp(v=[3.0]) == 6
    empty = Quadratic(np.zeros((0, 2, 2)), np.zeros((0, 2))).at(np.zeros(2))
    assert empty.loss.shape == (0,) and empty.hvp(np.ones(2)).shape == (0, 2)


def test_a_millionth_of_a_millionth_of_asymmetry_is_refused_and_so_is_an_empty_matrix():
    with pytest.raises(ValueError, match="A must be symmetric"):
        Quadratic([[1.0, 1.0], [1.0 + 1e-13, 1.0]], [0, 0])
    with pytest.raises(ValueError, match="A has shape"):
        Quadratic(np.zeros((0, 0)), np.zeros(0))


@pytest.mark.parametrize("task", [random_tasks(np.random.default_rng(0), kind) for kind in KINDS], ids=KINDS)
def test_batch_axes_and_numbers_are_checked_in_every_method(task):
    with pytest.raises(ValueError, match=r"got theta \(3,\), task \(2,\)"):
        task.at(np.zeros((3, task.dim)))
    with pytest.raises(ValueError, match=r"v\[0\] is nan"):
        task.at(np.zeros(task.dim)).hvp(np.full(task.dim, np.nan))


def test_an_array_shared_by_the_tasks_of_a_batch_is_that_of_each_task():
    X = np.arange(12.0).reshape(3, 2, 2)
    assert np.array_equal(LinearRegression(X, [1.0, 2.0])[2].y, [1.0, 2.0])
    assert np.array_equal(SoftmaxRegression(X, [1, 0])[2].labels, [1, 0])
    assert SoftmaxRegression(X, [0, 0]).dim == 2
    with pytest.raises(ValueError, match=r"got X \(3,\), y \(2,\)"):
        LinearRegression(X, np.zeros((2, 2)))


def test_integers_are_copied_and_kept_read_only():
    labels = np.array([0, 1])
    task = SoftmaxRegression(ONE, labels)
    labels[:] = 1
    assert task.labels.tolist() == [0, 1] and not task.labels.flags.writeable


@pytest.mark.parametrize("scale", [2.0**-1000, 1.0, 2.0**1022])
def test_a_matrix_that_is_symmetric_to_rounding_is_made_so_and_an_exact_one_keeps_its_bits(scale):
    rng, mended = np.random.default_rng(0), 0
    for dim in (2, 3, 5, 8):
        Q, d = np.linalg.qr(rng.normal(size=(20, dim, dim)))[0], rng.normal(size=(20, 1, dim))
        A = scale * (Q * d) @ Q.swapaxes(-1, -2)
        got = Quadratic(A, np.zeros(dim)).A
        np.testing.assert_array_equal(got, got.swapaxes(-1, -2))
        np.testing.assert_allclose(got, A, rtol=0, atol=dim * EPS * scale * np.abs(d).max())
        mended += np.sum(np.any(A != got, axis=(-2, -1)))
        exact = np.tril(A) + np.tril(A, -1).swapaxes(-1, -2)
        np.testing.assert_array_equal(Quadratic(exact, np.zeros(dim)).A, exact)
        assert not got.flags.writeable
    assert mended > 0
    Q = [[1, 0.1], [np.nextafter(0.1, 1), 1]]
    task = LinearQuadratic(np.eye(2), [[1.0], [0.0]], Q, [[1.0]], np.eye(2), np.zeros((2, 2)), 0.9)
    assert Q[0][1] != Q[1][0] and task.Q[0, 1] == task.Q[1, 0]
