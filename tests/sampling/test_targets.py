"""Returns, advantages and targets of batches with cuts and ends: by hand, by sums, by enumeration, and what is refused."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refmeta as rm
from refmeta import targets
from refmeta.evidence.targets import random_cuts, random_on_policy, random_steps
from refmeta.judges import central_difference
from refmeta.oracle.suites.returns.problem import inside
from tests.strategies import assert_right, seeds

NAN = np.nan
STEPS = [1.0, 2, 4, 3, 2], [2.0, 4, 2, 8, 4], [4.0, 2, 6, 4, NAN]
FLAGS = {"terminated": [0, 0, 0, 0, 1], "truncated": [0, 0, 1, 0, 0]}
FUNCTIONS = {
    "discounted": {}, "n_step": {"n": 2}, "lambda_return": {"lam": 0.7}, "gae": {"lam": 0.7}, "v_trace": {"lam": 0.7}, "retrace": {},
}  # fmt: skip
PER_STEP = {"v_trace": "ratios", "retrace": "traces"}
rows, horizons = st.sampled_from((3, 2, 1)), st.sampled_from((6, 4, 3, 2, 1))
batches = st.builds(random_steps, seeds, rows=rows, horizon=horizons)


def flat(result):
    """The parts of a result one after another."""
    return np.stack(result) if isinstance(result, tuple) else result


def computed(name, steps, weights, **flags):
    """A function on a batch; ratios or traces where it takes them."""
    more = {PER_STEP[name]: weights} if name in PER_STEP else {}
    return flat(getattr(targets, name)(*steps, **{"gamma": 0.9} | flags, **FUNCTIONS[name] | more))


def parts_of(batch):
    """A batch of the evidence as arguments."""
    return (batch.rewards, batch.values, batch.next_values), {"terminated": batch.terminated, "truncated": batch.truncated, "mask": batch.mask}


@pytest.mark.eq("discounted-return", "n-step-return", "lambda-return", "gae")
def test_a_cut_and_an_end_by_hand():
    """γ = λ = ½; the table of the chapter."""
    gamma = {"gamma": 0.5}
    np.testing.assert_array_equal(targets.discounted(*STEPS, **FLAGS, **gamma), [15 / 4, 11 / 2, 7, 4, 2])
    np.testing.assert_array_equal(targets.n_step(*STEPS, **FLAGS, **gamma, n=1), [3, 3, 7, 5, 2])
    np.testing.assert_array_equal(targets.n_step(*STEPS, **FLAGS, **gamma, n=2), [5 / 2, 11 / 2, 7, 4, 2])
    np.testing.assert_array_equal(targets.gae(*STEPS, **FLAGS, **gamma, lam=0.5), [17 / 16, 1 / 4, 5, -7 / 2, -2])
    np.testing.assert_array_equal(targets.lambda_return(*STEPS, **FLAGS, **gamma, lam=0.5), [49 / 16, 17 / 4, 7, 9 / 2, 2])


@pytest.mark.eq("v-trace", "retrace")
def test_targets_of_another_policy_by_hand():
    """Ratios (1, ½, 2, 1, 3), γ = ½, all bounds 1.  Retrace: D₄ = −2, D₃ = −3 − 1; D₁ = −1 + ½·1·5, D₀ = 1 + ½·½·3/2."""
    ratios = np.array([1, 0.5, 2, 1, 3])
    both = targets.v_trace(*STEPS, **FLAGS, gamma=0.5, ratios=ratios)
    np.testing.assert_array_equal(both.targets, [27 / 8, 19 / 4, 7, 4, 2])
    np.testing.assert_array_equal(both.advantage, [11 / 8, 3 / 4, 5, -4, -2])
    wide = targets.v_trace(*STEPS, **FLAGS, gamma=0.5, ratios=ratios, rho_bar=np.inf, c_bar=np.inf, lam=0.0)
    np.testing.assert_array_equal(wide.targets, [3, 4 - 0.5, 2 + 10, 8 - 3, 4 - 6])
    got = targets.retrace(*STEPS, **FLAGS, gamma=0.5, traces=np.minimum(1, ratios))
    np.testing.assert_array_equal(got, [2 + 11 / 8, 4 + 3 / 2, 2 + 5, 8 - 4, 4 - 2])


@pytest.mark.eq("discounted-return", "n-step-return", "lambda-return", "gae", "v-trace", "retrace")
@given(batch=batches, label=st.sampled_from(("discounted-return", "n-step-return", "lambda-return", "gae", "v-trace", "retrace")))
def test_every_target_is_its_sum_over_the_rest_of_the_episode(batch, label):
    assert_right(label, batch)


@pytest.mark.eq("thm:on-policy-v-trace")
@given(batch=st.builds(random_on_policy, seeds, rows=rows, horizon=horizons))
def test_on_policy_v_trace_is_the_lambda_return(batch):
    assert_right("thm:on-policy-v-trace", batch)


@pytest.mark.eq("thm:gae-unbiased")
@given(case=st.builds(random_cuts, seeds))
def test_with_exact_values_the_advantage_is_unbiased_whatever_rule_cuts(case):
    assert_right("thm:gae-unbiased", case)


def test_a_rule_that_looks_ahead_biases_the_advantage():
    """γ = λ = 1, the second reward is 1 or 0 by a fair coin; an episode is cut before it where it would be 0."""
    steps = [[0.0, 1], [0.0, 0]], [[0.5, 0.5]] * 2, [[0.5, 0]] * 2
    flags = {"terminated": [[0, 1]] * 2, "gamma": 1.0, "lam": 1.0}
    A = targets.gae(*steps, truncated=[[0, 0]] * 2, **flags)
    ahead = targets.gae(*steps, truncated=[[0, 0], [1, 0]], **flags)
    assert np.mean(A[:, 0]) == 0 and np.mean(ahead[:, 0]) == 0.25


@given(batch=batches, name=st.sampled_from(tuple(FUNCTIONS)))
def test_a_batch_is_its_episodes_one_by_one(batch, name):
    """Bit for bit; the steps behind the mask are 0."""
    steps, flags = parts_of(batch)
    whole = computed(name, steps, batch.ratios, **flags)
    taken = np.zeros(batch.mask.shape, bool)
    ends = ~inside(batch) & (batch.mask > 0)
    for i in range(len(batch.mask)):
        start = 0
        for t in np.flatnonzero(ends[i]):
            part = np.s_[i, start : t + 1]
            one = {key: x[part] for key, x in flags.items() if key != "mask"}
            alone = computed(name, [x[part] for x in steps], batch.ratios[part], **one)
            np.testing.assert_array_equal(whole[..., i, start : t + 1], alone)
            taken[part], start = True, t + 1
    np.testing.assert_array_equal(taken, batch.mask > 0)
    assert not np.any(whole[..., ~taken])


@given(batch=batches, name=st.sampled_from(tuple(FUNCTIONS)))
def test_what_is_not_read_may_be_nan(batch, name):
    """v' at a termination, everything behind the mask, and the trace of the first step."""
    steps, flags = parts_of(batch)
    kept = batch.mask > 0
    hidden = [np.where(where, x, NAN) for x, where in zip(steps, (kept, kept, kept & (batch.terminated == 0)), strict=True)]
    weights = np.where(kept, batch.ratios, NAN)
    if name == "retrace":
        weights[:, 0] = NAN
        weights[:, 1:][~inside(batch)[:, :-1]] = NAN
    np.testing.assert_array_equal(computed(name, hidden, weights, **flags), computed(name, steps, batch.ratios, **flags))


@given(batch=batches, name=st.sampled_from(tuple(FUNCTIONS)))
def test_axes_in_front_are_a_batch_and_a_single_row_needs_none(batch, name):
    steps, flags = parts_of(batch)
    whole = computed(name, steps, batch.ratios, **flags)
    deep = computed(name, [x[None, :, None] for x in steps], batch.ratios[None, :, None], **{k: x[None, :, None] for k, x in flags.items()})
    np.testing.assert_array_equal(deep.reshape(whole.shape), whole)
    row = computed(name, [x[0] for x in steps], batch.ratios[0], **{k: x[0] for k, x in flags.items()})
    np.testing.assert_array_equal(row, whole[..., 0, :])


@given(batch=batches)
def test_terminated_wins_where_both_flags_are_set(batch):
    steps, flags = parts_of(batch)
    only = flags | {"truncated": batch.truncated * (1 - batch.terminated)}
    np.testing.assert_array_equal(computed("gae", steps, None, **flags), computed("gae", steps, None, **only))


@pytest.mark.eq("lambda-return", "gae", "n-step-return")
@given(batch=batches)
def test_the_ends_of_lambda_and_of_n(batch):
    steps, flags = parts_of(batch)
    flags |= {"gamma": batch.gamma}
    G, v = targets.discounted(*steps, **flags), batch.values * batch.mask
    close = {"rtol": 0, "atol": 1e-13 * (1 + np.max(np.abs(G)) + np.max(np.abs(v)))}
    np.testing.assert_allclose(targets.lambda_return(*steps, **flags, lam=1), G, **close)
    np.testing.assert_allclose(targets.gae(*steps, **flags, lam=1), G - v, **close)
    np.testing.assert_allclose(targets.gae(*steps, **flags, lam=0), targets.n_step(*steps, **flags, n=1) - v, **close)
    np.testing.assert_allclose(targets.lambda_return(*steps, **flags, lam=batch.lam), targets.gae(*steps, **flags, lam=batch.lam) + v, **close)
    np.testing.assert_allclose(targets.n_step(*steps, **flags, n=None), G, **close)
    np.testing.assert_array_equal(targets.n_step(*steps, **flags, n=10**9), targets.n_step(*steps, **flags, n=None))


@pytest.mark.eq("gae")
@given(batch=batches)
def test_the_slope_of_the_summed_advantages_in_a_reward_is_the_eligibility_of_its_step(batch):
    """Σ_{t≤k} (γλ)ᵏ⁻ᵗ over the episode of step k, by finite differences in the rewards and in the values at cuts."""
    steps, flags = parts_of(batch)
    flags |= {"gamma": batch.gamma, "lam": batch.lam}
    eligibility, going = np.zeros(batch.mask.shape), inside(batch)
    for t in range(batch.mask.shape[1]):
        before = eligibility[:, t - 1] * going[:, t - 1] if t else 0.0
        eligibility[:, t] = (1 + batch.gamma * batch.lam * before) * batch.mask[:, t]
    total = lambda r: np.sum(targets.gae(r.reshape(steps[0].shape), *steps[1:], **flags))
    found = central_difference(total, batch.rewards.ravel())
    assert np.all(np.abs(found.derivative - eligibility.ravel()) <= found.error + 1e-9)
    cuts = ~going & (batch.mask > 0) & (batch.terminated == 0)
    at_cuts = lambda x: np.sum(targets.gae(*steps[:2], np.where(cuts, x.reshape(cuts.shape), steps[2]), **flags))
    found = central_difference(at_cuts, batch.next_values.ravel())
    assert np.all(np.abs(found.derivative - (batch.gamma * eligibility * cuts).ravel()) <= found.error + 1e-9)


@pytest.mark.eq("retrace")
@given(rng=seeds)
def test_importance_sampling_reaches_the_values_of_the_policy_whatever_the_guess(rng):
    """E_μ over every continuation of three steps that end in a termination."""
    pi, mu = (x / x.sum(axis=1, keepdims=True) for x in rng.uniform(0.2, 1, size=(2, 2, 2)))
    move, pay, guess = rng.dirichlet([1, 1], size=(2, 2)), rng.normal(size=(2, 2)), rng.normal(size=(2, 2))
    exact, total = np.zeros((2, 2)), np.zeros((2, 2))
    for _ in range(3):
        exact = pay + 0.9 * move @ np.sum(pi * exact, axis=1)
    for s0, a0, s1, a1, s2, a2 in itertools.product(range(2), repeat=6):
        s, a = [s0, s1, s2], [a0, a1, a2]
        after = [np.sum(pi[s1] * guess[s1]), np.sum(pi[s2] * guess[s2]), NAN]
        ends = {"terminated": [0, 0, 1], "truncated": [0, 0, 0], "gamma": 0.9}
        target = targets.retrace(pay[s, a], guess[s, a], after, **ends, traces=pi[s, a] / mu[s, a])[0]
        total[s0, a0] += move[s0, a0, s1] * mu[s1, a1] * move[s1, a1, s2] * mu[s2, a2] * target
    np.testing.assert_allclose(total, exact, rtol=0, atol=1e-12)


def test_single_precision_may_differ_by_its_rounding_and_no_more():
    v = np.float32([0.1, 0.2, 0.3])
    after = np.array([0.2, 0.3, 1.0])
    flags = {"terminated": [0, 0, 0], "truncated": [0, 0, 0], "gamma": 0.9}
    targets.discounted([1, 1, 1], v, after, **flags)
    with pytest.raises(ValueError, match=r"next_values\[0\] is 0\.2, but values\[1\] is 0\.2"):
        targets.discounted([1, 1, 1], v.astype(float), after, **flags)
    targets.retrace([1, 1, 1], v, [7, 7, 7], **flags, traces=[1, 1, 1])


GOOD = {
    "rewards": np.ones((2, 3)), "values": np.ones((2, 3)), "next_values": np.ones((2, 3)), "terminated": np.zeros((2, 3), int),
    "truncated": np.zeros((2, 3), int), "mask": np.ones((2, 3), int), "gamma": 0.5, "ratios": np.ones((2, 3)), "lam": 0.5,
}  # fmt: skip


def with_entry(name, index, value):
    """The array of a good batch with another entry."""
    array = np.array(GOOD[name], float if name in ("ratios", "rewards", "values", "next_values") else int)
    array[index] = value
    return {name: array}


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        ({"rewards": np.ones(())}, ValueError, r"rewards has shape \(\), expected \(\.\.\., H\): at least one row of one step"),
        ({"rewards": np.ones((2, 0))}, ValueError, r"rewards has shape \(2, 0\), expected"),
        ({"values": np.ones((3, 3))}, ValueError, r"values has shape \(3, 3\), expected \(2, 3\) as rewards"),
        ({"terminated": np.zeros(3, int)}, ValueError, r"terminated has shape \(3,\), expected \(2, 3\) as rewards"),
        ({"truncated": np.zeros((2, 3))}, TypeError, "truncated must be integers, got dtype float64"),
        (with_entry("terminated", (1, 0), 2), ValueError, r"terminated\[1, 0\] is 2, expected 0 <= it < 2"),
        (with_entry("mask", (1, 1), 0), ValueError, r"mask\[1, 2\] is True behind a step that is not kept: keep a prefix of each row"),
        (with_entry("next_values", (0, 1), 2), ValueError,
         r"next_values\[0, 1\] is 2\.0, but values\[0, 2\] is 1\.0; .* set truncated\[0, 1\] if the episode was cut there"),
        (with_entry("rewards", (1, 2), np.nan), ValueError, r"rewards\[1, 2\] is nan; every number that is read must be finite"),
        (with_entry("ratios", (0, 2), -0.5), ValueError, r"ratios\[0, 2\] is -0\.5; it must be at least 0"),
        (with_entry("ratios", (0, 2), np.inf), ValueError, r"ratios\[0, 2\] is inf; every number that is read must be finite"),
        ({"lam": 1.25}, ValueError, "lam must satisfy 0 <= lam <= 1, got 1.25"),
        ({"lam": -0.25}, ValueError, "lam must satisfy 0 <= lam <= 1, got -0.25"),
        ({"gamma": 1.5}, ValueError, "gamma must satisfy 0 <= gamma <= 1, got 1.5"),
        ({"rho_bar": 0.0}, ValueError, "rho_bar must be one number above 0, or inf for no bound, got 0.0"),
        ({"c_bar": np.nan}, ValueError, "c_bar must be one number above 0"),
        ({"rewards": np.ones((2, 3), complex)}, TypeError, "rewards must be real, got dtype complex128"),
        ({"rewards": [[1, 2, 3], [1, 2]]}, ValueError, "rewards must be a rectangular array of numbers"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_with_a_sentence(change, error, sentence):
    with pytest.raises(error, match=sentence):
        targets.v_trace(**GOOD | change)


def test_zero_ratios_are_legitimate_and_n_is_a_count_of_at_least_one():
    zero = targets.v_trace(**GOOD | {"ratios": np.zeros((2, 3))})
    np.testing.assert_array_equal(zero.targets, GOOD["values"])
    np.testing.assert_array_equal(zero.advantage, np.zeros((2, 3)))
    good = {key: x for key, x in GOOD.items() if key not in ("ratios", "lam")}
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        targets.n_step(**good, n=0)
    with pytest.raises(TypeError, match="n must be an integer, got 1.5"):
        targets.n_step(**good, n=1.5)
    with pytest.raises(FloatingPointError, match="retrace left the finite numbers"):
        targets.retrace(**good | {"rewards": np.full((2, 3), 1e308)}, traces=np.full((2, 3), 1e3))


def test_the_arguments_are_not_written_to_and_a_mask_of_none_keeps_every_step():
    arguments = {key: np.array(x) if isinstance(x, np.ndarray) else x for key, x in GOOD.items()}
    kept = {key: np.array(x) for key, x in arguments.items()}
    got = targets.v_trace(**arguments)
    assert all(np.array_equal(arguments[key], x) for key, x in kept.items())
    without = targets.v_trace(**{key: x for key, x in arguments.items() if key != "mask"})
    np.testing.assert_array_equal(got.targets, without.targets)
    assert got.targets.flags.c_contiguous and got.targets.flags.writeable


def test_the_numbers_of_tianshou_s_published_tests():
    """test/base/test_returns.py of tianshou hands over v'.  To one unit of the last printed digit: it prints 454.83447 as 454.8344."""
    done = np.array([0, 0, 0, 1] * 3)
    rewards = np.array([101, 102, 103.0, 200, 104, 105, 106, 201, 107, 108, 109, 202])
    after = np.array([2.0, 3, 4, -1, 5, 6, 7, -2, 8, 9, 10, -3])
    values = np.roll(after, 1)
    values[0] = 0.0
    for truncated, returns in (
        (0 * done, [454.8344, 376.1143, 291.298, 200, 464.5610, 383.1085, 295.387, 201, 474.2876, 390.1027, 299.476, 202]),
        (np.array([0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0]),
         [454.0109, 375.2386, 290.3669, 199.01, 462.9138, 381.3571, 293.5248, 199.02, 474.2876, 390.1027, 299.476, 202]),
    ):  # fmt: skip
        flags = {"terminated": done * (1 - truncated), "truncated": truncated, "gamma": 0.99}
        got = targets.lambda_return(rewards, values, after, **flags, lam=0.95)
        np.testing.assert_allclose(got, returns, rtol=0, atol=1e-4)
    episodic = {"truncated": np.zeros(8, int), "gamma": 0.1}
    got = targets.discounted(np.arange(8.0), np.zeros(8), np.zeros(8), terminated=[1, 0, 0, 1, 0, 1, 0, 1], **episodic)
    np.testing.assert_allclose(got, [0, 1.23, 2.3, 3, 4.5, 5, 6.7, 7], rtol=0, atol=1e-12)
    r = np.arange(3.0, 13)  # a guess is minus the reward of its state; the step with the reward 4 is cut, and keeps its own
    flags = {"terminated": (r == 8) | (r == 12), "truncated": r == 4, "gamma": 0.1}
    for n, returns in (
        (1, [2.6, 3.6, 4.4, 5.3, 6.2, 8, 8, 8.9, 9.8, 12]), (2, [3.36, 3.6, 5.53, 6.62, 7.8, 8, 9.89, 10.98, 12.2, 12]),
        (10, [3.36, 3.6, 5.678, 6.78, 7.8, 8, 10.122, 11.22, 12.2, 12]),
    ):  # fmt: skip
        got = targets.n_step(r, -r, np.where(r == 4, -4, -r - 1), **flags, n=n)
        np.testing.assert_allclose(got, returns, rtol=0, atol=1e-12)


@given(rng=seeds)
def test_the_advantage_of_trajectories_terminates_at_their_last_steps(rng):
    from refmeta.evidence.sampling import random_episodes

    batch = random_episodes(rng, "tabular")
    v = rng.normal(size=(2, *batch.mask.shape)) * batch.mask
    got = rm.returns.gae(batch, v, gamma=0.75, lam=0.5)
    following = np.concatenate([v[..., 1:], 0 * v[..., :1]], axis=-1)
    delta = (batch.rewards + 0.75 * following - v) * batch.mask
    np.testing.assert_allclose(got, rm.returns.discounted_sum(delta, 0.375), rtol=0, atol=1e-14 * (1 + np.max(np.abs(delta))))
