"""The linear-quadratic cost at γ = 1 without a horizon: by hand, by long horizons, by complex steps; what is injected is named."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import assume, given, reject
from hypothesis import strategies as st

import refmeta as rm
from refmeta.judges import adjoint_gap, taylor_rates
from refmeta.problems import random_undiscounted_control
from tests.strategies import assert_right, counts, seeds

EPS = np.finfo(float).eps
WALK = {
    "A": np.eye(2), "B": [[1.0], [0.0]], "Q": np.diag([1.0, 0.0]), "R": [[2.0]], "start": np.ones((2, 2)),
    "noise": np.zeros((2, 2)), "gamma": 1.0,
}  # fmt: skip


@st.composite
def costs(draw):
    """(task, theta, v) with one to three states and one or two actions, at gains of spectral radius below 0.95."""
    rng = draw(seeds)
    task = rm.PolicyCost(random_undiscounted_control(rng, draw(counts), draw(st.integers(1, 3)), draw(st.integers(1, 2))))
    return task, 0.1 * rng.normal(size=task.dim), rng.normal(size=task.dim)


@pytest.mark.eq("lq-undiscounted-cost")
@given(case=costs())
def test_the_cost_is_that_of_one_kronecker_system_and_its_derivatives_are_complex_steps(case):
    assert_right("lq-undiscounted-cost", case)


@pytest.mark.eq("lq-undiscounted-cost")
def test_a_scalar_system_by_hand():
    """s' = s + a, a = ks, cost s² + 2a²: J(k) = (1 + 2k²)/(1 − (1 + k)²); its least value is 2, at k = −1/2."""
    task = rm.PolicyCost(rm.LinearQuadratic(**WALK))
    assert task.dim == 1
    best, fast = task.at([-0.5]), task.at([-1.0])
    got = [best.loss, best.values[0, 0], best.moments[0, 0]]
    np.testing.assert_allclose(got, [2, 2, 4 / 3], rtol=4 * EPS)
    assert best.grad == pytest.approx(0, abs=4 * EPS)
    assert (fast.loss, fast.grad) == (3, -4)
    assert best.hvp([1.0]) == pytest.approx(32 / 3, rel=8 * EPS)  # (N″D − ND″)/D² = (4 · 3/4 + 3/2 · 2)/(9/16), as N′D = ND′ here


@pytest.mark.eq("lq-undiscounted-cost")
@given(case=costs())
def test_it_is_the_limit_of_long_horizons_and_of_discounts_near_one(case):
    task, theta, v = case
    n, m = task.lq.states - 1, task.lq.actions
    try:
        point = task.at(theta)
    except ValueError:
        reject()
    radius = np.max(np.abs(np.linalg.eigvals(point.closed_loop)))
    assume(radius < 0.9)
    wide = lambda x: np.concatenate([np.pad(x.reshape(m, n), ((0, 0), (0, 1))).ravel(), np.full(m, -400.0)])
    fields = {name: getattr(task.lq, name) for name in ("A", "B", "Q", "R", "start", "noise")}
    gains = np.flatnonzero(wide(np.ones(task.dim)) == 1)
    long = rm.PolicyCost(rm.LinearQuadratic(**fields, gamma=1.0, horizon=400)).at(wide(theta))
    scale = 1 + np.max(np.abs(point.moments)) * np.max(np.abs(point.values))
    np.testing.assert_allclose(point.loss, long.loss, rtol=0, atol=1e-11 * scale)
    np.testing.assert_allclose(point.grad, long.grad[:, gains], rtol=0, atol=1e-10 * scale)
    direction = np.zeros(wide(v).size)
    direction[gains] = v
    np.testing.assert_allclose(point.hvp(v), long.hvp(direction)[:, gains], rtol=0, atol=1e-9 * scale * (1 + np.max(np.abs(point.hvp(v)))))
    near = rm.PolicyCost(rm.LinearQuadratic(**fields, gamma=1 - 2.0**-30)).at(wide(theta))
    np.testing.assert_allclose(point.loss, near.loss, rtol=0, atol=1e-6 * scale)


@given(case=costs())
def test_the_hessian_product_is_symmetric(case):
    task, theta, v = case
    try:
        point = task.at(theta)
    except ValueError:
        reject()
    w = np.linspace(-1, 1, task.dim)
    size = np.max(np.abs(point.hvp(w))) + np.max(np.abs(point.hvp(v)))
    assert adjoint_gap(lambda x: point.hvp(x)[0], lambda x: point.hvp(x)[0], v, w) < 1e-11 * (1 + size)


def test_the_taylor_remainders_fall_with_whole_orders():
    task = rm.PolicyCost(random_undiscounted_control(np.random.default_rng(1), 1))[0]
    theta, v = np.full(task.dim, 0.05), np.linspace(-0.2, 0.3, task.dim)
    point = task.at(theta)
    rates = taylor_rates(lambda t: task.at(t).loss, theta, v, point.grad, point.hvp(v))
    assert len(rates.orders) == 3 and rates.passed, rates


def test_batch_axes_broadcast_and_a_task_a_copy_and_a_pickle_are_the_same():
    task = rm.PolicyCost(random_undiscounted_control(np.random.default_rng(2), 3))
    theta = 0.05 * np.random.default_rng(3).normal(size=(2, 1, task.dim))
    point = task.at(theta)
    assert point.loss.shape == (2, 3) and point.grad.shape == point.hvp(theta).shape == (2, 3, task.dim)
    np.testing.assert_allclose(task[1].at(theta[1, 0]).grad, point.grad[1, 1], rtol=1e-12)
    for other in (copy.deepcopy(task), pickle.loads(pickle.dumps(task))):
        np.testing.assert_array_equal(other.at(theta).grad, point.grad)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"noise": np.diag([0.25, 0])}, r"nothing is injected for ever; noise\[0, 0\] is 0.25, noise at every step, expected 0; give gamma < 1 or a horizon"),
        ({"A": [[1.0, 0.5], [0, 1]]}, r"A\[0, 1\] is 0.5, an offset at every step, expected 0"),
        ({"A": [np.eye(2), [[1.0, 0.5], [0, 1]]]}, r"A\[1, 0, 1\] is 0.5, an offset"),
        ({"Q": [[1.0, -0.5], [-0.5, 0.0]]}, r"Q\[1, 0\] is -0.5, a cost at the state 0 at every step, expected 0"),
        ({"Q": np.eye(2)}, r"Q\[1, 1\] is 1, a cost at the state 0"),
        ({"gamma": 1.5}, "gamma must satisfy 0 <= gamma <= 1, got 1.5"),
    ],
)  # fmt: skip
def test_what_is_injected_for_ever_is_named(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        rm.LinearQuadratic(**WALK | changes)


def test_sigma_an_offset_and_a_gain_that_is_not_stable_are_refused():
    task = rm.PolicyCost(rm.LinearQuadratic(**WALK))
    with pytest.raises(ValueError, match=r"theta has shape \(3,\), expected last axis 1 = 1 x 1 gains: at gamma = 1 without a horizon, sigma or an offset in K is injected for ever"):
        task.at([-0.5, 0.0, -1.0])
    for k in (0.0, -2.0, 0.5):
        with pytest.raises(ValueError, match=r"sqrt\(gamma\) times the spectral radius of A \+ BK on the state is 1"):
            task.at([k])
    with pytest.raises(FloatingPointError, match="is 1 up to rounding; give a horizon"):
        _ = task.at([-(2.0**-53)]).loss
