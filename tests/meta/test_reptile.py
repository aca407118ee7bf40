"""Reptile: updates by hand, Adam in plain scalars, and the expansion's remainder by enumeration of all orders."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import refmeta as rm
from refmeta import reptile
from refmeta.evidence.reptile import order_means, random_adam, random_expansion, random_update
from refmeta.meta.optimisers import Moments, adam, adam_epsilon_hat, zero_moments
from refmeta.problems import random_problem, random_quadratic
from tests import independent
from tests.strategies import assert_right, problems, quadratics, seeds, sizes

EPS = np.finfo(float).eps
STEPS = [adam, adam_epsilon_hat]


@pytest.mark.eq("reptile-update")
def test_the_update_by_hand():
    """θ = (1, 2), φ = (3, 0), (5, 4), mean (4, 2), ε = ¼: (1.75, 2); ε = 1 is the mean of the rows."""
    np.testing.assert_array_equal(reptile.update([1, 2], [[3, 0], [5, 4]], epsilon=0.25), [1.75, 2])
    np.testing.assert_array_equal(reptile.update([1, 2], [[3, 0], [5, 4]], epsilon=1), [4, 2])
    np.testing.assert_array_equal(reptile.update([1, 2], [3, 0], epsilon=0.5), [2, 1])
    np.testing.assert_array_equal(reptile.update([1, 2], [[[3, 0]], [[5, 4]]], epsilon=0), [1, 2])


@pytest.mark.eq("reptile-update")
@given(case=st.builds(random_update, seeds, rows=st.integers(1, 5), epsilon=st.sampled_from((0.5, 0.3, -0.2))))
def test_the_update_is_its_sums_written_out(case):
    assert_right("reptile-update", case)


@pytest.mark.eq("reptile-serial")
def test_the_serial_update_by_hand():
    """L_i = ½(θ − c_i)², c = (0, 8), α = ½, K = 1, ε = ½, θ = 4: φ = 2, θ = 3; φ = 5.5, θ = 4.25."""
    task = rm.Quadratic(np.ones((2, 1, 1)), [[0.0], [8.0]])
    np.testing.assert_array_equal(reptile.update_serial([4.0], task, alpha=0.5, steps=1, epsilon=0.5), [4.25])
    in_turn = reptile.update_serial([4.0], [task[1], task[0]], alpha=0.5, steps=1, epsilon=0.5)
    np.testing.assert_array_equal(in_turn, [3.75])


@pytest.mark.eq("reptile-serial")
@given(case=problems(alphas=("scalar",)))
def test_the_serial_update_is_a_plain_loop(case):
    theta = case.theta
    for i in range(case.support.shape[0]):
        task, phi = independent.single(case.support, i), theta
        for _ in range(case.steps):
            phi = phi - case.alpha * task.grad(phi)
        theta = theta + 0.25 * (phi - theta)
    got = reptile.update_serial(case.theta, case.support, epsilon=0.25, **case.hyper)
    np.testing.assert_allclose(got, theta, rtol=0, atol=1e-12 * (1 + np.max(np.abs(theta))))


@pytest.mark.eq("reptile-serial")
@given(case=quadratics)
def test_the_serial_update_is_the_closed_form_on_quadratics(case):
    assert_right("reptile-serial", case)


@pytest.mark.eq("reptile-gradient")
@given(case=problems(alphas=("scalar",), steps=st.integers(1, 3)))
def test_the_gradient_is_the_sum_of_the_inner_gradients(case):
    assert_right("reptile-gradient", case)


def test_reptile_with_one_step_is_gradient_descent_on_the_mean_loss():
    """A false alarm that is correct: ε·mean(φ − θ) = −εα·mean ∇L."""
    case = random_problem(np.random.default_rng(0), "softmax-regression", tasks=3, steps=1)
    adapted = rm.adapt(case.theta, case.support, **case.hyper).adapted
    got = reptile.update(case.theta, adapted, epsilon=0.5)
    mean = np.mean([independent.single(case.support, i).grad(case.theta) for i in range(3)], axis=0)
    np.testing.assert_allclose(got, case.theta - 0.5 * case.alpha * mean, rtol=16 * EPS)


@pytest.mark.eq("adam", "adam-epsilon-hat")
@pytest.mark.parametrize("label", ["adam", "adam-epsilon-hat"])
@given(
    case=st.builds(
        random_adam, seeds, dim=sizes, beta1=st.sampled_from((0.0, 0.9)), beta2=st.sampled_from((0.5, 0.999)),
        epsilon=st.sampled_from((1e-8, 0.1)),
    )
)  # fmt: skip
def test_adam_is_the_algorithm_in_plain_scalars(label, case):
    """ε = 0.1 makes the two forms differ by far; both must be met."""
    assert_right(label, case)


@pytest.mark.eq("adam", "adam-epsilon-hat")
def test_the_first_step_of_both_forms_by_hand():
    """g = 3, β₂ = 3/4, ε = 1, β₁ = 0: v̂ = 9, step α·3/4; √v = 3/2, α_t = α/2, step α·(3/2)/(5/2) = 3α/5."""
    state = zero_moments(np.zeros(1))
    args = {"alpha": 1.0, "beta1": 0.0, "beta2": 0.75, "epsilon": 1.0}
    np.testing.assert_allclose(adam(np.zeros(1), np.array([3.0]), state, **args)[0], [-0.75], rtol=4 * EPS)
    np.testing.assert_allclose(adam_epsilon_hat(np.zeros(1), np.array([3.0]), state, **args)[0], [-0.6], rtol=4 * EPS)


@given(rng=seeds, t=st.integers(0, 20))
def test_epsilon_hat_is_the_algorithm_with_epsilon_over_the_correction(rng, t):
    state = Moments(rng.normal(size=3), rng.uniform(0.1, 1, size=3), t)
    theta, g, args = rng.normal(size=3), rng.normal(size=3), {"alpha": 0.3, "beta1": 0.4, "beta2": 0.9}
    one = adam(theta, g, state, epsilon=0.05 / np.sqrt(1 - 0.9 ** (t + 1)), **args)[0]
    np.testing.assert_allclose(
        one, adam_epsilon_hat(theta, g, state, epsilon=0.05, **args)[0], rtol=16 * EPS, atol=16 * EPS
    )


@pytest.mark.parametrize("step", STEPS)
def test_fresh_state_forgets_the_tasks_before_and_carried_state_does_not(step):
    task, theta = random_quadratic(np.random.default_rng(4), 3, 2), np.array([1.0, -2.0])
    args = {"alpha": 0.1, "steps": 4, "step": step}
    reset, _ = reptile.adapt_adam(theta, task, **args)
    carried, state = reptile.adapt_adam_carried(theta, task, **args)
    assert reset.shape == carried.shape == (3, 2) and state.steps == 12
    np.testing.assert_array_equal(reset[0], carried[0])
    assert np.all(np.abs(reset[1:] - carried[1:]) > 1e-3)
    m = v = None
    t = 0
    for i in range(3):
        grad = lambda x, i=i: task.A[i] @ (x - task.c[i])
        phi, m, v, t = independent.adam(theta, grad, 0.1, 4, 0.0, 0.999, 1e-8, step is adam_epsilon_hat, m, v, t)
        np.testing.assert_allclose(carried[i], phi, rtol=0, atol=1e-13)


def test_carrying_the_state_over_a_cut_is_the_uncut_run_to_the_last_bit():
    task, theta = random_quadratic(np.random.default_rng(1), 2, 3), np.ones(3)
    half, state = reptile.adapt_adam(theta, task, alpha=0.1, steps=3)
    rest, _ = reptile.adapt_adam(half, task, alpha=0.1, steps=4, state=state)
    np.testing.assert_array_equal(rest, reptile.adapt_adam(theta, task, alpha=0.1, steps=7)[0])


def test_adam_takes_a_sequence_of_minibatches_one_a_step():
    batches, theta = random_quadratic(np.random.default_rng(1), 2, 3), np.ones(3)
    phi, state = reptile.adapt_adam(theta, [batches[0], batches[1]], alpha=0.1, steps=2)
    half, carried = reptile.adapt_adam(theta, batches[0], alpha=0.1, steps=1)
    np.testing.assert_array_equal(phi, reptile.adapt_adam(half, batches[1], alpha=0.1, steps=1, state=carried)[0])


@pytest.mark.eq("reptile-expansion")
@settings(max_examples=settings.default.max_examples // 3)
@given(case=st.builds(random_expansion, seeds, minibatches=st.sampled_from((3, 2, 4))))
def test_the_remainder_of_the_expansion_is_of_order_two(case):
    assert_right("reptile-expansion", case)


@pytest.mark.eq("reptile-expansion")
@given(rng=seeds)
def test_two_quadratics_leave_no_remainder_for_reptile_and_first_order_maml(rng):
    batched, theta = random_quadratic(rng, 2, 3), rng.normal(size=3)
    minibatches = [batched[0], batched[1]]
    exact, expected = order_means(theta, minibatches, 0.125), reptile.expansion(theta, minibatches, alpha=0.125)
    scale = 64 * EPS * (1 + np.max(np.abs(expected.reptile)) + np.max(np.abs(batched.A)) ** 2)
    np.testing.assert_allclose(exact[1], expected.first_order_maml, rtol=0, atol=scale)
    np.testing.assert_allclose(exact[2], expected.reptile, rtol=0, atol=scale)


@pytest.mark.eq("reptile-expansion")
def test_the_expansion_by_hand():
    """L = ½a_i(θ − c_i)², a = (1, 3), c = (0, 1), θ = 2: ḡ = (2, 3), AvgGrad 5/2, AvgGradInner (1·3 + 3·2)/2 = 9/2."""
    tasks = [rm.Quadratic([[1.0]], [0.0]), rm.Quadratic([[3.0]], [1.0])]
    got = reptile.expansion([2.0], tasks, alpha=0.125)
    np.testing.assert_array_equal(got.maml, [2.5 - 2 * 0.125 * 4.5])
    np.testing.assert_array_equal(got.first_order_maml, [2.5 - 0.125 * 4.5])
    np.testing.assert_array_equal(got.reptile, [5 - 0.125 * 4.5])


TASK = rm.Quadratic(np.eye(2), np.zeros(2))


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: reptile.update([1, 2], np.zeros((0, 2)), epsilon=0.1), ValueError, r"adapted has shape \(0, 2\), expected at least one row"),
        (lambda: reptile.update([[1, 2]], [[1, 2]], epsilon=0.1), ValueError, r"theta has shape \(1, 2\), expected \(d,\)"),
        (lambda: reptile.update([1, 2], [[1, 2, 3]], epsilon=0.1), ValueError, r"adapted has shape \(1, 3\), expected last axis 2 as theta"),
        (lambda: reptile.update([1, 2], [[1, 2]], epsilon=np.nan), ValueError, "epsilon must be finite, got nan"),
        (lambda: reptile.update([1, np.nan], [[1, 2]], epsilon=1), ValueError, r"theta\[1\] is nan"),
        (lambda: reptile.gradient([1, 2], [[1, 2]], alpha=0), ValueError, "alpha must not be 0"),
        (lambda: reptile.gradient([1, 2], [[1, 2]], alpha=[0.1, 0.2]), ValueError, r"alpha must be one number, got shape \(2,\)"),
        (lambda: reptile.update_serial([1, 2], TASK, alpha=0.1, steps=1, epsilon=1), ValueError, "tasks must be a sequence of at least one task, or one task with a batch axis"),
        (lambda: reptile.update_serial([1, 2], [], alpha=0.1, steps=1, epsilon=1), ValueError, "tasks must be a sequence of at least one"),
        (lambda: reptile.adapt_adam([1, 2], TASK, alpha=0.1, steps=1, beta2=1.0), ValueError, "beta2 must satisfy 0 <= beta2 < 1, got 1.0"),
        (lambda: reptile.adapt_adam([1, 2], TASK, alpha=0.1, steps=1, epsilon=-1), ValueError, "epsilon must be at least 0.0"),
        (lambda: reptile.adapt_adam([1, 2], TASK, alpha=0.1, steps=-1), ValueError, "steps must be at least 0, got -1"),
        (lambda: reptile.adapt_adam([0, 0], TASK, alpha=0.1, steps=1, epsilon=0), FloatingPointError, "Adam step 1 left the finite numbers"),
        (lambda: reptile.adapt_adam([1, 2], TASK, alpha=0.1, steps=1, state=zero_moments(np.zeros(3))), ValueError, r"state has shape \(3,\), expected that of the adapted parameters, \(2,\)"),
        (lambda: reptile.adapt_adam([0, 0], rm.Quadratic(np.eye(2), [1e200, 0]), alpha=0.1, steps=1), FloatingPointError, "Adam step 1 left"),
        (lambda: reptile.update([-1e308, 2.0], [[1e308, 1]] * 2, epsilon=1), FloatingPointError, "update left the finite numbers"),
        (lambda: reptile.gradient([1.0, 2.0], [[2.0, 1]], alpha=1e-310), FloatingPointError, "gradient left the finite numbers"),
        (lambda: reptile.gradient(np.zeros((3, 2)), np.zeros((2, 2)), alpha=0.1), ValueError, r"got theta \(3,\), adapted \(2,\)"),
        (lambda: reptile.update_serial([1, 2], None, alpha=0.1, steps=1, epsilon=1), ValueError, "tasks must be a sequence of at least one"),
        (lambda: reptile.update_serial([0] * 3, rm.Sinusoids().sample(2, 0), alpha=0.1, steps=1, epsilon=1), TypeError, "got Split"),
        (lambda: reptile.expansion([1e200, 1.0], [TASK] * 2, alpha=1e200), FloatingPointError, "expansion left the finite numbers"),
        (lambda: reptile.expansion([1, 2], [TASK], alpha=0.1), ValueError, "minibatches has 1 tasks, expected at least 2"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_in_a_sentence(call, error, sentence):
    with pytest.raises(error, match=sentence):
        call()


def test_the_state_that_comes_back_is_the_caller_s_own():
    state = zero_moments(np.zeros(2))
    _, same = reptile.adapt_adam([1.0, 2.0], TASK, alpha=0.1, steps=0, state=state)
    same.second[:] = 7
    np.testing.assert_array_equal(state.second, 0)


def test_no_steps_of_adam_still_have_the_shape_of_the_batch():
    phi, _ = reptile.adapt_adam(np.ones(3), random_quadratic(np.random.default_rng(0), 2, 3), alpha=0.1, steps=0)
    np.testing.assert_array_equal(phi, np.ones((2, 3)))


def test_the_first_of_two_batch_axes_is_the_order_of_a_serial_update():
    rng = np.random.default_rng(0)
    c = rng.normal(size=(2, 3, 1))
    theta = np.array([1.0])
    got = reptile.update_serial(theta, rm.Quadratic([[1.0]], c), alpha=0.5, steps=1, epsilon=0.5)
    for group in c:
        theta = reptile.update(theta, theta - 0.5 * (theta - group), epsilon=0.5)
    np.testing.assert_allclose(got, theta, rtol=1e-14)


def test_adam_is_holomorphic():
    """The complex step of a step of Adam by its gradient, against a central difference."""
    from refmeta.judges import central_difference, complex_step

    state = Moments(np.array([0.2, -0.1]), np.array([0.3, 0.1]), 3)
    args = {"alpha": 0.1, "beta1": 0.5, "beta2": 0.9, "epsilon": 0.05}
    for step in STEPS:
        f = lambda g, step=step: step(np.zeros(2), g, state, **args)[0]
        numeric = central_difference(f, np.array([0.7, -0.4]))
        assert np.all(np.abs(complex_step(f, np.array([0.7, -0.4])) - numeric.derivative) <= 4 * numeric.error + 1e-12)


@pytest.mark.parametrize("step", [adam, adam_epsilon_hat])
def test_rates_in_single_precision_cost_no_digits(step):
    """β is the number that float32 holds, in double precision: 1 − βᵗ keeps its sixteen digits."""
    theta, g, state = np.array([0.5, -1.0]), np.array([0.25, 3.0]), zero_moments(np.zeros(2))
    single = {"beta1": np.float32(0.9), "beta2": np.float32(0.999)}
    of = lambda rates: step(theta, g, state, alpha=0.1, epsilon=1e-8, **rates)
    got, expected = of(single), of({name: float(rate) for name, rate in single.items()})
    np.testing.assert_array_equal(got[0], expected[0])
    np.testing.assert_array_equal(got[1].second, expected[1].second)
    by_zero_dim = of({name: np.array(rate) for name, rate in single.items()})
    np.testing.assert_array_equal(by_zero_dim[0], expected[0])
