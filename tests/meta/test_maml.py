"""MAML and its family: forward-mode Jacobians, the complex step, rationals by hand, and theorems."""

import copy
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refmeta as rm
from refmeta import maml
from refmeta.evidence.maml import random_designs, random_minimum
from refmeta.judges import central_difference, complex_step, taylor_rates
from refmeta.problems import KINDS, random_problem, random_quadratic
from refmeta.tolerance import max_per_task
from tests import independent
from tests.strategies import assert_close, assert_right, costly, counts, problems, quadratics, seeds, up_to_three

EPS = np.finfo(float).eps
HAND = {
    "theta": np.array([4.0, 8.0]),
    "support": rm.Quadratic([[2.0, 1.0], [1.0, 3.0]], [0.0, 0.0]),
    "query": rm.Quadratic(np.eye(2), [0.0, 0.0]),
    "alpha": np.array([[0.5, 0.25], [0.25, 0.5]]),
    "steps": 2,
}


def size(case):
    """‖g_q‖∞, task by task: the scale of every sum of the chapter."""
    return max_per_task(maml.first_order_gradient(case.theta, *case.split, **case.hyper))


@pytest.mark.eq("maml-objective", "maml-gradient", "step-size-gradient", "first-order-maml")
def test_quadratics_by_hand_in_dyadic_numbers():
    """φ = (−9/4, 3/2), F = ½(81/16 + 9/4) = 117/32, ∇F = (3/64, 57/64), ∂F/∂α = [[30, 21/4], [−63/4, 3/2]]."""
    assert maml.objective(**HAND) == 117 / 32
    np.testing.assert_array_equal(maml.first_order_gradient(**HAND), [-9 / 4, 3 / 2])
    np.testing.assert_array_equal(maml.gradient(**HAND), [3 / 64, 57 / 64])
    np.testing.assert_array_equal(maml.step_size_gradient(**HAND), [[30, 21 / 4], [-63 / 4, 3 / 2]])


@pytest.mark.eq("maml-objective", "maml-gradient")
def test_two_arms_by_hand():
    """π = (1/3, 2/3), r = (1, −2), γ = 0: J = −1, ∇J = (2/3, −2/3); α = 1 doubles the odds e^{4/3}-fold: closed form.

    With x = θ_0 − θ_1, J(x) = −2 + 3p(x), p' = p(1 − p): φ = x + 2α·3p(1 − p), F = 2 − 3p(φ), and
    dF/dx = −3 p_φ(1 − p_φ)(1 + 6α p(1 − p)(1 − 2p)); p = 1/3: 1 + 6·(2/9)·(1/3)α = 1 + 4α/9.
    """
    task = rm.PolicyReturn(rm.FiniteMDP([[[1.0], [1.0]]], [[1.0, -2.0]], [1.0], 0.0), rm.TabularSoftmax(1, 2))
    theta, alpha = np.log([1.0, 2.0]), 0.75
    np.testing.assert_allclose(-task.at(theta).grad, [2 / 3, -2 / 3], rtol=4 * EPS)
    odds = 0.5 * np.exp(2 * alpha * 2 / 3)
    p = odds / (1 + odds)
    np.testing.assert_allclose(maml.objective(theta, task, alpha=alpha), 2 - 3 * p, rtol=8 * EPS)
    slope = -3 * p * (1 - p) * (1 + 4 * alpha / 9)
    np.testing.assert_allclose(maml.gradient(theta, task, alpha=alpha), [slope, -slope], rtol=8 * EPS)


@pytest.mark.eq("maml-objective", "maml-gradient", "step-size-gradient")
@costly
@given(case=problems(alphas=("step-parameter",), steps=st.integers(1, 3)))
def test_everything_equals_the_forward_jacobians(case):
    """Dense Jacobians of θ⁽ᵏ⁾ pushed forward, one task at a time, on losses of other code."""
    expected = [
        independent.maml(case.theta, *(independent.single(t, i) for t in case.split), case.alpha, case.steps)
        for i in range(case.support.shape[0])
    ]
    F, G, S = (np.stack(x) for x in zip(*expected, strict=True))
    assert_close(
        lambda c: maml.objective(c.theta, *c.split, **c.hyper), case, F, np.abs(case.query.at(case.theta).loss)
    )
    assert_close(lambda c: maml.gradient(c.theta, *c.split, **c.hyper), case, G, size(case))
    assert_close(lambda c: maml.step_size_gradient(c.theta, *c.split, **c.hyper), case, S, size(case))


@pytest.mark.eq("inner-step", "maml-objective")
@given(case=quadratics)
def test_on_quadratics_the_adapted_parameters_and_the_objective_are_closed_forms(case):
    assert_right("inner-step", case)
    assert_right("maml-objective", case)


@pytest.mark.eq("maml-gradient", "first-order-maml")
@pytest.mark.parametrize("label", ["maml-gradient", "first-order-maml"])
@given(case=problems())
def test_gradients_by_theta_are_complex_steps(label, case):
    assert_right(label, case)


@pytest.mark.eq("step-size-gradient")
@given(case=problems(steps=st.integers(1, 3)))
def test_the_gradient_by_alpha_in_all_its_shapes_is_the_complex_step(case):
    assert_right("step-size-gradient", case)


@pytest.mark.eq("maml-update", "meta-sgd")
@costly
@given(case=problems(steps=st.integers(1, 3)))
def test_updates_descend_along_the_complex_step_of_the_sum(case):
    assert_right("maml-update", case)
    assert_right("meta-sgd", case)


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_query_it_is_the_support_and_meta_sgd_moves_theta_as_maml(kind):
    case = random_problem(np.random.default_rng(7), kind, tasks=2, steps=2, alpha="step-parameter")
    for f in (maml.objective, maml.gradient, maml.first_order_gradient, maml.step_size_gradient):
        other = f(case.theta, case.support, copy.copy(case.support), **case.hyper)
        np.testing.assert_array_equal(f(case.theta, case.support, **case.hyper), other)
    moved = maml.update(case.theta, maml.gradient(case.theta, *case.split, **case.hyper), beta=0.25)
    both = maml.meta_sgd_update(case.theta, *case.split, beta=0.25, **case.hyper)
    np.testing.assert_array_equal(both.theta, moved)


@pytest.mark.eq("multi-step-loss")
@given(case=problems(), rng=seeds)
def test_multi_step_loss_is_the_weighted_sum_and_its_gradient_the_complex_step(case, rng):
    w = rng.normal(size=case.steps + 1)
    alphas = np.broadcast_to(case.alpha, (case.steps, case.theta.size))
    each = [maml.objective(case.theta, *case.split, alpha=alphas[:k], steps=k) for k in range(case.steps + 1)]
    value = maml.multi_step_objective(case.theta, *case.split, weights=w, **case.hyper)
    atol = 64 * EPS * np.sum(np.abs(each)) * np.max(np.abs(w))
    np.testing.assert_allclose(value, w @ each, rtol=0, atol=atol)
    assert_right("multi-step-loss", (case, w))


@given(case=problems(), rng=seeds)
def test_all_weight_on_the_last_step_is_maml_to_the_last_bit(case, rng):
    last = np.eye(case.steps + 1)[-1]
    got = maml.multi_step_gradient(case.theta, *case.split, weights=last, **case.hyper)
    np.testing.assert_array_equal(got, maml.gradient(case.theta, *case.split, **case.hyper))


@pytest.mark.parametrize("kind", KINDS)
def test_central_differences_and_taylor_rates_agree(kind):
    case = random_problem(np.random.default_rng(20), kind, tasks=2, steps=2, alpha="parameter")
    value = lambda t: float(np.sum(maml.objective(t, *case.split, **case.hyper)))
    g = maml.gradient(case.theta, *case.split, **case.hyper).sum(0)
    numeric = central_difference(value, case.theta)
    assert np.max(np.abs(numeric.derivative - g)) <= 4 * np.max(numeric.error) < 1e-4 * np.max(np.abs(g))
    rates = taylor_rates(value, case.theta, g / np.linalg.norm(g) / 64, g, h=1.0, halvings=6)
    assert rates.passed, rates


@pytest.mark.eq("maml-update", "meta-sgd")
def test_updates_by_hand_sum_over_the_tasks():
    """Two tasks: gradients (1, 2) and (3, −4), β = ½: θ − (2, −1)."""
    np.testing.assert_array_equal(maml.update([1.0, 1.0], [[1, 2], [3, -4]], beta=0.5), [-1, 2])
    np.testing.assert_array_equal(maml.update([1.0, 1.0], [1.0, 2.0], beta=0.5), [0.5, 0])
    one = maml.meta_sgd_update(**HAND, beta=0.5)
    np.testing.assert_array_equal(one.theta, [4 - 3 / 128, 8 - 57 / 128])
    np.testing.assert_array_equal(one.alpha, HAND["alpha"] - 0.5 * np.array([[30, 21 / 4], [-63 / 4, 3 / 2]]))


def test_anil_is_a_step_size_of_zero_off_the_head():
    """α zero off a mask: those parameters stay, and the head adapts as if it were alone on its block."""
    case = random_problem(np.random.default_rng(3), "quadratic", tasks=2, size=4)
    mask, alpha = np.array([False, False, True, True]), 0.25
    inner = rm.adapt(case.theta, case.support, alpha=alpha * mask, steps=3)
    np.testing.assert_array_equal(inner.adapted[:, ~mask], np.tile(case.theta[~mask], (2, 1)))
    A, c = case.support.A, case.support.c
    x = np.tile(case.theta, (2, 1))
    for _ in range(3):
        x[:, mask] -= alpha * np.einsum("nij,nj->ni", A, x - c)[:, mask]
    np.testing.assert_allclose(inner.adapted, x, rtol=16 * EPS)
    value = lambda t: maml.objective(t, *case.split, alpha=alpha * mask, steps=3)
    g = maml.gradient(case.theta, *case.split, alpha=alpha * mask, steps=3)
    np.testing.assert_allclose(g, complex_step(value, case.theta), rtol=1e-13)


@pytest.mark.eq("quadratic-maml")
@given(rng=seeds, dim=st.integers(1, 4), steps=st.integers(0, 3), alpha=st.sampled_from((0.1, 0.4, -0.3)))
def test_on_quadratics_maml_is_the_quadratic_of_its_closed_form(rng, dim, steps, alpha):
    task, theta = random_quadratic(rng, 3, dim), rng.normal(size=dim)
    form = maml.quadratic_closed_form(task, alpha=alpha, steps=steps).at(theta)
    scale = (
        300
        * EPS
        * (1 + np.max(np.abs(task.A))) ** (2 * steps + 1)
        * (1 + np.sum(np.abs(theta)) + np.max(np.abs(task.c))) ** 2
    )
    np.testing.assert_allclose(form.loss, maml.objective(theta, task, alpha=alpha, steps=steps), rtol=0, atol=scale)
    np.testing.assert_allclose(form.grad, maml.gradient(theta, task, alpha=alpha, steps=steps), rtol=0, atol=scale)


@pytest.mark.eq("quadratic-maml")
def test_the_minimiser_of_the_sum_in_rational_numbers():
    """a = (1, 3), c = (0, 1), α = ¼, K = 1: A' = a(1 − αa)² = (9/16, 3/16), θ* = 1/4; joint 3/4, first order 1/2."""
    task = rm.Quadratic(np.array([[[1.0]], [[3.0]]]), np.array([[0.0], [1.0]]))
    a = [Fraction(1), Fraction(3)]
    weights = [x * (1 - x / 4) ** 2 for x in a]
    expected = weights[1] / sum(weights)
    assert expected == Fraction(1, 4)
    star = maml.quadratic_minimiser(task, alpha=0.25)
    np.testing.assert_allclose(star, [float(expected)], rtol=4 * EPS)
    np.testing.assert_allclose(maml.gradient(star, task, alpha=0.25).sum(0), 0, rtol=0, atol=4 * EPS)
    np.testing.assert_allclose(maml.quadratic_minimiser(task, alpha=0.0), [0.75], rtol=4 * EPS)


@pytest.mark.eq("quadratic-maml")
@given(
    case=st.builds(random_minimum, seeds, dim=st.integers(1, 3), steps=up_to_three, alpha=st.just(0.05)), rng=seeds
)
def test_at_the_minimiser_the_summed_gradient_vanishes_and_around_it_the_objective_is_larger(case, rng):
    assert_right("quadratic-maml", case)
    task, alpha, steps = case
    star = maml.quadratic_minimiser(task, alpha=alpha, steps=steps)
    best = maml.objective(star, task, alpha=alpha, steps=steps).sum()
    around = maml.objective(star + 0.1 * rng.normal(size=(20, 1, task.dim)), task, alpha=alpha, steps=steps).sum(-1)
    assert np.all(around >= best * (1 - 1e-12))


def test_a_step_size_that_leaves_nothing_to_choose_is_refused():
    with pytest.raises(
        FloatingPointError, match=r"must be positive definite .* alpha times an eigenvalue of A may be 1"
    ):
        maml.quadratic_minimiser(rm.Quadratic([[2.0, 0.0], [0.0, 4.0]], [0.0, 1.0]), alpha=0.25)


@pytest.mark.eq("thm:joint-tie")
@given(
    case=st.builds(random_designs, seeds, designs=counts, tasks=st.integers(2, 4)),
    alpha=st.sampled_from((0.05, 0.125, 0.5, -0.25, 2.0)),
)
def test_with_inputs_independent_of_the_task_maml_s_minimiser_is_the_joint_one(case, alpha):
    """Exact enumeration of designs and tasks, with unequal product probabilities and no noise, for every α and K."""
    X, w, p, q, _, steps = case
    assert_right("thm:joint-tie", (X, w, p, q, alpha, steps))


@pytest.mark.eq("thm:joint-tie")
@pytest.mark.parametrize(("alpha", "steps"), [(0.05, 1), (0.125, 3), (0.5, 2), (-0.25, 2), (2.0, 1)])
def test_where_the_inputs_depend_on_the_task_the_minimisers_differ(alpha, steps):
    designs = np.random.default_rng(6).integers(-2, 3, size=(3, 2, 4, 2)) * 1.0
    w, p = np.array([[-3.0, 1.0], [1.0, 2.0], [0.0, 5.0]]), np.array([1, 1, 6]) / 8
    support, query = (rm.LinearRegression(X, np.einsum("ikd,id->ik", X, w)) for X in designs.swapaxes(0, 1))
    g = maml.gradient(p @ w, support, query, alpha=alpha, steps=steps)
    assert np.max(np.abs(p @ g)) > 1e-2 * np.max(p @ np.abs(g))


@given(case=problems(alphas=("scalar",), steps=st.sampled_from((0, 2))))
def test_reductions_no_steps_zero_step_size_one_task_and_splitting_a_batch(case):
    plain = case.query.at(case.theta).grad
    np.testing.assert_array_equal(maml.gradient(case.theta, *case.split, alpha=case.alpha, steps=0), plain)
    if case.steps:
        np.testing.assert_array_equal(maml.gradient(case.theta, *case.split, alpha=0.0, steps=case.steps), plain)
    whole = maml.gradient(case.theta, *case.split, **case.hyper)
    for i in range(case.support.shape[0]):
        alone = maml.gradient(case.theta, case.support[i], case.query[i], **case.hyper)
        np.testing.assert_allclose(whole[i], alone, rtol=0, atol=1e-13 * (1 + np.max(np.abs(alone))))


@given(case=problems(kinds=("discounted", "finite-horizon", "linear-features")), power=st.integers(-8, 8))
def test_rewards_times_a_power_of_two_and_alpha_over_it_scale_every_bit(case, power):
    scale = 2.0**power
    scaled = [
        rm.PolicyReturn(rm.FiniteMDP(t.mdp.P, t.mdp.R * scale, t.mdp.rho, t.mdp.gamma, t.mdp.horizon), t.policy)
        for t in case.split
    ]
    got = maml.gradient(case.theta, *scaled, alpha=np.asarray(case.alpha) / scale, steps=case.steps)
    np.testing.assert_array_equal(got, scale * maml.gradient(case.theta, *case.split, **case.hyper))


def test_the_order_of_tasks_and_of_starts_is_the_order_of_the_results():
    case = random_problem(np.random.default_rng(0), "discounted", tasks=3)
    g = maml.gradient(case.theta, *case.split, **case.hyper)
    turned = [rm.PolicyReturn(process_of(t.mdp, [2, 0, 1]), t.policy) for t in case.split]
    np.testing.assert_array_equal(maml.gradient(case.theta, *turned, **case.hyper), g[[2, 0, 1]])
    starts = np.stack([case.theta, 2 * case.theta])[:, None]
    both = maml.gradient(starts, *case.split, **case.hyper)
    assert both.shape == (2, 3, 9)
    np.testing.assert_allclose(both[0], g, rtol=0, atol=1e-15)


def process_of(mdp, order):
    return rm.FiniteMDP(mdp.P[order], mdp.R[order], mdp.rho[order], mdp.gamma, mdp.horizon)


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_support_and_query_batches_broadcast(steps):
    rng = np.random.default_rng(1)
    many, one = random_quadratic(rng, 4, 3), random_quadratic(rng, 1, 3)[0]
    theta = rng.normal(size=3)
    for support, query in ((many, one), (one, many)):
        assert maml.objective(theta, support, query, alpha=0.1, steps=steps).shape == (4,)
        g = maml.gradient(theta, support, query, alpha=0.1, steps=steps)
        assert g.shape == maml.first_order_gradient(theta, support, query, alpha=0.1, steps=steps).shape == (4, 3)
        w = np.ones(steps + 1)
        assert maml.multi_step_gradient(theta, support, query, alpha=0.1, steps=steps, weights=w).shape == (4, 3)
        assert maml.step_size_gradient(theta, support, query, alpha=[0.1] * 3, steps=steps).shape == (4, 3)
        for i in range(4):
            alone = [t[i] if t is many else t for t in (support, query)]
            np.testing.assert_allclose(
                g[i], maml.gradient(theta, *alone, alpha=0.1, steps=steps), rtol=1e-14, atol=1e-14
            )


def test_results_are_the_caller_s_own():
    task = random_quadratic(np.random.default_rng(0), 2, 3)
    for steps in (0, 1):
        for f in (maml.gradient, maml.first_order_gradient):
            got = f(np.ones(3), task, alpha=0.1, steps=steps)
            got[:] = 0
            assert np.any(f(np.ones(3), task, alpha=0.1, steps=steps) != 0)


def test_a_sequence_of_minibatches_is_differentiated_step_by_step():
    rng = np.random.default_rng(2)
    batches, query = [random_quadratic(rng, 2, 3) for _ in range(3)], random_quadratic(rng, 2, 3)
    theta = rng.normal(size=3)
    value = lambda t: maml.objective(t, batches, query, alpha=0.2, steps=3)
    np.testing.assert_allclose(
        maml.gradient(theta, batches, query, alpha=0.2, steps=3), complex_step(value, theta), rtol=1e-12, atol=1e-14
    )


TASK = rm.Quadratic(np.eye(2), np.zeros(2))


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: maml.gradient(np.zeros(2), TASK, rm.Quadratic(np.eye(3), np.zeros(3)), alpha=0.1), ValueError, "query has 3 parameters, expected 2 as the support"),
        (lambda: maml.gradient(np.zeros(3), TASK, alpha=0.1), ValueError, r"theta has shape \(3,\), expected last axis 2"),
        (lambda: maml.gradient(np.zeros(2), [TASK], alpha=0.1), ValueError, "query is required where support is a sequence"),
        (lambda: maml.multi_step_gradient(np.zeros(2), TASK, alpha=0.1, steps=2, weights=[1, 1]), ValueError, r"weights has shape \(2,\), expected \(3,\): one for each of theta_0"),
        (lambda: maml.gradient(np.zeros(2), TASK, 3.0, alpha=0.1), TypeError, r"query must be a task with at\(theta\), got float"),
        (lambda: maml.gradient(np.zeros((3, 2)), TASK, rm.Quadratic(np.eye(2), np.zeros((4, 2))), alpha=0.1), ValueError, r"got support \(3,\), query \(4,\)"),
        (lambda: maml.gradient(np.zeros(2), TASK, alpha=[[1, 2], [3]]), ValueError, "alpha must be a rectangular array of numbers"),
        (lambda: maml.gradient([[1, 2], [3]], TASK, alpha=0.1), ValueError, "theta must be a rectangular array of numbers"),
        (lambda: maml.update([1.0, 2.0], [[1e308, 1]] * 2, beta=1), FloatingPointError, "update left the finite numbers"),
        (lambda: maml.step_size_gradient([1e160, 2.0], TASK, alpha=0.1), FloatingPointError, "step_size_gradient left the finite numbers"),
        (lambda: maml.multi_step_objective([1.0, 2.0], TASK, alpha=0.1, steps=1, weights=[1e308] * 2), FloatingPointError, "multi_step_objective left"),
        (lambda: maml.quadratic_closed_form(rm.Quadratic(1e200 * np.eye(2), [1e200, 0]), alpha=1.0, steps=2), FloatingPointError, "left the finite numbers"),
        (lambda: maml.quadratic_minimiser(rm.LinearRegression(np.eye(2), [1, 2]), alpha=0.1), TypeError, "the closed form is that of a Quadratic, got LinearRegression"),
        (lambda: maml.update([[1.0]], [[1.0]], beta=0.1), ValueError, r"theta has shape \(1, 1\), expected \(d,\)"),
        (lambda: maml.update([1.0], [[1.0, 2.0]], beta=0.1), ValueError, r"gradients has shape \(1, 2\), expected last axis 1 as theta"),
        (lambda: maml.update([1.0], [[1.0]], beta=np.nan), ValueError, "beta must be finite"),
        (lambda: maml.quadratic_closed_form(TASK, alpha=0.1j), TypeError, "alpha must be real"),
        (lambda: maml.gradient(np.zeros(2), TASK, alpha=0.1, steps=np.nan), TypeError, "steps must be an integer, got nan"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_in_a_sentence(call, error, sentence):
    with pytest.raises(error, match=sentence):
        call()


@pytest.mark.parametrize("kind", KINDS)
def test_the_complex_step_of_the_gradient_is_symmetric(kind):
    """∇²F by the complex step of ∇F: a conjugate or a cast in the adjoint would break it."""
    case = random_problem(np.random.default_rng(2), kind, tasks=1, steps=2, alpha="step-parameter")
    H = complex_step(lambda t: maml.gradient(t, *case.split, **case.hyper), case.theta)[0]
    assert np.max(np.abs(H)) > 1e-3
    np.testing.assert_allclose(H, H.T, rtol=0, atol=1e-12 * np.max(np.abs(H)))


def test_the_closed_form_in_dyadic_numbers_for_shared_and_for_two_batch_axes():
    """A = diag(1, 2), α = ½, K = 1: A' = diag(¼, 0)."""
    form = maml.quadratic_closed_form(rm.Quadratic([[1.0, 0.0], [0.0, 2.0]], [0.0, 0.0]), alpha=0.5)
    np.testing.assert_array_equal(form.A, [[0.25, 0], [0, 0]])
    rng = np.random.default_rng(0)
    c = rng.normal(size=(2, 3, 2))
    star = maml.quadratic_minimiser(rm.Quadratic([[1.0, 0.25], [0.25, 2.0]], c), alpha=0.1)
    np.testing.assert_allclose(star, c.mean(axis=(0, 1)), rtol=1e-13)
    with pytest.raises(FloatingPointError, match="must be positive definite"):
        maml.quadratic_minimiser(rm.Quadratic(np.diag([1.0, 1e-20]), [0.0, 0.0]), alpha=0.1)


def test_an_adjoint_that_overflows_names_its_step():
    task, query = rm.Quadratic([[-1.0]], [0.0]), rm.Quadratic([[5e307]], [0.0])
    with pytest.raises(FloatingPointError, match="the adjoint of inner step 1 left the finite numbers"):
        maml.gradient([1.0], task, query, alpha=1.0, steps=1)


@pytest.mark.parametrize("alpha", [np.inf, [np.inf, 1.0], [[0.1, 0.2]]])
def test_step_sizes_that_are_infinite_or_of_one_row_for_two_steps_are_refused(alpha):
    with pytest.raises(ValueError, match="alpha"):
        maml.gradient(np.zeros(2), TASK, alpha=alpha, steps=2)


@pytest.mark.parametrize("turned", [False, True])
def test_a_minimiser_that_rounding_would_choose_is_refused(turned):
    """One eigenvalue of A is 1/α: that of A' is the square of a rounding, of either sign where A is turned."""
    rng = np.random.default_rng(0)
    for steps in (1, 2, 3):
        for dim in (1, 2, 3, 4) * 5:
            alpha = float(np.exp(rng.normal()))
            Q = np.linalg.qr(rng.normal(size=(dim, dim)))[0] if turned else np.eye(dim)
            values = np.append(1.0, rng.uniform(0.2, 0.8, size=dim - 1)) / alpha
            A = (Q * values) @ Q.T
            with pytest.raises(FloatingPointError, match="must be positive definite for a unique minimiser"):
                maml.quadratic_minimiser(rm.Quadratic(A, np.ones(dim)), alpha=alpha, steps=steps)


class Steeper(rm.Quadratic):
    """A subclass whose loss is twice that of its parent: its `at` is that of another quadratic."""

    def at(self, theta):
        return rm.Quadratic(2 * self.A, self.c).at(theta)


class Wrapped:
    """A task that has everything of another one but its `at`."""

    def __init__(self, task):
        self.task = task

    def __getattr__(self, name):
        return getattr(self.task, name)

    def at(self, theta):
        return rm.Quadratic(2 * self.task.A, self.task.c).at(theta)


def test_a_task_with_an_at_of_its_own_is_asked_for_that():
    rng = np.random.default_rng(8)
    task, theta = random_quadratic(rng, 2, 3), rng.normal(size=3)
    twice = rm.Quadratic(2 * task.A, task.c)
    expected = maml.gradient(theta, twice, alpha=0.1, steps=2)
    for own in (Steeper(task.A, task.c), Wrapped(task)):
        np.testing.assert_array_equal(maml.gradient(theta, own, alpha=0.1, steps=2), expected)
        np.testing.assert_array_equal(maml.gradient(theta, task, own, alpha=0.1, steps=2), maml.gradient(theta, task, twice, alpha=0.1, steps=2))
