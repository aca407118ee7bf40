"""Meta-LSTM: the forward pass by hand and by its definition, both gradients by complex steps, what independence drops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refmeta as rm
from refmeta.evidence.meta_lstm import HIDDEN, LearnerCase, random_cell, random_learner, random_parameters, step_lengths
from refmeta.judges import complex_step
from refmeta.meta import meta_lstm
from refmeta.meta.lstm import preprocessing, preprocessing_slope, sigmoid
from refmeta.meta.meta_lstm import Parameters, gates, gates_released, unravel
from refmeta.problems import KINDS, random_problem, random_trajectories
from tests.strategies import assert_right, costly, seeds, sizes

kinds = st.sampled_from(KINDS[:6])  # gates of order one are past the edge of stability of linear-quadratic costs
recurrences = st.sampled_from((gates, gates_released))


def of_flat(case):
    return lambda flat: unravel(flat, dim=case.support.dim, hidden=HIDDEN)


@pytest.mark.eq("gradient-preprocessing")
@given(x=st.lists(st.floats(-1e3, 1e3) | st.floats(-1e-4, 1e-4), min_size=1, max_size=6))
def test_preprocessing_is_that_of_scalars_and_its_slope_the_complex_step(x):
    assert_right("gradient-preprocessing", np.array(x)[:, None])


@pytest.mark.eq("gradient-preprocessing")
def test_preprocessing_by_hand():
    """e^−5 is large: (−1/2, 1); −1 is (0, −1); e^−11 is small: (−1, e^−1); 0 is (−1, 0).  Continuous at e^−10."""
    x = np.array([np.exp(-5), -1.0, np.exp(-11), 0.0])
    np.testing.assert_allclose(preprocessing(x), [[-0.5, 1], [0, -1], [-1, np.exp(-1)], [-1, 0]], rtol=1e-14, atol=1e-16)
    np.testing.assert_allclose(
        preprocessing_slope(x), [[np.exp(5) / 10, 0], [-0.1, 0], [0, np.exp(10)], [0, np.exp(10)]], rtol=1e-14
    )
    edge = np.exp(-10) * np.array([1 - 1e-12, 1 + 1e-12])
    for side in (1, -1):
        np.testing.assert_allclose(*preprocessing(side * edge), rtol=0, atol=1e-11)


def test_sigmoid_keeps_its_digits_on_both_sides_and_never_overflows():
    z = np.array([-800.0, -40.0, 0.0, 40.0, 800.0])
    with np.errstate(all="raise", under="ignore"):
        got = sigmoid(z)
    np.testing.assert_allclose(got, [np.exp(-800.0), np.exp(-40.0), 0.5, 1, 1], rtol=1e-15)
    step = complex_step(sigmoid, np.array([-3.0, 2.0]))
    np.testing.assert_allclose(np.diag(step), sigmoid(np.array([-3.0, 2])) * sigmoid(np.array([3.0, -2])), rtol=1e-14)


@pytest.mark.eq("lstm-cell")
@given(rng=seeds, rows=sizes, inputs=sizes, hidden=sizes)
def test_the_cell_is_that_of_scalars_and_its_transpose_the_complex_step(rng, rows, inputs, hidden):
    assert_right("lstm-cell", random_cell(rng, rows, inputs, hidden))


@pytest.mark.eq("meta-lstm-cell", "meta-lstm-gates", "meta-lstm-gates-released")
@pytest.mark.parametrize(("recurrence", "before"), [(gates, 1 / 4), (gates_released, -np.log(3))])
def test_two_steps_by_hand(recurrence, before):
    """L = θ²/2 from θ = 1; W = 0, so h = 0; i_1 = σ(−log 3) = 1/4 and f_1 = 1/2 with W_F = 0, b_F = 0: θ_1 = 1/4.

    The weight of the gate before is log 3: z = −log 3 + log 3 · before, −(3/4) log 3 for 1/4, −log 3 − (log 3)² for z_1.
    """
    zero = np.zeros((4, 5))
    weights = Parameters(zero, np.zeros(4), [0.0, 0.0, np.log(3)], -np.log(3), [0.0, 0.0, 0.0], 0.0, [1.0])
    path = meta_lstm.unroll(weights, rm.Quadratic([[1.0]], [0.0]), steps=2, recurrence=recurrence)
    assert path.steps[0].theta == pytest.approx(0.25, rel=1e-14)
    i = 1 / (1 + np.exp(np.log(3) - np.log(3) * before))
    assert path.adapted == pytest.approx(0.25 * (0.5 - i), rel=1e-13)
    assert meta_lstm.objective(weights, rm.Quadratic([[1.0]], [0.0]), steps=2, recurrence=recurrence) == pytest.approx(
        path.adapted[0] ** 2 / 2, rel=1e-14
    )


@pytest.mark.eq("meta-lstm-cell", "meta-lstm-gates", "meta-lstm-gates-released")
@pytest.mark.parametrize("label", ["meta-lstm-cell", "meta-lstm-gates", "meta-lstm-gates-released"])
@given(rng=seeds, kind=kinds, steps=st.integers(0, 4))
def test_the_forward_pass_is_that_of_scalars(label, rng, kind, steps):
    recurrence = gates_released if label.endswith("released") else gates
    assert_right(label, LearnerCase(random_learner(rng, kind, steps), recurrence))


@pytest.mark.eq("meta-lstm-bptt-exact")
@costly
@given(rng=seeds, kind=kinds, recurrence=recurrences, steps=st.integers(0, 4))
def test_the_exact_gradient_is_the_complex_step_in_every_weight(rng, kind, recurrence, steps):
    assert_right("meta-lstm-bptt-exact", LearnerCase(random_learner(rng, kind, steps), recurrence))


@pytest.mark.eq("meta-lstm-bptt")
@costly
@given(rng=seeds, kind=kinds, recurrence=recurrences, steps=st.integers(0, 4))
def test_the_independent_gradient_is_the_complex_step_with_gradients_and_losses_held(rng, kind, recurrence, steps):
    assert_right("meta-lstm-bptt", LearnerCase(random_learner(rng, kind, steps), recurrence))


def test_the_exact_gradient_on_a_linear_quadratic_cost_whose_curvature_allows_small_steps_only():
    case = random_learner(np.random.default_rng(0), "linear-quadratic")
    weights = case.parameters
    weights = weights._replace(W_I=weights.W_I / 10, W_F=weights.W_F / 10, b_I=-7.0, b_F=4.0)
    unflat = of_flat(case)
    expected = complex_step(lambda f: meta_lstm.objective(unflat(f), *case[1:3], steps=3), weights.ravel())
    got = meta_lstm.gradient(weights, *case[1:3], steps=3).ravel()
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12 * np.max(np.abs(expected)))


def detached_tasks(case):
    """The support with every gradient and loss of the pass held: one task per step."""

    class Held:
        def __init__(self, task, point):
            self.shape, self.dim, self.point = task.shape, task.dim, point

        def at(self, theta):
            class Point:
                grad, loss = self.point.grad, self.point.loss

            Point.theta = theta
            return Point()

    path = meta_lstm.unroll(*case[:2], steps=3)
    return [Held(case.support, step.point) for step in path.steps]


@pytest.mark.eq("meta-lstm-bptt", "meta-lstm-bptt-exact")
@pytest.mark.parametrize("kind", ["softmax-regression", "discounted"])
def test_they_differ_by_exactly_the_dropped_terms(kind):
    """∂F/∂c0 exact − independent = Σ_t J_tᵀ (H_t a_t + b_t ∇L_t), J_t = ∂θ_{t−1}/∂c0 with all inputs held.

    a_t and b_t are the adjoints of ∇L_t and L_t: slopes of F when δ is added to what step t is told, nothing else.
    """
    case = random_learner(np.random.default_rng(0), kind)
    weights, d, detached = case.parameters, case.support.dim, detached_tasks(case)
    exact = meta_lstm.gradient(*case[:3], steps=3).c0
    independent = meta_lstm.gradient_independent(*case[:3], steps=3).c0
    total = 0.0
    for t in range(3):

        class Nudged:
            shape, dim = case.support.shape, d

            def __init__(self, delta):
                self.delta = delta

            def at(self, theta):
                point = case.support.at(theta)

                class Point:
                    grad, loss = point.grad + self.delta[:d], point.loss + self.delta[d]

                Point.theta = theta
                return Point()

        def F(delta, t=t, Nudged=Nudged):
            tasks = [case.support] * 3
            tasks[t] = Nudged(delta)
            return meta_lstm.objective(weights, tasks, case.query, steps=3)

        slopes = complex_step(F, np.zeros(d + 1))
        a, b = slopes[:, :d], slopes[:, d]
        point = meta_lstm.unroll(weights, case.support, steps=3).steps[t].point
        dropped = point.hvp(a) + b[:, None] * point.grad
        J = np.broadcast_to(np.eye(d), (2, d, d)) if t == 0 else complex_step(
            lambda c0, t=t: meta_lstm.unroll(weights._replace(c0=c0), detached[:t], steps=t).adapted, weights.c0
        )  # fmt: skip
        total = total + np.einsum("nij,ni->nj", J, dropped)
    np.testing.assert_allclose(exact - independent, total, rtol=0, atol=1e-13 * max(1, np.max(np.abs(exact))))
    assert np.max(np.abs(total)) > 0.02 * np.max(np.abs(exact))


@pytest.mark.eq("meta-lstm-bptt")
def test_they_are_equal_where_gradients_are_constant_and_the_loss_is_not_looked_at():
    """A linear loss, and zero weights on the preprocessed loss."""
    rng = np.random.default_rng(1)

    class Linear:
        shape, dim = (2,), 3
        slope = np.array([[0.5, -1.0, 2.0], [1.0, 0.25, -0.5]])

        def at(self, theta):
            class Point:
                grad, loss = self.slope + 0 * theta, np.sum(self.slope * theta, axis=-1)

                def hvp(self, v):
                    return 0 * v

            Point.theta = theta
            return Point()

    weights = random_parameters(rng, 3, rng.normal(size=3))
    W = np.array(weights.W)
    query = rm.Quadratic(np.broadcast_to(np.eye(3), (2, 3, 3)), rng.normal(size=(2, 3)))
    exact, independent = (
        lambda W, f=f: f(weights._replace(W=W), Linear(), query, steps=3).ravel()
        for f in (meta_lstm.gradient, meta_lstm.gradient_independent)
    )
    assert np.max(np.abs(exact(W) - independent(W))) > 1e-3
    W[:, 2:4] = 0
    np.testing.assert_allclose(exact(W), independent(W), rtol=0, atol=1e-15)


@pytest.mark.eq("thm:meta-lstm-is-gradient-descent")
@costly
@given(rng=seeds, kind=kinds, recurrence=recurrences, steps=st.integers(1, 4), alpha=st.sampled_from((0.05, 0.2)))
def test_with_constant_gates_it_is_maml_and_first_order_maml(rng, kind, recurrence, steps, alpha):
    assert_right("thm:meta-lstm-is-gradient-descent", LearnerCase(random_learner(rng, kind, steps), recurrence, alpha))


@pytest.mark.eq("thm:gate-bound")
@pytest.mark.parametrize("above", [1.0, 1.5])
def test_a_gate_above_one_breaks_the_bound(above, monkeypatch):
    """σ scaled by 1.5 exceeds |∇L| wherever a gate is above 2/3; with the library's own σ nothing does."""
    case = random_learner(np.random.default_rng(0), "quadratic")
    monkeypatch.setattr(meta_lstm, "sigmoid", lambda z: above * sigmoid(z))
    moved, bound = step_lengths(case.parameters._replace(b_I=3.0), case.support, 3)
    assert np.all(moved < bound) if above == 1 else np.any(moved > 1.2 * bound)


@pytest.mark.eq("thm:gate-bound")
@given(rng=seeds, kind=kinds, bias=st.floats(-20, 20))
def test_no_step_adds_more_than_the_gradient(rng, kind, bias):
    """|θ_t − f_t θ_{t−1}| = i_t |∇L| ≤ |∇L|, coordinate by coordinate, whatever the weights."""
    case = random_learner(rng, kind)
    assert_right("thm:gate-bound", case._replace(parameters=case.parameters._replace(b_I=np.array(bias))))


def test_a_sampled_batch_a_sequence_of_minibatches_and_axes_of_tasks():
    rng = np.random.default_rng(2)
    policy, theta, batch = random_trajectories(rng)
    surrogate = rm.surrogates.dice(policy, theta, batch, gamma=0.75)
    weights = random_parameters(rng, policy.dim, theta)
    expected = complex_step(
        lambda f: meta_lstm.objective(unravel(f, dim=6, hidden=HIDDEN), surrogate, steps=2), weights.ravel()
    )
    got = meta_lstm.gradient(weights, surrogate, steps=2).ravel()
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-13 * np.max(np.abs(expected)))
    tasks = [random_problem(np.random.default_rng(k), "linear-regression", size=3).support for k in range(3)]
    weights = random_parameters(rng, 3, rng.normal(size=3))
    got = meta_lstm.gradient(weights, tasks[:2], tasks[2], steps=2)
    assert got.W.shape == (2, 8, 6) and got.b_I.shape == (2,) and got.c0.shape == (2, 3)
    expected = complex_step(
        lambda f: meta_lstm.objective(unravel(f, dim=3, hidden=HIDDEN), tasks[:2], tasks[2], steps=2), weights.ravel()
    )
    np.testing.assert_allclose(got.ravel(), expected, rtol=0, atol=1e-12)
    for n in range(2):
        alone = meta_lstm.gradient(weights, [t[n] for t in tasks[:2]], tasks[2][n], steps=2)
        np.testing.assert_allclose(alone.ravel(), got.ravel()[n], rtol=1e-12, atol=1e-14)


def test_ravel_and_unravel_are_inverse_and_the_start_is_as_it_says():
    weights = meta_lstm.init(5, hidden=3, rng=0, start=np.arange(5.0))
    flat = weights.ravel()
    assert flat.shape == (4 * 3 * 7 + 12 + 5 + 1 + 5 + 1 + 5,)
    back = unravel(flat, dim=5, hidden=3)
    for one, other in zip(weights, back, strict=True):
        np.testing.assert_array_equal(one, other)
    several = unravel(np.stack([flat, 2 * flat]), dim=5, hidden=3)
    assert several.W.shape == (2, 12, 7)
    np.testing.assert_array_equal(several.ravel()[1], 2 * flat)
    assert 4 <= weights.b_F <= 6 and -5 <= weights.b_I <= -4 and np.all(weights.b == 0)
    assert np.max(np.abs(weights.W)) <= 0.01 and np.max(np.abs(weights.W_I)) <= 0.01
    np.testing.assert_array_equal(weights.c0, np.arange(5.0))
    np.testing.assert_array_equal(meta_lstm.init(5, hidden=3, rng=0).W, weights.W)
    assert np.all(meta_lstm.init(5, rng=0).c0 == 0) and meta_lstm.init(5, rng=0).hidden == 20


def test_the_rules_sum_over_the_tasks_and_train():
    family, d = rm.Sinusoids(), 3
    start = meta_lstm.init(d, hidden=4, rng=0).ravel()
    support, query = family.sample(6, rng=1)
    for rule, f in ((rm.MetaLSTM, meta_lstm.gradient), (rm.IndependentMetaLSTM, meta_lstm.gradient_independent)):
        expected = f(unravel(start, dim=d, hidden=4), support, query, steps=3).ravel().sum(0)
        np.testing.assert_allclose(rule(d, 4, 3).direction(start, support, query), expected, rtol=1e-13, atol=1e-15)
    rule, outer, reports = rm.MetaLSTM(d, hidden=4, steps=3), rm.Adam(0.02, max_norm=5.0), []
    trained = rm.meta_train(family, start, rule=rule, outer=outer, iterations=60, batch=10, rng=0, callback=reports.append)
    held_out = family.sample(200, rng=2)
    before, after = (
        np.mean(meta_lstm.objective(unravel(x, dim=d, hidden=4), *held_out, steps=3)) for x in (start, trained.theta)
    )
    assert after < 0.5 * before and len(reports) == 60


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"W": np.zeros((8, 5))}, ValueError, r"W has shape \(8, 5\), expected \(8, 6\) for 2 hidden units and d = 3"),
        ({"W_F": np.zeros(3)}, ValueError, r"W_F has shape \(3,\), expected \(4,\)"),
        ({"b_I": np.zeros(1)}, ValueError, r"b_I must be one number, got shape \(1,\)"),
        ({"b_I": np.nan}, ValueError, "b_I must be finite, got nan"),
        ({"W_I": [1.0, 2.0]}, ValueError, r"W_I has shape \(2,\), expected \(H \+ 2,\) with at least one hidden unit"),
        ({"W_I": 1.0}, ValueError, r"W_I has shape \(\), expected \(H \+ 2,\)"),
        ({"c0": np.zeros(4)}, ValueError, r"c0 has shape \(4,\), expected \(3,\)"),
        ({"b": np.full(8, np.nan)}, ValueError, r"b\[0\] is nan"),
        ({"b_F": "a"}, TypeError, "b_F must be numbers"),
    ],
)  # fmt: skip
def test_parameters_of_the_wrong_shape_are_named(change, error, message):
    case = random_problem(np.random.default_rng(0), "linear-regression", size=3)
    weights = random_parameters(np.random.default_rng(0), 3, np.zeros(3))._replace(**change)
    with pytest.raises(error, match=message):
        meta_lstm.gradient(weights, *case.split, steps=2)


def test_other_bad_input_is_named():
    case = random_learner(np.random.default_rng(0), "linear-regression")
    with pytest.raises(TypeError, match="expected meta_lstm.Parameters, got ndarray; unravel"):
        meta_lstm.objective(case.parameters.ravel(), *case[1:3], steps=2)
    with pytest.raises(
        ValueError, match=r"flat has shape \(7,\), expected last axis 68 = those of 2 hidden units and 2"
    ):
        unravel(np.zeros(7), dim=2, hidden=2)
    with pytest.raises(ValueError, match="hidden must be at least 1, got 0"):
        meta_lstm.init(3, hidden=0)
    with pytest.raises(ValueError, match="steps must be at least 0, got -1"):
        meta_lstm.unroll(*case[:2], steps=-1)
    with pytest.raises(ValueError, match=r"start has shape \(2,\), expected last axis 3"):
        meta_lstm.init(3, start=[0.0, 1.0])
    with pytest.raises(ValueError, match="theta has shape"):
        rm.MetaLSTM(2, 2, 2).direction(np.zeros((2, 68)), *case[1:3])


def test_no_steps_give_the_start_and_its_gradient():
    case = random_learner(np.random.default_rng(3), "softmax-regression")
    path = meta_lstm.unroll(*case[:2], steps=0)
    assert path.steps == () and path.adapted is not case.theta
    np.testing.assert_array_equal(path.adapted, np.broadcast_to(case.theta, path.adapted.shape))
    got = meta_lstm.gradient(*case[:3], steps=0)
    np.testing.assert_array_equal(got.c0, case.query.at(case.theta).grad)
    assert np.all(got.W == 0) and got.W.shape == (2, 8, 6)


def test_a_loss_that_overflows_names_the_step():
    weights = random_parameters(np.random.default_rng(0), 3, np.array([1e160, 0.0, 0.0]))
    with pytest.raises(FloatingPointError, match="step 1 of Meta-LSTM: QuadraticPoint.loss left the finite numbers"):
        meta_lstm.unroll(weights, rm.Quadratic(np.eye(3), np.zeros(3)), steps=2)


def test_a_step_that_leaves_the_finite_numbers_is_named():
    class Cliff:
        shape, dim = (), 1

        def at(self, theta):
            class Point:
                grad, loss = (np.array([np.inf]) if theta[0] < 0 else np.array([4.0])), np.array(1.0)

            Point.theta = theta
            return Point()

    zero = np.zeros((4, 5))
    weights = Parameters(zero, np.zeros(4), np.zeros(3), 0.0, np.zeros(3), 40.0, [1.0])
    with pytest.raises(FloatingPointError, match="step 2 of Meta-LSTM: the gradient is not finite"):
        meta_lstm.unroll(weights, Cliff(), steps=3)
