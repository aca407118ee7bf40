"""The tables of gymnasium's FrozenLake, CliffWalking and Taxi: their ends, and their best returns by two roads."""

import gymnasium
import numpy as np
import pytest

import refmeta as rm

CLIFF = -(1 - 0.99**13) / 0.01  # thirteen steps of −1
RETURNS = {"FrozenLake-v1": 0.5420259, "FrozenLake8x8-v1": 0.4146404, "CliffWalking-v1": CLIFF, "Taxi-v4": 6.327464}


def environment(name):
    """The environment itself, without its wrappers."""
    return gymnasium.make(name).unwrapped


def process(name, gamma=0.99):
    env = environment(name)
    return rm.FiniteMDP.from_table(env.P, rho=env.initial_state_distrib, gamma=gamma)


def swept(env, gamma, sweeps=4000):
    """V by sweeps over the table itself, where a done transition is followed by nothing."""
    states = range(len(env.P))
    entries = [(s, a, *t) for s in states for a in env.P[s] for t in env.P[s][a]]
    s, a, p, following, r, done = map(np.array, zip(*entries, strict=True))
    V = np.zeros(len(env.P))
    for _ in range(sweeps):
        Q = np.zeros((len(env.P), len(env.P[0])))
        np.add.at(Q, (s, a), p * (r + gamma * ~done * V[following]))
        before, V = V, Q.max(-1)
        if np.array_equal(before, V):
            break
    return V


@pytest.mark.parametrize("name", RETURNS)
def test_the_best_return_is_that_of_policy_iteration_and_of_sweeps_over_the_table(name):
    env = environment(name)
    best = rm.optimal_values(process(name))
    assert best.best_return == pytest.approx(RETURNS[name], rel=1e-7)
    V = swept(env, 0.99)
    assert env.initial_state_distrib @ V == pytest.approx(best.best_return, rel=1e-12)
    alive = ~process(name).terminal[: len(V)]
    np.testing.assert_allclose(best.value[: len(V)][alive], V[alive], rtol=0, atol=1e-11 * np.max(np.abs(V)))


@pytest.mark.parametrize("name", RETURNS)
def test_the_policy_of_the_optimum_has_this_return_as_a_softmax_policy(name):
    mdp = process(name)
    best = rm.optimal_values(mdp)
    theta = 800.0 * np.eye(mdp.actions)[best.action].ravel()
    point = rm.PolicyReturn(mdp, rm.TabularSoftmax(mdp.states, mdp.actions)).at(theta)
    assert -point.loss == pytest.approx(best.best_return, rel=1e-12)


def test_which_states_are_ends():
    """Lakes: holes and goal.  Cliff: the goal.  Taxi: others pass through the states of its ends, so that one is added."""
    for name in ("FrozenLake-v1", "FrozenLake8x8-v1"):
        letters = np.array(environment(name).desc).ravel()
        np.testing.assert_array_equal(process(name).terminal, np.isin(letters, (b"H", b"G")), err_msg=name)
    cliff, taxi = process("CliffWalking-v1"), process("Taxi-v4")
    assert (cliff.states, np.flatnonzero(cliff.terminal).tolist()) == (48, [47])
    assert (taxi.states, np.flatnonzero(taxi.terminal).tolist(), taxi.rho[-1]) == (501, [500], 0)
    table = environment("Taxi-v4").P
    entries = [(s, *t) for s in table for a in table[s] for t in table[s][a]]
    finished = {following for _, _, following, _, done in entries if done}
    undone = [entry for entry in entries if entry[2] in finished and entry[0] not in finished and not entry[4]]
    assert len(finished) == 4 and len(undone) == 7


@pytest.mark.parametrize(
    ("name", "expected"),
    [("FrozenLake-v1", 14 / 17), ("FrozenLake8x8-v1", 1.0), ("CliffWalking-v1", -13.0), ("Taxi-v4", 7.93)],
)
def test_without_a_discount_policy_iteration_ends_in_policies_that_end(name, expected):
    """FrozenLake has ties everywhere; 14/17 and 1 are the chances to reach the goal."""
    mdp = process(name, gamma=1.0)
    best = rm.optimal_values(mdp)
    assert best.best_return == pytest.approx(expected, rel=1e-9)
    theta = 800.0 * np.eye(mdp.actions)[best.action].ravel()
    point = rm.PolicyReturn(mdp, rm.TabularSoftmax(mdp.states, mdp.actions)).at(theta)  # refused if it did not end
    assert -point.loss == pytest.approx(expected, rel=1e-9)


def test_a_step_of_the_environment_is_one_of_the_process():
    """1,000 steps of Taxi under random actions: every transition is possible in the process, and a done one enters an end."""
    env, mdp, rng = environment("Taxi-v4"), process("Taxi-v4"), np.random.default_rng(0)
    s, _ = env.reset(seed=0)
    ends = 0
    for _ in range(1000):
        a = int(rng.integers(mdp.actions))
        following, r, done, *_ = env.step(a)
        t = mdp.states - 1 if done else following
        assert mdp.P[s, a, t] > 0 and mdp.R[s, a, t] == r and mdp.terminal[t] == done
        ends += done
        s = env.reset(seed=ends)[0] if done else following
