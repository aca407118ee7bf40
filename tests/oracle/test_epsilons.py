"""The effects of an ε: each against the whole formula with a finite ε in it, written out here."""

import numpy as np
import pytest

import refmeta as rm
from refmeta.judges import complex_step
from refmeta.oracle import cases
from refmeta.oracle.epsilons import (
    BY_HAND,
    PointByHand,
    departure,
    departures,
    inverse_shifted_sum,
    inverse_sum,
    logits,
    pullback,
)
from refmeta.softmax import softmax

EPSILON = 1e-6


def case_of(name):
    return next(case for case in cases(name[:-4]) if case.id == name)


def effects(case, part):
    """The slopes of a part in every ε."""
    return case.about.effects(case, part)


def differenced(f):
    """∂f/∂ε at 0, one-sided to second order: a formula with a negative ε need not exist."""
    return (4 * f(EPSILON) - f(2 * EPSILON) - 3 * f(0.0)) / (2 * EPSILON)


@pytest.mark.parametrize(("power", "place"), [(1, "σ + ε"), (2, "σ² + ε")])
def test_a_widened_cost_is_the_cost_at_the_wider_deviation(power, place):
    case = case_of("maml-lq-001").problem
    task, m, v = case.support, case.support.lq.actions, np.cos(np.arange(case.theta.size))

    def wide(theta):
        sigma = (np.exp(power * theta[..., -m:]) + 0.1) ** (1 / power)
        return np.concatenate([theta[..., :-m], np.log(sigma)], axis=-1)

    point = departures(task)[place](task, 0.1).at(case.theta)
    np.testing.assert_allclose(point.loss, task.at(wide(case.theta)).loss, rtol=1e-14)
    np.testing.assert_allclose(point.grad, complex_step(lambda t: task.at(wide(t)).loss, case.theta), rtol=1e-12)
    bent = complex_step(lambda t: departures(task)[place](task, 0.1).at(t).grad, case.theta, v)
    np.testing.assert_allclose(point.hvp(v), bent, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    "name", ["maml-tabular-001", "maml-tabular-008", "maml-classification-001", "maml-regression-001"]
)
def test_a_shifted_loss_has_the_derivatives_of_its_values(name):
    """Gradient and Hessian product by central differences; the slope in ε at ε = 0 is that of the formula."""
    problem, h = case_of(name).problem, 1e-4
    v = np.cos(np.arange(problem.theta.size))
    for place, change in departures(problem.support).items():
        at = change(problem.support, 0.1).at
        along = (at(problem.theta + h * v).loss - at(problem.theta - h * v).loss) / (2 * h)
        if place in BY_HAND:  # whose gradient is that of no loss
            continue
        np.testing.assert_allclose(at(problem.theta).grad @ v, along, rtol=1e-5, atol=1e-8, err_msg=place)
        bent = (at(problem.theta + h * v).grad - at(problem.theta - h * v).grad) / (2 * h)
        np.testing.assert_allclose(at(problem.theta).hvp(v), bent, rtol=1e-5, atol=1e-7, err_msg=place)


def test_a_cross_entropy_by_hand_has_the_slope_of_its_formula_and_the_jacobian_of_its_gradient():
    """The largest logit, which is subtracted, is held constant."""
    problem, h = case_of("maml-classification-001").problem, 1e-4
    task, theta, v = problem.support, problem.theta, np.cos(np.arange(problem.theta.size))
    one = departure(PointByHand, inverse_shifted_sum)(task, 0.1)
    z = logits(task, theta)
    e, largest, y = np.exp(z - np.max(z, -1, keepdims=True)), np.max(z, -1, keepdims=True), np.eye(task.classes)[task.labels]
    grad = lambda eps: pullback(task, e / (np.sum(e, -1, keepdims=True) + eps) - y) + task.ridge * theta
    np.testing.assert_allclose((one.at(theta).grad - grad(0.0)) / 0.1, differenced(grad), rtol=1e-6, atol=1e-9)
    fixed = departure(PointByHand, lambda z: np.exp(largest) * inverse_sum(z))(task, 0.1)
    bent = (fixed.at(theta + h * v).grad - fixed.at(theta - h * v).grad) / (2 * h)
    for point in (one.at(theta), fixed.at(theta)):
        np.testing.assert_allclose(point.hvp(v), bent, rtol=1e-5, atol=1e-7)


def test_effects_on_a_divergence_a_fisher_product_and_a_natural_gradient():
    case = case_of("policy-gradient-001")
    x, problem = case.arguments(), case.problem
    point = problem.task.at(x["theta"])
    d, pi = rm.fisher.visits(point)[..., None], point.probabilities
    new = softmax(problem.task.policy.table(x["theta"] + x["v"]))
    for place, a, b in (("log(π_new + ε)", 0, 1), ("log(π_old + ε)", 1, 0), ("log(π + ε)", 1, 1)):
        kl = lambda e, a=a, b=b: np.sum(d * pi * (np.log(pi + a * e) - np.log(new + b * e)), axis=(-2, -1))
        np.testing.assert_allclose(effects(case, "kl")[place](), differenced(kl), rtol=1e-6)

    S, A = pi.shape[-2:]
    scores = np.eye(S * A).reshape(S, A, S, A) - np.einsum("st,nsb->nstb", np.eye(S), pi)[:, :, None]

    def fisher(e):
        w = (d * pi * (pi / (pi + e)) ** 2)[..., None, None]
        flat = scores.reshape(len(pi), S * A, S * A)
        return np.einsum("nki,nkj->nij", (w * scores).reshape(flat.shape), flat)

    products = differenced(lambda e: fisher(e) @ x["v"])
    np.testing.assert_allclose(effects(case, "fisher")["log(π + ε) in the scores"](), products, rtol=1e-5, atol=1e-8)
    g, F = -point.grad[..., None], fisher(0.0)
    damped = lambda e: np.linalg.pinv(F, rcond=1e-9) @ g if e == 0 else np.linalg.solve(F + e * np.eye(S * A), g)
    slope = differenced(damped)[..., 0]
    np.testing.assert_allclose(
        effects(case, "natural_gradient")["F + ε·I"](), slope, rtol=1e-3, atol=1e-4 * np.max(np.abs(slope))
    )


def test_effects_on_an_implicit_gradient_and_on_reptile():
    case = case_of("implicit-001")
    problem = case.problem
    place = effects(case, "gradient")
    H = np.stack([problem.support.at(problem.theta).hvp(e) for e in np.eye(problem.theta.size)], axis=-1)
    phi = rm.implicit.adapt(problem.theta, problem.support, strength=problem.strength).adapted
    g = problem.query.at(phi).grad[..., None]
    M = np.eye(problem.theta.size) + H / problem.strength
    damped = differenced(lambda e: np.linalg.solve(M + e * np.eye(len(problem.theta)), g))[..., 0]
    np.testing.assert_allclose(place["I + H/λ + ε·I"](), damped, rtol=1e-5, atol=1e-8)
    x = case_of("reptile-001").arguments()
    mean = lambda e: x["theta"] + x["epsilon"] * np.sum(x["adapted"] - x["theta"], axis=0) / (len(x["adapted"]) + e)
    np.testing.assert_allclose(effects(case_of("reptile-001"), "update")["1/(N + ε)"](), differenced(mean), rtol=1e-6)
