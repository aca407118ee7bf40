"""Hessian-free and evolution-strategies MAML: exact on quadratics, observed orders elsewhere, smoothing by quadrature."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refmeta as rm
from refmeta import maml
from refmeta.meta.zeroth_order import evolution_gradient, hessian_free_gradient
from refmeta.problems import KINDS, random_problem
from tests.strategies import assert_right, problems

SMOOTH = [kind for kind in KINDS if kind not in ("quadratic", "linear-regression")]


@pytest.mark.eq("hessian-free-maml")
@given(case=problems(kinds=("quadratic",), alphas=("scalar",), steps=st.just(1)), delta=st.sampled_from((0.25, 1.0, 2.0)))
def test_on_quadratics_it_is_one_step_of_maml(case, delta):
    assert_right("hessian-free-maml", (case, delta))


@pytest.mark.eq("hessian-free-maml")
def test_on_linear_regressions_it_is_one_step_of_maml():
    case = random_problem(np.random.default_rng(3), "linear-regression", tasks=3)
    got = hessian_free_gradient(case.theta, *case.split, alpha=case.alpha, delta=2.0)
    np.testing.assert_allclose(got, maml.gradient(case.theta, *case.split, alpha=case.alpha), rtol=1e-13)


@pytest.mark.eq("hessian-free-maml")
@pytest.mark.parametrize("kind", SMOOTH)
def test_the_remainder_falls_as_delta_squared(kind):
    case = random_problem(np.random.default_rng([1, *kind.encode()]), kind)
    exact = maml.gradient(case.theta, *case.split, alpha=case.alpha)
    g = np.max(np.abs(maml.first_order_gradient(case.theta, *case.split, alpha=case.alpha)))
    deltas = 2.0 ** -np.arange(4, 8) / g
    gaps = [
        np.max(np.abs(hessian_free_gradient(case.theta, *case.split, alpha=case.alpha, delta=d) - exact))
        for d in deltas
    ]
    assert abs(np.polyfit(np.log(deltas), np.log(gaps), 1)[0] - 2) < 0.05
    assert gaps[0] > 1e-9


def test_the_remainder_s_coefficient_on_a_quartic():
    """L = φ⁴/24: ∇⁴L = 1, so the remainder is −αδ²g³/6 exactly, θ = 1, α = 1/2, query gradient g by hand."""

    class Quartic:
        shape, dim = (), 1

        def at(self, theta):
            class Point:
                loss = np.sum(theta**4, axis=-1) / 24
                grad = theta**3 / 6
                hvp = staticmethod(lambda v: theta**2 / 2 * v)

            Point.theta = theta
            return Point()

    task, delta = Quartic(), 0.25
    phi = 1 - 0.5 / 6
    g = phi**3 / 6
    exact = g - 0.5 * 0.5 * g
    got = hessian_free_gradient([1.0], task, alpha=0.5, delta=delta)
    np.testing.assert_allclose(got - exact, [-0.5 * delta**2 * g**3 / 6], rtol=1e-11)


@pytest.mark.eq("es-maml")
@given(case=problems(kinds=("quadratic",)), sigma=st.sampled_from((0.25, 1.0)))
def test_on_quadratics_the_scaled_axes_give_the_exact_gradient(case, sigma):
    assert_right("es-maml", (case, sigma))


@pytest.mark.eq("es-maml")
@pytest.mark.parametrize("kind", SMOOTH)
def test_along_the_axes_it_is_the_central_difference_to_second_order(kind):
    case = random_problem(np.random.default_rng([2, *kind.encode()]), kind)
    axes = np.sqrt(case.theta.size) * np.eye(case.theta.size)
    exact, sigmas = maml.gradient(case.theta, *case.split, **case.hyper), 2.0 ** -np.arange(6, 10)
    gaps = [
        np.max(np.abs(evolution_gradient(case.theta, *case.split, **case.hyper, sigma=s, directions=axes) - exact))
        for s in sigmas
    ]
    assert abs(np.polyfit(np.log(sigmas), np.log(gaps), 1)[0] - 2) < 0.05


@pytest.mark.eq("es-maml")
def test_the_mean_over_a_normal_is_the_gradient_of_the_smoothed_objective():
    """Gauss-Hermite nodes as directions, weighted: E[(F(θ+σe) − F(θ−σe))e]/2σ = ∇E[F(θ + σe)], by quadrature twice."""
    case = random_problem(np.random.default_rng(4), "softmax-regression", tasks=2, size=1, width=2)
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    weights = weights / weights.sum()
    grid = np.array(list(itertools.product(range(20), repeat=2)))
    e, w, sigma = nodes[grid], np.prod(weights[grid], axis=1), 0.5

    def smoothed(theta):
        values = maml.objective(theta + sigma * e[:, None, :], *case.split, **case.hyper)
        return w @ values

    each = np.array([
        evolution_gradient(case.theta, *case.split, **case.hyper, sigma=sigma, directions=row[None]) for row in e
    ])  # fmt: skip
    mean = np.einsum("m,mni->ni", w, each)
    from refmeta.judges import complex_step

    np.testing.assert_allclose(mean, complex_step(smoothed, case.theta), rtol=0, atol=1e-10 * np.max(np.abs(mean)))


def test_it_is_the_formula_written_out():
    case = random_problem(np.random.default_rng(5), "discounted")
    e, sigma = np.random.default_rng(6).normal(size=(3, case.theta.size)), 0.1
    F = lambda t: maml.objective(t, *case.split, **case.hyper)
    expected = sum((F(case.theta + sigma * row) - F(case.theta - sigma * row))[:, None] * row for row in e) / (
        6 * sigma
    )
    got = evolution_gradient(case.theta, *case.split, **case.hyper, sigma=sigma, directions=e)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-13)


def test_batch_axes_broadcast():
    case = random_problem(np.random.default_rng(7), "quadratic", tasks=3)
    theta = np.random.default_rng(8).normal(size=(4, 1, 3))
    assert hessian_free_gradient(theta, *case.split, alpha=0.1, delta=0.5).shape == (4, 3, 3)
    many = evolution_gradient(theta, *case.split, alpha=0.1, sigma=0.5, directions=np.eye(3))
    assert many.shape == (4, 3, 3)
    one = evolution_gradient(theta[1, 0], *case.split, alpha=0.1, sigma=0.5, directions=np.eye(3))
    np.testing.assert_allclose(many[1], one, rtol=0, atol=1e-13)


def test_the_rule_sums_over_tasks_and_asks_for_directions_anew():
    case, rng, calls = random_problem(np.random.default_rng(9), "quadratic", tasks=3), np.random.default_rng(0), []

    def directions():
        calls.append(rng.normal(size=(5, 3)))
        return calls[-1]

    rule = rm.ESMAML(alpha=0.1, sigma=0.5, directions=directions)
    for k in range(2):
        got = rule.direction(case.theta, *case.split)
        each = evolution_gradient(case.theta, *case.split, alpha=0.1, sigma=0.5, directions=calls[k])
        np.testing.assert_allclose(got, each.sum(0), rtol=0, atol=1e-13)
    assert len(calls) == 2
    fixed = rm.ESMAML(alpha=0.1, sigma=0.5, directions=np.sqrt(3) * np.eye(3)).direction(case.theta, *case.split)
    np.testing.assert_allclose(fixed, rm.MAML(0.1).direction(case.theta, *case.split), rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda t, c: hessian_free_gradient(t, *c, alpha=0.1, delta=0.0), ValueError, "delta must be positive, got 0.0"),
        (lambda t, c: hessian_free_gradient(t, *c, alpha=0.1, delta=np.inf), ValueError, "delta must be finite"),
        (lambda t, c: hessian_free_gradient(t, *c, alpha=[0.1, 0.1, 0.1], delta=1), ValueError, "alpha must be one number"),
        (lambda t, c: hessian_free_gradient(t, [*c], c[1], alpha=0.1, delta=1), ValueError, "a sequence of 2 tasks"),
        (lambda t, c: hessian_free_gradient(t, 3, alpha=0.1, delta=1), TypeError, "expected a task with at"),
        (lambda t, c: evolution_gradient(t, *c, alpha=0.1, sigma=0.0, directions=np.eye(3)), ValueError, "sigma must be positive"),
        (lambda t, c: evolution_gradient(t, *c, alpha=0.1, sigma=1, directions=np.eye(2)), ValueError,
         r"directions has shape \(2, 2\), expected \(M, 3\)"),
        (lambda t, c: evolution_gradient(t, *c, alpha=0.1, sigma=1, directions=np.ones(3)), ValueError, r"expected \(M, 3\)"),
        (lambda t, c: evolution_gradient(t, *c, alpha=0.1, sigma=1, directions=np.ones((0, 3))), ValueError, "M at least 1"),
        (lambda t, c: evolution_gradient(t, *c, alpha=0.1, sigma=1, directions=1j * np.eye(3)), TypeError, "must be real"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_in_a_sentence(call, error, sentence):
    case = random_problem(np.random.default_rng(7), "quadratic")
    with pytest.raises(error, match=sentence):
        call(case.theta, case.split)
