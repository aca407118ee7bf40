"""Task families: what they promise about their tasks, and the theorems that hold on them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refmeta as rm
from refmeta import RandomMDPs, Sinusoids
from tests.strategies import seeds

EPS = np.finfo(float).eps


@given(rng=seeds)
def test_sinusoids_are_exactly_linear_in_their_features(rng):
    """A sin(x − φ) from the definition, at points recovered from the features themselves."""
    family = Sinusoids()
    A, phi, x = rng.uniform(0.1, 5), rng.uniform(0, np.pi), rng.uniform(-5, 5, size=20)
    w = family.parameters(np.array(A), np.array(phi))
    np.testing.assert_allclose(family.features(x) @ w, A * np.sin(x - phi), rtol=0, atol=16 * EPS * A)


def test_a_sample_has_the_family_s_ranges_and_no_noise():
    support, query = Sinusoids(shots=10, query_shots=25).sample(500, rng=3)
    assert support.X.shape == (500, 10, 3) and query.X.shape == (500, 25, 3)
    np.testing.assert_array_equal(support.X[..., 0], 1)
    np.testing.assert_allclose(np.sum(support.X[..., 1:] ** 2, axis=-1), 2, rtol=8 * EPS)
    w = np.stack([np.linalg.lstsq(X, y, rcond=None)[0] for X, y in zip(query.X, query.y, strict=True)])
    np.testing.assert_allclose(support.at(w).loss, 0, rtol=0, atol=1e-24)
    amplitude = np.sqrt(2) * np.linalg.norm(w, axis=-1)
    assert 0.1 - 1e-9 <= amplitude.min() < 0.3 and 4.8 < amplitude.max() <= 5 + 1e-9
    phase = np.arctan2(-w[:, 2], w[:, 1])
    assert -1e-9 <= phase.min() < 0.05 and np.pi - 0.05 < phase.max() <= np.pi + 1e-9


def test_the_mean_parameters_are_the_integral_over_amplitude_and_phase():
    """The midpoint rule on a 200 x 200 grid; its error is (π/200)²/24 relatively."""
    A = 0.1 + 4.9 * (np.arange(200) + 0.5) / 200
    phi = np.pi * (np.arange(200) + 0.5) / 200
    w = Sinusoids().parameters(*np.meshgrid(A, phi)).mean(axis=(0, 1))
    np.testing.assert_allclose(w, Sinusoids().mean_parameters, rtol=2e-5, atol=1e-12)


def test_random_mdps_are_those_of_the_paper():
    family = RandomMDPs()
    support, query = family.sample(400, rng=5)
    assert query is None and support.shape == (400,) and support.dim == family.dim == 50
    mdp = support.mdp
    assert (mdp.states, mdp.actions, mdp.horizon, mdp.gamma) == (10, 5, 10, 1.0)
    np.testing.assert_array_equal(mdp.rho, np.eye(10)[0])
    assert abs(mdp.R.mean() - 1) < 5 / np.sqrt(mdp.R.size) and abs(mdp.R.std() - 1) < 5 / np.sqrt(mdp.R.size)
    assert family.reward_noise == 1.0, "a sampled reward has variance 1 about its mean"
    np.testing.assert_array_equal(mdp.R, RandomMDPs(reward_noise=0).sample(400, rng=5).support.mdp.R)
    assert abs(mdp.P.var() - 9 / 1100) < 1e-4, "Dirichlet(1) over ten states: variance (1/10)(9/10)/11"


def test_no_start_is_better_than_another_in_expectation_on_random_mdps():
    """E[J(θ)] = H = 10 for every θ, as E[r] = 1 at each step whatever is visited: within five standard errors."""
    support = RandomMDPs().sample(3000, rng=1).support
    rng = np.random.default_rng(0)
    for theta in (np.zeros(50), rng.normal(size=50), 5 * rng.normal(size=50)):
        J = -support.at(theta).loss
        assert abs(J.mean() - 10) < 5 * J.std() / np.sqrt(len(J))


@pytest.mark.parametrize("family", [Sinusoids(), RandomMDPs()])
def test_a_seed_repeats_the_tasks_and_another_does_not(family):
    one, same, other = (family.sample(3, rng=seed).support for seed in (4, 4, 5))
    theta = np.ones(family.dim)
    np.testing.assert_array_equal(one.at(theta).loss, same.at(theta).loss)
    assert np.all(one.at(theta).loss != other.at(theta).loss)


@given(n=st.sampled_from((0, -1)))
def test_no_tasks_are_refused(n):
    with pytest.raises(ValueError, match=f"n must be at least 1, got {n}"):
        Sinusoids().sample(n)


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: Sinusoids(shots=0), ValueError, "^shots must be at least 1, got 0"),
        (lambda: Sinusoids(5, 2.5), TypeError, "^query_shots must be an integer, got 2.5"),
        (lambda: RandomMDPs(0), ValueError, "^states must be at least 1, got 0"),
        (lambda: RandomMDPs(reward_noise=-1), ValueError, "^reward_noise must be at least 0, got -1"),
        (lambda: RandomMDPs(reward_noise=[1.0]), ValueError, "^reward_noise must be one number"),
        (lambda: RandomMDPs(horizon=True), TypeError, "^horizon must be an integer, got True"),
    ],
)
def test_a_family_is_checked_when_it_is_made(call, error, sentence):
    with pytest.raises(error, match=sentence):
        call()


def test_inputs_fill_their_range_and_differ_from_task_to_task():
    """sin and cos of x near ±5 occur: |x| > 4.9 has them in their own places of the circle."""
    X = Sinusoids(shots=200).sample(20, rng=0).support.X
    angle = np.arctan2(X[..., 1], X[..., 2])
    beyond = [np.any(np.abs(angle - np.arctan2(np.sin(x), np.cos(x))) < 0.02) for x in (-4.95, 4.95)]
    assert all(beyond) and not np.array_equal(X[0], X[1])


@given(rng=seeds)
def test_radial_sinusoids_are_the_same_sinusoids_behind_other_features(rng):
    """One seed draws one function and one set of inputs, whatever the features."""
    seed = int(rng.integers(2**31))
    fourier, radial = Sinusoids().sample(3, seed), rm.RadialSinusoids().sample(3, seed)
    for one, other in zip(fourier, radial, strict=True):
        np.testing.assert_allclose(one.y, other.y, rtol=0, atol=1e-13)
        assert other.X.shape == (3, 10, 12)
    x = np.linspace(-5, 5, 7)
    c, width = np.arange(-5.0, 6.0), 1.0
    expected = np.concatenate([np.ones((7, 1)), np.exp(-((x[:, None] - c) ** 2) / (2 * width**2))], axis=1)
    np.testing.assert_allclose(rm.RadialSinusoids().features(x), expected, rtol=1e-14)
    assert rm.RadialSinusoids(centres=3).dim == 4


def test_no_task_is_exactly_linear_in_radial_features():
    support = rm.RadialSinusoids(shots=60).sample(5, 1).support
    for X, y in zip(support.X, support.y, strict=True):
        w = np.linalg.lstsq(X, y, rcond=None)[0]
        assert 1e-4 < np.max(np.abs(X @ w - y)) < 0.5


def test_gridworlds_without_slip_have_the_best_return_of_their_distance():
    """γ^(rows + columns − 1): the reward comes with the last move."""
    family = rm.GoalGridworlds(size=4, slip=0.0, gamma=0.9)
    goals = np.arange(1, 16)
    best = rm.optimal_values(family.tasks(goals).mdp).best_return
    np.testing.assert_allclose(best, 0.9 ** (goals // 4 + goals % 4 - 1), rtol=1e-12)
    task = family.tasks([5])
    P = task.mdp.P[0]
    np.testing.assert_array_equal(P[5], np.eye(16)[[5] * 4])
    np.testing.assert_array_equal(np.argmax(P[6], axis=-1), [2, 10, 5, 7])
    np.testing.assert_array_equal(np.argmax(P[0], axis=-1), [0, 4, 0, 1])
    expected = P[:, :, 5] * (np.arange(16) != 5)[:, None]
    np.testing.assert_array_equal(np.einsum("sat,sat->sa", P, task.mdp.R[0]), expected)


def test_a_slip_makes_one_of_the_four_moves_at_random():
    P = rm.GoalGridworlds(size=3, slip=0.2).tasks([8]).mdp.P[0]
    np.testing.assert_allclose(P[4, 0], 0.8 * np.eye(9)[1] + 0.05 * np.eye(9)[[1, 7, 3, 5]].sum(0), rtol=1e-15)
    np.testing.assert_allclose(P[0, 1], 0.8 * np.eye(9)[3] + 0.05 * np.eye(9)[[0, 3, 0, 1]].sum(0), rtol=1e-15)


def test_gridworld_samples_start_in_the_corner_and_spread_their_goals():
    support, query = rm.GoalGridworlds(size=3).sample(800, 3)
    assert query is None and support.shape == (800,) and support.dim == 36
    goals = np.argmax(np.einsum("nsat->nt", support.mdp.R), axis=-1)
    counts = np.bincount(goals, minlength=9)
    assert counts[0] == 0 and np.all(np.abs(counts[1:] - 100) < 50)
    np.testing.assert_array_equal(support.mdp.rho, np.eye(9)[0])
    assert np.all(support.at(np.zeros(36)).loss < 0) and np.all(support.at(np.zeros(36)).loss > -1)
    assert rm.GoalGridworlds(horizon=7, gamma=1.0).sample(2, 0).support.mdp.horizon == 7


def test_goals_that_are_named_are_the_only_ones_that_are_drawn():
    family = rm.GoalGridworlds(size=3, goals=[7, 2, 4])
    mdp = family.sample(300, 1).support.mdp
    goals = np.argmax(np.einsum("nsat->nt", mdp.R), axis=-1)
    assert set(goals.tolist()) == {2, 4, 7} and min(np.bincount(goals)[[2, 4, 7]]) > 60
    assert family == rm.GoalGridworlds(size=3, goals=(7, 2, 4)) != rm.GoalGridworlds(size=3)
    np.testing.assert_array_equal(family.cells, [7, 2, 4])
    np.testing.assert_array_equal(rm.GoalGridworlds(size=3).cells, np.arange(1, 9))


def test_navigation_is_the_squared_distance_to_the_goal_step_by_step():
    """Means and variances apart, one coordinate after the other, from the definition."""
    family = rm.Navigation(horizon=6)
    goals, rng = np.array([[0.3, -0.2], [-0.5, 0.5]]), np.random.default_rng(0)
    theta = family.start(rng)
    K, sigma = theta[:6].reshape(2, 3), np.exp(theta[6:])
    cost = np.zeros(2)
    mean, C = np.zeros(2), np.zeros((2, 2))
    M = np.eye(2) + K[:, :2]
    for _ in range(6):
        cost += np.sum((mean - goals) ** 2, axis=-1) + np.trace(C)
        mean, C = M @ mean + K[:, 2], M @ C @ M.T + np.diag(sigma**2)
    np.testing.assert_allclose(family.tasks(goals).at(theta).loss, cost, rtol=1e-13)


def test_navigation_s_best_cost_is_reached_by_jumping_to_the_goal_and_by_nothing_cheaper():
    family, goals = rm.Navigation(), np.array([[0.3, -0.2], [0.1, 0.5]])
    best = family.best_cost(goals)
    np.testing.assert_allclose(best, [0.13, 0.26], rtol=1e-14)
    for i, (x, y) in enumerate(goals):
        jump = np.array([-1.0, 0, x, 0, -1.0, y, -20.0, -20.0])
        np.testing.assert_allclose(family.tasks(goals).at(jump).loss[i], best[i], rtol=1e-12)
    for seed in range(5):
        assert np.all(family.tasks(goals).at(family.start(seed)).loss > best)


def test_navigation_samples_are_those_of_the_paper():
    support, query = rm.Navigation().sample(2000, 1)
    goals = -support.lq.Q[:, :2, 2]
    assert query is None and support.lq.horizon == 100 and support.lq.gamma == 1.0 and support.dim == rm.Navigation.dim
    assert np.all(np.abs(goals) <= 0.5) and np.all(np.abs(goals.mean(0)) < 0.03) and abs(goals.var() - 1 / 12) < 0.005
    np.testing.assert_allclose(support.lq.Q[:, 2, 2], np.sum(goals**2, -1), rtol=1e-15)
    np.testing.assert_array_equal(support.lq.start, np.diag([0.0, 0.0, 1.0]))


def test_navigation_s_starts_are_stable_on_average_and_scatter_by_a_twentieth():
    starts = np.stack([rm.Navigation().start(seed) for seed in range(300)])
    np.testing.assert_allclose(starts[:, :6].mean(0), [-0.3, 0, 0, 0, -0.3, 0], rtol=0, atol=0.015)
    np.testing.assert_allclose(starts[:, :6].std(0), 0.05, rtol=0.15)
    np.testing.assert_array_equal(starts[:, 6:], np.log(0.1))


@pytest.mark.parametrize(
    ("make", "error", "sentence"),
    [
        (lambda: rm.GoalGridworlds(size=1), ValueError, "size must be at least 2, got 1"),
        (lambda: rm.GoalGridworlds(slip=1.5), ValueError, "slip must satisfy 0 <= slip <= 1, got 1.5"),
        (lambda: rm.GoalGridworlds(gamma=1.0), ValueError, "use horizon="),
        (lambda: rm.GoalGridworlds().tasks([0]), ValueError, "goals must be cells"),
        (lambda: rm.GoalGridworlds().tasks([25]), ValueError, r"goals\[0\] is 25, expected 0 <= it < 25"),
        (lambda: rm.GoalGridworlds().tasks([[3]]), ValueError, "goals must be cells"),
        (lambda: rm.GoalGridworlds(goals=(0, 1)), ValueError, r"goals must be cells \(n,\) other than the start, 0, got \[0, 1\]"),
        (lambda: rm.GoalGridworlds(goals=()), ValueError, "goals must name at least one cell, got none"),
        (lambda: rm.GoalGridworlds(size=2, goals=(4,)), ValueError, r"goals\[0\] is 4, expected 0 <= it < 4"),
        (lambda: rm.Navigation(horizon=0), ValueError, "horizon must be at least 1"),
        (lambda: rm.Navigation().tasks([[1.0, 2.0, 3.0]]), ValueError, r"goals has shape \(1, 3\), expected \(n, 2\)"),
        (lambda: rm.RadialSinusoids(centres=1), ValueError, "centres must be at least 2, got 1"),
        (lambda: rm.Navigation().sample(0), ValueError, "n must be at least 1, got 0"),
    ],
)
def test_bad_families_are_refused_in_a_sentence(make, error, sentence):
    with pytest.raises(error, match=sentence):
        make()


@pytest.mark.parametrize(
    "family",
    [Sinusoids(), rm.RadialSinusoids(), RandomMDPs(3, 2, 2), rm.GoalGridworlds(2), rm.Navigation(3)],
    ids=lambda f: type(f).__name__,
)
def test_every_family_draws_one_task_refuses_none_and_repeats_itself(family):
    for task in family.sample(1, 0):
        assert task is None or task.shape == (1,)
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        family.sample(0)
    theta = np.full(family.dim, 0.1)
    one, same, other = (family.sample(4, seed).support.at(theta).loss for seed in (3, np.random.default_rng(3), 4))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
