"""Surrogates: values by hand and by loops, derivatives by complex steps, and what their expectations are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refmeta as rm
from refmeta.arrays import replace_fields
from refmeta.evidence.sampled import KINDS, loss_error, random_score_term, random_surrogate
from refmeta.judges import complex_step, taylor_rates
from refmeta.problems import POLICIES, random_trajectories
from refmeta.sampling.surrogates import clipped, dice, likelihood_ratio, loaded_dice, reinforce, tmaml
from tests.sampling.test_returns import tiny
from tests.strategies import assert_right, batch_sizes, policies, seeds

MAKERS = {
    "reinforce": reinforce,
    "likelihood-ratio": likelihood_ratio,
    "dice": dice,
    "tmaml": tmaml,
    "loaded-dice": lambda *x, **k: loaded_dice(*x, lam=0.625, **k),
    "clipped": lambda *x, **k: clipped(*x, epsilon=0.25, **k),
}
EXACT = 1e-13  # expectations of order one, over 8 to 64 trajectories


def random_inputs(rng, kind):
    """Policy, θ, θ_sampled, batch, baseline."""
    policy, start, batch = random_trajectories(rng, kind)
    return policy, start + 0.2 * rng.normal(size=policy.dim), start, batch, rng.normal(size=batch.mask.shape)


@pytest.mark.eq("surrogate-naive", "lvc", "dice", "tmaml-baseline", "loaded-dice")
@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (reinforce, 2 * np.log(2) + np.log(2 / 3)),
        (likelihood_ratio, 14 / 3),
        (dice, 11 / 3),
        (tmaml, 23 / 6),
        (loaded_dice, 4 / 3),
    ],
)
def test_values_by_hand(make, expected):
    """π_sampled = (1/4, 3/4), π = (1/2, 1/2), a = 0, 1: ratios 2, 2/3; r = 1, 3, b = 1/2, 1, γ = 1/2, so Ĝ = 5/2, 3."""
    batch = rm.Trajectories([[0, 0]], [[0, 1]], [[1.0, 3.0]], [[1, 1]])
    surrogate = make(rm.TabularSoftmax(1, 2), np.log([1.0, 3.0]), batch, gamma=0.5, baseline=[[0.5, 1.0]])
    assert surrogate.at(np.zeros(2)).loss == pytest.approx(-expected, rel=1e-14)


@pytest.mark.parametrize("make", [dice, tmaml])
def test_a_baseline_of_zeros_needs_no_term_and_one_with_axes_of_its_own_keeps_them(make):
    policy, theta, start, batch, b = random_inputs(np.random.default_rng(2), "tabular")
    task = lambda b: make(policy, start, batch, gamma=0.7, baseline=b)
    assert [len(task(x).terms) for x in (0.0, 0 * b, b)] == [1, 1, 3]
    assert task(np.zeros((5, 1, 1, 1))).at(theta).loss.shape == (5, *batch.mask.shape[:-2])
    tiny_one = task(1e-300 * b).at(theta)
    np.testing.assert_array_equal(task(0.0).at(theta).grad, tiny_one.grad)
    np.testing.assert_array_equal(task(0.0).at(theta).loss, tiny_one.loss)


def test_an_inner_step_that_is_too_large_is_named_and_no_array_of_the_library():
    policy, theta, start, batch, b = random_inputs(np.random.default_rng(2), "linear-gaussian")
    surrogate = dice(policy, start, batch, gamma=0.7, baseline=b)
    with pytest.raises(FloatingPointError, match=r"^inner step \d left the finite numbers; alpha may be too large"):
        rm.maml.gradient(theta, surrogate, alpha=1e200, steps=3)


@pytest.mark.eq("surrogate-naive", "lvc", "dice", "tmaml-baseline", "loaded-dice")
@given(
    label=st.sampled_from(("surrogate-naive", "lvc", "dice", "tmaml-baseline", "loaded-dice")),
    case=st.builds(random_surrogate, seeds, kind=policies, **batch_sizes),
)
def test_values_are_those_of_their_definitions(label, case):
    assert_right(label, case)


@pytest.mark.eq("promp-objective")
@given(case=st.builds(random_surrogate, seeds, kind=policies, **batch_sizes))
def test_the_clipped_value_is_that_of_its_definition(case):
    assert loss_error("clipped")(case) <= 1


@pytest.mark.eq("surrogate-hvp")
@given(
    case=st.builds(random_surrogate, seeds, kind=policies, **batch_sizes), name=st.sampled_from(KINDS), rng=seeds
)
def test_gradient_and_hessian_product_are_complex_steps_at_every_theta(case, name, rng):
    assert_right("surrogate-hvp", (case, name, rng.normal(size=case.policy.dim)))


@pytest.mark.eq("surrogate-hvp")
@pytest.mark.parametrize("name", MAKERS)
def test_taylor_remainders_have_their_orders(name):
    policy, theta, start, batch, b = random_inputs(np.random.default_rng(0), "tabular")
    task = MAKERS[name](policy, start, batch, gamma=0.75, baseline=b)
    v = 2 * np.random.default_rng(1).normal(size=policy.dim)
    f = lambda t: np.sum(task.at(t).loss)
    gradient, product = (np.sum(x, axis=0) for x in (task.at(theta).grad, task.at(theta).hvp(v)))
    assert taylor_rates(f, theta, v, gradient=gradient, hvp=product).passed


@pytest.mark.parametrize("name", MAKERS)
def test_without_a_baseline_it_is_none_and_an_episode_more_of_the_same_changes_nothing(name):
    policy, theta, start, batch, _ = random_inputs(np.random.default_rng(1), "tabular")
    task = MAKERS[name](policy, start, batch, gamma=0.75)
    none = MAKERS[name](policy, start, batch, gamma=0.75, baseline=0.0)
    twice = MAKERS[name](policy, start, rm.Trajectories(*(np.concatenate([x, x], axis=1) for x in batch)), gamma=0.75)
    np.testing.assert_array_equal(task.at(theta).loss, none.at(theta).loss)
    np.testing.assert_allclose(twice.at(theta).grad, task.at(theta).grad, rtol=0, atol=1e-14)


@given(rng=seeds, kind=policies)
def test_all_share_one_gradient_where_the_batch_was_drawn(rng, kind):
    policy, _, start, batch, b = random_inputs(rng, kind)
    expected = -rm.estimators.gpomdp(policy, start, batch, gamma=0.75, baseline=b)
    products = {}
    for name, make in MAKERS.items():
        point = make(policy, start, batch, gamma=0.75, baseline=b).at(start)
        np.testing.assert_allclose(point.grad, expected, rtol=0, atol=1e-12 * np.max(np.abs(expected)), err_msg=name)
        products[name] = point.hvp(np.cos(np.arange(policy.dim)))
    size = max(np.max(np.abs(p)) for p in products.values())
    for one, other in (("reinforce", "likelihood-ratio"), ("likelihood-ratio", "dice"), ("dice", "loaded-dice")):
        assert np.max(np.abs(products[one] - products[other])) > 1e-6 * size


@pytest.mark.eq("tmaml-baseline", "loaded-dice")
@given(rng=seeds, kind=policies)
def test_loaded_dice_is_tmaml_at_one_and_the_likelihood_ratio_at_zero_to_a_constant(rng, kind):
    policy, theta, start, batch, b = random_inputs(rng, kind)
    v, arguments = rng.normal(size=policy.dim), {"gamma": 0.75, "baseline": b}
    pairs = (
        (loaded_dice(policy, start, batch, **arguments), tmaml(policy, start, batch, **arguments)),
        (loaded_dice(policy, start, batch, lam=0.0, **arguments), likelihood_ratio(policy, start, batch, **arguments)),
    )
    weight = 0.75 ** np.arange(4) * batch.mask
    constants = (
        -np.sum(weight * batch.rewards, axis=(1, 2)) / 3,
        -np.sum(weight * (rm.returns.reward_to_go(batch, gamma=0.75) - b), axis=(1, 2)) / 3,
    )
    for (one, other), constant in zip(pairs, constants, strict=True):
        p, q = one.at(theta), other.at(theta)
        size = np.max(np.abs(q.hvp(v))) + np.max(np.abs(q.loss)) + 1
        np.testing.assert_allclose(p.loss + constant, q.loss, rtol=0, atol=1e-12 * size)
        np.testing.assert_allclose(p.grad, q.grad, rtol=0, atol=1e-12 * size)
        np.testing.assert_allclose(p.hvp(v), q.hvp(v), rtol=0, atol=1e-12 * size)


@pytest.mark.eq("dice", "loaded-dice", "tmaml-baseline", "lvc", "surrogate-naive")
@pytest.mark.parametrize("baseline", ["none", "exact"])
@pytest.mark.parametrize("seed", range(3))
def test_in_expectation_dice_has_the_true_hessian_and_the_split_accounts_for_the_others(seed, baseline):
    rng = np.random.default_rng(seed)
    mdp, policy, theta, task = tiny(rng, horizon=3)
    point, v = task.at(theta), rng.normal(size=4)
    split = rm.fisher.hessian_split(point, v)

    def expected(make):
        def product(batch):
            b = rm.returns.exact_baseline(batch, point) if baseline == "exact" else 0.0
            return make(policy, theta, batch, gamma=mdp.gamma, baseline=b).at(theta).hvp(v)

        return rm.enumeration.expectation(product, mdp, policy, theta).mean

    for make in (dice, tmaml, loaded_dice):
        np.testing.assert_allclose(expected(make), point.hvp(v), rtol=0, atol=EXACT)
    both = -(split.score_squared + split.curvature)
    np.testing.assert_allclose(expected(likelihood_ratio), both, rtol=0, atol=EXACT)
    np.testing.assert_allclose(
        expected(likelihood_ratio) - point.hvp(v), split.cross + split.cross_transposed, rtol=0, atol=EXACT
    )
    naive = 0 * v if baseline == "exact" else -split.curvature
    np.testing.assert_allclose(expected(reinforce), naive, rtol=0, atol=EXACT)
    for make in (likelihood_ratio, reinforce):
        assert np.linalg.norm(expected(make) - point.hvp(v)) > 1e-2 * np.linalg.norm(point.hvp(v))


@pytest.mark.eq("tmaml-baseline")
def test_a_control_variate_that_knows_the_present_biases_the_hessian():
    """The past up to and including t: E is off by Σ γᵗ b (∇²log π + …), exactly the second derivative of E[☐_≤t(1 − ☐_t)]."""
    rng = np.random.default_rng(5)
    mdp, policy, theta, task = tiny(rng)
    v = rng.normal(size=4)

    def product(batch):
        surrogate = tmaml(policy, theta, batch, gamma=mdp.gamma, baseline=1.5)
        rewards, base, other = surrogate.terms
        wrong = replace_fields(surrogate, terms=(rewards, base._replace(shift=0.0), other._replace(shift=1.0)))
        return wrong.at(theta).hvp(v)

    off = rm.enumeration.expectation(product, mdp, policy, theta).mean - task.at(theta).hvp(v)
    assert np.linalg.norm(off) > 0.1


@pytest.mark.eq("thm:naive-curvature")
@pytest.mark.parametrize("kind", ["tabular", "linear-features"])
def test_naive_curvature_with_exact_advantages_vanishes_given_the_state(kind):
    """Σ_a π(a|s) A(s, a) ∇² log π(a|s) = 0 in every state: ∇² log π is the same for every action."""
    rng = np.random.default_rng(0)
    policy, theta, _ = random_trajectories(rng, kind)
    A = rng.normal(size=(3, 2))
    pi = np.exp(policy.logits(theta))
    pi /= pi.sum(-1, keepdims=True)
    A -= np.sum(pi * A, axis=-1, keepdims=True)
    u = rng.normal(size=policy.dim)
    for s in range(3):
        each = [pi[s, a] * A[s, a] * policy.score_hvp(theta, s, a, u) for a in range(2)]
        np.testing.assert_allclose(sum(each), 0, atol=1e-15)
        assert np.max(np.abs(each[0])) > 1e-4


@pytest.mark.eq("thm:naive-curvature")
def test_naive_curvature_of_a_gaussian_vanishes_for_its_gain_and_not_for_its_deviation():
    """∇² log π in K is −xxᵀ/σ², the same for every action; in log σ it is −2z², which is not."""
    policy, x, theta = rm.LinearGaussian(2, 1), np.array([0.5, 1.0]), np.array([0.25, -1.0, np.log(2.0)])
    nodes, weights = np.polynomial.hermite_e.hermegauss(8)
    actions = policy.mean(theta, x) + 2.0 * nodes[:, None]
    p, A = weights / weights.sum(), nodes**3 + nodes**2 - 1
    by_gain = policy.score_hvp(theta, x, actions, np.array([1.0, -2.0, 0.0]))
    np.testing.assert_allclose((p * A) @ by_gain[:, :2], 0, atol=1e-14)
    assert abs(p @ A) < 1e-14 and np.max(np.abs(by_gain[:, :2])) > 0.1
    by_log = policy.score_hvp(theta, x, actions, np.array([0.0, 0.0, 1.0]))
    assert abs((p * A) @ by_log[:, 2]) > 1


@pytest.mark.eq("thm:naive-curvature")
def test_a_shift_of_the_rewards_moves_the_naive_curvature_by_its_formula_and_no_right_one():
    """r → r + c: c Σ_t γᵗ (1 − γ^(H−t))/(1 − γ) E[∇² log π(a_t|s_t)]."""
    rng = np.random.default_rng(1)
    mdp, policy, theta, task = tiny(rng, horizon=3)
    shifted, c, gamma, v = rm.FiniteMDP(mdp.P, mdp.R + 2.5, mdp.rho, mdp.gamma, 3), 2.5, mdp.gamma, rng.normal(size=4)

    def expected(process, make):
        f = lambda t: make(policy, theta, t, gamma=gamma).at(theta).hvp(v)
        return rm.enumeration.expectation(f, process, policy, theta).mean

    weight = (1 - gamma ** (3 - np.arange(3))) / (1 - gamma)
    visits = weight @ task.at(theta).occupancy
    curvature = sum(visits[s] * policy.score_hvp(theta, s, 0, v) for s in range(2))
    moved = expected(shifted, reinforce) - expected(mdp, reinforce)
    np.testing.assert_allclose(moved, -c * curvature, rtol=0, atol=EXACT * 10)
    assert np.linalg.norm(moved) > 0.1
    np.testing.assert_allclose(expected(shifted, dice), expected(mdp, dice), rtol=0, atol=EXACT * 10)
    one = rm.Trajectories([[0, 1, 0]], [[1, 0, 1]], [[1.0, 2.0, -1.0]], [[1, 1, 1]])
    other = one._replace(rewards=np.array(one.rewards) + c)
    products = [dice(policy, theta, batch, gamma=gamma).at(theta).hvp(v) for batch in (one, other)]
    assert np.linalg.norm(products[0] - products[1]) > 0.1, "a single batch of a right one may move"


@pytest.mark.eq("promp-objective")
def test_the_clipped_surrogate_by_hand():
    """Ratios 2 and 2/3, ε = 1/4, advantages 2 and −1, γ = ½: min(4, 5/2) + ½ min(−2/3, −3/4); flat where it is clipped."""
    batch = rm.Trajectories([[0, 0]], [[0, 1]], [[1.0, 3.0]], [[1, 1]])
    policy, start = rm.TabularSoftmax(1, 2), np.log([1.0, 3.0])
    task = clipped(policy, start, batch, gamma=0.5, epsilon=0.25, baseline=[[0.5, 4.0]])
    point = task.at(np.zeros(2))
    assert point.loss == pytest.approx(-(5 / 2 - 3 / 8), rel=1e-14)
    np.testing.assert_array_equal(point.grad, 0)
    np.testing.assert_array_equal(point.hvp(np.ones(2)), 0)
    with pytest.raises(ValueError, match="epsilon must be positive"):
        clipped(policy, start, batch, gamma=0.5, epsilon=0.0)


@pytest.mark.eq("emaml-score-term")
@given(case=st.builds(random_score_term, seeds, kind=policies, **batch_sizes))
def test_the_score_term_is_the_slope_of_the_log_likelihood_of_the_whole_batch(case):
    assert_right("emaml-score-term", case)


def test_maml_runs_on_surrogates_unchanged():
    """K = 1 by the definition: (I − αH)∇L_query(φ), on batches of two tasks, and by the complex step of the objective."""
    rng = np.random.default_rng(0)
    policy, theta, batch = random_trajectories(rng, "linear-gaussian")
    query = random_trajectories(rng, "linear-gaussian")[2]
    support = dice(policy, theta, batch, gamma=0.75)
    inner = rm.adapt(theta, support, alpha=0.01, steps=1)
    outer = reinforce(policy, inner.adapted, query, gamma=0.75, baseline=0.5)
    got = rm.maml.gradient(theta, support, outer, alpha=0.01)
    g = outer.at(inner.adapted).grad
    np.testing.assert_allclose(got, g - support.at(theta).hvp(0.01 * g), rtol=1e-13)
    expected = complex_step(lambda t: rm.maml.objective(t, support, outer, alpha=0.01), theta)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12 * np.max(np.abs(expected)))


def test_a_fixed_batch_is_held_and_a_point_serves_many_products():
    policy, theta, start, batch, b = random_inputs(np.random.default_rng(0), "tabular")
    task = dice(policy, start, batch, gamma=0.75, baseline=b)
    before, point, v = task.at(theta).grad.copy(), task.at(theta), np.ones((2, policy.dim))
    batch.rewards[:] = 1e9
    b[:] = 1e9
    np.testing.assert_array_equal(task.at(theta).grad, before)
    np.testing.assert_array_equal(point.hvp(v), point.hvp(v))
    with pytest.raises(ValueError, match="read-only"):
        point.grad[:] = 0


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"gamma": 1.25}, ValueError, "gamma must satisfy 0 <= gamma <= 1, got 1.25"),
        ({"gamma": np.nan}, ValueError, "gamma must be finite"),
        ({"baseline": np.zeros(3)}, ValueError, r"baseline has shape \(3,\), expected one that broadcasts"),
        ({"theta_sampled": np.zeros(7)}, ValueError, r"theta_sampled has shape \(7,\), expected last axis 6"),
        ({"theta_sampled": np.zeros(6) + 1j}, TypeError, "theta_sampled must be real"),
        ({"theta_sampled": np.zeros((3, 6))}, ValueError, "batch axes must broadcast"),
        ({"trajectories": None}, TypeError, r"trajectories must be Trajectories\(states, actions, rewards, mask\)"),
    ],
)  # fmt: skip
def test_bad_input_is_named(change, error, message):
    policy, _, start, batch, _ = random_inputs(np.random.default_rng(0), "tabular")
    arguments = {"theta_sampled": start, "trajectories": batch, "gamma": 0.75} | change
    with pytest.raises(error, match=message):
        dice(policy, arguments.pop("theta_sampled"), arguments.pop("trajectories"), **arguments)
    with pytest.raises(ValueError, match="lam must satisfy"):
        loaded_dice(policy, start, batch, gamma=0.75, lam=-0.5)
    with pytest.raises(FloatingPointError, match="left the finite numbers"):
        _ = dice(policy, start - 1000 * np.arange(6), batch, gamma=0.75).at(start + 1000 * np.arange(6)).loss


@pytest.mark.parametrize("kind", POLICIES)
def test_a_task_of_the_batch_stands_alone(kind):
    rng = np.random.default_rng(3)
    policy, theta, start, batch, b = random_inputs(rng, kind)
    if kind == "linear-features":
        policy = rm.LinearSoftmax(rng.normal(size=(2, 3, 2, 4)))
    starts = np.stack([start, start + 0.1])
    both = loaded_dice(policy, starts, batch, gamma=0.75, baseline=b, lam=0.5)
    v = rng.normal(size=policy.dim)
    for n in range(2):
        one = both[n]
        assert one.shape == ()
        np.testing.assert_array_equal(one.at(theta).loss, both.at(theta).loss[n])
        np.testing.assert_allclose(one.at(theta).hvp(v), both.at(theta).hvp(v)[n], rtol=1e-13)
    np.testing.assert_allclose(both[1:].at(theta).grad, both.at(theta).grad[1:], rtol=1e-13)
    np.testing.assert_array_equal(both[1].theta_sampled, starts[1])
    serial = rm.reptile.update_serial(theta, both, alpha=0.01, steps=2, epsilon=0.5)
    by_hand = theta
    for n in range(2):
        by_hand = by_hand + 0.5 * (rm.adapt(by_hand, both[n], alpha=0.01, steps=2).adapted - by_hand)
    np.testing.assert_allclose(serial, by_hand, rtol=1e-13)
    with pytest.raises(TypeError, match="one task has no batch axis"):
        both[0][0]


def test_several_baselines_give_several_tasks_and_what_is_no_policy_is_refused():
    policy, theta, start, batch, b = random_inputs(np.random.default_rng(4), "tabular")
    several = dice(policy, start, batch, gamma=0.75, baseline=np.stack([b, 2 * b, 0 * b]))
    assert several.shape == (3, 2) and several.at(theta).grad.shape == (3, 2, 6)
    np.testing.assert_array_equal(several.at(theta).loss[2], dice(policy, start, batch, gamma=0.75).at(theta).loss)
    with pytest.raises(TypeError, match="policy must be a TabularSoftmax, LinearSoftmax or LinearGaussian, got str"):
        dice("policy", start, batch, gamma=0.75)
    with pytest.raises(ValueError, match=r"batch axes must broadcast .* got theta_sampled \(5, 2\), baseline \(3, 2\)"):
        dice(policy, np.stack([start] * 5)[:, None], batch, gamma=0.75, baseline=np.stack([b] * 3))
    with pytest.raises(
        ValueError, match=r"batch axes must broadcast against each other, got value \(3,\), trajectories \(2,\)"
    ):
        rm.surrogates.emaml_score_term(policy, theta, batch, value=np.ones(3))
