"""Linear-quadratic control: costs by other roads, derivatives by complex steps and forward Jacobians, refusals."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refmeta as rm
from refmeta.judges import adjoint_gap, central_difference, taylor_rates
from refmeta.problems import random_linear_quadratic
from refmeta.tasks.lq import stationary
from tests import independent
from tests.strategies import assert_close, assert_right, counts, seeds

EPS = np.finfo(float).eps
horizons = st.sampled_from((3, 1, 2, 5))


@st.composite
def costs(draw, horizon=horizons):
    """(task, theta, v) with one to three states and one or two actions."""
    rng = draw(seeds)
    system = random_linear_quadratic(rng, draw(counts), draw(st.integers(1, 3)), draw(st.integers(1, 2)), draw(horizon))
    task = rm.PolicyCost(system)
    return task, 0.3 * rng.normal(size=task.dim), rng.normal(size=task.dim)


def assert_jacobians(task, theta, v):
    """Cost, gradient and Hessian product equal forward Jacobians of the Kronecker recursion, or of its one system."""
    first, second = zip(*(independent.single(task, i).jets(theta) for i in range(task.shape[0])), strict=True)
    assert_close(lambda z: z[0].at(z[1]).loss, (task, theta), [x[0] for x in first])
    assert_close(lambda z: z[0].at(z[1]).grad, (task, theta), [x[1:] for x in first])
    assert_close(lambda z: z[0].at(z[1]).hvp(z[2]), (task, theta, v), [H @ v for H in second])


@pytest.mark.eq("lq-cost", "lq-gradient", "lq-hvp")
@given(case=costs())
def test_cost_gradient_and_hessian_product_equal_forward_jacobians_of_the_kronecker_recursion(case):
    assert_jacobians(*case)


@pytest.mark.eq("lq-moments", "lq-values", "lq-cost", "lq-gradient", "lq-hvp")
@given(case=costs())
def test_moments_values_and_cost_come_by_other_roads_and_derivatives_by_complex_steps(case):
    for label in ("lq-moments", "lq-values", "lq-cost", "lq-gradient"):
        assert_right(label, case[:2])
    assert_right("lq-hvp", case)


@pytest.mark.eq("lq-stationary", "lq-cost", "lq-gradient", "lq-hvp")
@given(case=costs(st.none()))
def test_the_stationary_cost_and_its_derivatives_equal_those_of_one_kronecker_system(case):
    task, theta, v = case
    theta = 0.3 * theta
    try:
        task.at(theta)
    except ValueError:
        return
    assert_jacobians(task, theta, v)


def test_the_stationary_case_is_the_limit_of_long_horizons():
    """γ^400 = 0.9^400 < 1e-18: nothing is left of the tail."""
    rng = np.random.default_rng(1)
    system = random_linear_quadratic(rng, 2, 2, 2, None)
    long = rm.LinearQuadratic(*(getattr(system, k) for k in independent.LQ), gamma=0.9, horizon=400)
    endless = rm.LinearQuadratic(*(getattr(system, k) for k in independent.LQ), gamma=0.9)
    theta, v = 0.05 * rng.normal(size=8), rng.normal(size=8)
    one, other = rm.PolicyCost(long).at(theta), rm.PolicyCost(endless).at(theta)
    for name in ("loss", "grad"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-12)
    np.testing.assert_allclose(one.hvp(v), other.hvp(v), rtol=1e-11)
    np.testing.assert_allclose(np.sum(one.moments, axis=1), other.moments[:, 0], rtol=1e-12)
    np.testing.assert_allclose(one.values[:, 0], other.values[:, 0], rtol=1e-12)


@pytest.mark.eq("lq-moments", "lq-values", "lq-cost")
def test_a_scalar_system_by_hand():
    """x' = x + a + w, a = −x/2 + σε, cost x² + 2a², x_0 = 1, σ² = 1/4, W = 1/8, γ = 1/2, two steps, in fractions.

    M = 1/2: E x_0² = 1, E x_1² = 1/4 + 1/4 + 1/8 = 5/8.  Stage costs (1 + 2/4) E x² + 2σ² = 2 and 23/16: J = 87/32.
    P_1 = 3/2 and P_0 = 3/2 + (1/2)(1/4)(3/2) = 27/16.
    """
    system = rm.LinearQuadratic(
        [[1.0, 0], [0, 1]], [[1.0], [0]], [[1.0, 0], [0, 0]], [[2.0]], [[1.0, 1], [1, 1]], [[0.125, 0], [0, 0]], 0.5, 2
    )
    point = rm.PolicyCost(system).at([-0.5, 0.0, math.log(0.5)])
    assert math.isclose(point.loss, float(Fraction(87, 32)), rel_tol=4 * EPS)
    np.testing.assert_allclose(point.moments[:, 0, 0], [1, 5 / 16], rtol=4 * EPS)
    np.testing.assert_allclose(point.moments[:, 1, 1], [1, 1 / 2], rtol=0)
    np.testing.assert_allclose(point.values[:, 0, 0], [27 / 16, 3 / 2], rtol=4 * EPS)
    # dJ/dσ² = 2·2·(1 + 1/2)/2 + γ(3/2) = 3 + 3/4; dσ²/d log σ = 2σ² = 1/2
    assert math.isclose(point.grad[2], 0.5 * (2 * 1.5 + 0.5 * 1.5), rel_tol=4 * EPS)


@pytest.mark.eq("lq-moments", "lq-cost")
def test_moments_and_cost_are_those_of_every_path_of_a_two_point_noise():
    """ε = ±1 has the second moments of N(0, 1): the cost is the mean over all 2^(mH) paths, exactly."""
    rng = np.random.default_rng(3)
    lq = random_linear_quadratic(rng, 1, 2, 1, 4)
    x0 = np.append(rng.normal(size=2), 1)
    lq = rm.LinearQuadratic(lq.A, lq.B, lq.Q, lq.R, np.outer(x0, x0)[None], 0 * lq.noise, lq.gamma, 4)
    theta = 0.3 * rng.normal(size=4)
    K, sigma, costs, seconds = theta[:3].reshape(1, 3), math.exp(theta[3]), [], []
    for signs in np.ndindex(2, 2, 2, 2):
        x, cost, path = x0, 0.0, []
        for t, sign in enumerate(signs):
            a = K @ x + sigma * (2 * sign - 1)
            path.append(lq.gamma**t * np.outer(x, x))
            cost += lq.gamma**t * (x @ lq.Q[0] @ x + a @ lq.R[0] @ a)
            x = lq.A[0] @ x + lq.B[0] @ a
        costs.append(cost)
        seconds.append(path)
    point = rm.PolicyCost(lq).at(theta)
    np.testing.assert_allclose(point.loss, [math.fsum(costs) / 16], rtol=1e-13)
    np.testing.assert_allclose(point.moments[0], np.mean(seconds, axis=0), rtol=0, atol=1e-13 * np.max(point.moments))


@pytest.mark.eq("lq-stationary")
@given(rng=seeds, size=st.integers(1, 4), gamma=st.floats(0.0, 0.95))
def test_the_doubled_series_solves_its_kronecker_system(rng, size, gamma):
    M, S = rng.normal(size=(2, size, size)), rng.normal(size=(size, size))
    M /= np.max(np.abs(np.linalg.eigvals(M)), axis=-1)[:, None, None]
    assert_right("lq-stationary", (M, S, gamma))


@given(case=costs())
def test_the_hessian_product_is_symmetric(case):
    task, theta, v = case
    point, u = task.at(theta), np.linspace(-1, 1, task.dim)
    assert adjoint_gap(lambda x: point.hvp(x)[0], lambda x: point.hvp(x)[0], u, v) < 1e-12


@pytest.mark.parametrize("seed", range(5))
def test_the_taylor_remainders_fall_with_whole_orders(seed):
    rng = np.random.default_rng(seed)
    task = rm.PolicyCost(random_linear_quadratic(rng, 1, 2, 2, 4))[0]
    theta, v = 0.3 * rng.normal(size=task.dim), 0.1 * rng.normal(size=task.dim)
    point = task.at(theta)
    rates = taylor_rates(lambda t: task.at(t).loss, theta, v, point.grad, point.hvp(v), h=2.0**-4)
    assert len(rates.orders) == 3 and rates.passed, rates


def test_central_differences_of_the_stationary_cost():
    rng = np.random.default_rng(2)
    task = rm.PolicyCost(random_linear_quadratic(rng, 2, 2, 1, None))
    theta = 0.05 * rng.normal(size=4)
    numeric = central_difference(lambda t: task.at(t).loss, theta)
    assert np.all(np.abs(numeric.derivative - task.at(theta).grad) <= 3 * numeric.error)
    assert np.max(numeric.error) < 1e-5 * np.max(np.abs(numeric.derivative))


def test_batch_axes_broadcast_and_tasks_can_be_indexed():
    rng = np.random.default_rng(4)
    task = rm.PolicyCost(random_linear_quadratic(rng, 3, 2, 1, 3))
    theta, v = 0.3 * rng.normal(size=(5, 1, 4)), rng.normal(size=4)
    point = task.at(theta)
    assert point.loss.shape == (5, 3) and point.grad.shape == point.hvp(v).shape == (5, 3, 4)
    assert point.moments.shape == point.values.shape == (5, 3, 3, 3, 3)
    for i in range(3):
        one = task[i].at(theta[2, 0])
        np.testing.assert_allclose(one.grad, point.grad[2, i], rtol=1e-13)
        np.testing.assert_allclose(one.hvp(v), point.hvp(v)[2, i], rtol=1e-12)
    assert task[1:].shape == (2,) and point.hvp(rng.normal(size=(7, 1, 1, 4))).shape == (7, 5, 3, 4)
    shared = rm.LinearQuadratic(
        *(getattr(task.lq, k) if k == "Q" else getattr(task.lq, k)[0] for k in independent.LQ), 0.9, 3
    )
    assert rm.PolicyCost(shared).shape == (3,) and rm.PolicyCost(shared).at(theta[0, 0]).grad.shape == (3, 4)


def test_a_batch_of_no_tasks_has_results_without_rows():
    for horizon in (3, None):
        lq = random_linear_quadratic(np.random.default_rng(5), 2, 2, 1, horizon)
        task = rm.PolicyCost(lq)[0:0]
        point = task.at(np.zeros(4))
        assert point.loss.shape == (0,) and point.grad.shape == point.hvp(np.ones(4)).shape == (0, 4)


def test_scaling_the_cost_by_a_power_of_two_scales_everything_bitwise():
    rng = np.random.default_rng(5)
    lq = random_linear_quadratic(rng, 2, 2, 2, 4)
    four = rm.LinearQuadratic(lq.A, lq.B, 4 * lq.Q, 4 * lq.R, lq.start, lq.noise, lq.gamma, 4)
    theta, v = 0.3 * rng.normal(size=8), rng.normal(size=8)
    one, other = rm.PolicyCost(lq).at(theta), rm.PolicyCost(four).at(theta)
    np.testing.assert_array_equal(4 * one.loss, other.loss)
    np.testing.assert_array_equal(4 * one.grad, other.grad)
    np.testing.assert_array_equal(4 * one.hvp(v), other.hvp(v))


def test_a_gain_that_leaves_the_finite_numbers_is_named():
    task = rm.Navigation().tasks([[0.1, 0.2]])
    with pytest.raises(FloatingPointError, match="left the finite numbers"):
        _ = task.at([1e4, 0, 0, 0, 1e4, 0, 0, 0]).loss
    with pytest.raises(FloatingPointError, match="left the finite numbers"):
        _ = task.at([0, 0, 0, 0, 0, 0, 800.0, 0]).loss


BASE = {
    "A": np.eye(2), "B": [[1.0], [0.0]], "Q": np.eye(2), "R": [[1.0]], "start": np.eye(2),
    "noise": [[0.5, 0.0], [0.0, 0.0]], "gamma": 0.9, "horizon": 3,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "error", "sentence"),
    [
        ({"A": [[1.0, 0], [0.5, 1]]}, ValueError, r"the last row of A must be 0 … 0 1, got 0.5 in A"),
        ({"A": [[1.0, 0], [0, 0.5]]}, ValueError, r"the last row of A must be 0 … 0 1, got 0.5"),
        ({"A": np.ones((2, 3))}, ValueError, r"A has shape \(2, 3\), expected \(..., n\+1, n\+1\)"),
        ({"A": [[1.0]]}, ValueError, r"with n at least 1"),
        ({"B": [[1.0], [2.0]]}, ValueError, r"the last row of B must be 0, got 2.0 in B"),
        ({"B": np.ones((3, 1))}, ValueError, r"B has shape \(3, 1\), expected \(..., 2, m\)"),
        ({"Q": [[1.0, 2], [0, 1]]}, ValueError, r"Q\[0, 1\] is 2.0, its mirror image 0.0; Q must be symmetric"),
        ({"Q": np.eye(3)}, ValueError, r"Q has shape \(3, 3\), expected \(..., 2, 2\)"),
        ({"R": np.eye(2)}, ValueError, r"R has shape \(2, 2\), expected \(..., 1, 1\)"),
        ({"R": [[np.nan]]}, ValueError, r"R\[0, 0\] is nan; every number must be finite"),
        ({"R": [[1j]]}, TypeError, r"R must be real, got dtype complex128"),
        ({"start": [[1.0, 2], [2, 1]]}, ValueError, r"start has the eigenvalue -1, expected none below 0"),
        ({"start": [[1.0, 0], [0, 2]]}, ValueError, r"the last entry of start, E\[1 · 1\], must be 1, got 2.0"),
        ({"noise": [[-0.5, 0], [0, 0]]}, ValueError, r"noise has the eigenvalue -0.5, expected none below 0"),
        ({"noise": [[0.5, 0], [0, 1]]}, ValueError, r"the last row and column of noise must be 0, got 1.0"),
        ({"noise": [np.zeros((2, 2)), [[0.5, 0.1], [0.1, 0]]]}, ValueError, r"must be 0, got 0.1 in noise\[1\]"),
        ({"gamma": 1.0, "horizon": None}, ValueError, r"requires that nothing is injected for ever; noise\[0, 0\] is 0.5, noise at every step"),
        ({"gamma": 1.5}, ValueError, r"0 <= gamma <= 1, got 1.5"),
        ({"gamma": float("nan")}, ValueError, r"gamma must be finite"),
        ({"horizon": 0}, ValueError, r"horizon must be at least 1, got 0"),
        ({"A": np.zeros((2, 2, 2)) + np.eye(2), "Q": np.ones((3, 2, 2))}, ValueError, r"batch axes must broadcast"),
    ],
)
def test_bad_systems_are_refused_in_a_sentence(changes, error, sentence):
    rm.LinearQuadratic(**BASE)
    with pytest.raises(error, match=sentence):
        rm.LinearQuadratic(**BASE | changes)


def test_bad_parameters_are_refused_in_a_sentence():
    task, endless = (rm.PolicyCost(rm.LinearQuadratic(**BASE | {"horizon": h})) for h in (3, None))
    with pytest.raises(
        ValueError, match=r"theta has shape \(2,\), expected last axis 3 = 1 x 2 gains and 1 logarithms"
    ):
        task.at([1.0, 2.0])
    with pytest.raises(ValueError, match=r"sqrt\(gamma\) times the spectral radius of A \+ BK on the state is 1.42302"):
        endless.at([0.5, 0.0, 0.0])
    with pytest.raises(ValueError, match=r"is 1.42302 at theta\[1\], expected below 1"):
        endless.at([[-0.5, 0.0, 0.0], [0.5, 0.0, 0.0]])
    close = rm.PolicyCost(rm.LinearQuadratic(**BASE | {"horizon": None, "gamma": 1 - 2.0**-53}))
    with pytest.raises(FloatingPointError, match="the stationary cost has no correct digit: .* is 1 up to rounding; give a horizon$"):
        _ = close.at([-0.5, 0.0, 0.0]).loss
    with pytest.raises(FloatingPointError, match=r"give a horizon \(first at task \[1\]\)"):
        stationary(np.array([[[0.5]], [[1.0]]]), np.ones((2, 1, 1)), 1 - 2.0**-53)
    with pytest.raises(TypeError, match="PolicyCost takes a LinearQuadratic, got int"):
        rm.PolicyCost(3)
    assert np.isfinite(endless.at([0.05, 0.0, 0.0]).loss), "a state that grows by less than 1/sqrt(gamma) is allowed"


def test_inputs_of_every_kind_are_copied_and_never_written_to():
    A = np.asfortranarray(np.eye(2))
    lq = rm.LinearQuadratic(**BASE | {"A": A, "Q": np.eye(2, dtype=int)})
    A[0, 0] = 7
    assert lq.A[0, 0] == 1 and lq.Q.dtype == float and not lq.A.flags.writeable
