"""Sensitivities to hyper-parameters: closed forms, minima found again, invariant directions, and what is refused."""

import numpy as np
import pytest
from hypothesis import given

import refmeta as rm
from refmeta.evidence.best_possible import random_trained
from refmeta.judges import central_difference, complex_step
from refmeta.meta import implicit, maml
from refmeta.meta.sensitivity import hyper_sensitivity, minimiser, step_size_sensitivity
from tests.strategies import assert_right, seeds

numeric = lambda f, x: central_difference(f, x).derivative


@pytest.mark.eq("hyper-sensitivity")
@given(rng=seeds)
def test_the_sensitivity_to_alpha_is_that_of_the_closed_form(rng):
    assert_right("hyper-sensitivity", random_trained(rng))


@pytest.mark.eq("hyper-sensitivity")
def test_two_scalar_tasks_by_hand():
    """F = (θ − 1)² + η θ²/2 has θ* = 2/(2 + η); G = θ²/2 + η.  At η = 2: θ* = 1/2, dθ*/dη = −1/8, dG/dη = 1 − 1/16."""
    got = hyper_sensitivity([0.5], 2.0, lambda t, e: 2 * (t - 1) + e * t, lambda t, e: t[0] ** 2 / 2 + e)
    np.testing.assert_allclose(got.minimiser, [-1 / 8], rtol=1e-14)
    np.testing.assert_allclose(got.judged, 15 / 16, rtol=1e-14)


@pytest.mark.eq("hyper-sensitivity")
def test_where_the_judge_is_the_objective_only_the_direct_part_is_left():
    """The envelope theorem: at the minimum of F, dF/dα = ∂F/∂α."""
    support, query = rm.RadialSinusoids().sample(20, 0)
    theta = minimiser(np.zeros(12), lambda t: np.sum(maml.gradient(t, support, query, alpha=0.1, steps=2), axis=0))
    got = step_size_sensitivity(theta, support, query, alpha=0.1, steps=2)
    direct = np.sum(maml.step_size_gradient(theta, support, query, alpha=0.1, steps=2))
    np.testing.assert_allclose(np.sum(got.judged), direct, rtol=1e-9)
    assert abs(direct) > 0.1 and np.max(np.abs(got.minimiser)) > 0.1


@pytest.mark.eq("hyper-sensitivity")
def test_sinusoids_minimised_again_beside_alpha_show_the_same_slope():
    family = rm.RadialSinusoids()
    training, held_out = family.sample(20, 0), family.sample(4, 1)
    gradient = lambda alpha: lambda t: np.sum(maml.gradient(t, *training, alpha=alpha, steps=2), axis=0)
    star = lambda alpha: minimiser(np.zeros(family.dim), gradient(float(alpha)))
    judged = lambda alpha: maml.objective(star(alpha), *held_out, alpha=float(alpha), steps=2)
    got = step_size_sensitivity(star(0.1), *training, alpha=0.1, steps=2, held_out=held_out)
    for exact, again in ((got.judged, central_difference(judged, 0.1)), (got.minimiser, central_difference(star, 0.1))):
        assert np.all(np.abs(exact - again.derivative) <= again.error + 1e-6 * np.max(np.abs(exact)))
        assert np.max(np.abs(exact)) > 0.1


@pytest.mark.eq("hyper-sensitivity")
def test_the_weights_of_the_tasks_are_hyper_parameters_too():
    """θ*(w) = Σ wᵢaᵢcᵢ / Σ wᵢaᵢ without adaptation: dθ*/dwᵢ = aᵢ(cᵢ − θ*) / Σ wa, with a = (1, 3), c = (0, 4), w = 1."""
    task = rm.Quadratic([[[1.0]], [[3.0]]], [[0.0], [4.0]])
    gradient = lambda t, w: w @ maml.gradient(t, task, alpha=0.0, steps=1)
    got = hyper_sensitivity([3.0], [1.0, 1.0], gradient, lambda t, w: maml.objective(t, task, alpha=0.0, steps=1))
    np.testing.assert_allclose(got.minimiser, [[-3 / 4, 3 / 4]], rtol=1e-14)
    np.testing.assert_allclose(got.judged, [[3 * -3 / 4, 3 * 3 / 4], [-3 * -3 / 4, -3 * 3 / 4]], rtol=1e-14)


@pytest.mark.eq("hyper-sensitivity")
def test_lambda_and_gamma_by_differences():
    """Implicit MAML on quadratics has a closed form; γ changes where MAML on a return with a ridge starts."""
    rng = np.random.default_rng(0)
    task, other, _ = random_trained(rng)
    gradient = lambda t, lam: np.sum(implicit.gradient(t, task, strength=float(lam)), axis=0)
    judged = lambda t, lam: np.sum(implicit.objective(t, other, strength=float(lam)))

    def closed(lam):
        shrink = [lam * np.linalg.inv(A + lam * np.eye(3)) for A in task.A]
        form = np.array([s @ A @ s for s, A in zip(shrink, task.A, strict=True)])
        star = np.linalg.solve(np.sum(form, axis=0), np.einsum("nij,nj->i", form, task.c))
        far = [lam * np.linalg.solve(A + lam * np.eye(3), star - c) for A, c in zip(other.A, other.c, strict=True)]
        return star, sum(x @ A @ x for x, A in zip(far, other.A, strict=True)) / 2

    star = minimiser(np.zeros(3), lambda t: gradient(t, 2.0), numeric)
    np.testing.assert_allclose(star, closed(2.0)[0], rtol=1e-9)
    got = hyper_sensitivity(star, 2.0, gradient, judged, numeric)
    np.testing.assert_allclose(got.minimiser, complex_step(lambda x: closed(x)[0], 2.0), rtol=1e-6)
    np.testing.assert_allclose(got.judged, complex_step(lambda x: closed(x)[1], 2.0), rtol=1e-6)


@pytest.mark.eq("hyper-sensitivity")
def test_gamma_by_differences_and_shifts_of_logits_are_left_out():
    """Soft optimal logits of one state move with γ; the shift of all logits has no curvature and does not matter."""
    P, R, rho = [[[0.9, 0.1], [0.2, 0.8]], [[0.5, 0.5], [0.5, 0.5]]], [[1.0, 0.0], [0.0, 2.0]], [1.0, 0.0]
    policy, uniform = rm.TabularSoftmax(2, 2), np.zeros(4)

    def task(gamma):
        return rm.PolicyReturn(rm.FiniteMDP(P, R, rho, float(gamma)), policy)

    near_uniform = rm.PolicyKL(task(0.5).at(uniform))
    gradient = lambda t, g: task(g).at(t).grad + 8 * near_uniform.at(t).grad
    judged = lambda t, g: -task(0.5).at(t).loss
    star = lambda g: minimiser(uniform, lambda t: gradient(t, g), numeric)
    got = hyper_sensitivity(star(0.6), 0.6, gradient, judged, numeric)
    again = (judged(star(0.601), 0) - judged(star(0.599), 0)) / 0.002
    np.testing.assert_allclose(got.judged, again, rtol=1e-4)
    assert abs(again) > 1e-3
    np.testing.assert_allclose(np.sum(got.minimiser.reshape(2, 2), axis=1), 0, atol=1e-7)


def test_what_is_refused():
    bowl, judged = lambda t, e: t - e, lambda t, e: np.sum(t)
    with pytest.raises(ValueError, match="theta must be a minimum of F: Newton's step from it is 0.5, at most 1e-06"):
        hyper_sensitivity([1.5], 1.0, bowl, judged)
    with pytest.raises(ValueError, match="theta must be a minimum of F: its Hessian has eigenvalues from -1 to 1"):
        hyper_sensitivity([0.0, 0.0], 0.0, lambda t, e: t * np.array([1.0, -1.0]) + e, judged)
    flat = lambda t, e: t * np.array([1.0, 0.0])
    with pytest.raises(ValueError, match="the minimum of F is not unique up to rounding: G changes by 1 along a direction"):
        hyper_sensitivity([0.0, 0.0], 0.0, flat, judged)
    with pytest.raises(ValueError, match="the minimum of F is not unique up to rounding: dF/dtheta changes with eta by 1"):
        hyper_sensitivity([0.0, 0.0], 0.0, lambda t, e: flat(t, e) + e * np.array([0.0, 1.0]), lambda t, e: t[0])
    with pytest.raises(ValueError, match="its Hessian has eigenvalues from 0 to 0"):
        minimiser([1.0], lambda t: 0 * t)


@pytest.mark.eq("hyper-sensitivity")
@pytest.mark.parametrize("unit", [1.0, 1e-4, 1e-5])
def test_parameters_in_very_different_units_have_their_sensitivity(unit):
    """F = ½(x − η)² + ½(uy − η)² has θ* = (η, η/u)."""
    slope = lambda theta, eta: np.array([theta[0] - eta, unit * (unit * theta[1] - eta)])
    value = lambda theta, eta: (theta[0] - 1) ** 2 / 2 + (unit * theta[1] - 2) ** 2 / 2
    found = rm.sensitivity.hyper_sensitivity(np.array([0.5, 0.5 / unit]), 0.5, slope, value)
    np.testing.assert_allclose(found.minimiser, [1, 1 / unit], rtol=1e-6)
    np.testing.assert_allclose(found.judged, -2.0, rtol=1e-6)


@pytest.mark.eq("hyper-sensitivity")
@pytest.mark.parametrize("shift", [0.0, 1.0, -2.5, 7.0])
def test_a_flat_direction_is_left_out_with_differences_too(shift):
    """A shift of all logits changes nothing: F = −⟨π, r⟩ + η|π − u|²/2, with r = (1, 0, ½) and a generic u."""
    r, u = np.array([1.0, 0.0, 0.5]), np.array([0.25, 0.5, 0.25])

    def value(t, e):
        pi = np.exp(t - t[0].real) / np.sum(np.exp(t - t[0].real))
        return -pi @ r + e * np.sum((pi - u) ** 2) / 2

    gradient = lambda t, e: complex_step(lambda x: value(x, e), t) if np.isrealobj(t) and np.isrealobj(e) else None
    theta = minimiser(np.array([0.1, -0.1, 0.0]) + shift, lambda t: gradient(t, 4.0), numeric, flat=1e-8)
    found = hyper_sensitivity(theta, 4.0, gradient, value, numeric, flat=1e-8)
    pi = np.exp(theta - theta[0]) / np.sum(np.exp(theta - theta[0]))
    np.testing.assert_allclose(found.judged, np.sum((pi - u) ** 2) / 2, rtol=1e-6)  # the envelope theorem


@pytest.mark.parametrize("unit", [1.0, 1e-8, 1e8])
def test_a_minimum_that_moves_along_a_flat_direction_is_refused_in_every_unit(unit):
    with pytest.raises(ValueError, match="not unique up to rounding: dF/dtheta changes with eta"):
        hyper_sensitivity([1.0, 0.0], 1.0, lambda t, e: unit * np.array([t[0] - e, e - 1.0 + 0 * t[1]]), lambda t, e: t[0])
