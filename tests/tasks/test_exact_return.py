"""Exact returns, both horizons: values by enumeration, loops and rationals; derivatives by the judges."""

from fractions import Fraction as F

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from refmeta import FiniteMDP, LinearSoftmax, PolicyReturn, TabularSoftmax
from refmeta.arrays import replace_fields
from refmeta.judges import adjoint_gap, central_difference, complex_step, taylor_rates
from refmeta.problems import hessian, random_policy_return, random_process
from refmeta.tasks.exact_return import DiscountedPoint
from refmeta.tasks.finite_horizon import FiniteHorizonPoint
from refmeta.tolerance import max_per_task
from tests import independent
from tests.strategies import assert_right, costly, points, returns, seeds, sizes, widths

EPS = np.finfo(float).eps
discounted = points(kinds=("discounted", "linear-features"))


def scale_of(point):
    """The largest term of the policy gradient's own sum, d·π·max|Q|, one per task."""
    weights = np.sum(np.atleast_1d(point.occupancy), axis=-2) if point.action_value.ndim == 4 else point.occupancy
    return max_per_task(weights) * max_per_task(point.action_value)


def by_hand():
    """Two states, two actions, π = (1/4, 3/4) and (2/3, 1/3), γ = 1/2; the same in rationals."""
    P = [[[F(1, 2), F(1, 2)], [F(1, 4), F(3, 4)]], [[F(1), F(0)], [F(0), F(1)]]]
    R, rho, pi = [[F(1), F(-1)], [F(1, 2), F(2)]], [F(1, 4), F(3, 4)], [[F(1, 4), F(3, 4)], [F(2, 3), F(1, 3)]]
    theta = np.log([1.0, 3.0, 2.0, 1.0])
    task = PolicyReturn(
        FiniteMDP(np.array(P, float), np.array(R, float), np.array(rho, float), 0.5), TabularSoftmax(2, 2)
    )
    return P, R, rho, pi, task, theta


@pytest.mark.eq("bellman", "return", "occupancy", "advantage", "policy-gradient")
def test_two_states_in_rational_numbers():
    """Cramer's rule on the 2 x 2 systems, in fractions: every quantity to a few eps."""
    P, R, rho, pi, task, theta = by_hand()
    g = F(1, 2)
    K = [[sum(pi[s][a] * P[s][a][t] for a in (0, 1)) for t in (0, 1)] for s in (0, 1)]
    r = [sum(pi[s][a] * R[s][a] for a in (0, 1)) for s in (0, 1)]
    m = [[(s == t) - g * K[s][t] for t in (0, 1)] for s in (0, 1)]
    det = m[0][0] * m[1][1] - m[0][1] * m[1][0]
    V = [(r[0] * m[1][1] - m[0][1] * r[1]) / det, (m[0][0] * r[1] - m[1][0] * r[0]) / det]
    d = [(rho[0] * m[1][1] - m[1][0] * rho[1]) / det, (m[0][0] * rho[1] - m[0][1] * rho[0]) / det]
    Q = [[R[s][a] + g * sum(P[s][a][t] * V[t] for t in (0, 1)) for a in (0, 1)] for s in (0, 1)]
    A = [[Q[s][a] - V[s] for a in (0, 1)] for s in (0, 1)]
    point = task.at(theta)
    close = {"rtol": 8 * EPS, "atol": 2 * EPS}
    np.testing.assert_allclose(point.probabilities, np.array(pi, float), **close)
    np.testing.assert_allclose(point.value, np.array(V, float), **close)
    np.testing.assert_allclose(point.occupancy, np.array(d, float), **close)
    np.testing.assert_allclose(point.action_value, np.array(Q, float), **close)
    np.testing.assert_allclose(point.advantage, np.array(A, float), **close)
    np.testing.assert_allclose(-point.loss, float(rho[0] * V[0] + rho[1] * V[1]), **close)
    gradient = [d[s] * pi[s][a] * A[s][a] for s in (0, 1) for a in (0, 1)]
    np.testing.assert_allclose(-point.grad, np.array(gradient, float), **close)
    assert sum(d) == 1 / (1 - g) and min(map(abs, gradient)) > 0


@pytest.mark.eq("bellman", "return", "occupancy")
@costly
@given(case=discounted)
def test_discounted_values_and_visits_are_the_limit_of_sweeps(case):
    task, theta, _ = case
    for label in ("bellman", "return", "occupancy"):
        assert_right(label, (task, theta))
    point, gamma = task.at(theta), task.mdp.gamma
    Q = task.mdp.R + gamma * np.einsum("nsat,nt->nsa", task.mdp.P, point.value)
    np.testing.assert_allclose(point.action_value, Q, rtol=0, atol=16 * EPS * np.max(np.abs(Q)))
    np.testing.assert_allclose(point.occupancy.sum(-1), 1 / (1 - gamma), rtol=16 * EPS / (1 - gamma))


@st.composite
def trees(draw):
    """(task, theta) with so few states, actions and steps that every trajectory can be listed."""
    rng, S, A, N = draw(seeds), draw(st.integers(1, 2)), draw(st.integers(1, 3)), draw(st.integers(1, 2))
    mdp = random_process(rng, N, S, A, draw(st.sampled_from((0.6, 1.0, 0.0))), draw(st.integers(1, 3)))
    if draw(st.booleans()):
        mdp = replace_fields(mdp, R=rng.normal(size=mdp.P.shape))
    return PolicyReturn(mdp, TabularSoftmax(S, A)), rng.normal(size=S * A)


@pytest.mark.eq("finite-horizon-return", "finite-horizon-bellman", "finite-horizon-occupancy")
@given(case=trees())
def test_finite_horizon_values_are_sums_over_every_trajectory(case):
    for label in ("finite-horizon-return", "finite-horizon-bellman", "finite-horizon-occupancy"):
        assert_right(label, case)
    task, theta = case
    point = task.at(theta)
    mean = np.sum(point.probabilities[:, None] * point.action_value, axis=-1)
    np.testing.assert_allclose(mean, point.value[:, :-1], rtol=0, atol=16 * EPS * np.max(np.abs(point.action_value)))
    total = np.sum(task.mdp.gamma ** np.arange(task.mdp.horizon))
    np.testing.assert_allclose(point.occupancy.sum((1, 2)), total, rtol=8 * EPS)


@pytest.mark.eq("advantage", "policy-gradient", "policy-hvp", "finite-horizon-gradient", "finite-horizon-hvp")
@given(case=returns)
def test_the_advantage_is_q_less_v_and_derivatives_are_complex_steps(case):
    task, theta, _ = case
    kind = "policy" if task.mdp.horizon is None else "finite-horizon"
    assert_right("advantage", (task, theta))
    assert_right(f"{kind}-gradient", (task, theta))
    assert_right(f"{kind}-hvp", case)


@pytest.mark.eq("finite-horizon-gradient", "finite-horizon-hvp", "finite-horizon-bellman")
@pytest.mark.parametrize("horizon", [1, 2, 9])
@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_sums_over_time_inside_the_gradient_are_the_formulas_of_each_step(horizon, temperature):
    """The library centres once, and multiplies P once, for all steps; here each step has its own A_t, dA_t and π."""
    rng = np.random.default_rng(horizon)
    for scale in (0.1, 3.0):
        policy, mdp = TabularSoftmax(4, 3), random_process(rng, 2, 4, 3, horizon=horizon, gamma=0.8)
        theta, v = scale * rng.normal(size=(2, policy.dim))
        point = PolicyReturn(mdp, policy, temperature).at(theta)
        pi, A, d = point.probabilities[:, None], point.advantage, point.occupancy[..., None]
        dpi, dQ, dd, db = point.tangent(v)
        dq, dpi, dd = dQ + db[:, None], dpi[:, None], dd[..., None]
        dA = dq - np.sum(pi * dq, axis=-1, keepdims=True) - np.sum(dpi * A, axis=-1, keepdims=True)
        gradient, product = (-np.sum(x, axis=1).reshape(2, -1) for x in (d * pi * A, dd * pi * A + d * dpi * A + d * pi * dA))
        tolerance = 40 * EPS * horizon
        np.testing.assert_allclose(point.grad, gradient, rtol=0, atol=tolerance * np.max(np.abs(gradient)))
        np.testing.assert_allclose(point.hvp(v), product, rtol=0, atol=tolerance * np.max(np.abs(product)))
        np.testing.assert_allclose(np.sum(pi * A, axis=-1), 0, atol=tolerance * np.max(np.abs(A)))


def test_with_a_horizon_differences_of_rewards_keep_their_digits_in_the_gradient():
    """γ = 0: the gradient is ρ π (r − ⟨π, r⟩).  The large reward of one state, in eighths, costs it no digit."""
    r, large = np.array([[0.25, 1.0, 0.75], [-0.5, 0.125, 0.0]]), np.array([[1e8], [0.0]])
    mdp = FiniteMDP(np.full((2, 3, 2), 0.5), r + large, [0.3, 0.7], 0.0, 4)
    point = PolicyReturn(mdp, TabularSoftmax(2, 3)).at([0.3, -0.2, 0.9, 1.4, -0.6, 0.1])
    pi = point.probabilities
    expected = np.array([[0.3], [0.7]]) * pi * (r - np.sum(pi * r, axis=-1, keepdims=True))
    np.testing.assert_allclose(-point.grad, expected.ravel(), rtol=0, atol=8 * EPS * np.max(np.abs(expected)))


@pytest.mark.parametrize("gap", [10.0, 40.0])
def test_the_advantage_keeps_its_digits_at_a_large_logit_gap(gap):
    """One state, γ = 0: A_0 = π_1(r_0 − r_1), of the order of e^−gap, to 10 eps relatively."""
    task = PolicyReturn(FiniteMDP([[[1.0], [1.0]]], [[1 / 3, -0.7]], [1.0], 0.0), TabularSoftmax(1, 2))
    expected = np.exp(-gap) / (1 + np.exp(-gap)) * (1 / 3 + 0.7)
    np.testing.assert_allclose(task.at([gap, 0.0]).advantage[0, 0], expected, rtol=10 * EPS)
    np.testing.assert_allclose(-task.at([gap, 0.0]).grad[0], expected / (1 + np.exp(-gap)), rtol=12 * EPS)


@pytest.mark.eq("policy-gradient", "policy-hvp", "finite-horizon-gradient", "finite-horizon-hvp")
@given(case=returns)
def test_derivatives_are_the_jacobian_tensors_of_the_bellman_system(case):
    task, theta, v = case
    point = task.at(theta)
    scale = 1e3 * EPS * scale_of(point) * (1 if task.mdp.horizon else 1 / (1 - task.mdp.gamma))
    for i in range(task.shape[0]):
        other = independent.single(task, i)
        assert abs(point.loss[i] - other.loss(theta)) <= scale[i]
        assert np.max(np.abs(point.grad[i] - other.grad(theta))) <= scale[i] * (1 + np.max(np.abs(theta)))
        assert np.max(np.abs(point.hvp(v)[i] - other.hess(theta) @ v)) <= 10 * scale[i] * np.sum(np.abs(v))


@given(rng=seeds, kind=st.sampled_from(("discounted", "finite-horizon", "linear-features")))
def test_central_differences_agree_within_their_budget_and_taylor_rates_are_one_two_three(rng, kind):
    """Along the direction of the largest curvature, so that the second-order term does not vanish by chance."""
    task = random_policy_return(rng, kind, 1, 3, 3)[0]
    theta = rng.normal(size=task.dim)
    values, vectors = np.linalg.eigh(hessian(task, theta))
    v = vectors[:, np.argmax(np.abs(values))]
    assume(abs(task.at(theta).grad @ v) > 1e-2 * np.linalg.norm(task.at(theta).grad))
    point = task.at(theta)
    numeric = central_difference(lambda t: task.at(t).loss, theta)
    assert np.max(np.abs(numeric.derivative)) > 1e3 * np.max(numeric.error)
    assert np.all(np.abs(point.grad - numeric.derivative) <= 4 * np.max(numeric.error))
    rates = taylor_rates(lambda t: task.at(t).loss, theta, v / 64, point.grad, point.hvp(v / 64), h=1.0, halvings=6)
    np.testing.assert_allclose(rates.orders[:2], [1, 2], rtol=0, atol=0.1)


@given(case=returns, rng=seeds)
def test_the_hessian_is_symmetric(case, rng):
    task, theta, u = case
    point, w = task.at(theta), rng.normal(size=theta.size)
    gap = np.abs(point.hvp(u) @ w - point.hvp(w) @ u)
    assert np.all(
        gap <= 300 * EPS * scale_of(point) * np.sum(np.abs(u)) * np.sum(np.abs(w)) / (1 - min(task.mdp.gamma, 0.99))
    )
    if task.policy.actions > 1:
        assert adjoint_gap(task[0].at(theta).hvp, task[0].at(theta).hvp, u, w) < 1e-9


@given(rng=seeds, states=sizes, actions=widths, horizon=st.sampled_from((None, 3)))
def test_a_shift_of_the_logits_of_one_state_changes_nothing(rng, states, actions, horizon):
    task = PolicyReturn(random_process(rng, 2, states, actions, horizon=horizon), TabularSoftmax(states, actions))
    theta = np.round(rng.normal(size=task.dim) * 1024) / 1024
    shift = np.repeat(rng.integers(-8, 9, size=states).astype(float), actions)
    here, there = task.at(theta), task.at(theta + shift)
    np.testing.assert_array_equal(here.loss, there.loss)
    np.testing.assert_array_equal(here.grad, there.grad)
    assert np.all(np.abs(here.grad @ shift) <= 64 * EPS * scale_of(here) * np.sum(np.abs(shift)))
    assert np.all(max_per_task(here.hvp(shift)) <= 300 * EPS * scale_of(here) * np.sum(np.abs(shift)) * 5)


@given(rng=seeds, power=st.integers(-20, 20), horizon=st.sampled_from((None, 3)))
def test_rewards_times_a_power_of_two_scale_every_bit(rng, power, horizon):
    mdp, policy = random_process(rng, 2, horizon=horizon), TabularSoftmax(3, 3)
    scaled = FiniteMDP(mdp.P, mdp.R * 2.0**power, mdp.rho, mdp.gamma, mdp.horizon)
    theta, v = rng.normal(size=9), rng.normal(size=9)
    one, other = PolicyReturn(mdp, policy).at(theta), PolicyReturn(scaled, policy).at(theta)
    np.testing.assert_array_equal(one.loss * 2.0**power, other.loss)
    np.testing.assert_array_equal(one.grad * 2.0**power, other.grad)
    np.testing.assert_array_equal(one.hvp(v) * 2.0**power, other.hvp(v))


@given(rng=seeds, horizon=st.sampled_from((None, 4)))
def test_a_constant_added_to_the_rewards_moves_the_return_and_no_derivative(rng, horizon):
    mdp, policy, theta = random_process(rng, 2, horizon=horizon, gamma=0.8), TabularSoftmax(3, 3), rng.normal(size=9)
    moved = FiniteMDP(mdp.P, mdp.R + 2.5, mdp.rho, mdp.gamma, mdp.horizon)
    one, other = PolicyReturn(mdp, policy).at(theta), PolicyReturn(moved, policy).at(theta)
    total = 1 / 0.2 if horizon is None else (1 - 0.8**4) / 0.2
    np.testing.assert_allclose(other.loss, one.loss - 2.5 * total, rtol=32 * EPS)
    np.testing.assert_allclose(other.grad, one.grad, rtol=0, atol=300 * EPS * 2.5 * total)


@given(rng=seeds, horizon=st.sampled_from((None, 3)))
def test_relabelling_states_and_actions_relabels_the_gradient(rng, horizon):
    mdp, theta = random_process(rng, 2, horizon=horizon), rng.normal(size=(3, 3))
    s, a = rng.permutation(3), rng.permutation(3)
    other = FiniteMDP(mdp.P[:, s][:, :, a][..., s], mdp.R[:, s][:, :, a], mdp.rho[:, s], mdp.gamma, mdp.horizon)
    policy = TabularSoftmax(3, 3)
    grad = PolicyReturn(mdp, policy).at(theta.ravel()).grad.reshape(2, 3, 3)[:, s][:, :, a]
    got = PolicyReturn(other, policy).at(theta[s][:, a].ravel()).grad.reshape(2, 3, 3)
    np.testing.assert_allclose(got, grad, rtol=0, atol=1e3 * EPS * np.max(np.abs(grad)))


@pytest.mark.parametrize("horizon", [None, 3])
def test_identity_features_give_the_tabular_numbers_to_the_last_bit(horizon):
    rng = np.random.default_rng(2)
    mdp, theta, v = random_process(rng, 2, 3, 2, horizon=horizon), rng.normal(size=6), rng.normal(size=6)
    table = PolicyReturn(mdp, TabularSoftmax(3, 2)).at(theta)
    linear = PolicyReturn(mdp, LinearSoftmax(np.eye(6).reshape(3, 2, 6))).at(theta)
    for name in ("loss", "grad", "value", "action_value", "advantage", "occupancy"):
        np.testing.assert_array_equal(getattr(table, name), getattr(linear, name))
    np.testing.assert_array_equal(table.hvp(v), linear.hvp(v))


def test_one_state_is_the_bandit_and_one_action_has_nothing_to_choose():
    """One state: J = π·r/(1 − γ), gradient π(r − π·r)/(1 − γ); one action: gradient and Hessian product zero."""
    r, theta, gamma = np.array([1.0, -2.0, 0.5]), np.log([1.0, 2.0, 5.0]), 0.75
    pi = np.array([0.125, 0.25, 0.625])
    point = PolicyReturn(FiniteMDP(np.ones((1, 3, 1)), r[None], [1.0], gamma), TabularSoftmax(1, 3)).at(theta)
    np.testing.assert_allclose(-point.loss, pi @ r * 4, rtol=8 * EPS)
    np.testing.assert_allclose(-point.grad, pi * (r - pi @ r) * 4, rtol=16 * EPS, atol=8 * EPS)
    lone = PolicyReturn(random_process(np.random.default_rng(0), 1, 3, 1), TabularSoftmax(3, 1)).at(np.array([5.0, -2.0, 0.1]))
    np.testing.assert_array_equal(lone.grad, 0)
    np.testing.assert_array_equal(lone.hvp(np.ones(3)), 0)


EDGES = {
    "absorbing and a point mass": ([[[0, 1], [1, 0]], [[0, 1], [0, 1]]], [1.0, 0.0]),
    "periodic": ([[[0, 1], [0, 1]], [[1, 0], [1, 0]]], [0.0, 1.0]),
    "unreachable": ([[[1, 0], [1, 0]], [[0.5, 0.5], [0, 1]]], [1.0, 0.0]),
}


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("gamma", [0.0, 0.5, 1 - 2.0**-20])
@pytest.mark.parametrize("theta", [[0.3, -0.2, 1.0, 0.5], [700.0, -700.0, 0.5, 1.0], [-700.0, 700.0, 700.0, -700.0]])
@pytest.mark.parametrize("horizon", [None, 5])
def test_edges_are_finite_and_within_their_absolute_bound(edge, gamma, theta, horizon):
    """Judged absolutely: 30·eps·max d·max|Q|/(1 − γ) against the system solved in plain fractions of the doubles."""
    P, rho = EDGES[edge]
    R = np.array([[1.0, -0.5], [0.25, 2.0]])
    task = PolicyReturn(FiniteMDP(P, R, rho, gamma, horizon), TabularSoftmax(2, 2))
    point = task.at(theta)
    V, d, Q, g = exact_two_states(np.array(P, float), R, rho, gamma, point.probabilities, horizon)
    bound = 30 * EPS * np.max(d) * np.max(np.abs(Q)) / (1 - gamma if horizon is None else 1)
    start = point.value if horizon is None else point.value[0]
    assert np.max(np.abs(start - V)) <= bound
    assert np.max(np.abs(-point.grad - g)) <= bound
    assert np.all(np.isfinite(point.hvp(np.array([1.0, -2.0, 0.5, 3.0]))))


def exact_two_states(P, R, rho, gamma, pi, horizon):
    """V at the start, visits, Q and the gradient of a two-state process, in fractions of the same doubles."""
    P, R, pi = (np.vectorize(F, otypes=[object])(x) for x in (P, R, np.asarray(pi)))
    rho, gamma = np.array([F(float(x)) for x in rho], object), F(gamma)
    K = np.array([[sum(pi[s, a] * P[s, a, t] for a in (0, 1)) for t in (0, 1)] for s in (0, 1)], object)
    r = np.array([sum(pi[s, a] * R[s, a] for a in (0, 1)) for s in (0, 1)], object)
    lookahead = lambda V: R + gamma * (P @ V)
    gradient = lambda d, Q: np.array([[d[s] * pi[s, a] * (Q[s, a] - pi[s] @ Q[s]) for a in (0, 1)] for s in (0, 1)])
    if horizon is None:
        (a, b), (c, e) = np.array([[F(1), F(0)], [F(0), F(1)]], object) - gamma * K
        det = a * e - b * c
        V = np.array([(e * r[0] - b * r[1]) / det, (a * r[1] - c * r[0]) / det], object)
        d = np.array([(e * rho[0] - c * rho[1]) / det, (a * rho[1] - b * rho[0]) / det], object)
        Q = lookahead(V)
        return V.astype(float), d.astype(float), Q.astype(float), gradient(d, Q).ravel().astype(float)
    values = [np.array([F(0), F(0)], object)]
    for _ in range(horizon):
        values.insert(0, r + gamma * (K @ values[0]))
    visits = [rho]
    for _ in range(horizon - 1):
        visits.append(gamma * (K.T @ visits[-1]))
    Qs = [lookahead(V) for V in values[1:]]
    g = sum(gradient(d, Q) for d, Q in zip(visits, Qs, strict=True))
    return values[0].astype(float), np.array(visits, float), np.array(Qs, float), g.ravel().astype(float)


@pytest.mark.parametrize("horizon", [None, 1, 3])
def test_batch_axes_broadcast_and_every_published_shape_is_the_batch(horizon):
    rng = np.random.default_rng(4)
    P, rho = rng.dirichlet(np.ones(3), (3, 2)), np.array([0.2, 0.3, 0.5])
    task = PolicyReturn(FiniteMDP(P[None], rng.normal(size=(4, 3, 2)), rho, 0.9, horizon), TabularSoftmax(3, 2))
    assert task.shape == (4,)
    for theta, batch in (
        (rng.normal(size=6), (4,)),
        (rng.normal(size=(5, 1, 6)), (5, 4)),
        (rng.normal(size=(4, 6)), (4,)),
    ):
        point = task.at(theta)
        time = (
            {}
            if horizon is None
            else {"value": (horizon + 1,), "action_value": (horizon,), "advantage": (horizon,), "occupancy": (horizon,)}
        )
        for name, core in {
            "value": (3,),
            "action_value": (3, 2),
            "advantage": (3, 2),
            "occupancy": (3,),
            "loss": (),
            "grad": None,
        }.items():
            want = (6,) if core is None else time.get(name, ()) + core
            assert getattr(point, name).shape == batch + want, name
        assert point.hvp(rng.normal(size=6)).shape == (*batch, 6)
        assert point.hvp(rng.normal(size=(7, *(1,) * len(batch), 6))).shape == (7, *batch, 6)
        wide = np.broadcast_to(theta, (*batch, 6))
        for index in np.ndindex(batch):
            alone = task[index[-1]].at(wide[index])
            np.testing.assert_allclose(point.grad[index], alone.grad, rtol=1e-13, atol=1e-15)
            np.testing.assert_allclose(
                point.hvp(rho.repeat(2))[index], alone.hvp(rho.repeat(2)), rtol=1e-12, atol=1e-14
            )


def test_a_point_class_for_each_horizon_and_a_loss_costs_no_gradient():
    rng = np.random.default_rng(0)
    point = random_policy_return(rng, "discounted").at(np.zeros(9))
    assert isinstance(point, DiscountedPoint)
    assert isinstance(random_policy_return(rng, "finite-horizon").at(np.zeros(9)), FiniteHorizonPoint)
    assert np.all(np.isfinite(point.loss))
    assert not {"occupancy", "action_value", "advantage", "grad"} & set(vars(point))


def test_the_arrays_of_a_point_are_read_only_copies():
    task, theta = random_policy_return(np.random.default_rng(0), "discounted"), np.zeros(9)
    point = task.at(theta)
    theta[:] = 5
    np.testing.assert_array_equal(point.theta, 0)
    for name in ("theta", "value", "grad", "occupancy"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(point, name)[...] = 1


@pytest.mark.parametrize("layout", ["fortran", "strided", "read-only", "float32"])
def test_the_layout_of_the_input_changes_no_bit(layout):
    rng = np.random.default_rng(3)
    P = np.round(rng.dirichlet(np.ones(3), (2, 3, 2)) * 64) / 64
    P[..., -1] = 1 - P[..., :-1].sum(-1)
    P, R = np.abs(P), np.round(rng.normal(size=(2, 3, 2)) * 64) / 64
    P /= P.sum(-1, keepdims=True)
    P = np.where(P.sum(-1, keepdims=True) == 1, P, np.eye(3)[0])
    rho, theta = np.array([0.25, 0.25, 0.5]), np.round(rng.normal(size=(2, 6)) * 64) / 64

    def laid(x):
        if layout == "fortran":
            return np.asfortranarray(x)
        if layout == "strided":
            return np.repeat(x, 2, axis=-1)[..., ::2]
        if layout == "float32":
            return x.astype(np.float32) if np.array_equal(x.astype(np.float32), x) else x
        x = x.copy()
        x.flags.writeable = False
        return x

    straight = PolicyReturn(FiniteMDP(P, R, rho, 0.75), TabularSoftmax(3, 2)).at(theta)
    other = PolicyReturn(FiniteMDP(laid(P), laid(R), laid(rho), 0.75), TabularSoftmax(3, 2)).at(laid(theta))
    np.testing.assert_array_equal(straight.grad, other.grad)
    np.testing.assert_array_equal(straight.hvp(theta[0]), other.hvp(laid(theta)[0]))


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda task: task.at(np.zeros(7)), ValueError, r"theta has shape \(7,\), expected last axis 9 = 3 states x 3 actions"),
        (lambda task: task.at(3.0), ValueError, "theta is a scalar, expected an array of parameters with 9 in its last axis"),
        (lambda task: task.at(np.full(9, np.nan)), ValueError, r"theta\[0\] is nan"),
        (lambda task: task.at(["a"] * 9), TypeError, "theta must be numbers"),
        (lambda task: task.at(np.zeros((3, 9))), ValueError, r"batch axes must broadcast against each other, got theta \(3,\), task \(2,\)"),
        (lambda task: task.at(np.zeros(9)).hvp(np.zeros(8)), ValueError, r"has shape \(8,\), expected last axis 9"),
        (lambda task: task.at(np.zeros(9)).hvp(np.zeros((3, 9))), ValueError, r"got v \(3,\), point \(2,\)"),
        (lambda task: PolicyReturn(task.policy, task.mdp), TypeError, "PolicyReturn takes a FiniteMDP and a softmax policy, got TabularSoftmax, FiniteMDP"),
        (lambda task: PolicyReturn(task.mdp, TabularSoftmax(3, 2)), ValueError, r"policy has \(states, actions\) = \(3, 2\), expected \(3, 3\)"),
        (lambda task: PolicyReturn(task.mdp, LinearSoftmax(np.ones((3, 3, 3, 2)))), ValueError, r"mdp \(2,\), policy \(3,\)"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_in_a_sentence(call, error, sentence):
    task = PolicyReturn(random_process(np.random.default_rng(0)), TabularSoftmax(3, 3))
    with pytest.raises(error, match=sentence):
        call(task)


def test_a_return_that_overflows_is_named_and_never_a_nan():
    task = PolicyReturn(FiniteMDP(np.ones((1, 2, 1)), [[1e308, 1e308]], [1.0], 0.9), TabularSoftmax(1, 2))
    with pytest.raises(
        FloatingPointError,
        match=r"DiscountedPoint.value left the finite numbers: .* too large \(first at index \[0\]\)",
    ):
        _ = task.at(np.zeros(2)).loss


@pytest.mark.parametrize("gap", [20.0, 40.0, 100.0])
@pytest.mark.parametrize("horizon", [None, 3])
def test_a_complex_step_keeps_its_digits_where_the_policy_is_nearly_certain(gap, horizon):
    """Every digit of ∇J by J's own complex step, at logit gaps where a softmax shifted by a real number has none."""
    mdp = random_process(np.random.default_rng(3), 1, 3, 3, horizon=horizon)
    task = PolicyReturn(mdp, TabularSoftmax(3, 3))
    theta = np.array([gap, 0, 1, 0.5, gap, -1, 2, 1, gap + 2.5])
    numeric = complex_step(lambda t: task.at(t).loss, theta)
    np.testing.assert_allclose(numeric, task.at(theta).grad, rtol=1e-12, atol=0)
    v = np.cos(np.arange(9.0))
    np.testing.assert_allclose(
        complex_step(lambda t: task.at(t).grad, theta, v), task.at(theta).hvp(v), rtol=1e-11, atol=0
    )


def test_a_batch_of_no_tasks_gives_results_for_no_task():
    task = PolicyReturn(FiniteMDP(np.ones((0, 1, 2, 1)), np.ones((0, 1, 2)), [1.0], 0.5), TabularSoftmax(1, 2))
    point = task.at(np.zeros(2))
    assert point.loss.shape == (0,) and point.grad.shape == (0, 2) and point.hvp(np.ones(2)).shape == (0, 2)


@pytest.mark.parametrize("horizon", [None, 3])
def test_every_quantity_of_a_batch_of_no_tasks_has_its_shape(horizon):
    task = PolicyReturn(FiniteMDP(np.ones((0, 1, 2, 1)), np.ones((0, 1, 2)), [1.0], 0.5, horizon), TabularSoftmax(1, 2))
    point, time = task.at(np.zeros(2)), () if horizon is None else (horizon,)
    assert point.action_value.shape == point.advantage.shape == (0, *time, 1, 2)
    assert point.value.shape == (0, *(t + 1 for t in time), 1) and point.occupancy.shape == (0, *time, 1)
    assert [x.shape for x in point.tangent(np.ones(2))[:3]] == [(0, 1, 2), (0, *time, 1, 2), (0, *time, 1)]


def test_one_task_has_no_axis_to_be_indexed_and_a_batch_only_one_index():
    batch = PolicyReturn(random_process(np.random.default_rng(0)), TabularSoftmax(3, 3))
    with pytest.raises(TypeError, match="one task has no batch axis to index"):
        batch[0][0]
    with pytest.raises(TypeError, match="tuple"):
        batch[0, 1]
    with pytest.raises(IndexError):
        batch[2]


@pytest.mark.parametrize("horizon", [None, 3])
def test_features_of_their_own_for_each_task_with_either_horizon(horizon):
    """Rectangular Φ (2, S, A, d): gradient and Hessian product by the complex step, and a task taken out of the batch."""
    rng = np.random.default_rng(7)
    mdp, features = random_process(rng, 2, 3, 2, horizon=horizon), rng.normal(size=(2, 3, 2, 4))
    task, theta, v = PolicyReturn(mdp, LinearSoftmax(features)), rng.normal(size=4), rng.normal(size=4)
    kind, grad = "policy" if horizon is None else "finite-horizon", task.at(theta).grad
    assert_right(f"{kind}-gradient", (task, theta))
    assert_right(f"{kind}-hvp", (task, theta, v))
    for i in (0, 1):
        np.testing.assert_allclose(task[i].at(theta).grad, grad[i], rtol=1e-13, atol=1e-15)
        alone = PolicyReturn(mdp.entry(i, (2,)), LinearSoftmax(features[i])).at(theta)
        np.testing.assert_allclose(alone.grad, grad[i], rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("horizon", [None, 3])
def test_a_complex_direction_is_two_real_ones(horizon):
    rng = np.random.default_rng(1)
    point = PolicyReturn(random_process(rng, 2, 3, 2, horizon=horizon), TabularSoftmax(3, 2)).at(rng.normal(size=6))
    u, w = rng.normal(size=(2, 6))
    np.testing.assert_allclose(point.hvp(u + 1j * w), point.hvp(u) + 1j * point.hvp(w), rtol=1e-13, atol=1e-15)


def test_the_advantage_with_a_horizon_keeps_its_digits_too():
    task = PolicyReturn(FiniteMDP([[[1.0], [1.0]]], [[1 / 3, -0.7]], [1.0], 1.0, 1), TabularSoftmax(1, 2))
    expected = np.exp(-40.0) / (1 + np.exp(-40.0)) * (1 / 3 + 0.7)
    np.testing.assert_allclose(task.at([40.0, 0.0]).advantage[0, 0, 0], expected, rtol=10 * EPS)


def test_one_factorisation_serves_everything_and_results_are_kept():
    from refmeta.tasks import evaluation

    calls, right = [], evaluation.factorise
    task = random_policy_return(np.random.default_rng(0), "discounted", 3)
    try:
        evaluation.factorise = lambda M: calls.append(1) or right(M)
        point = task.at(np.zeros(9))
        _ = point.loss, point.grad, point.hvp(np.ones(9)), point.hvp(np.arange(9.0)), point.occupancy
    finally:
        evaluation.factorise = right
    assert len(calls) == 1 and point.grad is point.grad


def test_a_singular_factor_is_named():
    """A process that validation would refuse, P = 2 and γ = 1/2: I − γP = 0."""
    mdp = replace_fields(FiniteMDP([[[1.0]]], [[1.0]], [1.0], 0.5), P=np.array([[[2.0]]]))
    with pytest.raises(FloatingPointError, match="I - gamma P of task .* is singular"):
        _ = PolicyReturn(mdp, TabularSoftmax(1, 1)).at([0.0]).loss


def test_a_direction_of_another_length_is_called_v():
    for kind in ("discounted", "finite-horizon"):
        with pytest.raises(ValueError, match=r"^v has shape \(8,\), expected last axis 9"):
            random_policy_return(np.random.default_rng(0), kind).at(np.zeros(9)).hvp(np.zeros(8))


@pytest.mark.parametrize("horizon", [None, 1, 7])
@pytest.mark.parametrize("detailed", [False, True])
def test_a_reward_that_is_always_paid_costs_the_derivatives_no_digit_where_rows_sum_to_one(horizon, detailed):
    """Rows of sixteenths and rewards of quarters: the sums of rows and R + 10¹² are exact."""
    rng = np.random.default_rng(0)
    P = rng.multinomial(16, np.full(4, 1 / 4), size=(2, 4, 3)) / 16
    R = rng.integers(-20, 20, size=(2, 4, 3, 4) if detailed else (2, 4, 3)) / 4
    theta, v = rng.normal(size=(2, 12))
    at = lambda R: PolicyReturn(FiniteMDP(P, R, np.eye(4)[0], 0.99, horizon), TabularSoftmax(4, 3)).at(theta)
    one, raised = at(R), at(R + 1e12)
    for part in (lambda p: p.grad, lambda p: p.hvp(v), lambda p: p.advantage):
        np.testing.assert_allclose(part(raised), part(one), rtol=0, atol=1e-13 * np.max(np.abs(part(one))))
    total = 100 if horizon is None else (1 - 0.99**horizon) / (1 - 0.99)
    np.testing.assert_allclose(-raised.loss, 1e12 * total - one.loss, rtol=8 * EPS)


@pytest.mark.parametrize("horizon", [None, 5])
@pytest.mark.parametrize("detailed", [False, True])
def test_rows_that_do_not_sum_to_one_are_taken_as_they_are(horizon, detailed):
    """J and its derivatives of P as given, in fractions: the excess of a row times the value of what is always paid."""
    rng = np.random.default_rng(1)
    P = rng.dirichlet(np.ones(3), size=(3, 2)) * (1 + 9e-13 * rng.uniform(-1, 1, size=(3, 2, 1)))
    assert np.max(np.abs(P.sum(-1) - 1)) > 1e-13
    R = 2.0**20 + rng.integers(-9, 9, size=(3, 2, 3) if detailed else (3, 2))
    point = PolicyReturn(FiniteMDP(P, R, np.eye(3)[0], 0.75, horizon), TabularSoftmax(3, 2)).at(rng.normal(size=6))
    P, R, pi = (np.vectorize(F, otypes=[object])(x) for x in (P, R, point.probabilities))
    pi[:, 1] = 1 - pi[:, 0]
    r, gamma, V = (P * R).sum(-1) if detailed else R, F(3, 4), np.zeros(3, dtype=object)
    for _ in range(horizon or 0):
        Q = r + gamma * (P @ V)
        V = (pi * Q).sum(-1)
    if horizon is None:
        M = np.eye(3, dtype=int) - gamma * (pi[..., None] * P).sum(1)
        Q = r + gamma * (P @ independent.solved(M, (pi * r).sum(-1)))
    A = point.advantage if horizon is None else point.advantage[0]
    expected = np.array(Q[:, 0] - Q[:, 1], dtype=float)
    np.testing.assert_allclose(A[:, 0] - A[:, 1], expected, rtol=0, atol=16 * EPS * np.max(np.abs(expected)))
