"""Task families: what they promise about their tasks, and the theorems that hold on them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
