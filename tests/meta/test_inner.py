"""Adaptation: steps by hand and by loops, the four shapes of α, and what is refused."""

import numpy as np
import pytest
from hypothesis import given

import refmeta as rm
from refmeta import Quadratic, adapt
from refmeta.meta.arguments import as_step_sizes
from refmeta.problems import random_problem
from tests import independent
from tests.strategies import assert_close, problems

EPS = np.finfo(float).eps
A, C = np.array([[2.0, 1.0], [1.0, 3.0]]), np.zeros(2)


@pytest.mark.eq("inner-step")
def test_two_steps_by_hand():
    """A = [[2, 1], [1, 3]], θ = (4, 8), α = [[½, ¼], [¼, ½]]: (4, 8) → (−4, 1) → (−9/4, 3/2)."""
    inner = adapt([4, 8], Quadratic(A, C), alpha=[[0.5, 0.25], [0.25, 0.5]], steps=2)
    np.testing.assert_array_equal([p.theta for p in inner.path], [[4, 8], [-4, 1], [-2.25, 1.5]])
    np.testing.assert_array_equal(inner.adapted, [-2.25, 1.5])


@pytest.mark.eq("inner-step")
@given(case=problems())
def test_steps_are_those_of_a_plain_loop(case):
    expected = []
    for i in range(case.support.shape[0]):
        task, x = independent.single(case.support, i), case.theta
        for a in independent.rows_of(case.alpha, case.steps, x.size):
            x = x - a * task.grad(x)
        expected.append(x)
    assert_close(lambda c: adapt(c.theta, c.support, **c.hyper).adapted, case, expected)


@pytest.mark.parametrize("kind", ["quadratic", "softmax-regression", "discounted"])
def test_no_steps_and_no_step_size_return_a_copy_of_the_start_for_every_task(kind):
    case = random_problem(np.random.default_rng(0), kind, tasks=3)
    for alpha, steps in ((0.5, 0), (0.0, 2), (np.zeros((0, 1)), 0)):
        inner = adapt(case.theta, case.support, alpha=alpha, steps=steps)
        np.testing.assert_array_equal(inner.adapted, np.tile(case.theta, (3, 1)))
        assert len(inner.path) == steps + 1
        inner.adapted[:] = 7
        assert not np.any(case.theta == 7) and not np.any(inner.path[-1].theta == 7)


def test_a_sequence_of_tasks_is_one_a_step():
    one, two = Quadratic(A, C), Quadratic(np.eye(2), [1.0, -1.0])
    inner = adapt([4.0, 8.0], [one, two], alpha=0.25, steps=2)
    first = np.array([4.0, 8.0]) - 0.25 * A @ [4.0, 8.0]
    np.testing.assert_array_equal(inner.adapted, first - 0.25 * (first - [1.0, -1.0]))
    assert inner.path[0].task is one and inner.path[1].task is two


def test_alpha_is_read_by_its_number_of_axes_and_never_by_its_lengths():
    """K = d = 2: one axis is one a parameter; a column is one a step."""
    np.testing.assert_array_equal(as_step_sizes([0.5, 0.25], 2, 2), [[0.5, 0.25], [0.5, 0.25]])
    np.testing.assert_array_equal(as_step_sizes([[0.5], [0.25]], 2, 2), [[0.5], [0.25]])
    np.testing.assert_array_equal(as_step_sizes(0.5, 2, 3), [[0.5], [0.5]])
    np.testing.assert_array_equal(as_step_sizes([[1, 2, 3], [4, 5, 6]], 2, 3), [[1, 2, 3], [4, 5, 6]])


def test_a_complex_start_or_step_size_stays_complex():
    inner = adapt(np.array([4 + 1e-3j, 8]), Quadratic(A, C), alpha=0.25 + 1e-3j, steps=1)
    assert inner.adapted.dtype == np.complex128
    np.testing.assert_allclose(
        inner.adapted, [4 + 1e-3j, 8] - (0.25 + 1e-3j) * A @ [4 + 1e-3j, 8], rtol=0, atol=16 * EPS
    )


@pytest.mark.parametrize(
    ("alpha", "steps", "error", "sentence"),
    [
        ([0.1, 0.2, 0.3], 3, ValueError, r"alpha has shape \(3,\); one per parameter is \(2,\), one per step is \(3, 1\)"),
        ([[0.1], [0.2]], 3, ValueError, r"alpha has shape \(2, 1\); one row per step is \(3, 1\) or \(3, 2\)"),
        ([[0.1, 0.2, 0.3]], 1, ValueError, r"alpha has shape \(1, 3\); one row per step is \(1, 1\) or \(1, 2\)"),
        (np.ones((1, 1, 1)), 1, ValueError, r"alpha has shape \(1, 1, 1\); expected a scalar, \(2,\), \(1, 1\) or \(1, 2\)"),
        (np.nan, 1, ValueError, "alpha must be finite, got nan"),
        ([0.1, np.inf], 1, ValueError, r"alpha\[1\] is inf"),
        ("0.1", 1, TypeError, "alpha must be numbers"),
        (True, 1, TypeError, "alpha must be numbers of float64 or less, got dtype bool"),
        (0.1, -1, ValueError, "steps must be at least 0, got -1"),
        (0.1, 1.0, TypeError, "steps must be an integer, got 1.0"),
        (0.1, True, TypeError, "steps must be an integer, got True"),
    ],
)  # fmt: skip
def test_bad_step_sizes_are_refused_in_a_sentence(alpha, steps, error, sentence):
    with pytest.raises(error, match=sentence):
        adapt(np.zeros(2), Quadratic(A, C), alpha=alpha, steps=steps)


def test_a_sequence_of_another_length_than_the_steps_is_refused():
    task = Quadratic(A, C)
    with pytest.raises(
        ValueError, match="got a sequence of 2 tasks, expected one for each of 3 steps, and at least one"
    ):
        adapt(np.zeros(2), [task] * 2, alpha=0.1, steps=3)
    with pytest.raises(ValueError, match="got a sequence of 0 tasks"):
        adapt(np.zeros(2), [], alpha=0.1, steps=0)


def test_batches_that_do_not_broadcast_are_named():
    with pytest.raises(ValueError, match=r"got theta \(3,\), task \(2,\)"):
        adapt(np.zeros((3, 2)), Quadratic(A, np.zeros((2, 2))), alpha=0.1, steps=1)


def test_a_step_that_leaves_the_finite_numbers_is_named():
    with pytest.raises(
        FloatingPointError, match=r"inner step 2 left the finite numbers; alpha may be too large .*index \[0\]"
    ):
        adapt([1.0, 1.0], Quadratic(A, C), alpha=1e200, steps=3)


def test_a_split_and_other_things_that_are_no_task_are_refused():
    split = rm.Sinusoids().sample(2, 0)
    with pytest.raises(
        TypeError, match=r"expected a task with at\(theta\), or a sequence of tasks, got Split; give its support"
    ):
        adapt(np.zeros(3), split, alpha=0.1, steps=2)
    for other in (None, 3.0, [split.support, None], (x for x in [split.support])):
        with pytest.raises(TypeError, match=r"expected a task with at\(theta\)"):
            adapt(np.zeros(3), other, alpha=0.1, steps=2)
    with pytest.raises(ValueError, match="task 1 has 2 parameters, expected 3 as task 0"):
        adapt(np.zeros(3), [split.support, Quadratic(A, C)], alpha=0.1, steps=2)


class Own:
    """A task of the user's: L = Σ θ⁴/4, or a gradient that is wrong on purpose."""

    shape, dim = (), 2

    def __init__(self, theta=None, grad=None):
        self.theta, self._grad = theta, grad

    def at(self, theta):
        return Own(theta, self._grad)

    @property
    def loss(self):
        return np.sum(self.theta**4, axis=-1) / 4

    @property
    def grad(self):
        return self.theta**3 if self._grad is None else self._grad

    def hvp(self, v):
        return 3 * self.theta**2 * v


def test_a_task_of_one_s_own_gets_arrays_and_adapts():
    inner = adapt([1, 2], Own(), alpha=0.125, steps=1)
    np.testing.assert_array_equal(inner.adapted, [0.875, 1.0])
    np.testing.assert_array_equal(rm.maml.gradient([1, 2], Own(), alpha=0.125), [0.875**3 * (1 - 3 / 8), 1 - 12 / 8])


def test_a_task_of_one_s_own_cannot_pass_a_nan_or_a_wrong_shape():
    nan, short = Own(grad=np.array([np.nan, 1.0])), Own(grad=np.ones(1))
    for steps in (0, 1):
        with pytest.raises(FloatingPointError, match="left the finite numbers"):
            rm.maml.gradient([1.0, 2.0], nan, alpha=0.1, steps=steps)
    with pytest.raises(ValueError, match=r"the task's grad has shape \(1,\), expected last axis 2"):
        adapt([1.0, 2.0], short, alpha=0.1, steps=1)
    with pytest.raises(ValueError, match=r"theta\[0\] is nan"):
        rm.maml.objective([np.nan, 2.0], Own(), alpha=0.1, steps=0)


@pytest.mark.parametrize("steps", [np.array(2), np.int8(2), np.uint64(2)])
def test_a_number_of_steps_of_any_integer_type_is_that_number(steps):
    args = {"theta": [1.0, 2.0], "support": Quadratic(A, C), "alpha": 0.25}
    for f in (rm.maml.gradient, rm.maml.step_size_gradient, rm.maml.objective):
        np.testing.assert_array_equal(f(**args, steps=steps), f(**args, steps=2))


def test_the_last_point_is_on_the_last_task():
    one, two = Quadratic(A, C), Quadratic(np.eye(2), C)
    assert adapt([4.0, 8.0], [one, two], alpha=0.25, steps=2).path[-1].task is two
