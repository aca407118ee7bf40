"""`SampledMAML` beside JAX: the same episodes, the composed surrogates written out, and automatic differentiation of them.

`make test-peers` installs JAX and runs this; `make test` does not.
"""

import pytest

pytest.importorskip("jax")

import jax_sampled_maml as peer
import numpy as np

import refmeta as rm
from refmeta import sampled_maml
from refmeta.problems import random_linear_quadratic, random_process
from refmeta.tasks.policy_cost import PolicyCost

POLICIES = ("tabular", "linear-features", "linear-gaussian")
DIGITS = 12  # of the largest entry: products of some ten Hessians of order one, in another order of summation


def world(kind, seed):
    """A batch of two tasks, θ, and the sizes and features that the peer needs."""
    rng = np.random.default_rng(seed)
    if kind == "linear-gaussian":
        task = PolicyCost(random_linear_quadratic(rng, tasks=2, states=2, actions=2, horizon=4))
        return task, 0.3 * rng.normal(size=task.dim), (3, 2, None)
    mdp = random_process(rng, tasks=2, states=3, actions=3, gamma=0.8, horizon=4)
    policy = rm.TabularSoftmax(3, 3) if kind == "tabular" else rm.LinearSoftmax(rng.normal(size=(3, 3, 5)))
    task = rm.PolicyReturn(mdp, policy)
    return task, rng.normal(size=task.dim), (3, 3, None if kind == "tabular" else policy.features)


def as_peer(episodes):
    """Every task by itself: θ_sampled, (states, actions, mask), rewards of each support batch and of the query."""

    def of(batch, i):
        return (batch.states[i], batch.actions[i], batch.mask[i]), batch.rewards[i]

    tasks = []
    for i in range(2):
        support = [(np.broadcast_to(s.theta_sampled, (2, s.dim))[i], *of(s.trajectories, i)) for s in episodes.support]
        tasks.append((support, (episodes.adapted[i], *of(episodes.query, i))))
    return tasks


def agree(got, expected):
    digits = -np.log10(np.max(np.abs(got - expected)) / np.max(np.abs(expected)) + 1e-16)
    assert digits >= DIGITS, f"{digits:.1f} digits"


def drawn(kind, estimator, steps, seed):
    """The library's direction on episodes, the same episodes for the peer, θ, α row by row, γ and the sizes."""
    task, theta, sizes = world(kind, seed)
    alpha = np.random.default_rng([seed, 1]).uniform(0.05, 0.2, size=(steps, task.dim)) * (0.02 if kind == "linear-gaussian" else 1)
    rule = rm.SampledMAML(alpha, estimator, episodes=3, steps=steps)
    episodes = rule.sample_episodes(theta, task, rng=seed)
    got = estimator.direction(theta, episodes, alpha)
    np.testing.assert_array_equal(got, rule.sample_direction(theta, task, rng=seed))
    return got, as_peer(episodes), theta, alpha, episodes.gamma, sizes


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("kind", POLICIES)
def test_e_maml_is_one_scalar_differentiated(kind, steps, seed):
    got, tasks, theta, *more = drawn(kind, sampled_maml.EMAML, steps, seed)
    agree(got, peer.direction(lambda t, one: peer.with_score("reinforce", t, one, *more), theta, tasks))


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("name", ["reinforce", "likelihood_ratio", "dice"])
@pytest.mark.parametrize("kind", POLICIES)
def test_a_curvature_is_the_composed_surrogate_differentiated(kind, name, steps, seed):
    estimator = sampled_maml.Curvature(getattr(rm.surrogates, name))
    got, tasks, theta, *more = drawn(kind, estimator, steps, seed)
    agree(got, peer.direction(lambda t, one: peer.composed(name, t, one, *more), theta, tasks))


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("epochs", [1, 3])
@pytest.mark.parametrize("kind", POLICIES)
def test_promp_is_its_steps(kind, epochs, seed):
    """The clip lies near 1, so that later epochs meet it."""
    settings = {"beta": 5e-4 if kind == "linear-gaussian" else 0.05, "epsilon": 0.01, "penalty": 0.5, "epochs": epochs}
    got, tasks, theta, alphas, gamma, sizes = drawn(kind, sampled_maml.ProMP(**settings), 1, seed)
    agree(got, peer.promp_direction(theta, tasks, alphas, gamma, **settings, sizes=sizes))
    unclipped = peer.promp_direction(theta, tasks, alphas, gamma, **settings | {"epsilon": 0.9}, sizes=sizes)
    assert (np.max(np.abs(got - unclipped)) > 1e-6 * np.max(np.abs(got))) == (epochs == 3)


@pytest.mark.parametrize("kind", POLICIES)
def test_the_directions_are_not_one(kind):
    """Without its score term, or with another curvature, the figure is another one: the agreement above says something."""
    got, tasks, theta, *more = drawn(kind, sampled_maml.EMAML, 2, 1)
    for wrong in ("reinforce", "dice"):
        other = peer.direction(lambda t, one, wrong=wrong: peer.composed(wrong, t, one, *more), theta, tasks)
        assert np.max(np.abs(got - other)) > 1e-3 * np.max(np.abs(got))
