"""N losses or tasks of one's own as one task: the same numbers as the library's batched task, and errors that are added."""

from types import SimpleNamespace

import numpy as np
import pytest

import refmeta as rm
from refmeta.oracle.own_tasks import KEPT, PRODUCTS, Opaque, as_task, check_derivatives, product_of

RNG = np.random.default_rng(3)
M, C = RNG.normal(size=(3, 4, 4)), RNG.normal(size=(3, 4))
A = M @ M.swapaxes(-1, -2)
BATCH = rm.Quadratic(A, C)
EACH = [rm.Quadratic(A[i], C[i]) for i in range(3)]
THETA = RNG.normal(size=4)


@pytest.mark.parametrize("shape", [(4,), (3, 4), (1, 4), (2, 1, 4), (2, 3, 4)])
def test_several_tasks_are_the_batched_task_at_any_batch_of_theta(shape):
    theta = RNG.normal(size=shape)
    ours, theirs = as_task(EACH, "support", 4).at(theta), BATCH.at(theta)
    np.testing.assert_allclose(ours.loss, theirs.loss, rtol=1e-13)
    np.testing.assert_allclose(ours.grad, theirs.grad, rtol=1e-12, atol=1e-13)
    for v in (RNG.normal(size=4), RNG.normal(size=(3, 4)), RNG.normal(size=(5, *theirs.grad.shape))):
        np.testing.assert_allclose(ours.hvp(v), theirs.hvp(v), rtol=1e-12, atol=1e-13)
    assert not np.any(ours.error) and not np.any(ours.difference(theta).error)


def test_losses_are_differentiated_and_a_batched_task_stays_as_it_is():
    losses = [lambda t, i=i: 0.5 * (t - C[i]) @ A[i] @ (t - C[i]) for i in range(3)]
    point = as_task(losses, "support", 4).at(THETA)
    assert np.all(np.abs(point.grad - BATCH.at(THETA).grad) <= point.error) and np.all(point.error > 0)
    product, error = point.difference(THETA)
    assert np.all(np.abs(product - BATCH.at(THETA).hvp(THETA)) <= error)
    assert as_task(BATCH, "support", 4) is BATCH and as_task(EACH[0], "support", 4).shape == (1,)
    assert as_task(losses[0], "support", 4).shape == (1,)


def test_noise_moves_what_is_numeric_by_its_error_and_nothing_else():
    losses = [lambda t, i=i: np.sum(np.cos(t + C[i])) for i in range(3)]
    for task, numeric in ((as_task(losses, "support", 4), True), (BATCH, False)):
        plain, noisy = Opaque(task).at(THETA), Opaque(task).noisy(0).at(THETA)
        error = task.at(THETA).error if numeric else 0.0
        np.testing.assert_allclose(np.abs(noisy.grad - plain.grad), error * np.ones((3, 4)), rtol=1e-4, atol=1e-300)
        product, bound = product_of(task.at(THETA), THETA)
        np.testing.assert_allclose(np.abs(noisy.hvp(THETA) - product), bound * np.ones((3, 4)), rtol=1e-4, atol=1e-300)


def test_points_are_kept_but_not_without_end():
    calls = []
    task = as_task([lambda t: calls.append(1) or t @ t], "support", 4)
    opaque = Opaque(task)
    assert opaque.at(THETA).loss == opaque.at(THETA.copy()).loss and len(calls) == 1
    for k in range(2 * KEPT):
        opaque.at(THETA + k)
    assert len(opaque._points) <= KEPT
    with pytest.raises(ValueError, match="theta must be real"):
        opaque.at(THETA + 1j)


def test_a_product_is_asked_once_along_a_direction_and_its_noise_is_drawn_each_time():
    """At another point or along another direction it is asked again; a kept product cannot be written to; few are kept."""
    calls, v, w = [], np.array([1.0, 0.0, -1.0, 0.5]), np.array([0.0, 1.0, 2.0, 0.5])
    single = lambda t, v: calls.append(1) or (np.cos(t) * v).astype(np.float32)
    task = as_task([rm.BlackBox(lambda t: -np.sum(np.cos(t)), 4, grad=np.sin, hvp=single)], "support", 4)
    exact, noisy = Opaque(task), Opaque(task).noisy(0)
    first, other, elsewhere = exact.at(THETA).hvp(v), exact.at(THETA).hvp(w), exact.at(THETA + 1).hvp(v)
    np.testing.assert_allclose([first[0], other[0], elsewhere[0]], [np.cos(THETA) * v, np.cos(THETA) * w, np.cos(THETA + 1) * v], rtol=1e-6)
    assert exact.at(THETA.copy()).hvp(v.copy()) is first and len(calls) == 3 and not first.flags.writeable
    drawn = [noisy.at(THETA).hvp(v) for _ in range(8)]
    assert len(calls) == 4 and any(not np.array_equal(drawn[0], each) for each in drawn)
    for k in range(2 * PRODUCTS):
        exact.at(THETA).hvp(v + k)
    assert len(exact.at(THETA)._products) <= PRODUCTS


MISTAKES = {
    "a small loss": (1e-6, lambda g: 5 * g), "a direction that a cosine does not see": (1.0, lambda g: g + np.array([1.0, -1.0, 0.5, 0.0])),
    "a factor near 1": (1.0, lambda g: 1.00003 * g), "one entry": (1.0, lambda g: g + [0.02, 0, 0, 0]),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_gradient_that_is_no_derivative_is_refused(mistake):
    """In one task of three, the others of them large."""
    scale, change = MISTAKES[mistake]
    right = [rm.BlackBox(lambda t: 1e6 * np.sum(np.sin(t)), 4, grad=lambda t: 1e6 * np.cos(t))] * 2
    wrong = rm.BlackBox(lambda t: scale * np.sum(np.sin(t)), 4, grad=lambda t: change(scale * np.cos(t)))
    with pytest.raises(ValueError, match=r"^support\[2\]: grad"):
        check_derivatives("support", as_task([*right, wrong], "support", 4), THETA)
    check_derivatives("support", as_task(right, "support", 4), THETA)


class Wrong:
    """The batched task with one row of its derivatives off."""

    shape, dim = BATCH.shape, 4

    def __init__(self, part):
        self.part = part

    def at(self, theta):
        point, factor = BATCH.at(theta), np.array([1.0, 1.0, 1.001])[:, None]
        grad, hvp = ((factor if self.part == of else 1) for of in ("grad", "hvp"))
        return SimpleNamespace(theta=theta, loss=point.loss, grad=grad * point.grad, hvp=lambda v: hvp * point.hvp(v))


@pytest.mark.parametrize(("part", "of"), [("grad", "the loss"), ("hvp", "grad")])
def test_derivatives_of_a_task_that_is_not_seen_into_are_checked_task_by_task(part, of):
    with pytest.raises(ValueError, match=rf"^query.at\(theta\).{part}.* is not the derivative of {of} .* for task 2"):
        check_derivatives("query", Wrong(part), THETA)
    check_derivatives("query", BATCH, THETA)


def test_a_random_gradient_is_said_to_be_random():
    rng = np.random.default_rng(0)
    box = rm.BlackBox(lambda t: np.sum(np.sin(t)), 4, grad=lambda t: np.cos(t) * (1 + 1e-7 * rng.normal()))
    with pytest.raises(ValueError, match=r"support\[0\]: grad is random"):
        check_derivatives("support", as_task([box], "support", 4), THETA)


def test_a_gradient_that_nothing_speaks_against_is_taken():
    """Where the loss is flat, and where its noise hides the slope."""
    flat = rm.BlackBox(lambda t: np.sum((t - THETA) ** 2), 4, grad=lambda t: 2 * (t - THETA))
    noisy = lambda t: 1e13 + np.sum(np.sin(t))
    check_derivatives("support", as_task([flat, rm.BlackBox(noisy, 4, grad=np.cos)], "support", 4), THETA)
