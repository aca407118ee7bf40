"""A black box is the task that its functions are of: derivatives, batches, meta-gradients, and what is refused."""

import pickle
import re
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refmeta as rm
from refmeta.numerics.user_loss_check import SEED
from refmeta.problems import KINDS, random_tasks
from tests.strategies import seeds

GIVEN = ("loss", "grad", "hvp")


def boxed(task, given):
    """The N tasks as a black box with the first `given` of loss, grad and hvp."""
    functions = {
        "loss": lambda theta, i: task.at(theta).loss[i],
        "grad": lambda theta, i: task.at(theta).grad[i],
        "hvp": lambda theta, v, i: task.at(theta).hvp(v)[i],
    }
    kept = {name: functions[name] for name in GIVEN[:given]}
    return rm.BlackBox(kept.pop("loss"), task.dim, shape=task.shape, **kept)


@pytest.mark.eq("richardson-difference", "richardson-mixed-difference")
@given(rng=seeds, kind=st.sampled_from(KINDS), given_parts=st.integers(1, 3))
def test_the_derivatives_are_those_of_the_task_within_the_errors(rng, kind, given_parts):
    task = random_tasks(rng, kind)
    theta, v = 0.5 * rng.normal(size=task.dim), rng.normal(size=task.dim)
    point, expected = boxed(task, given_parts).at(theta), task.at(theta)
    product, error = point.difference(v)
    own = 1e-13 * (1 + np.max(np.abs(expected.hvp(v))) + np.max(np.abs(expected.grad)))
    np.testing.assert_array_equal(point.loss, expected.loss)
    assert np.all(np.abs(point.grad - expected.grad) <= point.error + own)
    assert np.all(np.abs(product - expected.hvp(v)) <= error + own)
    assert np.all(point.error == 0) == (given_parts > 1) and np.all(error == 0) == (given_parts > 2)
    np.testing.assert_array_equal(point.hvp(v), product)


@pytest.mark.parametrize("given_parts", [1, 2, 3])
@pytest.mark.parametrize("kind", ["softmax-regression", "linear-regression", "discounted"])
def test_meta_gradients_are_those_of_the_task(given_parts, kind):
    """Within 10⁻⁷ of the largest entry from the loss alone and 10⁻⁹ from a gradient: some hundred errors of a product."""
    rng = np.random.default_rng(5)
    task, query = random_tasks(rng, kind), random_tasks(rng, kind)
    theta, box, asked = 0.5 * rng.normal(size=task.dim), boxed(task, given_parts), boxed(query, given_parts)
    meta = {
        "maml": lambda s, q: rm.maml.gradient(theta, s, q, alpha=0.1, steps=2),
        "first order": lambda s, q: rm.maml.first_order_gradient(theta, s, q, alpha=0.1, steps=2),
        "reptile": lambda s, q: rm.reptile.gradient(theta, rm.adapt(theta, s, alpha=0.1, steps=1).adapted, alpha=0.1),
        "serial": lambda s, q: rm.reptile.update_serial(theta, s, alpha=0.1, steps=1, epsilon=0.5),
    }
    if given_parts > 1:  # from the loss alone every step of Newton and of conjugate gradients costs 16d evaluations
        meta["implicit"] = lambda s, q: rm.implicit.gradient(theta, s, q, strength=4.0)
    for name, gradient in meta.items():
        expected, bound = gradient(task, query), {1: 1e-7, 2: 1e-9, 3: 1e-12}[given_parts]
        np.testing.assert_allclose(gradient(box, asked), expected, rtol=0, atol=bound * (1 + np.max(np.abs(expected))), err_msg=name)


def test_functions_may_be_one_per_task_or_one_with_the_number_of_the_task():
    A, c = np.array([[[2.0, 1.0], [1.0, 3.0]], [[1.0, 0.0], [0.0, 4.0]]]), np.array([[1.0, 0.0], [2.0, -1.0]])
    task, theta = rm.Quadratic(A, c), np.array([0.5, 2.0])
    single = [rm.Quadratic(A[i], c[i]) for i in range(2)]
    several = rm.BlackBox([lambda t, q=q: q.at(t).loss for q in single], 2, grad=[lambda t, q=q: q.at(t).grad for q in single])
    for box in (several, boxed(task, 2)):
        assert (box.shape, box.dim) == ((2,), 2)
        np.testing.assert_array_equal(box.at(theta).grad, task.at(theta).grad)
        np.testing.assert_array_equal(box[1].at(theta).grad, task[1].at(theta).grad)
        np.testing.assert_array_equal(box[1:].at(theta).loss, task[1:].at(theta).loss)
        stacked = np.stack([theta, -theta])[:, None]
        assert box.at(stacked).loss.shape == (2, 2) and box.at(stacked).grad.shape == (2, 2, 2)
        np.testing.assert_array_equal(box.at(stacked).grad, task.at(stacked).grad)
        v = np.ones((3, 1, 1, 2))
        np.testing.assert_allclose(box.at(stacked).hvp(v), task.at(stacked).hvp(v), rtol=1e-9)
    assert isinstance(several, rm.Task)


def test_two_batch_axes_are_two_numbers_of_the_task():
    box = rm.BlackBox(lambda t, i, j: (10 * i + j) * float(t @ t), 2, shape=(2, 3))
    np.testing.assert_array_equal(box.at([1.0, 0.0]).loss, [[0, 1, 2], [10, 11, 12]])
    np.testing.assert_array_equal(box[1].at([1.0, 0.0]).loss, [10, 11, 12])


def test_many_parameters_need_a_gradient_and_no_matrix():
    """d = 10⁵: ten gradients or so per product; the bound is some 10⁻¹¹ of the largest entry."""
    d, calls = 100_000, []
    c = np.linspace(0.5, 2, d)
    box = rm.BlackBox(lambda t: float(c @ np.cosh(t)), d, grad=lambda t: calls.append(0) or c * np.sinh(t))
    theta, v = np.sin(np.arange(d)), np.cos(0.7 * np.arange(d))
    product, error = box.at(theta).difference(v)
    expected = c * np.cosh(theta) * v
    assert np.all(np.abs(product - expected) <= error) and np.max(error) < 1e-9 and len(calls) <= 20
    with pytest.raises(ValueError, match=r"the gradient of a loss alone costs some 800000 evaluations .* dim = 100000; give grad="):
        _ = rm.BlackBox(lambda t: float(c @ np.cosh(t)), d).at(theta).grad
    with pytest.raises(ValueError, match="the Hessian product of a loss alone costs some 1600000 evaluations"):
        rm.BlackBox(lambda t: float(c @ np.cosh(t)), d).at(theta).hvp(v)


def test_a_gradient_in_single_precision_has_its_error():
    w = np.random.default_rng(6).normal(size=(4, 5))
    exact = lambda t: w.T @ np.cos(w @ t)  # noqa: E731
    product = lambda t, v: -w.T @ (np.sin(w @ t) * (w @ v))  # noqa: E731
    theta, v = np.random.default_rng(7).normal(size=(2, 5))
    box = rm.BlackBox(lambda t: float(np.sum(np.sin(w @ t))), 5, grad=lambda t: exact(t).astype(np.float32))
    point = box.at(theta)
    assert np.all(np.abs(point.grad - exact(theta)) <= point.error) and 1e-8 < np.max(point.error) < 1e-4
    found = point.difference(v)
    assert np.all(np.abs(found.derivative - product(theta, v)) <= found.error) and 1e-6 < np.max(found.error) < 1e-1
    assert box.check(theta).grad.word == "ROUNDING" and "single precision" in box.check(theta).grad.advice[0]


def test_two_numbers_in_single_precision_have_its_error_by_their_dtype():
    """Two numbers are too few to tell by their digits."""
    theta, v, w = np.array([0.3, -0.2]), np.array([1.0, 2.0]), np.array([1.1, 0.7])
    exact, product = lambda t: np.sinh(t) * w, lambda t, v: np.cosh(t) * w * v  # noqa: E731
    loss = lambda t: float(w @ np.cosh(t))  # noqa: E731
    box = rm.BlackBox(loss, 2, grad=lambda t: exact(t).astype(np.float32))
    found = box.at(theta).difference(v)
    assert np.all(np.abs(box.at(theta).grad - exact(theta)) <= box.at(theta).error) and np.min(box.at(theta).error) > 1e-8
    assert np.all(np.abs(found.derivative - product(theta, v)) <= found.error) and np.min(found.error) > 1e-8
    assert box.check(theta).grad.advice == ("it is in single precision: convert theta and the data to float64",)
    both = rm.BlackBox(loss, 2, grad=exact, hvp=lambda t, v: product(t, v).astype(np.float32))
    assert np.min(both.at(theta).difference(v).error) > 1e-8
    assert both.check(theta).hvp.advice == ("it is in single precision: convert theta and the data to float64",)


class Tensor:
    """Looks like a tensor with a graph on another device: NumPy cannot read it before `detach` and `cpu`."""

    def __init__(self, value, ready=0):
        self.value, self.ready = value, ready

    def detach(self):
        return Tensor(self.value, 1)

    def cpu(self):
        return Tensor(self.value, 2 * self.ready)

    def __array__(self, dtype=None, copy=None):
        if self.ready < 2:
            raise RuntimeError("can't convert a tensor that requires grad")
        return np.array(self.value, dtype=dtype)


def test_results_may_be_tensors_with_a_graph():
    box = rm.BlackBox(lambda t: Tensor(t @ t), 2, grad=lambda t: Tensor(2 * t))
    point = box.at([1.0, 2.0])
    assert point.loss == 5 and point.grad.tolist() == [2, 4]
    assert box.check([1.0, 2.0]).grad.word == "RIGHT"


SUM = lambda t: float(t @ t)  # noqa: E731
REFUSED = [
    (TypeError, "theta must be real", lambda: rm.BlackBox(SUM, 2).at([1j, 0])),
    (TypeError, "v must be real", lambda: rm.BlackBox(SUM, 2).at([1.0, 0]).hvp([1j, 0])),
    (ValueError, r"theta has shape \(3,\), expected last axis 2 = dim", lambda: rm.BlackBox(SUM, 2).at(np.ones(3))),
    (TypeError, r"loss\(theta\) returned None: is a return statement missing", lambda: rm.BlackBox(lambda t: None, 2).at([1.0, 0]).loss),
    (ValueError, r"loss\(theta\) returned shape \(2,\), expected \(\): one number", lambda: rm.BlackBox(lambda t: t, 2).at([1.0, 0]).loss),
    (TypeError, r"loss\(theta\) returned dtype complex128, expected real", lambda: rm.BlackBox(lambda t: 1j, 2).at([1.0, 0]).loss),
    (TypeError, r"loss\(theta\) returned str, |dtype <U", lambda: rm.BlackBox(lambda t: "one", 2).at([1.0, 0]).loss),
    (FloatingPointError, r"loss\(theta\) returned nan", lambda: rm.BlackBox(lambda t: np.nan, 2).at([1.0, 0]).grad),
    (FloatingPointError, r"grad\(theta\) returned inf at index \[1\]", lambda: rm.BlackBox(SUM, 2, grad=lambda t: [0, np.inf]).at([1.0, 0]).grad),
    (ValueError, r"grad\(theta\) returned shape \(1,\), expected \(2,\)", lambda: rm.BlackBox(SUM, 2, grad=lambda t: t[:1]).at([1.0, 0]).grad),
    (ValueError, r"hvp\(theta, v\) returned shape \(\)", lambda: rm.BlackBox(SUM, 2, hvp=lambda t, v: 1.0).at([1.0, 0]).hvp([1.0, 0])),
    (TypeError, "loss must be a function, or a sequence of functions, one per task; got float", lambda: rm.BlackBox(1.0, 2)),
    (TypeError, "grad must be a function", lambda: rm.BlackBox(SUM, 2, grad=np.ones(2).tolist())),
    (ValueError, r"grad has 1 functions, expected 2 as shape \(2,\)", lambda: rm.BlackBox([SUM, SUM], 2, grad=[SUM])),
    (ValueError, "dim must be at least 1", lambda: rm.BlackBox(SUM, 0)),
    (ValueError, "loss is an empty list: give one function per task", lambda: rm.BlackBox([], 3)),
    (TypeError, "one task has no batch axis", lambda: rm.BlackBox(SUM, 2)[0]),
]


@pytest.mark.parametrize(("kind", "match", "call"), REFUSED, ids=[match[:40] for _, match, _ in REFUSED])
def test_what_is_refused(kind, match, call):
    with pytest.raises(kind, match=match):
        call()


def failing(error):
    """A function that raises."""

    def function(*arguments):
        raise error

    return function


@pytest.mark.parametrize(
    ("kind", "error", "sentence"),
    [
        (ValueError, RuntimeError("no device"), "raised RuntimeError: no device"),
        (ValueError, KeyError(), "raised KeyError without a message"),
        (ValueError, TypeError("a word"), "raised TypeError: a word"),
        (FloatingPointError, OverflowError("math range error"), "raised OverflowError: math range error"),
        (FloatingPointError, FloatingPointError("no number"), "no number"),
    ],
)
def test_an_exception_of_the_user_s_function_is_told_as_its_own(kind, error, sentence):
    told = lambda name: rf"^{re.escape(name) + ' ' if sentence.startswith('raised') else ''}{sentence}$"  # noqa: E731
    bad, theta = failing(error), [1.0, 2.0]
    for name, call in {
        "loss(theta)": lambda: rm.BlackBox(bad, 2).at(theta).loss,
        "grad(theta)": lambda: rm.BlackBox(SUM, 2, grad=bad).at(theta).grad,
        "hvp(theta, v)": lambda: rm.BlackBox(SUM, 2, hvp=bad).at(theta).hvp(theta),
    }.items():
        with pytest.raises(kind, match=told(name)) as raised:
            call()
        assert error in (raised.value, raised.value.__cause__)
    for name, box in {
        "loss(theta)": rm.BlackBox(bad, 2),
        "grad(theta)": rm.BlackBox(SUM, 2, grad=bad),
        "hvp(theta, v)": rm.BlackBox(SUM, 2, hvp=bad),
    }.items():
        with pytest.raises(kind, match=told(name)):
            box.check(theta)


@pytest.mark.parametrize("error", [RuntimeError, ValueError, np.linalg.LinAlgError, KeyError, OverflowError])
def test_a_function_may_raise_anything_beside_theta(error):
    """log x₀ + x₁² next to the end of its domain: the steps become finer."""

    def loss(t):
        if t[0] <= 0:
            raise error("outside of the domain")
        return float(np.log(t[0]) + t[1] ** 2)

    theta, expected = np.array([1e-3, 2.0]), np.array([1e3, 4.0])
    box = rm.BlackBox(loss, 2)
    assert np.all(np.abs(box.at(theta).grad - expected) <= box.at(theta).error)
    assert rm.judges.check(loss, expected, theta).word == "RIGHT"
    assert rm.BlackBox(loss, 2, grad=lambda t: np.array([1 / t[0], 2 * t[1]])).check(theta).grad.word == "RIGHT"


def test_nothing_of_the_user_is_modified_and_a_function_may_write_to_its_argument():
    theta, v = np.array([1.0, 2.0]), np.array([1.0, -1.0])

    def loss(t):
        value = float(t @ t)
        t[:] = np.nan
        return value

    point = rm.BlackBox(loss, 2).at(theta)
    np.testing.assert_allclose(point.grad, [2, 4], rtol=1e-9)
    np.testing.assert_allclose(point.hvp(v), [2, -2], rtol=1e-6)
    assert theta.tolist() == [1, 2] and v.tolist() == [1, -1]
    with pytest.raises(ValueError, match="assignment destination is read-only"):
        point.grad[0] = 1.0
    with pytest.raises(ValueError, match="f changes theta in place"):
        rm.BlackBox(loss, 2, grad=lambda t: 2 * t).check(theta)


def test_check_judges_the_gradient_and_the_product_of_every_task():
    task = random_tasks(np.random.default_rng(3), "softmax-regression")
    theta = np.random.default_rng(4).normal(size=task.dim)
    found = boxed(task, 3).check(theta)
    assert (found.grad.word, found.hvp.word) == ("RIGHT", "RIGHT") and min(found.grad.digits, found.hvp.digits) > 9
    assert "your gradient belongs to your function, to " in str(found) and "Hessian product belongs to your gradient" in str(found)
    assert boxed(task, 1).check(theta) == (None, None)
    for at in range(task.shape[0]):
        factors = np.where(np.arange(task.shape[0]) == at, 2, 1)
        wrong = rm.BlackBox(lambda t, i: task.at(t).loss[i], task.dim, shape=task.shape, grad=lambda t, i, c=factors: c[i] * task.at(t).grad[i])
        with pytest.raises(ValueError, match=rf"grad of task \[{at}\] is no derivative: WRONG: .*\n.*\ntry: it is 2 times the right one"):
            wrong.check(theta)


@pytest.mark.parametrize("wrong", [lambda H, v: 2 * H @ v, lambda H, v: np.triu(H) @ v, lambda H, v: H @ v + 1e-5 * v])
def test_a_wrong_product_is_refused(wrong):
    H = np.array([[2.0, 1.0], [1.0, 3.0]])
    for grad in (lambda t: H @ t, None):
        box = rm.BlackBox(lambda t: 0.5 * float(t @ H @ t), 2, grad=grad, hvp=lambda t, v: wrong(H, v))
        with pytest.raises(ValueError, match="hvp is no derivative: WRONG: your Hessian product is not that of your"):
            box.check([0.3, -0.2])


def test_a_product_that_is_right_along_one_direction_only_is_not_symmetric():
    """The mistake is orthogonal to the direction in which a difference is taken."""
    v, w = np.random.default_rng(SEED).choice([-1.0, 1.0], size=(2, 4))
    H, u = np.diag([1.0, 2.0, 3.0, 4.0]) + 0.5, w - v * (v @ w) / 4
    assert abs(u @ v) < 1e-14 and abs(u @ w) > 0.1 and abs(v[0]) == 1
    box = rm.BlackBox(lambda t: 0.5 * float(t @ H @ t), 4, grad=lambda t: H @ t, hvp=lambda t, z: H @ z + 1e-3 * (u @ z) * np.eye(4)[0])
    with pytest.raises(ValueError, match="hvp is no derivative: WRONG: your Hessian product is not symmetric"):
        box.check([0.3, -0.2, 0.5, 0.1])


@pytest.mark.parametrize("at", ["theta", "v"])
def test_a_product_that_writes_to_its_arguments_is_refused_by_check(at):
    def product(theta, v):
        result = 2 * v
        (theta if at == "theta" else v)[:] = 0
        return result

    box = rm.BlackBox(SUM, 2, grad=lambda t: 2 * t, hvp=product)
    with pytest.raises(ValueError, match=f"^hvp changes {at} in place: copy it inside hvp, as with {at} = {at}.copy"):
        box.check([1.0, 2.0])


def test_a_loss_alone_is_told_nothing_of_a_gradient():
    """A large constant hides digits of the slope: it is judged by its own error, and no gradient was given."""
    for constant in (0.0, 1e10):
        assert rm.BlackBox(lambda x, c=constant: c + np.sum(np.sin(x)), 3).check([0.3, -0.2, 0.5]) == (None, None)
    vague = rm.BlackBox(lambda x: 1e14 + np.sum(np.sin(x)), 3).check([0.3, -0.2, 0.5])
    assert vague.grad.word == "CANNOT TELL" and "your loss" in str(vague) and "your gradient" not in str(vague)


def test_a_loss_that_is_random_or_not_smooth_is_told_by_check():
    rng = np.random.default_rng(0)
    noisy = rm.BlackBox(lambda t: float(t @ t) + rng.normal(), 2, grad=lambda t: 2 * t)
    assert "f is random" in str(noisy.check([1.0, 2.0]))
    assert "f is random" in str(rm.BlackBox(noisy.loss.item(), 2).check([1.0, 2.0]))
    for grad in (None, lambda t: np.sign(t)):
        kinked = rm.BlackBox(lambda t: float(np.sum(np.abs(t))), 2, grad=grad)
        assert "does not look smooth at theta in 1 of 2 entries" in str(kinked.check([1.0, 0.0]))
    assert np.isinf(rm.BlackBox(lambda t: float(np.sum(np.abs(t))), 2).at([1.0, 0.0]).error).tolist() == [False, True]


def test_a_point_is_shared_by_threads_and_a_box_is_copied_by_pickle():
    box = rm.BlackBox(np.linalg.norm, 3)
    again = pickle.loads(pickle.dumps(box))
    expected, points, theta = box.at(np.ones(3)).grad, [], np.ones(3)
    np.testing.assert_array_equal(again.at(theta).grad, expected)
    point = box.at(theta)
    threads = [threading.Thread(target=lambda: points.append(point.grad)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(points) == 8 and all(np.array_equal(each, expected) for each in points)
