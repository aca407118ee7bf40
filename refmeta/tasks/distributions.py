"""Families of tasks to adapt to.  Derivation: derivations/supervised-tasks.md, derivations/exact-policy-gradient.md

A family is a frozen record with `sample(n, rng)`, which returns a `Split` of batched tasks: the support to adapt on and
the query to be judged by; `query` is None where they are the same.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator

from refmeta.arrays import Array, count, frozen
from refmeta.policies import TabularSoftmax
from refmeta.tasks.exact_return import PolicyReturn
from refmeta.tasks.mdp import FiniteMDP
from refmeta.tasks.regression import LinearRegression


class Split(NamedTuple):
    """Support and query tasks, N in the leading axis; `maml.gradient(theta, *split, alpha=...)`."""

    support: Any
    query: Any = None


@dataclass(frozen=True)
class Sinusoids:
    """y = A sin(x − φ), A ~ U[0.1, 5], φ ~ U[0, π], x ~ U[−5, 5]: the regression tasks of the MAML paper.

    With the features [1, √2 sin x, √2 cos x] every task is exactly linear, with parameters
    w = [0, A cos φ, −A sin φ]/√2: linear regression without noise, inputs drawn independently of the task.
    """

    shots: int = 10
    query_shots: int = 10
    amplitude = (0.1, 5.0)
    phase = (0.0, np.pi)
    inputs = (-5.0, 5.0)
    dim = 3

    def __post_init__(self) -> None:
        for name in ("shots", "query_shots"):
            object.__setattr__(self, name, count(getattr(self, name), name, least=1))

    def features(self, x: Array) -> Array:
        """[1, √2 sin x, √2 cos x] in a new last axis."""
        return np.stack([np.ones_like(x), np.sqrt(2) * np.sin(x), np.sqrt(2) * np.cos(x)], axis=-1)

    def parameters(self, amplitude: Array, phase: Array) -> Array:
        """[0, A cos φ, −A sin φ]/√2 in a new last axis: the minimiser of the task."""
        return np.stack([0 * amplitude, amplitude * np.cos(phase), -amplitude * np.sin(phase)], axis=-1) / np.sqrt(2)

    @property
    def mean_parameters(self) -> Array:
        """E[w] = [0, 0, −E[A]·(2/π)/√2]: the joint minimiser, and MAML's for every α and number of steps."""
        return np.array([0.0, 0.0, -np.mean(self.amplitude) * (2 / np.pi) / np.sqrt(2)])

    def sample(self, n: int, rng: Generator | int | None = None) -> Split:
        """n tasks, `shots` points to adapt on and `query_shots` others to be judged by."""
        rng, n = np.random.default_rng(rng), count(n, "n", least=1)
        amplitude, phase = rng.uniform(*self.amplitude, n), rng.uniform(*self.phase, n)
        w = self.parameters(amplitude, phase)

        def regression(shots: int) -> LinearRegression:
            X = self.features(rng.uniform(*self.inputs, (n, shots)))
            return LinearRegression(X, np.einsum("nkd,nd->nk", X, w))

        return Split(regression(self.shots), regression(self.query_shots))


@dataclass(frozen=True)
class RandomMDPs:
    """The tabular tasks of RL² (Duan et al. 2016): S states, A actions, start in state 0, γ = 1 over H steps.

    Rows of P ~ Dirichlet(1), mean rewards ~ N(1, 1), independent of each other.
    """

    states: int = 10
    actions: int = 5
    horizon: int = 10

    def __post_init__(self) -> None:
        for name in ("states", "actions", "horizon"):
            object.__setattr__(self, name, count(getattr(self, name), name, least=1))

    @property
    def policy(self) -> TabularSoftmax:
        """The tabular softmax policy of these processes."""
        return TabularSoftmax(self.states, self.actions)

    @property
    def dim(self) -> int:
        """The number of parameters of the policy."""
        return self.policy.dim

    def sample(self, n: int, rng: Generator | int | None = None) -> Split:
        """n tasks; the exact return leaves nothing to split, so the query is the support."""
        rng, n = np.random.default_rng(rng), count(n, "n", least=1)
        P = rng.dirichlet(np.ones(self.states), (n, self.states, self.actions))
        R = rng.normal(1.0, 1.0, (n, self.states, self.actions))
        start = frozen(np.eye(self.states)[0])
        return Split(PolicyReturn(FiniteMDP(P, R, start, gamma=1.0, horizon=self.horizon), self.policy))
