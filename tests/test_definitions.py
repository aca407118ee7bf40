"""The oracle's definitions in complex numbers, against loops over steps and trajectories."""

import itertools

import numpy as np
import pytest

from refmeta.evidence import sampled as evidence
from refmeta.evidence.definitions import every_trajectory, formulation, surrogate
from refmeta.judges import complex_step
from refmeta.meta import sampled
from refmeta.oracle.suites.surrogates.definition import SUMMANDS
from refmeta.oracle.suites.surrogates.problem import Batches
from refmeta.problems import POLICIES, random_trajectories


@pytest.mark.parametrize("kind", POLICIES)
@pytest.mark.parametrize("name", SUMMANDS)
def test_a_surrogate_is_the_loop_over_steps(name, kind):
    rng = np.random.default_rng(7)
    policy, start, batch = random_trajectories(rng, kind)
    theta, b, v = start + 0.2 * rng.normal(size=policy.dim), rng.normal(size=batch.mask.shape), rng.normal(size=policy.dim)
    problem, loop = Batches(theta, start, policy, batch, b, 0.8, 0.625, v), (policy, theta, start, batch, 0.8, b)
    np.testing.assert_allclose(surrogate(f"{name}_loss", problem), evidence.by_definition(name, loop), rtol=1e-12)
    at = lambda t: problem.surrogate(name).at(t)
    slopes, bent = complex_step(lambda t: at(t).loss, theta), complex_step(lambda t: at(t).grad, theta, v)
    np.testing.assert_allclose(surrogate(f"{name}_grad", problem), slopes, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(surrogate(f"{name}_hvp", problem), bent, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(("M", "K"), [(1, 1), (2, 1), (1, 2)])
def test_the_sampled_objective_is_the_loop_over_tuples(M, K):
    task, theta, alpha = evidence._tiny(np.random.default_rng(8))
    value, *slopes = formulation("formulation_sampled", task, theta, alpha, M, K)
    np.testing.assert_allclose(value, evidence._sampled_by_definition(task, theta, alpha, M, K), rtol=1e-13)
    library = lambda t: sampled.formulation_sampled(t, task, alpha=alpha, episodes=M, steps=K).objective
    np.testing.assert_allclose(slopes, complex_step(library, theta), rtol=1e-12, atol=1e-13)


def test_every_trajectory_is_listed_with_its_probability():
    task, theta, _ = evidence._tiny(np.random.default_rng(9))
    pairs = itertools.zip_longest(every_trajectory(task, theta), evidence._every(task, theta))
    for (p, steps, to_go), (expected, path, r) in pairs:
        np.testing.assert_allclose(p, expected, rtol=1e-13)
        assert list(steps) == path
        np.testing.assert_allclose(to_go, [r[0] + task.mdp.gamma * r[1], task.mdp.gamma * r[1]], rtol=1e-13)
