"""Tables of transitions: which states become ends, by hand; the values against sweeps over the table; every refusal."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refmeta as rm
from refmeta import FiniteMDP
from tests.strategies import seeds


def swept(table, gamma, choose, sweeps=3000):
    """V by sweeps over the table itself: V(s) ← choose of Σ p (r + γ (1 − done) V(s'))."""
    V = np.zeros(len(table))
    for _ in range(sweeps):
        V = np.array([
            choose([sum(p * (r + gamma * (not done) * V[t]) for p, t, r, done in table[s][a]) for a in range(len(table[s]))])
            for s in range(len(table))
        ])  # fmt: skip
    return V


def uniform_values(mdp):
    return rm.PolicyReturn(mdp, rm.TabularSoftmax(mdp.states, mdp.actions)).at(np.zeros(mdp.states * mdp.actions)).value


HOLE = {
    0: {0: [(0.5, 1, 2.0, False), (0.5, 2, -1.0, True)], 1: [(1.0, 0, 0.5, False)]},
    1: {0: [(1.0, 2, 3.0, True)], 1: [(0.25, 0, 0.0, False), (0.75, 1, 1.0, False)]},
    2: {0: [(1.0, 0, 9.0, False)], 1: [(1.0, 2, 0.0, True)]},
}


def test_a_state_that_is_entered_by_done_transitions_only_is_an_end_and_its_own_rows_are_dropped():
    mdp = FiniteMDP.from_table(HOLE, rho=[1, 0, 0], gamma=0.9)
    assert mdp.states == 3 and mdp.terminal.tolist() == [False, False, True]
    np.testing.assert_array_equal(mdp.P[2], [[0, 0, 1]] * 2)
    np.testing.assert_array_equal(mdp.expected_reward, [[0.5, 0.5], [3.0, 0.75], [0.0, 0.0]])
    np.testing.assert_array_equal(mdp.R[0, 0], [0.0, 2.0, -1.0])
    np.testing.assert_allclose(uniform_values(mdp)[:2], swept(HOLE, 0.9, np.mean)[:2], rtol=1e-13)


def test_done_transitions_in_the_rows_that_are_dropped_add_no_end():
    table = {**HOLE, 2: {0: [(1.0, 0, 9.0, True)], 1: [(1.0, 1, 0.0, True)]}}
    assert FiniteMDP.from_table(table, rho=[1, 0, 0], gamma=0.9).states == 3


def test_a_done_transition_into_a_state_that_others_pass_through_leads_to_an_end_that_is_added():
    """As in Taxi: state 2 is entered undone from 1, too, so that it stays what it is."""
    table = {**HOLE, 1: {**HOLE[1], 0: [(1.0, 2, 3.0, False)]}}
    mdp = FiniteMDP.from_table(table, rho=[1, 0, 0], gamma=0.9)
    assert mdp.states == 4 and mdp.terminal.tolist() == [False, False, False, True]
    np.testing.assert_array_equal(mdp.rho, [1, 0, 0, 0])
    np.testing.assert_array_equal(mdp.P[0, 0], [0, 0.5, 0, 0.5])
    np.testing.assert_array_equal(mdp.P[2], [[1, 0, 0, 0], [0, 0, 0, 1]])
    np.testing.assert_allclose(uniform_values(mdp)[:3], swept(table, 0.9, np.mean), rtol=1e-13)


def test_a_state_where_the_process_starts_is_never_made_an_end():
    mdp = FiniteMDP.from_table(HOLE, rho=[0.5, 0, 0.5], gamma=0.9)
    assert mdp.states == 4 and mdp.terminal.tolist() == [False, False, False, True]
    np.testing.assert_allclose(uniform_values(mdp)[:3], swept(HOLE, 0.9, np.mean), rtol=1e-13)
    each = FiniteMDP.from_table(HOLE, rho=np.eye(3)[[0, 2]], gamma=0.9)
    assert each.shape == (2,) and each.rho.shape == (2, 4)


def test_a_table_without_done_transitions_has_no_end():
    table = [[[(1.0, 1, 1.0, False)]], [[(1.0, 0, 0.0, False), (0.0, 1, 7.0, True)]]]
    mdp = FiniteMDP.from_table(table, rho=[1, 0], gamma=0.5)
    assert mdp.states == 2 and not mdp.terminal.any()
    assert uniform_values(mdp)[0] == pytest.approx(4 / 3, rel=1e-15)


def test_transitions_that_lead_to_one_state_are_put_together():
    """0.25 and 0.5 to the state itself, with rewards 4 and 1: P = 0.75, and the mean reward there is 2."""
    table = {0: {0: [(0.25, 0, 4.0, False), (0.5, 0, 1.0, False), (0.25, 1, 0.0, True)]}, 1: {0: [(1.0, 1, 0, True)]}}
    mdp = FiniteMDP.from_table(table, rho=[1, 0], gamma=1.0)
    np.testing.assert_array_equal(mdp.P[0, 0], [0.75, 0.25])
    np.testing.assert_array_equal(mdp.R[0, 0], [2.0, 0.0])
    assert uniform_values(mdp)[0] == 6  # 1.5 per step, and 4 steps


@st.composite
def tables(draw):
    """Tables with two transitions per action, some of them done, and a discount."""
    rng = draw(seeds)
    states, actions = int(rng.integers(2, 6)), int(rng.integers(1, 4))
    table = {
        s: {
            a: [(p, int(rng.integers(states)), float(rng.normal()), bool(rng.random() < 0.4)) for p in (0.25, 0.75)]
            for a in range(actions)
        }
        for s in range(states)
    }
    return table, np.eye(states)[int(rng.integers(states))]


@given(case=tables())
def test_values_are_those_of_sweeps_over_the_table(case):
    """In the states that were made ends the table says something else, which no trajectory reaches."""
    table, rho = case
    mdp = FiniteMDP.from_table(table, rho=rho, gamma=0.75)
    alive = ~mdp.terminal[: len(table)]
    for got, choose in ((uniform_values(mdp), np.mean), (rm.optimal_values(mdp).value, np.max)):
        expected = swept(table, 0.75, choose, sweeps=150)
        np.testing.assert_allclose(got[: len(table)][alive], expected[alive], rtol=0, atol=1e-13 * np.max(np.abs(expected)))
    assert not mdp.terminal[: len(table)][rho > 0].any()


def bad(entry=(1.0, 1, 0.0, True), rho=(1, 0), **changes):
    table = changes.get("table", {0: {0: [entry], 1: [(1.0, 0, 0.0, False)]}, 1: {0: [(1.0, 1, 0.0, True)], 1: [(1.0, 1, 0.0, True)]}})
    return lambda: FiniteMDP.from_table(table, rho=rho, gamma=0.9)


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (bad((0.9, 1, 0.0, True)), ValueError, r"P\[0, 0\] sums to 0.9 .* rows of P over the next state must be probabilities"),
        (bad((0.0, 1, 0.0, True)), ValueError, r"P\[0, 0\] sums to 0 "),
        (bad((-0.5, 1, 0.0, True)), ValueError, r"p in the table\[0\]\[0\]\[0\] must satisfy 0 <= p in the table\[0\]\[0\]\[0\] <= 1, got -0.5"),
        (bad((1.0, 2, 0.0, True)), ValueError, r"s' in the table\[0\]\[0\]\[0\] must be at most 1, got 2"),
        (bad((1.0, 1.0, 0.0, True)), TypeError, r"s' in the table\[0\]\[0\]\[0\] must be an integer, got 1.0"),
        (bad((1.0, 1, float("nan"), True)), ValueError, r"r in the table\[0\]\[0\]\[0\] must be finite, got nan"),
        (bad((1.0, 1, 0.0, 2)), TypeError, r"done in the table\[0\]\[0\]\[0\] must be True or False, got 2"),
        (bad((1.0, 1, 0.0)), ValueError, r"the table\[0\]\[0\]\[0\] must be a transition \(p, s', r, done\), got \(1.0, 1, 0.0\)"),
        (bad(rho=(1, 0, 0)), ValueError, r"rho has shape \(3,\), expected last axis 2 = the number of states of the table"),
        (bad(rho=(0.5, 0)), ValueError, "rho sums to 0.5"),
        (bad(table=3), TypeError, "the table must be a dict or a list, got int"),
        (bad(table={}), ValueError, "the table must have the keys 0, 1, 2 and so on, got none"),
        (bad(table={1: {}, 2: {}}), ValueError, "the table must have the keys 0, 1, 2 and so on, got the keys 1, 2"),
        (bad(table=[[[(1.0, 0, 0, False)]], [[(1.0, 0, 0, False)]] * 2]), ValueError, r"the table\[1\] has 2 actions, expected 1 as state 0"),
        (bad(table=[[[]], [[]]]), ValueError, r"the table\[0\]\[0\] must be a list of transitions .*, got \[\]"),
        (bad(table=[[[(0.0, 0, 0, False)]], [[(0.0, 0, 0, False)]]]), ValueError, "no transition of the table has p > 0"),
    ],
)  # fmt: skip
def test_a_bad_table_is_refused_with_the_index(call, error, sentence):
    with pytest.raises(error, match=sentence):
        call()
