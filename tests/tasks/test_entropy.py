"""Returns with entropy: by hand, over all trajectories and by sweeps; derivatives by the judges; algorithms; refusals."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import refmeta as rm
from refmeta.arrays import dot, replace_fields
from refmeta.commands.verify import checks_of
from refmeta.evidence.soft_returns import KINDS, paid_entropy, random_soft_return, soft_sweeps
from refmeta.judges import adjoint_gap, central_difference, complex_step, taylor_rates
from refmeta.meta import model_based
from refmeta.problems import hessian, random_ending_process, random_process
from refmeta.sampling.returns import discounts
from refmeta.sampling.transitions import sample_experience
from refmeta.softmax import centred, centred_at, likeliest, softmax_jvp
from refmeta.tasks import exact_return, finite_horizon
from tests.strategies import assert_close, assert_right, costly, seeds

EPS = np.finfo(float).eps
kinds = st.sampled_from(KINDS)
L2, L3 = np.log(2), np.log(3)


def soft_ending(rng):
    """A process at γ = 1 without a horizon whose last state is an end, with a temperature; and parameters."""
    mdp = random_ending_process(rng)
    return rm.PolicyReturn(mdp, rm.TabularSoftmax(3, 3), float(rng.uniform(0.2, 3))), rng.normal(size=9)


@pytest.mark.eq("soft-return", "soft-return-gradient")
@pytest.mark.parametrize("tau", [0.0, 0.375, 2.0])
def test_two_states_by_hand(tau):
    """The example of the chapter: π = (1/4, 3/4) and (1/2, 1/2), γ = 1/2; H = (2 log 2 − ¾ log 3, log 2)."""
    P, R = [[[1, 0], [0, 1]], [[0, 1], [1, 0]]], [[3, 2], [1, -1]]
    task = rm.PolicyReturn(rm.FiniteMDP(P, R, [0.25, 0.75], 0.5), rm.TabularSoftmax(2, 2), tau)
    point = task.at(np.log([1, 3, 1, 1]))
    V = np.array([3 + tau * (10 / 3 * L2 - L3), 1 + tau * (22 / 9 * L2 - L3 / 3)])
    gaps = np.array([2 + tau * (4 / 9 * L2 + 2 / 3 * L3), 1 - tau * (4 / 9 * L2 - L3 / 3)])
    np.testing.assert_allclose(point.value, V, rtol=8 * EPS)
    np.testing.assert_allclose(-point.loss, 1.5 + tau * (8 / 3 * L2 - L3 / 2), rtol=8 * EPS)
    np.testing.assert_allclose(point.action_value, [[3 + V[0] / 2, 2 + V[1] / 2], [1 + V[1] / 2, -1 + V[0] / 2]], rtol=8 * EPS)
    np.testing.assert_allclose(point.advantage, [gaps[0] * np.array([0.75, -0.25]), gaps[1] * np.array([0.5, -0.5])], rtol=16 * EPS)
    expected = [gaps[0] / 8, -gaps[0] / 8, gaps[1] / 3, -gaps[1] / 3]
    np.testing.assert_allclose(-point.grad, expected, rtol=16 * EPS)


@pytest.mark.eq("soft-return", "soft-return-gradient", "soft-return-hvp")
@costly
@given(rng=seeds)
def test_the_return_and_its_derivatives_are_right(rng):
    for label in ("soft-return", "soft-return-gradient", "soft-return-hvp"):
        assert_right(label, checks_of([label])[0].draw(rng))


@pytest.mark.eq("soft-return")
@given(rng=seeds, horizon=st.integers(1, 3), states=st.integers(1, 2), tau=st.sampled_from((0.3, 2.0)))
def test_the_return_is_the_mean_of_rewards_less_the_logarithms_of_the_probabilities(rng, horizon, states, tau):
    """Over all trajectories the mean of Σ γᵗ(r_t − τ log π(a_t|s_t)): no entropy is written down."""
    mdp, policy = random_process(rng, 1, states, 3, gamma=0.7, horizon=horizon).entry(0, (1,)), rm.TabularSoftmax(states, 3)
    theta = rng.normal(size=3 * states)

    def paid(batch):
        rewards = batch.rewards - tau * policy.log_prob(theta, batch.states, batch.actions) * batch.mask
        return np.sum(discounts(batch.mask, 0.7) * rewards, axis=-1)[..., 0]

    mean = rm.enumeration.expectation(paid, mdp, policy, theta, horizon=horizon).mean
    np.testing.assert_allclose(-rm.PolicyReturn(mdp, policy, tau).at(theta).loss, mean, rtol=1e-12, atol=1e-12)


@pytest.mark.eq("soft-return")
@given(rng=seeds, ends=st.booleans())
def test_values_without_a_horizon_are_the_limit_of_sweeps(rng, ends):
    """V has the entropy of its own state, Q = R + γPV has not, and A = Q − τ log π − V has the mean 0."""
    task, theta = soft_ending(rng) if ends else random_soft_return(rng, "discounted")[:2]
    point, V, mdp = task.at(theta), soft_sweeps(task, theta), task.mdp
    tolerance = {"rtol": 0, "atol": 1e-11 * np.max(np.abs(V))}
    np.testing.assert_allclose(point.value, V, **tolerance)
    Q = mdp.R + mdp.gamma * np.einsum("nsat,nt->nsa", mdp.P, V)
    np.testing.assert_allclose(point.action_value, Q, **tolerance)
    alive = ~mdp.terminal[..., None]
    A = (Q - task.temperature * np.log(point.probabilities) - V[..., None]) * alive
    np.testing.assert_allclose(point.advantage, A, rtol=0, atol=10 * tolerance["atol"])
    np.testing.assert_allclose(np.sum(point.probabilities * point.advantage, -1), 0, **tolerance)


@given(rng=seeds)
def test_values_with_a_horizon_are_a_recursion(rng):
    task, theta, _ = random_soft_return(rng, "finite-horizon")
    point, mdp, pi = task.at(theta), paid_entropy(task, theta), np.array(task.at(theta).probabilities)
    V = np.zeros((2, 3))
    for t in range(mdp.horizon - 1, -1, -1):
        ahead = mdp.gamma * np.einsum("nsat,nt->nsa", mdp.P, V)
        np.testing.assert_allclose(point.action_value[:, t], task.mdp.R + ahead, rtol=0, atol=1e-13 * (1 + np.max(np.abs(ahead))))
        V = np.sum(pi * (mdp.R + ahead), axis=-1)
        np.testing.assert_allclose(point.value[:, t], V, rtol=0, atol=1e-13 * (1 + np.max(np.abs(V))))


@pytest.mark.eq("soft-return-gradient", "soft-return-hvp")
@given(rng=seeds)
def test_derivatives_at_a_discount_of_one_are_complex_steps_and_0_in_an_end(rng):
    task, theta = soft_ending(rng)
    v, w = rng.normal(size=(2, 9))
    assert_close(lambda t: task.at(t).grad, theta, complex_step(lambda t: task.at(t).loss, theta))
    assert_close(lambda z: task.at(z[0]).hvp(z[1]), (theta, v), complex_step(lambda t: task.at(t).grad, theta, v))
    point = task.at(theta)
    assert adjoint_gap(point.hvp, point.hvp, np.stack([v, v]), np.stack([w, w])) < 1e-12
    for x in (point.value, point.action_value, point.advantage, point.occupancy, point.grad.reshape(2, 3, 3), point.hvp(v).reshape(2, 3, 3)):
        assert np.all(x[:, -1] == 0)


@given(rng=seeds, kind=kinds)
def test_central_differences_agree_and_taylor_rates_are_one_and_two(rng, kind):
    """Along the direction of the largest curvature, so that the second-order term does not vanish by chance."""
    task, theta, _ = random_soft_return(rng, kind)
    task = task[0]
    values, vectors = np.linalg.eigh(hessian(task, theta))
    v, point = vectors[:, np.argmax(np.abs(values))], task.at(theta)
    assume(abs(point.grad @ v) > 1e-2 * np.linalg.norm(point.grad))
    numeric = central_difference(lambda t: task.at(t).loss, theta)
    assert np.max(np.abs(numeric.derivative)) > 1e3 * np.max(numeric.error)
    assert np.all(np.abs(point.grad - numeric.derivative) <= 4 * np.max(numeric.error))
    rates = taylor_rates(lambda t: task.at(t).loss, theta, v / 64, point.grad, point.hvp(v / 64), h=1.0, halvings=6)
    np.testing.assert_allclose(rates.orders[:2], [1, 2], rtol=0, atol=0.1)


@given(rng=seeds, kind=kinds)
def test_the_hessian_is_symmetric_and_a_shift_of_the_logits_of_a_state_changes_nothing(rng, kind):
    task, theta, v = random_soft_return(rng, kind)
    w, point = rng.normal(size=task.dim), task.at(theta)
    products = np.sum(point.hvp(v) * w, -1), np.sum(point.hvp(w) * v, -1)
    size = np.linalg.norm(point.hvp(v), axis=-1) * np.linalg.norm(w)
    assert np.all(np.abs(products[0] - products[1]) <= 1e-11 * size)
    if kind != "linear-features":
        shift = np.repeat(rng.normal(size=3), 3)
        np.testing.assert_allclose(task.at(theta + shift).loss, point.loss, rtol=1e-12, atol=1e-12)
        assert np.all(np.abs(point.hvp(shift)) <= 1e-12 * np.max(np.abs(point.action_value)) * np.max(np.abs(shift)) * 20)


@given(rng=seeds, kind=kinds, power=st.integers(-20, 20))
def test_rewards_and_temperature_times_a_power_of_two_scale_every_bit(rng, kind, power):
    task, theta, v = random_soft_return(rng, kind)
    mdp = rm.FiniteMDP(task.mdp.P, task.mdp.R * 2.0**power, task.mdp.rho, task.mdp.gamma, task.mdp.horizon)
    one, other = task.at(theta), rm.PolicyReturn(mdp, task.policy, task.temperature * 2.0**power).at(theta)
    for name in ("loss", "value", "action_value", "advantage", "grad"):
        np.testing.assert_array_equal(getattr(one, name) * 2.0**power, getattr(other, name))
    np.testing.assert_array_equal(one.hvp(v) * 2.0**power, other.hvp(v))


@given(rng=seeds, kind=kinds)
def test_the_return_is_linear_in_the_temperature(rng, kind):
    """J_τ = J_0 + τ (J_1 − J_0), and so its derivatives: what a temperature of 0 gives is the return."""
    task, theta, v = random_soft_return(rng, kind)
    plain, one = (rm.PolicyReturn(task.mdp, task.policy, *t).at(theta) for t in ((), (1.0,)))
    for of in (lambda p: p.loss, lambda p: p.grad, lambda p: p.hvp(v), lambda p: p.value, lambda p: p.advantage):
        expected = of(plain) + task.temperature * (of(one) - of(plain))
        np.testing.assert_allclose(of(task.at(theta)), expected, rtol=0, atol=1e-12 * (1 + np.max(np.abs(expected))))


def without_entropy(point, v):
    """V, A and the Hessian product of a point by the formulas in which no entropy stands, (values, advantage, hvp)."""
    if point.mdp.horizon is not None:
        return without_entropy_over_time(point, v)
    mdp, pi, Q = point.mdp, point.probabilities, point._relative_action_value
    dpi, dQ, dd, _ = point.tangent(v)
    values = exact_return.evaluation(mdp, pi, dot(pi, point._rewards)).value + mdp.levels[..., None]
    A, x = centred(pi, Q), point.occupancy[..., None] * pi
    dx = dd[..., None] * pi + x * centred(pi, point.policy.table(v))
    return values, A, -point.policy.pullback(dx * A + x * centred_at(likeliest(pi), pi, dQ, dot(dpi, A)))


def without_entropy_over_time(point, v):
    """The same with a horizon, where the reward is the process's own, and nothing is added to the slope of the advantage."""
    mdp, pi, reward = point.mdp, point.probabilities, point.mdp.centred_reward[1]
    plain = rm.PolicyReturn(mdp, point.policy).at(point.theta)
    plain.__dict__.update(_reward=reward, _centred_reward=centred(pi, reward))
    dpi, dV, dd, _ = plain._tangent(v)
    A, V = plain._visited_advantage, plain._relative_value
    dA = plain._centred_over_time(dd, finite_horizon._paired(dd, V) + finite_horizon._paired(plain._visits, dV))
    hvp = -point.policy.pullback(dpi * A + pi * (dA - dot(dpi, A)[..., None]))
    return V + mdp.levels[..., None], centred(pi[..., None, :, :], plain._relative_action_value), hvp


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [0.0, 1.0, 700.0])
def test_a_temperature_of_0_changes_no_bit(kind, size):
    """−0 is added, which keeps every bit, the sign of a zero included."""
    task, theta, v = random_soft_return(np.random.default_rng(5), kind)
    for point in (rm.PolicyReturn(task.mdp, task.policy, *t).at(size * np.sign(theta)) for t in ((), (0,), (-0.0,))):
        zeros = np.array([[-0.0, 0.0]])
        assert np.signbit(zeros + point._entropy_reward).tolist() == [[True, False]]
        assert np.signbit(zeros + point.tangent(v).entropy_reward).tolist() == [[True, False]]
        assert not point.tangent(v).entropy_reward.flags.writeable
        for got, expected in zip((point.value, point.advantage, point.hvp(v)), without_entropy(point, v), strict=True):
            np.testing.assert_array_equal(got, expected)
            np.testing.assert_array_equal(np.signbit(got), np.signbit(expected))


@pytest.mark.parametrize("horizon", [None, 3])
@pytest.mark.parametrize("tau", [0.5, 1e3])
def test_a_policy_without_any_entropy_has_the_plain_return(horizon, tau):
    """Logits ±700: probabilities are 1 and 0, and 0·log 0 is 0; every derivative is finite."""
    mdp, theta = random_process(np.random.default_rng(2), 2, horizon=horizon), np.array([700.0, -700, -700] * 3)
    point, plain = (rm.PolicyReturn(mdp, rm.TabularSoftmax(3, 3), t).at(theta) for t in (tau, 0))
    assert set(np.unique(point.probabilities)) == {0.0, 1.0}
    for name in ("loss", "value", "action_value", "grad"):
        np.testing.assert_array_equal(getattr(point, name), getattr(plain, name))
    np.testing.assert_array_equal(point.hvp(np.arange(9.0)), plain.hvp(np.arange(9.0)))
    rows = point.advantage.reshape(-1, 3)
    assert np.all(np.isfinite(rows)) and np.all(rows[:, 0] == 0)
    np.testing.assert_allclose(rows[:, 1:], 1400 * tau, rtol=0.05)


def test_one_state_and_one_action():
    """One state: J = (π·r + τH)/(1 − γ); the uniform policy on A equal actions has the entropy log A; one action has none."""
    pi, r = np.array([0.125, 0.25, 0.625]), np.array([1.0, -2.0, 0.5])
    mdp = rm.FiniteMDP(np.ones((1, 3, 1)), r[None], [1.0], 0.75)
    point = rm.PolicyReturn(mdp, rm.TabularSoftmax(1, 3), 2.0).at(np.log(pi))
    J = 4 * (pi @ r - 2 * pi @ np.log(pi))
    np.testing.assert_allclose(-point.loss, J, rtol=8 * EPS)
    np.testing.assert_allclose(-point.grad, 4 * pi * (r - 2 * np.log(pi) - J / 4), rtol=32 * EPS, atol=8 * EPS)
    even = rm.PolicyReturn(replace_fields(mdp, R=np.ones((1, 3))), rm.TabularSoftmax(1, 3), 2.0).at(np.zeros(3))
    np.testing.assert_allclose(-even.loss, 4 * (1 + 2 * np.log(3)), rtol=8 * EPS)
    assert np.all(np.abs(even.grad) < 1e-15)
    lone = rm.PolicyReturn(random_process(np.random.default_rng(0), 1, 3, 1), rm.TabularSoftmax(3, 1), 2.0)
    plain = rm.PolicyReturn(lone.mdp, lone.policy).at(np.ones(3))
    np.testing.assert_array_equal(lone.at(np.ones(3)).loss, plain.loss)
    np.testing.assert_array_equal(lone.at(np.ones(3)).grad, 0)


@pytest.mark.eq("thm:soft-optimum")
@given(rng=seeds)
def test_the_gradient_vanishes_at_the_soft_policy(rng):
    assert_right("thm:soft-optimum", checks_of(["thm:soft-optimum"])[0].draw(rng))


@pytest.mark.eq("thm:soft-optimum")
@given(rng=seeds)
def test_the_soft_policy_is_a_maximum_and_no_other_point_has_a_zero_gradient(rng):
    """Off it J is lower by Σ d τ KL(π ‖ soft policy), d the visits of π: the identity of the proof."""
    mdp, tau = random_process(rng, gamma=0.7), float(rng.uniform(0.5, 3))
    best, task, theta = rm.soft_values(mdp, temperature=tau), rm.PolicyReturn(mdp, rm.TabularSoftmax(3, 3), tau), rng.normal(size=9)
    point = task.at(theta)
    kl = np.sum(point.probabilities * (np.log(point.probabilities) - np.log(best.probabilities)), axis=-1)
    np.testing.assert_allclose(best.best_return + point.loss, tau * np.sum(point.occupancy * kl, axis=-1), rtol=1e-9, atol=1e-12)
    assert np.all(best.best_return > -point.loss) and np.all(np.abs(point.grad).max(-1) > 1e-6)


@pytest.mark.eq("thm:soft-optimum")
def test_the_soft_policy_is_the_optimum_at_a_discount_of_one_and_depends_on_time_with_a_horizon():
    mdp, policy = random_ending_process(np.random.default_rng(3)), rm.TabularSoftmax(3, 3)
    P, R = 0.5 * mdp.P + 0.5 * np.eye(3)[2], mdp.R - 3 * ~mdp.terminal[:, None]
    mdp = rm.FiniteMDP(P, R, mdp.rho, 1.0, terminal=mdp.terminal)
    theta = rm.soft_values(mdp, temperature=0.5).action_value.reshape(2, 9) / 0.5
    assert np.max(np.abs(rm.PolicyReturn(mdp, policy, 0.5).at(theta).grad)) < 1e-13
    timed = random_process(np.random.default_rng(4), horizon=3)
    Q = rm.soft_values(timed, temperature=0.5).action_value
    assert np.max(np.abs(Q[:, 0] - Q[:, 2])) > 0.1
    for t in range(3):
        slope = rm.PolicyReturn(timed, policy, 0.5).at(Q[:, t].reshape(2, 9) / 0.5).grad
        assert np.all(np.max(np.abs(slope), axis=-1) > 1e-3)
    last = replace_fields(timed, horizon=1)
    Q = rm.soft_values(last, temperature=0.5).action_value[:, 0]
    assert np.max(np.abs(rm.PolicyReturn(last, policy, 0.5).at(Q.reshape(2, 9) / 0.5).grad)) < 1e-13


def two_tasks(kind, rng):
    """Support, query and parameters; the temperatures differ."""
    support, theta, _ = random_soft_return(rng, kind)
    other = random_process(rng, 2, 3, 3, support.mdp.gamma, support.mdp.horizon)
    return support, rm.PolicyReturn(other, support.policy, 0.5 * support.temperature), theta


@given(rng=seeds, kind=kinds, steps=st.integers(0, 2))
def test_maml_on_it_is_the_complex_step_of_its_objective(rng, kind, steps):
    support, query, theta = two_tasks(kind, rng)
    options = {"alpha": 0.05, "steps": steps}
    expected = complex_step(lambda t: rm.maml.objective(t, support, query, **options), theta)
    assert_close(lambda t: rm.maml.gradient(t, support, query, **options), theta, expected)
    plain = rm.maml.gradient(theta, rm.PolicyReturn(support.mdp, support.policy), query, **options)
    assert steps == 0 or np.max(np.abs(plain - expected)) > 1e-6 * np.max(np.abs(expected))


@pytest.mark.parametrize("kind", KINDS)
def test_adaptation_reptile_implicit_maml_and_training_run_on_it(kind):
    support, query, theta = two_tasks(kind, np.random.default_rng(7))
    point = support.at(theta)
    one = rm.adapt(theta, support, alpha=0.1, steps=1).adapted
    np.testing.assert_array_equal(one, theta - 0.1 * point.grad)
    assert np.all(support.at(one).loss < point.loss)
    np.testing.assert_allclose(rm.reptile.gradient(theta, one, alpha=0.1), point.grad, rtol=1e-12, atol=1e-14)
    strength = 50.0
    solved = rm.implicit.adapt(theta, support, strength=strength)
    phi = getattr(solved, "adapted", solved)
    np.testing.assert_allclose(support.at(phi).grad + strength * (phi - theta), 0, rtol=0, atol=1e-9)

    class Same:
        def sample(self, n, rng=None):
            return rm.Split(support, query)

    for rule in (rm.MAML(0.1), rm.FirstOrderMAML(0.1), rm.Reptile(0.1)):
        done = rm.meta_train(Same(), theta, rule=rule, outer=rm.SGD(0.05), iterations=20, batch=2)
        before, after = (np.sum(query.at(rm.adapt(t, support, alpha=0.1, steps=1).adapted).loss) for t in (theta, done.theta))
        assert np.isfinite(after) and (after < before or isinstance(rule, rm.Reptile))


def test_the_natural_gradient_solves_the_system_of_fisher_and_the_parts_of_the_hessian_are_refused():
    task, theta, v = random_soft_return(np.random.default_rng(9), "discounted")
    point = task.at(theta)
    np.testing.assert_allclose(rm.fisher.product(point, rm.fisher.natural_gradient(point)), -point.grad, rtol=1e-10, atol=1e-12)
    with pytest.raises(ValueError, match="hessian_split needs a point of temperature 0, got .*a fifth part"):
        rm.fisher.hessian_split(point, v)
    assert np.all(np.isfinite(sum(rm.fisher.hessian_split(rm.PolicyReturn(task.mdp, task.policy).at(theta), v))))
    pi, d, (dpi, dQ, dd, _) = point.probabilities, point.occupancy[..., None], point.tangent(v)
    q, y = point.action_value - task.temperature * np.log(pi), centred(pi, v.reshape(3, 3))
    four = softmax_jvp(pi, y * q) * d - d * dpi * dot(pi, q)[..., None] + d * softmax_jvp(pi, dQ) + dd[..., None] * pi * point.advantage
    fifth = -task.temperature * rm.fisher.product(point, v)
    np.testing.assert_allclose(four.reshape(2, 9) + fifth, -point.hvp(v), rtol=0, atol=1e-12 * np.max(np.abs(four)))
    assert np.max(np.abs(fifth)) > 1e-3


def test_the_oracle_judges_a_meta_gradient_on_it():
    """As on any other task: right, and a known mistake is named."""
    support, query, theta = two_tasks("discounted", np.random.default_rng(3))
    options = {"alpha": 0.1, "steps": 2}
    for gradient, said in ((rm.maml.gradient, "RIGHT"), (rm.maml.first_order_gradient, "known-wrong formula first-order")):
        report = rm.oracle.diagnose(lambda t, f=gradient: f(t, support, query, **options), theta, support, query, **options)
        assert said in str(report)


def test_what_is_made_of_a_task_keeps_its_temperature():
    task, theta, v = random_soft_return(np.random.default_rng(1), "linear-features")
    for other in (copy.deepcopy(task), pickle.loads(pickle.dumps(task)), task[:]):
        assert other.temperature == task.temperature
        np.testing.assert_array_equal(other.at(theta).grad, task.at(theta).grad)
    point = pickle.loads(pickle.dumps(task.at(theta)))
    np.testing.assert_array_equal(point.hvp(v), task.at(theta).hvp(v))
    np.testing.assert_allclose(task[1].at(theta).hvp(v), task.at(theta).hvp(v)[1], rtol=1e-12)
    uniform = np.zeros((2, task.dim))
    context = sample_experience(task.mdp, task.policy, uniform, episodes=2, horizon=3, rng=0)
    data = model_based.statistics(context, 3, 3)
    assert model_based.model_task(model_based.Prior(0.5, 0.0, 1.0, 1.0), data, task).temperature == task.temperature


def test_batch_axes_broadcast():
    task = random_soft_return(np.random.default_rng(1), "finite-horizon")[0]
    theta, v = np.random.default_rng(2).normal(size=(2, 5, 1, 9))
    point = task.at(theta)
    assert point.loss.shape == (5, 2) and point.grad.shape == point.hvp(v).shape == (5, 2, 9)
    for m, n in np.ndindex(5, 2):
        alone = task[n].at(theta[m, 0])
        np.testing.assert_allclose(point.loss[m, n], alone.loss, rtol=1e-13)
        np.testing.assert_allclose(point.hvp(v)[m, n], alone.hvp(v[m, 0]), rtol=1e-11, atol=1e-13)
    ends = rm.FiniteMDP(np.broadcast_to(np.eye(3)[:, None], (3, 2, 3)), np.zeros((3, 2)), np.ones(3) / 3, 0.5, terminal=np.eye(3, dtype=bool))
    point = rm.PolicyReturn(ends, rm.TabularSoftmax(3, 2), 1.0).at(np.zeros(6))
    np.testing.assert_allclose(point.value, 2 * L2 * (1 - np.eye(3)), rtol=8 * EPS)  # each state stays: log 2 / (1 − ½)


@pytest.mark.parametrize(
    ("temperature", "error", "sentence"),
    [
        (-0.5, ValueError, "temperature must be at least 0, got -0.5"),
        (np.nan, ValueError, "temperature must be finite, got nan"),
        (np.inf, ValueError, "temperature must be finite, got inf"),
        ([0.1, 0.2], ValueError, r"temperature must be one number, got shape \(2,\)"),
        (1j, TypeError, "temperature must be real, got 1j"),
        ("hot", TypeError, "temperature must be numbers of float64 or less"),
        (True, TypeError, "temperature must be numbers of float64 or less, got dtype bool"),
        (None, TypeError, "temperature must be numbers of float64 or less"),
    ],
)
def test_a_bad_temperature_is_refused_in_a_sentence(temperature, error, sentence):
    with pytest.raises(error, match=sentence):
        rm.PolicyReturn(random_process(np.random.default_rng(0)), rm.TabularSoftmax(3, 3), temperature)


def test_a_temperature_that_overflows_is_named():
    task = rm.PolicyReturn(random_process(np.random.default_rng(0)), rm.TabularSoftmax(3, 3), 1e308)
    with pytest.raises(FloatingPointError, match="DiscountedPoint.value left the finite numbers"):
        _ = task.at(np.zeros(9)).loss


def test_a_policy_that_is_no_softmax_over_actions_is_refused():
    with pytest.raises(TypeError, match="PolicyReturn takes a FiniteMDP and a softmax policy, got FiniteMDP, LinearGaussian"):
        rm.PolicyReturn(random_process(np.random.default_rng(0)), rm.LinearGaussian(3, 3), 0.5)


def test_formulas_over_sampled_rewards_refuse_a_temperature():
    task, theta, _ = random_soft_return(np.random.default_rng(3), "finite-horizon")
    with pytest.raises(ValueError, match=r"task has the temperature .*, expected 0: trajectories hold the rewards of the process"):
        rm.sampled.formulation_sampled(theta, task[0], alpha=0.1, episodes=1)
    with pytest.raises(ValueError, match=r"task has the temperature .*, expected 0: trajectories hold the rewards of the process"):
        rm.SampledMAML(0.1, rm.sampled_maml.EMAML, episodes=1).direction(theta, task)
    plain = rm.PolicyReturn(task.mdp, task.policy)
    assert np.all(np.isfinite(rm.SampledMAML(0.1, rm.sampled_maml.EMAML, episodes=1).direction(theta, plain)))
