"""The geometry of softmax policies: dense matrices from the definitions, invariances, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refmeta as rm
from refmeta import fisher
from refmeta.arrays import replace_fields
from refmeta.judges import adjoint_gap, complex_step
from tests.strategies import assert_right, returns

EPS = np.finfo(float).eps


def two_states(horizon=None, theta=(1.0, 3.0, 1.0, 1.0)):
    """π = (1/4, 3/4) and (1/2, 1/2): the process of derivations/exact-policy-gradient.md."""
    P = [[[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]]]
    mdp = rm.FiniteMDP(P, [[[3.0, 2.0], [1.0, -1.0]]], [[0.25, 0.75]], 0.5, horizon)
    return rm.PolicyReturn(mdp, rm.TabularSoftmax(2, 2)).at(np.log(theta))


def scores(task, theta):
    S, A = task.policy.states, task.policy.actions
    return np.array([[task.policy.score(theta, s, a) for a in range(A)] for s in range(S)])


@pytest.mark.eq("fisher", "natural-gradient", "policy-kl", "policy-kl-gradient", "policy-kl-hvp", "hessian-split")
@given(case=returns)
def test_every_quantity_is_that_of_dense_matrices_logarithms_or_complex_steps(case):
    """And no divergence is negative, and the parts of the Hessian add up to it."""
    for label in ("fisher", "natural-gradient", "policy-kl", "policy-kl-gradient", "policy-kl-hvp", "hessian-split"):
        assert_right(label, case)
    task, theta, v = case
    point = task.at(theta)
    assert np.all(rm.PolicyKL(point).at(theta + v).loss >= -1e-14 * np.sum(point.occupancy))
    size = np.max(np.abs(v)) * max(1.0, np.max(np.abs(point.action_value))) * np.sum(point.occupancy)
    np.testing.assert_allclose(sum(fisher.hessian_split(point, v)), -point.hvp(v), rtol=0, atol=1e-13 * size)


@pytest.mark.eq("fisher")
def test_the_fisher_product_by_hand():
    """State 0 with π = (1/4, 3/4): diag π − ππᵀ = (3/16)[[1, −1], [−1, 1]]; d from the visits of the chapter."""
    point = two_states()
    d = point.occupancy[0]
    expected = [3 / 16 * d[0] * 5, -3 / 16 * d[0] * 5, d[1] / 4 * 3, -d[1] / 4 * 3]
    np.testing.assert_allclose(fisher.product(point, [5.0, 0.0, 3.0, 0.0])[0], expected, rtol=4 * EPS)
    np.testing.assert_array_equal(fisher.product(point, [1.0, 1.0, -2.0, -2.0]), np.zeros((1, 4)))


@given(case=returns)
def test_the_fisher_product_is_symmetric_and_no_shift_of_a_state_shows(case):
    task, theta, v = case
    one = task[0].at(theta)
    w = np.linspace(-1, 2, task.dim)
    if np.any(fisher.product(one, v)) and np.any(fisher.product(one, w)):
        assert adjoint_gap(lambda x: fisher.product(one, x), lambda x: fisher.product(one, x), v, w) < 1e-13
    assert v @ fisher.product(one, v) >= -1e-13 * (v @ v)
    assert complex_step(lambda t: fisher.product(task.at(t), v), theta).shape == (*task.shape, task.dim, task.dim)


@pytest.mark.eq("natural-gradient")
@given(case=returns)
def test_a_tabular_natural_gradient_is_the_advantage_up_to_a_shift_in_every_state(case):
    task, theta, _ = case
    if not isinstance(task.policy, rm.TabularSoftmax) or task.mdp.horizon is not None:
        return
    point = task.at(theta)
    x = fisher.natural_gradient(point).reshape(point.advantage.shape)
    shift = x - point.advantage
    np.testing.assert_allclose(shift - shift[..., :1], 0, atol=1e-13 * max(1, np.max(np.abs(point.action_value))))
    np.testing.assert_allclose(x.sum(-1), 0, atol=1e-13 * max(1, np.max(np.abs(x))))


def test_the_identity_as_features_gives_the_tabular_natural_gradient():
    for horizon in (None, 3):
        point = two_states(horizon)
        linear = rm.PolicyReturn(point.mdp, rm.LinearSoftmax(np.eye(4).reshape(2, 2, 4))).at(point.theta)
        np.testing.assert_allclose(fisher.natural_gradient(linear), fisher.natural_gradient(point), rtol=0, atol=1e-14)


def test_the_natural_gradient_by_hand_with_a_horizon_and_where_nothing_is_reached():
    """One step: A = R − r_π, so x = (1/2, −1/2) in state 0 and (1, −1) in state 1; 0 where ρ = 0."""
    point = two_states(horizon=1)
    np.testing.assert_allclose(fisher.natural_gradient(point), [[0.5, -0.5, 1.0, -1.0]], rtol=8 * EPS)
    mdp = replace_fields(point.mdp, rho=np.array([[1.0, 0.0]]))
    alone = rm.PolicyReturn(mdp, rm.TabularSoftmax(2, 2)).at(point.theta)
    np.testing.assert_allclose(fisher.natural_gradient(alone), [[0.5, -0.5, 0.0, 0.0]], rtol=8 * EPS)


def test_the_natural_gradient_does_not_feel_a_policy_that_is_nearly_certain():
    """At a logit gap of 700 every other road through F has lost its digits; A − mean A has not."""
    x = fisher.natural_gradient(two_states(theta=np.exp([700.0, 0.0, 0.0, 0.0])))
    point = two_states(theta=np.exp([700.0, 0.0, 0.0, 0.0]))
    A = point.advantage[0]
    np.testing.assert_allclose(x[0].reshape(2, 2), A - A.mean(-1, keepdims=True), rtol=8 * EPS)
    assert np.max(np.abs(x)) > 0.5


@pytest.mark.eq("policy-kl-hvp", "fisher")
@given(case=returns)
def test_at_the_old_policy_value_and_gradient_vanish_and_the_hessian_product_is_the_fisher_product_bitwise(case):
    task, theta, v = case
    point = task.at(theta)
    here = rm.PolicyKL(point).at(theta)
    np.testing.assert_array_equal(here.loss, 0)
    np.testing.assert_array_equal(here.grad, 0)
    np.testing.assert_array_equal(here.hvp(v), fisher.product(point, v))


def test_the_divergence_by_hand():
    """From (1/4, 3/4) and (1/2, 1/2) to uniform: d_0 (¼ ln ½ + ¾ ln 3/2), and the gradient d_0 (1/4, −1/4)."""
    point = two_states()
    there = rm.PolicyKL(point).at(np.zeros(4))
    d = point.occupancy[0, 0]
    np.testing.assert_allclose(there.loss, [d * (0.25 * np.log(0.5) + 0.75 * np.log(1.5))], rtol=1e-14)
    np.testing.assert_allclose(there.grad, [[d / 4, -d / 4, 0, 0]], rtol=1e-14)


@pytest.mark.eq("policy-kl")
def test_a_tiny_divergence_has_all_its_digits_and_a_large_one_is_finite():
    """½ ε² vᵀFv + O(ε³): at ε = 1e-9 the divergence is 1e-18 and its own definition has no digit left."""
    point = two_states()
    kl, v = rm.PolicyKL(point), np.array([1.0, 0.0, -2.0, 0.5])
    for epsilon in (1e-3, 1e-6, 1e-9):
        quadratic = epsilon**2 / 2 * (v @ fisher.product(point, v)[0])
        assert abs(kl.at(point.theta + epsilon * v).loss[0] / quadratic - 1) < 2 * epsilon + 1e-6
    far = kl.at(point.theta + 700 * v).loss[0]
    d, table = point.occupancy[0], 700 * v.reshape(2, 2)
    expected = sum(d[s] * (table[s].max() - point.probabilities[0, s] @ table[s]) for s in (0, 1))
    assert abs(far / expected - 1) < 2e-3
    border = [kl.at(point.theta + (s / 1.1875) * np.array([1.0, 0, 0, 0])).loss[0] for s in (0.9999999, 1.0000001)]
    assert 0 < border[1] - border[0] < 1e-6


def test_the_divergence_is_a_task_like_any_other():
    kl = rm.PolicyKL(two_states())
    assert isinstance(kl, rm.Task) and kl.shape == (1,) and kl.dim == 4
    back = rm.adapt([2.0, -1.0, 0.5, 0.0], kl, alpha=0.5, steps=200).adapted
    assert kl.at(back).loss[0] < 1e-9 < kl.at([2.0, -1.0, 0.5, 0.0]).loss[0]
    value = lambda t: rm.maml.objective(t, kl, alpha=0.3, steps=2)
    theta = np.array([1.0, 0.0, -1.0, 0.5])
    np.testing.assert_allclose(
        rm.maml.gradient(theta, kl, alpha=0.3, steps=2), complex_step(value, theta), rtol=0, atol=1e-14
    )


@pytest.mark.eq("hessian-split")
@given(case=returns, baseline=st.floats(-3, 3))
def test_a_baseline_moves_the_first_two_parts_and_neither_their_sum_nor_the_cross_terms(case, baseline):
    """R → R + c adds a constant to every Q_t of a step, which depends on t alone: a baseline."""
    task, theta, v = case
    shifted = rm.PolicyReturn(replace_fields(task.mdp, R=task.mdp.R + baseline), task.policy)
    one, other = (fisher.hessian_split(t.at(theta), v) for t in (task, shifted))
    size = (
        1e-12
        * np.max(np.abs(v))
        * (3 + np.max(np.abs(task.at(theta).action_value)))
        * np.sum(task.at(theta).occupancy) ** 2
    )
    np.testing.assert_allclose(one[0] + one[1], other[0] + other[1], rtol=0, atol=size)
    for name in ("cross", "cross_transposed"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=0, atol=size)


def test_each_of_the_first_two_parts_does_move_with_a_baseline():
    point = two_states()
    shifted = rm.PolicyReturn(replace_fields(point.mdp, R=point.mdp.R + 1), point.policy).at(point.theta)
    v = np.array([1.0, 0.0, 0.0, 2.0])
    one, other = (fisher.hessian_split(p, v) for p in (point, shifted))
    for k in (0, 1):
        assert np.max(np.abs(one[k] - other[k])) > 0.1


def test_batch_axes_broadcast():
    task = two_states()
    many = rm.PolicyReturn(task.mdp, task.policy).at(np.arange(12.0).reshape(3, 1, 4) / 7)
    v = np.linspace(-1, 1, 4)
    for result in (fisher.product(many, v), fisher.natural_gradient(many), *fisher.hessian_split(many, v)):
        assert result.shape == (3, 1, 4)
    kl = rm.PolicyKL(many)
    assert (
        kl.shape == (3, 1) and kl.at(np.zeros(4)).loss.shape == (3, 1) and kl.at(np.zeros(4)).hvp(v).shape == (3, 1, 4)
    )
    np.testing.assert_allclose(
        fisher.natural_gradient(many)[1],
        fisher.natural_gradient(two_states(theta=np.exp(many.theta[1, 0]))),
        rtol=1e-12,
    )


def test_no_task_and_no_choice():
    """No task: no rows.  One action: nothing to choose, so the natural gradient is zero."""
    rng, mdp = np.random.default_rng(0), two_states().mdp
    for policy in (rm.TabularSoftmax(2, 2), rm.LinearSoftmax(rng.normal(size=(2, 2, 4)))):
        none = rm.PolicyReturn(mdp, policy)[0:0].at(np.zeros(4))
        results = [
            fisher.natural_gradient(none),
            fisher.product(none, np.ones(4)),
            *fisher.hessian_split(none, np.ones(4)),
        ]
        assert all(result.shape == (0, 4) for result in results) and rm.PolicyKL(none).at(np.ones(4)).loss.shape == (0,)
    one = rm.FiniteMDP(mdp.P[:, :, :1], mdp.R[:, :, :1], mdp.rho, 0.5)
    for policy in (rm.TabularSoftmax(2, 1), rm.LinearSoftmax(rng.normal(size=(2, 1, 2)))):
        np.testing.assert_array_equal(
            fisher.natural_gradient(rm.PolicyReturn(one, policy).at([1.0, 2.0])), [[0.0, 0.0]]
        )


def test_anything_but_the_point_of_a_return_and_complex_numbers_are_refused():
    point = two_states()
    for wrong in (lambda: fisher.product(3, [1.0]), lambda: rm.PolicyKL(rm.Quadratic([[1.0]], [0.0]).at([1.0])),
                  lambda: fisher.hessian_split(None, [1.0]), lambda: fisher.natural_gradient("x")):  # fmt: skip
        with pytest.raises(TypeError, match=r"expected PolicyReturn\(mdp, policy\).at\(theta\), got"):
            wrong()
    turned = rm.PolicyReturn(point.mdp, point.policy).at(point.theta + 1j)
    with pytest.raises(TypeError, match="start must be the point of a real theta"):
        rm.PolicyKL(turned)
    linear = rm.PolicyReturn(point.mdp, rm.LinearSoftmax(np.ones((2, 2, 3)))).at(np.ones(3) + 1j)
    with pytest.raises(TypeError, match="needs a real theta: least squares use complex conj"):
        fisher.natural_gradient(linear)
    with pytest.raises(ValueError, match=r"v has shape \(3,\), expected last axis 4"):
        fisher.product(point, np.ones(3))
    with pytest.raises(ValueError, match=r"theta has shape \(3,\), expected last axis 4 = 2 states x 2 actions"):
        rm.PolicyKL(point).at(np.ones(3))


def test_a_policy_with_features_that_is_too_certain_is_refused_and_not_answered_wrongly():
    """Two states share three features; the closer to certainty, the fewer digits, until none is left and it says so."""
    from scipy.linalg import lstsq

    rng, point = np.random.default_rng(2), two_states()
    task = rm.PolicyReturn(point.mdp, rm.LinearSoftmax(rng.normal(size=(2, 2, 2))))
    theta = np.array([0.7, -1.1])
    for size in (1.0, 5.0, 10.0):
        here = task.at(size * theta)
        d, pi = fisher.visits(here)[0], here.probabilities[0]
        w = np.sqrt(d[:, None] * pi).ravel()
        X = scores(task, size * theta).reshape(4, 2)
        expected = lstsq(w[:, None] * X, w * here.advantage[0].ravel())[0]
        np.testing.assert_allclose(fisher.natural_gradient(here)[0], expected, rtol=1e-6)
    with pytest.raises(
        FloatingPointError, match="the policy is too certain for the natural gradient: 1 of 2 directions"
    ):
        fisher.natural_gradient(task.at(200 * theta))


def test_features_that_depend_on_each_other_get_the_shortest_solution():
    """Two equal columns: the weight is shared between them."""
    point = two_states()
    one = np.random.default_rng(0).normal(size=(2, 2, 1))
    single, double = (
        rm.PolicyReturn(point.mdp, rm.LinearSoftmax(features))
        for features in (one, np.concatenate([one, one], axis=-1))
    )
    x = fisher.natural_gradient(single.at([0.4]))
    np.testing.assert_allclose(
        fisher.natural_gradient(double.at([0.2, 0.2])), np.concatenate([x, x], -1) / 2, rtol=1e-12
    )


def test_an_overflow_of_the_natural_gradient_is_named():
    """Advantages of 0 and 1.7·10³⁰⁸, finite each, whose mean over the actions is not."""
    mdp = rm.FiniteMDP(np.ones((1, 3, 1)), [[0.0, 1.7e308, 1.7e308]], [1.0], 0.0)
    point = rm.PolicyReturn(mdp, rm.TabularSoftmax(1, 3)).at([0.0, -800.0, -800.0])
    assert np.all(np.isfinite(point.advantage))
    with pytest.raises(FloatingPointError, match="natural_gradient left the finite numbers"):
        fisher.natural_gradient(point)


def test_batch_axes_that_do_not_fit_the_start_of_a_divergence_are_named_at_once():
    start = rm.PolicyReturn(replace_fields(two_states().mdp), rm.TabularSoftmax(2, 2)).at(np.zeros((3, 4)))
    with pytest.raises(ValueError, match=r"batch axes must broadcast .*, got theta \(2,\), start \(3,\)"):
        rm.PolicyKL(start).at(np.zeros((2, 4)))
