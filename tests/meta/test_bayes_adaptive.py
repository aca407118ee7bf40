"""The Bayes-adaptive optimum: all policies enumerated, hand examples, limits, and the learners that it bounds."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refmeta as rm
from refmeta.evidence.best_possible import A, N, S, random_unknown_task
from refmeta.meta.bayes_adaptive import optimum, price, value_of
from refmeta.meta.belief_graph import outcomes_of, updated_name
from refmeta.meta.posterior_sampling import posterior_sampling
from refmeta.meta.task_posterior import optimal_plans, task_posterior, thompson_sampling
from refmeta.sampling.transitions import Transitions, empty_transitions
from tests.strategies import assert_right, costly, seeds

RTOL = 1e-12  # values are sums of some hundred products of numbers of order one


def safe_or_unknown(prior_of_good=0.5):
    """Arm 0 pays 1/2 in both tasks; arm 1 pays 1 in task 0 and nothing in task 1.  One step per episode."""
    P, R = np.ones((1, 1, 2, 1)), np.array([[[0.5, 1.0]], [[0.5, 0.0]]])
    return rm.FiniteMDP(P, R, [1.0], 1.0, horizon=1), [prior_of_good, 1 - prior_of_good]


def coins():
    """Arm 0 pays 1/2; arm 1 pays 1, on entering state 1, with probability 3/4 in task 0 and 1/4 in task 1."""
    P = np.array([[[[1 / 2, 1 / 2], [1 - p, p]]] * 2 for p in (3 / 4, 1 / 4)])
    R = np.array([[[1 / 2, 1 / 2], [0, 1]]] * 2)
    return rm.FiniteMDP(P, R[None], [1.0, 0.0], 1.0, horizon=1)


@pytest.mark.eq("bayes-adaptive", "wrong-prior")
@pytest.mark.parametrize("label", ["bayes-adaptive", "wrong-prior"])
@costly
@given(rng=seeds)
def test_values_are_those_of_the_tree_of_all_histories(label, rng):
    assert_right(label, random_unknown_task(rng))


def all_policies_values(tasks, prior, horizon):
    """The value of every deterministic policy of the history, written out; two steps from state 0."""
    first = [(s, r) for s in range(S) for r in sorted(set(np.ravel(tasks.R)))]
    for choice in itertools.product(range(A), repeat=1 + len(first)):
        a, second, total = choice[0], dict(zip(first, choice[1:], strict=True)), 0.0
        for i, s in itertools.product(range(N), range(S)):
            r = tasks.R[i, 0, a]
            state = s if horizon == 2 else 0
            total += prior[i] * tasks.P[i, 0, a, s] * (r + tasks.gamma ** (horizon - 1) * tasks.R[i, state, second[s, r]])
        yield total


@pytest.mark.eq("bayes-adaptive")
@pytest.mark.parametrize("horizon", [1, 2])
@pytest.mark.parametrize("seed", range(3))
def test_no_deterministic_policy_of_the_history_earns_more_and_one_earns_as_much(horizon, seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=2)
    tasks = rm.FiniteMDP(rng.dirichlet(np.ones(S), (N, S, A)), rng.choice(values, (N, S, A)), [1.0, 0.0], 0.7)
    prior = rng.dirichlet(np.ones(N))
    got = optimum(tasks, prior, episodes=2 // horizon, horizon=horizon)
    every = list(all_policies_values(tasks, prior, horizon))
    assert got.value == pytest.approx(max(every), rel=RTOL)
    assert min(every) < max(every)


@pytest.mark.eq("bayes-adaptive")
def test_two_arms_by_hand():
    """Safe: 1.  Try arm 1 first: p·2 + (1 − p)/2 = 1/2 + 3p/2, which is better from p = 1/3 on."""
    for p, value, arm in ((1 / 4, 1.0, 0), (1 / 2, 5 / 4, 1), (3 / 4, 13 / 8, 1)):
        tasks, prior = safe_or_unknown(p)
        got = optimum(tasks, prior, episodes=2)
        assert got.value == pytest.approx(value, rel=RTOL)
        assert got.policy.action(empty_transitions(), 0) == arm
    np.testing.assert_allclose(got.returns, [3 / 4, 7 / 8], rtol=RTOL)


@pytest.mark.eq("bayes-adaptive")
def test_coins_by_hand_and_beliefs_are_counts():
    """One toss of arm 1: 1/2, then 5/8 after a success (belief 3/4), 1/2 after a failure: 17/16.

    Beliefs after n tosses of arm 1 are named by successes and failures, in whatever order they came.
    """
    got = optimum(coins(), episodes=2)
    assert got.value == pytest.approx(17 / 16, rel=RTOL)
    assert len(optimum(coins(), episodes=6).policy.graph.names) == sum(n + 1 for n in range(6 + 1))
    tossed = Transitions([0, 0], [1, 0], [1.0, 0.5], [1, 0], [False] * 2, [True] * 2)
    assert optimum(coins(), episodes=3).policy.action(tossed, 0) == 1
    failed = tossed._replace(rewards=[0.0, 0.5], following=[0, 0])
    assert optimum(coins(), episodes=3).policy.action(failed, 0) == 0


@pytest.mark.eq("wrong-prior")
def test_the_price_of_a_wrong_prior_by_hand():
    """Who believes 1/4 never tries arm 1 and earns 1; with the true 1/2 there are 5/4 to be had."""
    tasks, true = safe_or_unknown(1 / 2)
    assert price(tasks, [1 / 4, 3 / 4], true, episodes=2) == pytest.approx(1 / 4, rel=RTOL)
    assert price(tasks, [3 / 4, 1 / 4], true, episodes=2) == 0
    brave = optimum(tasks, [3 / 4, 1 / 4], episodes=2).policy
    np.testing.assert_allclose(brave.returns, [[1, 0], [1, 1 / 2]], rtol=RTOL)
    assert value_of(brave, [1 / 4, 3 / 4]) == pytest.approx(7 / 8, rel=RTOL)


def replayed(policy, i, plan=()):
    """What the policy earns in task i per episode, every history in turn; only `action` is asked."""
    tasks, horizon = policy.tasks, policy.horizon
    returns, steps = np.zeros(len(policy.weights)), len(policy.weights) * horizon

    def go(t, s, chance, history):
        columns = zip(*history, strict=True) if history else [()] * 4
        columns = [np.array(c, kind) for c, kind in zip(columns, (int, int, float, int), strict=True)]
        seen = Transitions(*columns, np.zeros(t, bool), np.ones(t, bool))
        a = policy.action(seen, s)
        for after in np.flatnonzero(tasks.P[i, s, a]):
            p, r = chance * tasks.P[i, s, a, after], tasks.R[i, s, a]
            returns[t // horizon] += p * tasks.gamma ** (t % horizon) * r
            if t + 1 < steps:
                longer = (*history, (s, a, r, after))
                if (t + 1) % horizon:
                    go(t + 1, after, p, longer)
                else:
                    begin(t + 1, p, longer)

    def begin(t, chance, history):
        for s in np.flatnonzero(tasks.rho):
            go(t, s, chance * tasks.rho[s], history)

    begin(0, 1.0, ())
    return returns


@pytest.mark.eq("wrong-prior")
@pytest.mark.parametrize("seed", range(3))
def test_the_returns_in_each_task_are_those_of_the_policy_played_along_every_history(seed):
    case = random_unknown_task(np.random.default_rng(seed))
    policy = optimum(case.tasks, case.believed, episodes=2, horizon=2, weights=case.weights).policy
    for i in range(N):
        np.testing.assert_allclose(policy.returns[:, i], replayed(policy, i), rtol=RTOL)
    assert value_of(policy, case.prior) == pytest.approx(case.weights @ policy.returns @ case.prior, rel=RTOL)


@pytest.mark.eq("bayes-adaptive")
@given(rng=seeds, horizon=st.integers(1, 4))
def test_one_task_or_a_prior_that_is_sure_has_the_optimum_of_that_task(rng, horizon):
    case = random_unknown_task(rng)
    for i, known in enumerate(np.eye(N)):
        one = rm.FiniteMDP(case.tasks.P[i], case.tasks.R[i], case.tasks.rho, case.tasks.gamma, horizon)
        best = rm.optimal_values(one).best_return
        alone = rm.FiniteMDP(one.P[None], one.R[None], one.rho, one.gamma, horizon)
        for got in (optimum(case.tasks, known, episodes=2, horizon=horizon), optimum(alone, episodes=2)):
            np.testing.assert_allclose(got.returns, [best, best], rtol=0, atol=1e-12)
            assert got.value == pytest.approx(2 * best, abs=1e-12)


@pytest.mark.eq("bayes-adaptive")
@given(rng=seeds)
def test_the_value_is_convex_in_the_prior_and_below_that_of_who_knows_the_task(rng):
    case = random_unknown_task(rng)
    options = {"episodes": 2, "horizon": 2, "weights": case.weights}
    value = lambda p: optimum(case.tasks, p, **options).value
    mixed, ends = value((case.believed + case.prior) / 2), (value(case.believed) + value(case.prior)) / 2
    assert mixed <= ends + 1e-12
    known = [value(e) for e in np.eye(N)]
    assert value(case.prior) <= case.prior @ known + 1e-12


def test_the_bound_of_the_last_episode_is_above_every_learner_s_return_there():
    """Thompson sampling on every goal of a 3 x 3 grid, against the bound for each number of episodes."""
    family, horizon, many = rm.GoalGridworlds(size=3, horizon=6), 6, 40
    tasks = family.tasks(np.tile(np.arange(1, 9), many))
    plans = optimal_plans(rm.GoalGridworlds(size=3).tasks(np.arange(1, 9)).mdp)
    eight = family.tasks(np.arange(1, 9))
    got = thompson_sampling(tasks, eight.mdp, plans, episodes=3, horizon=horizon, rng=0).returns
    deviation = np.std(got, axis=1) / np.sqrt(got.shape[1])
    bounds = []
    for k in range(4):
        bounds.append(optimum(eight.mdp, episodes=k + 1, weights=np.eye(k + 1)[k]).value)
        assert np.mean(got[k]) <= bounds[k] + 3 * deviation[k]
    known = np.mean(rm.optimal_values(eight.mdp).best_return)
    assert bounds == sorted(bounds) and bounds[-1] <= known * (1 + 1e-12) and np.mean(got[0]) < bounds[0] - 0.05


@given(rng=seeds)
def test_no_sampled_gradient_step_earns_more_in_the_episode_after(rng):
    """E[J(φ)] after one episode and one step, by enumeration, for random starts and step sizes."""
    case = random_unknown_task(rng)
    bound = optimum(case.tasks, case.prior, episodes=2, horizon=2, weights=[0.0, 1.0]).value
    earned = 0.0
    theta, alpha = rng.normal(size=S * A), 10 ** rng.uniform(-1, 2)
    for i in range(N):
        one = rm.FiniteMDP(case.tasks.P[i], case.tasks.R[i], case.tasks.rho, case.tasks.gamma, 2)
        task = rm.PolicyReturn(one, rm.TabularSoftmax(S, A))
        earned -= case.prior[i] * rm.sampled.formulation_sampled(theta, task, alpha=alpha, episodes=1).objective
    assert earned <= bound + 1e-12


def test_the_belief_of_the_policy_is_the_exact_posterior():
    case = random_unknown_task(np.random.default_rng(5))
    task = rm.PolicyReturn(case.tasks, rm.TabularSoftmax(S, A))
    infer = lambda c: task_posterior(case.tasks, c, case.prior)
    context = posterior_sampling(task, infer, lambda p, rng: np.zeros((N, S * A)), episodes=2, horizon=3, rng=1).context
    outcomes, name = outcomes_of(case.tasks), (7, ())
    for s, a, r, after in zip(*(part[0] for part in context[:4]), strict=True):
        match = (outcomes.state == s) & (outcomes.action == a) & (outcomes.reward == r) & (outcomes.following == after)
        name = updated_name(name, int(outcomes.kind[match][0]), outcomes)
    weight = case.prior * [bool(name[0] >> i & 1) for i in range(N)]
    for kind, n in name[1]:
        weight = weight * np.exp(n * outcomes.log_likelihood[kind])
    np.testing.assert_allclose(weight / np.sum(weight), infer(context)[0], rtol=RTOL)


def test_of_actions_that_are_equal_up_to_rounding_the_first_is_taken():
    P, R = np.ones((1, 1, 3, 1)), np.array([[[0.3, 0.1 + 0.2, 0.0]], [[0.3, 0.1 + 0.2, 0.0]]])
    assert R[0, 0, 1] > R[0, 0, 0]
    for prior in ([1.0, 0.0], [0.5, 0.5]):
        got = optimum(rm.FiniteMDP(P, R, [1.0], 1.0, horizon=1), prior, episodes=1)
        assert got.policy.action(empty_transitions(), 0) == 0


def test_gridworlds_have_few_beliefs_because_a_belief_is_a_set_of_goals():
    got = optimum(rm.GoalGridworlds(size=5).tasks([2, 7, 10, 14, 18, 24]).mdp, episodes=10, horizon=12)
    assert len(got.policy.graph.names) <= 2**6
    best = np.mean(rm.optimal_values(rm.GoalGridworlds(size=5, horizon=12).tasks([2, 7, 10, 14, 18, 24]).mdp).best_return)
    assert got.returns[0] < 0.9 * best and best * 0.999 < got.returns[-1] <= best * (1 + 1e-12)
    assert np.all(np.diff(got.returns) > -1e-6)


def test_what_is_refused():
    case = random_unknown_task(np.random.default_rng(0))
    tasks = case.tasks
    with pytest.raises(ValueError, match="horizon is required: the process has none"):
        optimum(tasks, episodes=1)
    with pytest.raises(ValueError, match="prior must be 3 probabilities, got shape \\(2,\\)"):
        optimum(tasks, [0.5, 0.5], episodes=1, horizon=1)
    with pytest.raises(ValueError, match="weights must be 2 numbers of at least 0, one per episode, got \\[1.0, -1.0\\]"):
        optimum(tasks, episodes=2, horizon=1, weights=[1.0, -1.0])
    with pytest.raises(ValueError, match="more than 50 pairs of state and belief can be reached in the first 4 of 8 steps; take fewer tasks"):
        optimum(tasks, episodes=2, horizon=4, limit=50)
    with pytest.raises(ValueError, match="rho must be the same in all tasks"):
        optimum(rm.FiniteMDP(tasks.P, tasks.R, np.eye(3)[:, :2] * [1, 1] + [[0, 0], [0, 0], [1, 0]], 0.8), episodes=1, horizon=1)
    with pytest.raises(ValueError, match="tasks must be a FiniteMDP of N tasks, shape \\(N,\\), got shape \\(\\)"):
        optimum(rm.FiniteMDP(tasks.P[0], tasks.R[0], tasks.rho, 0.8), episodes=1, horizon=1)
    with pytest.raises(TypeError, match="tasks must be a FiniteMDP of N tasks, got PolicyReturn"):
        optimum(rm.PolicyReturn(tasks, rm.TabularSoftmax(S, A)), episodes=1, horizon=1)
    policy = optimum(tasks, [0.5, 0.5, 0.0], episodes=1, horizon=1).policy
    assert np.all(np.isnan(policy.returns[:, 2])) and np.all(np.isfinite(policy.returns[:, :2]))
    assert np.isfinite(value_of(policy, [1.0, 0.0, 0.0]))
    with pytest.raises(ValueError, match="prior\\[2\\] is 0.333, but the prior of the policy is 0 there"):
        value_of(policy)
    one = Transitions([0], [0], [17.0], [0], [False], [True])
    two = optimum(tasks, episodes=2, horizon=1).policy
    with pytest.raises(ValueError, match="no possible task can have produced transition 0 of seen: \\(0, 0, 17.0, 0\\)"):
        two.action(one, 0)
    with pytest.raises(ValueError, match="seen has 1 transitions, but the policy ends after 1 steps"):
        policy.action(one, 0)
    with pytest.raises(ValueError, match="state 1 cannot be reached after the 0 transitions"):
        optimum(coins(), episodes=2).policy.action(empty_transitions(), 1)


@pytest.mark.eq("bayes-adaptive")
@pytest.mark.parametrize("prior", [(1.0, 0.0), (0.5, 0.5), (1 - 2.0**-50, 2.0**-50)])
def test_rewards_that_do_not_matter_in_a_place_do_not_make_its_actions_equal(prior):
    """What an unlikely, or excluded, task or an unreachable state pays has no part in a tie elsewhere."""
    big = 2.0**52
    R = np.array([[[0.0, 1.0], [big, big]], [[0.0, 0.0], [big, big]]])
    R[1, 0, 0] = big
    P = np.broadcast_to(np.eye(2)[:, None, :], (2, 2, 2, 2))  # every state is absorbing
    found = rm.bayes_adaptive.optimum(rm.FiniteMDP(P, R, rho=[1, 0], gamma=0.5, horizon=2), prior, episodes=2)
    seen = Transitions(*map(np.array, ([0], [0], [0.0], [0], [False], [True])))
    assert found.policy.action(seen, 0) == 1  # the reward 0 has told that the task is the first
    np.testing.assert_allclose(np.sum(found.returns), found.value, rtol=1e-12)
