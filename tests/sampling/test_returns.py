"""Returns, advantages, baselines, value estimates and policy-gradient estimates: by hand, by loops, by enumeration."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import refmeta as rm
from refmeta.evidence.sampling import random_episodes, random_estimate, random_fit, random_td
from refmeta.problems import random_process, random_trajectories
from tests import independent
from tests.strategies import assert_right, batch_sizes, costly, counts, policies, seeds

BY_HAND = rm.Trajectories([[0, 1, 0], [1, 1, 7]], [[0, 1, 1], [1, 0, 7]], [[1.0, 2.0, 4.0], [3.0, -2.0, 99.0]],
                          [[1, 1, 1], [1, 1, 0]])  # fmt: skip
EXACT = 1e-13  # everything here is of order one


def tiny(rng, horizon=2, gamma=None, states=2, actions=2):
    """One task with a horizon, its policy, and parameters."""
    one = random_process(rng, 1, states, actions, float(rng.uniform(0.3, 0.9)) if gamma is None else gamma, horizon)
    mdp = rm.FiniteMDP(one.P[0], one.R[0], one.rho[0], one.gamma, horizon)
    policy = rm.TabularSoftmax(states, actions)
    return mdp, policy, rng.normal(size=policy.dim), rm.PolicyReturn(mdp, policy)


def test_returns_by_hand():
    """γ = 1/2: Ĝ = (1 + 1 + 1, 2 + 2, 4) and (3 − 1, −2); what stands after the end is not read."""
    np.testing.assert_array_equal(rm.returns.whole_return(BY_HAND, gamma=0.5), [3, 2])
    np.testing.assert_array_equal(rm.returns.reward_to_go(BY_HAND, gamma=0.5), [[3, 4, 4], [2, -2, 0]])
    np.testing.assert_array_equal(rm.returns.reward_to_go(BY_HAND, gamma=0.0), [[1, 2, 4], [3, -2, 0]])
    np.testing.assert_array_equal(rm.returns.reward_to_go(BY_HAND, gamma=1), [[7, 6, 4], [1, -2, 0]])


@pytest.mark.parametrize("factor", [0.0, 1.0, 0.9])
@pytest.mark.parametrize("imaginary", [0.0, 1.0])
def test_a_discounted_sum_has_the_bits_of_a_loop_over_time(factor, imaginary):
    """Factors 0 and 1 have ways of their own; the order of the additions is the same."""
    rng = np.random.default_rng(0)
    for shape in ((1,), (5,), (2, 3, 40)):
        x = rng.normal(size=shape) + imaginary * 1j * rng.normal(size=shape) if imaginary else rng.normal(size=shape)
        before, expected = x.copy(), x.copy()
        for t in reversed(range(shape[-1] - 1)):
            expected[..., t] += factor * expected[..., t + 1]
        got = rm.returns.discounted_sum(x, factor)
        np.testing.assert_array_equal(got, expected)
        got[...] = 0
        np.testing.assert_array_equal(x, before)


@pytest.mark.eq("leave-one-out")
def test_leave_one_out_by_hand_and_alone():
    np.testing.assert_array_equal(rm.returns.leave_one_out(BY_HAND, gamma=0.5), [[2, -2, 0], [3, 4, 4]])
    with pytest.raises(ValueError, match="needs at least 2 trajectories per task, got 1"):
        rm.returns.leave_one_out(rm.Trajectories(*(np.asarray(x)[:1] for x in BY_HAND)), gamma=0.5)


@pytest.mark.eq("gae")
def test_gae_by_hand_and_its_two_ends():
    """v = 1, γ = ½, λ = ½: δ = (½, 3/2, 3) and (5/2, −3); Â_0 = ½ + 3/8 + 3/16."""
    v = np.ones((2, 3))
    got = rm.returns.gae(BY_HAND, v, gamma=0.5, lam=0.5)
    np.testing.assert_array_equal(got, [[17 / 16, 9 / 4, 3], [7 / 4, -3, 0]])
    G = rm.returns.reward_to_go(BY_HAND, gamma=0.5)
    np.testing.assert_array_equal(rm.returns.gae(BY_HAND, v, gamma=0.5, lam=1.0), (G - v) * BY_HAND.mask)
    np.testing.assert_array_equal(rm.returns.gae(BY_HAND, v, gamma=0.5, lam=0.0), [[0.5, 1.5, 3], [2.5, -3, 0]])


@pytest.mark.eq("reinforce", "gpomdp", "undiscounted-visits")
@given(
    label=st.sampled_from(("reinforce", "gpomdp", "undiscounted-visits")),
    case=st.builds(random_estimate, seeds, kind=policies, **batch_sizes),
)
def test_estimates_are_their_definitions_step_by_step(label, case):
    assert_right(label, case)


@pytest.mark.eq("leave-one-out")
@given(case=st.builds(random_episodes, seeds, **batch_sizes | {"episodes": st.integers(2, 4)}))
def test_leave_one_out_is_the_mean_of_the_others(case):
    assert_right("leave-one-out", case)


@pytest.mark.eq("linear-feature-baseline")
@given(case=st.builds(random_fit, seeds, **batch_sizes))
def test_a_fitted_baseline_is_least_squares_with_the_ridge_as_rows(case):
    assert_right("linear-feature-baseline", case)


@pytest.mark.eq("td-lambda")
@given(case=st.builds(random_td, seeds, width=st.sampled_from((2, None, 1)), **batch_sizes))
def test_td_is_the_forward_view(case):
    assert_right("td-lambda", case)


@pytest.mark.eq("lstd")
@given(case=st.builds(random_episodes, seeds, tasks=counts, episodes=st.integers(4, 8), horizon=st.integers(3, 5)))
def test_lstd_of_a_table_is_the_value_of_the_process_of_the_counts(case):
    assert_right("lstd", case)


@pytest.mark.eq("gae")
@given(rng=seeds)
def test_gae_with_exact_values_has_the_advantage_for_its_mean_and_the_gradient_for_its_weights(rng):
    mdp, policy, theta, task = tiny(rng)
    point = task.at(theta)

    def estimate(batch):
        G = rm.returns.reward_to_go(batch, gamma=mdp.gamma)
        V = rm.returns.exact_baseline(batch, point)
        A = rm.returns.gae(batch, V, gamma=mdp.gamma, lam=0.375)
        return rm.estimators.gpomdp(policy, theta, batch, gamma=mdp.gamma, baseline=G - A)

    moments = rm.enumeration.expectation(estimate, mdp, policy, theta)
    np.testing.assert_allclose(moments.mean, -point.grad, rtol=0, atol=EXACT)


@pytest.mark.eq("reinforce", "gpomdp")
@given(rng=seeds)
def test_reinforce_and_gpomdp_are_unbiased_with_every_proper_baseline(rng):
    """Whole return and reward to go; b = 0, a constant, exact V, a fit on a batch that is held: the H-step ∇J."""
    mdp, policy, theta, task = tiny(rng, horizon=3)
    point, gamma = task.at(theta), mdp.gamma
    other = rm.rollout(mdp, policy, theta, episodes=5, rng=rng)
    baselines = {
        "none": lambda batch: 0.0,
        "constant": lambda batch: 1.75,
        "exact": lambda batch: rm.returns.exact_baseline(batch, point),
        "fitted": lambda batch: rm.returns.linear_feature_baseline(batch, other, gamma=gamma, states=2),
    }
    for name, baseline in baselines.items():
        for estimator in (rm.estimators.reinforce, rm.estimators.gpomdp):
            moments = rm.enumeration.expectation(
                lambda t, f=estimator, b=baseline: f(policy, theta, t, gamma=gamma, baseline=b(t)), mdp, policy, theta
            )
            np.testing.assert_allclose(moments.mean, -point.grad, rtol=0, atol=EXACT, err_msg=name)


@pytest.mark.eq("leave-one-out")
@pytest.mark.parametrize("M", [2, 3])
def test_the_own_mean_shrinks_the_gradient_by_one_minus_one_over_m_and_leave_one_out_does_not(M):
    mdp, policy, theta, task = tiny(np.random.default_rng(M))
    grad, gamma = -task.at(theta).grad, mdp.gamma

    def own(batch):
        return np.mean(rm.returns.reward_to_go(batch, gamma=gamma), axis=-2, keepdims=True)

    def others(batch):
        return rm.returns.leave_one_out(batch, gamma=gamma)

    for baseline, factor in ((own, 1 - 1 / M), (others, 1.0)):
        moments = rm.enumeration.expectation(
            lambda t, b=baseline: rm.estimators.gpomdp(policy, theta, t, gamma=gamma, baseline=b(t)),
            mdp, policy, theta, episodes=M,
        )  # fmt: skip
        np.testing.assert_allclose(moments.mean, factor * grad, rtol=0, atol=EXACT)
    assert np.max(np.abs(grad)) > 1e-2


@pytest.mark.eq("undiscounted-visits")
def test_dropping_the_outer_discount_is_biased_unless_gamma_or_the_horizon_is_one():
    """Its mean is Σ d_t π A_t without γᵗ: exactly the sum with the visits undiscounted."""
    for gamma, horizon, biased in ((0.5, 3, True), (1.0, 3, False), (0.5, 1, False)):
        mdp, policy, theta, task = tiny(np.random.default_rng(1), horizon, gamma)
        point = task.at(theta)
        moments = rm.enumeration.expectation(
            lambda t, g=gamma, p=policy, x=theta: rm.estimators.undiscounted_visits(p, x, t, gamma=g),
            mdp,
            policy,
            theta,
        )
        visits = point.occupancy / gamma ** np.arange(horizon)[:, None]
        expected = np.einsum("ts,sa,tsa->sa", visits, point.probabilities, point.advantage).ravel()
        np.testing.assert_allclose(moments.mean, expected, rtol=0, atol=EXACT)
        assert (np.max(np.abs(moments.mean + point.grad)) > 1e-2) == biased


@pytest.mark.eq("reinforce", "gpomdp", "undiscounted-visits")
def test_the_three_estimates_by_hand():
    """One state, π = ¼ : ¾, rewards 1, 2, actions 0, 1, γ = ½: scores (¾, −¾), (−¼, ¼); G = 2, Ĝ = (2, 2)."""
    policy, theta = rm.TabularSoftmax(1, 2), np.log([1.0, 3.0])
    batch = rm.Trajectories([[0, 0]], [[0, 1]], [[1.0, 2.0]], [[1, 1]])
    e = np.array([1.0, -1.0])
    for f, expected in (
        (rm.estimators.reinforce, 2 * (3 / 4 - 1 / 4)),
        (rm.estimators.gpomdp, 2 * 3 / 4 - 0.5 * 2 / 4),
        (rm.estimators.undiscounted_visits, 2 * 3 / 4 - 2 / 4),
    ):
        np.testing.assert_allclose(f(policy, theta, batch, gamma=0.5), expected * e, rtol=1e-15)
    np.testing.assert_allclose(rm.estimators.gpomdp(policy, theta, batch, gamma=0.5, baseline=2.0), 0 * e, atol=1e-16)


def test_a_fitted_baseline_of_no_tasks_has_their_shape():
    grids = rm.GoalGridworlds(size=3, horizon=4).sample(2, 0).support[0:0]
    none = rm.rollout(grids.mdp, grids.policy, np.zeros(36), episodes=3, rng=0)
    assert rm.returns.linear_feature_baseline(none, none, gamma=0.9, states=9).shape == (0, 3, 4)


@pytest.mark.eq("linear-feature-baseline")
def test_a_fitted_baseline_is_biased_on_its_own_batch_and_refuses_other_features():
    rng = np.random.default_rng(3)
    mdp, policy, theta, task = tiny(rng)
    gamma = mdp.gamma

    def own(t):
        b = rm.returns.linear_feature_baseline(t, t, gamma=gamma, states=2)
        return rm.estimators.gpomdp(policy, theta, t, gamma=gamma, baseline=b)

    biased = rm.enumeration.expectation(own, mdp, policy, theta, episodes=2).mean
    assert np.linalg.norm(biased + task.at(theta).grad) > 0.1 * np.linalg.norm(biased)
    batch = random_episodes(rng, "linear-gaussian")
    with pytest.raises(ValueError, match=r"fitted_on has 10 features per step, expected 8"):
        rm.returns.linear_feature_baseline(
            batch._replace(states=batch.states[..., :2]), batch, gamma=0.75
        )
    with pytest.raises(ValueError, match="states is required"):
        rm.returns.linear_feature_baseline(BY_HAND, BY_HAND, gamma=0.5)
    with pytest.raises(ValueError, match="ridge must be positive"):
        rm.returns.linear_feature_baseline(BY_HAND, BY_HAND, gamma=0.5, states=2, ridge=0.0)


def test_exact_baselines_are_the_values_of_the_states_visited():
    rng = np.random.default_rng(0)
    policy, theta, batch = random_trajectories(rng)
    for horizon in (None, 4):
        point = rm.PolicyReturn(random_process(rng, 2, 3, 2, 0.75, horizon), policy).at(theta)
        got = rm.returns.exact_baseline(batch, point)
        for n, m, t in np.argwhere(batch.mask):
            V = point.value[n] if horizon is None else point.value[n, t]
            assert got[n, m, t] == V[batch.states[n, m, t]]
        assert np.all(got[~batch.mask] == 0)
    with pytest.raises(ValueError, match="the point's horizon is 3, expected 4"):
        rm.returns.exact_baseline(batch, rm.PolicyReturn(random_process(rng, 2, 3, 2, 0.75, 3), policy).at(theta))


@pytest.mark.eq("td-lambda", "lstd")
def test_values_of_one_task_are_those_of_a_batch_of_one():
    _, _, batch = random_trajectories(np.random.default_rng(1), episodes=8)
    phi, arguments = np.eye(3)[batch.states], {"gamma": 0.75, "lam": 0.5}
    one = rm.Trajectories(*(x[0] for x in batch))
    w = np.array([1.0, -2.0, 0.5])
    for f, more in ((rm.values.lstd, {}), (lambda *x, **k: rm.values.td_lambda(w, *x, **k), {"step_size": 0.25})):
        np.testing.assert_allclose(f(one, phi[0], **arguments, **more), f(batch, phi, **arguments, **more)[0], rtol=1e-12)
    assert np.max(np.abs(rm.values.lstd(one, phi[0], gamma=0.75) - rm.values.lstd(one, phi[0], **arguments))) > 1e-3


@pytest.mark.eq("td-lambda", "lstd")
@costly
@given(rng=seeds)
def test_td_stands_still_where_lstd_is_and_goes_there(rng):
    _, _, batch = random_trajectories(rng, episodes=8)
    phi = np.eye(3)[batch.states]
    assume(all(len(np.unique(batch.states[n][batch.mask[n]])) == 3 for n in range(2)))
    arguments = {"gamma": 0.75, "lam": 0.5}
    w = rm.values.lstd(batch, phi, **arguments)
    again = rm.values.td_lambda(w, batch, phi, step_size=1.0, **arguments)
    np.testing.assert_allclose(again, w, rtol=0, atol=1e-12 * np.max(np.abs(w)))
    away = np.zeros((2, 3))
    for _ in range(400):
        away = rm.values.td_lambda(away, batch, phi, step_size=0.3, **arguments)
    assert np.max(np.abs(away - w)) < 0.2 * np.max(np.abs(w))


@pytest.mark.eq("lstd")
def test_lstd_is_monte_carlo_at_lambda_one_and_the_true_value_on_deterministic_chains():
    """0 → 1 → 2 with rewards 1, 2, 4, γ = ½: V = 3, 4, 4; cut off after two steps, the third state's features remain."""
    batch = rm.Trajectories([[0, 1, 2]], [[0, 0, 0]], [[1.0, 2.0, 4.0]], [[1, 1, 1]])
    for lam in (0.0, 0.5, 1.0):
        np.testing.assert_allclose(
            rm.values.lstd(batch, np.eye(3)[[[0, 1, 2]]], gamma=0.5, lam=lam), [3, 4, 4], rtol=1e-14
        )
    cycle = rm.Trajectories([[0, 1]], [[0, 0]], [[1.0, 2.0]], [[1, 1]])
    phi, successors = np.eye(2)[[[0, 1]]], np.eye(2)[[[1, 0]]]
    got = rm.values.lstd(cycle, phi, gamma=0.5, successors=successors)
    np.testing.assert_allclose(got, np.linalg.solve([[1, -0.5], [-0.5, 1]], [1, 2]), rtol=1e-14)


def test_values_that_cannot_be_told_apart_and_bad_shapes_are_named():
    with pytest.raises(FloatingPointError, match="the system of LSTD is singular"):
        rm.values.lstd(BY_HAND, np.eye(3)[[[0, 1, 0], [1, 1, 0]]], gamma=0.5)
    with pytest.raises(ValueError, match=r"features has shape \(2, 3\), expected \(2, 3\) \+ \(k,\)"):
        rm.values.lstd(BY_HAND, np.ones((2, 3)), gamma=0.5)
    with pytest.raises(ValueError, match=r"successors has shape \(2, 3, 1\), expected \(2, 3, 2\)"):
        rm.values.lstd(BY_HAND, np.ones((2, 3, 2)), gamma=0.5, successors=np.ones((2, 3, 1)))
    with pytest.raises(ValueError, match=r"w has shape \(3,\), expected last axis 2"):
        rm.values.td_lambda(np.zeros(3), BY_HAND, np.ones((2, 3, 2)), gamma=0.5, lam=0.5, step_size=0.1)


@pytest.mark.parametrize("gamma", [-0.1, 1.5, np.nan, 1j, "a"])
def test_a_discount_out_of_range_is_refused(gamma):
    with pytest.raises((ValueError, TypeError), match="gamma must"):
        rm.returns.reward_to_go(BY_HAND, gamma=gamma)


def test_a_baseline_of_another_shape_or_kind_is_refused():
    policy, theta = rm.TabularSoftmax(2, 2), np.zeros(4)
    for bad, error in (
        (np.zeros((3, 3)), ValueError),
        (np.zeros(2), ValueError),
        ("mean", TypeError),
        (np.nan, ValueError),
    ):
        with pytest.raises(error, match="baseline"):
            rm.estimators.gpomdp(policy, theta, BY_HAND, gamma=0.5, baseline=bad)
    with pytest.raises(ValueError, match="lam must satisfy"):
        rm.returns.gae(BY_HAND, 0.0, gamma=0.5, lam=1.5)
    with pytest.raises(ValueError, match="values has shape"):
        rm.returns.gae(BY_HAND, np.zeros((2, 4)), gamma=0.5, lam=0.5)


def test_what_a_baseline_cannot_be_made_of_is_named():
    _, _, gaussian = random_trajectories(np.random.default_rng(0), "linear-gaussian")
    _, _, batch = random_trajectories(np.random.default_rng(0))
    with pytest.raises(ValueError, match="fitted_on has 10 features per step, expected 7"):
        rm.returns.linear_feature_baseline(batch, gaussian, gamma=0.5, states=3)
    with pytest.raises(ValueError, match=r"states\[.*\] is 2, expected 0 <= it < 2"):
        rm.returns.linear_feature_baseline(batch, batch, gamma=0.5, states=2)
    with pytest.raises(TypeError, match=r"expected PolicyReturn\(mdp, policy\).at\(theta\), got float"):
        rm.returns.exact_baseline(batch, 1.0)


TIGHT_FIT = 2e-15  # QR of columns of any size, measured 4e-16; the normal equations leave 1e-14


@pytest.mark.eq("linear-feature-baseline")
def test_a_fitted_baseline_keeps_the_digits_that_normal_equations_lose():
    """Against the normal equations in rationals, of the floats that the features are, the squares of states of size 100."""
    from fractions import Fraction

    _, _, batch = random_trajectories(np.random.default_rng(0), "linear-gaussian", tasks=1, episodes=3)
    batch = rm.Trajectories(*(x[0] for x in batch))
    batch = batch._replace(states=100 * batch.states)
    X = (rm.returns.features(batch) * batch.mask[..., None]).reshape(-1, 10)
    y = rm.returns.reward_to_go(batch, gamma=0.5).ravel()
    A = [[sum(Fraction(a) * Fraction(b) for a, b in zip(X[:, i], X[:, j], strict=True)) for j in range(10)] for i in range(10)]
    for i in range(10):
        A[i][i] += Fraction(1e-10)
    w = independent.solved(A, [sum(Fraction(a) * Fraction(b) for a, b in zip(x, y, strict=True)) for x in X.T])
    exact = [float(sum(Fraction(a) * b for a, b in zip(x, w, strict=True))) for x in X]
    got = rm.returns.linear_feature_baseline(batch, batch, gamma=0.5, ridge=1e-10).ravel()
    np.testing.assert_allclose(got, exact, rtol=0, atol=TIGHT_FIT * np.max(np.abs(y)))


def test_a_ridge_too_small_to_choose_among_dependent_features_is_named():
    """One-hot states and the constant: their sum is the constant."""
    with pytest.raises(FloatingPointError, match="ridge = 5e-324 is too small: the features are linearly dependent"):
        rm.returns.linear_feature_baseline(BY_HAND, BY_HAND, gamma=0.5, states=2, ridge=5e-324)
