"""Families of tasks to adapt to.  Derivation: derivations/supervised-tasks.md, derivations/meta-training.md

A family is a frozen record with `sample(n, rng)`, which returns a `Split` of batched tasks: the support for adaptation
and the query for evaluation.  `query` is None where they are the same.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from refmeta.arrays import (
    Array,
    as_count,
    as_discount,
    as_generator,
    as_integers,
    as_read_only,
    as_real,
    as_real_scalar,
)
from refmeta.policies import TabularSoftmax
from refmeta.tasks.exact_return import PolicyReturn
from refmeta.tasks.lq import LinearQuadratic
from refmeta.tasks.mdp import FiniteMDP
from refmeta.tasks.policy_cost import PolicyCost
from refmeta.tasks.regression import LinearRegression

__all__ = ["GoalGridworlds", "Navigation", "RadialSinusoids", "RandomMDPs", "Sinusoids", "Split", "reward_noise_of"]


def reward_noise_of(family: Any) -> float:
    """The standard deviation of the noise of sampled rewards in the tasks of a family; 0 if the family has none."""
    return getattr(family, "reward_noise", 0.0)


class Split(NamedTuple):
    """Support and query tasks, N in the leading axis; `maml.gradient(theta, *split, alpha=...)`."""

    support: Any
    query: Any = None


@dataclass(frozen=True)
class Sinusoids:
    """y = A sin(x − φ), A ~ U[0.1, 5], φ ~ U[0, π], x ~ U[−5, 5]: the regression tasks of the MAML paper.

    With the features [1, √2 sin x, √2 cos x] every task is exactly linear, with parameters
    w = [0, A cos φ, −A sin φ]/√2: linear regression without noise, with inputs independent of the task.
    """

    shots: int = 10
    query_shots: int = 10
    amplitude = (0.1, 5.0)
    phase = (0.0, np.pi)
    inputs = (-5.0, 5.0)
    dim = 3

    def __post_init__(self) -> None:
        for name in ("shots", "query_shots"):
            object.__setattr__(self, name, as_count(getattr(self, name), name, least=1))

    def features(self, x: Array) -> Array:
        """[1, √2 sin x, √2 cos x] in a new last axis."""
        return np.stack([np.ones_like(x), np.sqrt(2) * np.sin(x), np.sqrt(2) * np.cos(x)], axis=-1)

    def parameters(self, amplitude: Array, phase: Array) -> Array:
        """[0, A cos φ, −A sin φ]/√2 in a new last axis: the parameters that minimise the task."""
        return np.stack([0 * amplitude, amplitude * np.cos(phase), -amplitude * np.sin(phase)], axis=-1) / np.sqrt(2)

    @property
    def mean_parameters(self) -> Array:
        """E[w] = [0, 0, −E[A]·(2/π)/√2]: the minimiser of joint training and, for every α and K, of MAML."""
        return np.array([0.0, 0.0, -np.mean(self.amplitude) * (2 / np.pi) / np.sqrt(2)])

    def sample(self, n: int, rng: Generator | int | None = None) -> Split:
        """n tasks, with `shots` points in the support and `query_shots` others in the query."""
        return _sample_sinusoids(self, n, rng)


@dataclass(frozen=True)
class RadialSinusoids:
    """The same sinusoids with features [1, exp(−(x − c)²/2w²) for each centre c]: no task is exactly linear in them.

    `centres` centres are evenly spaced from −5 to 5, and w is the distance between two of them.
    """

    shots: int = 10
    query_shots: int = 10
    centres: int = 11
    amplitude = Sinusoids.amplitude
    phase = Sinusoids.phase
    inputs = Sinusoids.inputs

    def __post_init__(self) -> None:
        for name, least in (("shots", 1), ("query_shots", 1), ("centres", 2)):
            object.__setattr__(self, name, as_count(getattr(self, name), name, least=least))

    @property
    def dim(self) -> int:
        """The number of features, centres + 1."""
        return self.centres + 1

    def features(self, x: Array) -> Array:
        """[1, exp(−(x − c)²/2w²) …] in a new last axis."""
        c, width = np.linspace(*self.inputs, self.centres, retstep=True)
        bumps = np.exp(-(((x[..., None] - c) / width) ** 2) / 2)
        return np.concatenate([np.ones_like(bumps[..., :1]), bumps], axis=-1)

    def sample(self, n: int, rng: Generator | int | None = None) -> Split:
        """n tasks, with `shots` points in the support and `query_shots` others in the query."""
        return _sample_sinusoids(self, n, rng)


def _sample_sinusoids(family: Sinusoids | RadialSinusoids, n: int, rng: Generator | int | None) -> Split:
    """n sinusoids with the features of the family."""
    rng, n = as_generator(rng), as_count(n, "n", least=1)
    amplitude, phase = rng.uniform(*family.amplitude, n), rng.uniform(*family.phase, n)

    def regression(shots: int) -> LinearRegression:
        x = rng.uniform(*family.inputs, (n, shots))
        return LinearRegression(family.features(x), amplitude[:, None] * np.sin(x - phase[:, None]))

    return Split(regression(family.shots), regression(family.query_shots))


@dataclass(frozen=True)
class RandomMDPs:
    """The tabular tasks of RL² (Duan et al. 2016): S states, A actions, start in state 0, γ = 1 over H steps.

    Rows of P ~ Dirichlet(1) and mean rewards ~ N(1, 1), all independent; a sampled reward ~ N(R(s, a), reward_noise²).
    The tasks hold only the means, on which the exact return depends; to sample with the noise, pass it on:
    `rollout(..., reward_noise=family.reward_noise)`.
    """

    states: int = 10
    actions: int = 5
    horizon: int = 10
    reward_noise: float = 1.0

    def __post_init__(self) -> None:
        for name in ("states", "actions", "horizon"):
            object.__setattr__(self, name, as_count(getattr(self, name), name, least=1))
        object.__setattr__(self, "reward_noise", as_real_scalar(self.reward_noise, "reward_noise", least=0))

    @property
    def policy(self) -> TabularSoftmax:
        """The tabular softmax policy of these processes."""
        return TabularSoftmax(self.states, self.actions)

    @property
    def dim(self) -> int:
        """The number of parameters of the policy."""
        return self.policy.dim

    def sample(self, n: int, rng: Generator | int | None = None) -> Split:
        """n tasks; with an exact return there are no data to split, so the query is the support."""
        rng, n = as_generator(rng), as_count(n, "n", least=1)
        P = rng.dirichlet(np.ones(self.states), (n, self.states, self.actions))
        R = rng.normal(1.0, 1.0, (n, self.states, self.actions))
        start = as_read_only(np.eye(self.states)[0])
        return Split(PolicyReturn(FiniteMDP(P, R, start, gamma=1.0, horizon=self.horizon), self.policy))


@dataclass(frozen=True)
class GoalGridworlds:
    """A square grid with a goal: the reward is 1 on entering the goal, else 0.

    There are four actions: up, down, left, right.  A move against a wall does nothing.  With probability `slip` one of
    the four moves, chosen uniformly, replaces the action.  The start is the corner, cell 0, and the goal is uniform
    among `goals`, by default all other cells; two families with different goals are tasks to train on and tasks that are
    held out.  An episode ends in the goal.  The policy sees the cell but not the goal.
    """

    size: int = 5
    slip: float = 0.1
    gamma: float = 0.95
    horizon: int | None = None
    goals: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", as_count(self.size, "size", least=2))
        if self.goals is not None:
            if not np.size(self.goals):
                raise ValueError("goals must name at least one cell, got none; goals=None takes all cells but the start")
            object.__setattr__(self, "goals", tuple(self._as_goals(self.goals).tolist()))
        gamma, horizon = as_discount(self.gamma, self.horizon)
        if not 0 <= (slip := as_real_scalar(self.slip, "slip")) <= 1:
            raise ValueError(f"slip must satisfy 0 <= slip <= 1, got {slip}")
        for name, value in (("slip", slip), ("gamma", gamma), ("horizon", horizon)):
            object.__setattr__(self, name, value)

    @property
    def policy(self) -> TabularSoftmax:
        """The tabular softmax policy of these grids."""
        return TabularSoftmax(self.size**2, 4)

    @property
    def dim(self) -> int:
        """The number of parameters of the policy."""
        return self.policy.dim

    @property
    def cells(self) -> Array:
        """The cells that may be the goal, (n,)."""
        return np.arange(1, self.size**2) if self.goals is None else np.array(self.goals)

    def _as_goals(self, goals: ArrayLike) -> Array:
        """Cells (n,) other than the start."""
        goal = as_integers(goals, "goals", below=self.size**2)
        if goal.ndim != 1 or not np.all(goal > 0):
            raise ValueError(f"goals must be cells (n,) other than the start, 0, got {goal.tolist()}")
        return goal

    def tasks(self, goals: ArrayLike) -> PolicyReturn:
        """The tasks with these goals (n,), cells from 1 on, numbered row by row."""
        goal = self._as_goals(goals)
        cell = np.arange(self.size**2)
        row, column = np.divmod(cell, self.size)
        last = self.size - 1
        moves = [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)]
        to = np.stack([np.clip(r, 0, last) * self.size + np.clip(c, 0, last) for r, c in moves], axis=-1)
        move = np.eye(self.size**2)[to]
        walk = (1 - self.slip) * move + self.slip * np.mean(move, axis=1, keepdims=True)
        inside = cell == goal[:, None]
        P = np.where(inside[:, :, None, None], inside[:, None, None, :], walk)
        R = np.where(inside[:, :, None, None], 0.0, inside[:, None, None, :]) + 0 * P
        return PolicyReturn(FiniteMDP(P, R, np.eye(self.size**2)[0], self.gamma, self.horizon, inside), self.policy)

    def sample(self, n: int, rng: Generator | int | None = None) -> Split:
        """n tasks; with an exact return there are no data to split, so the query is the support."""
        rng, n = as_generator(rng), as_count(n, "n", least=1)
        return Split(self.tasks(self.cells[rng.integers(len(self.cells), size=n)]))


@dataclass(frozen=True)
class Navigation:
    """Point navigation in the plane: x' = x + a from the origin; a step costs the squared distance to a goal.

    This is the 2-D navigation of the MAML paper as a linear-quadratic task: goals uniform in [−0.5, 0.5]², 100 steps,
    no discount.  Unlike there, nothing is clipped, and no episode ends early.  θ = [K (2 x 3) row by row, log σ (2)].
    """

    horizon: int = 100
    goals = (-0.5, 0.5)
    dim = 8

    def __post_init__(self) -> None:
        object.__setattr__(self, "horizon", as_count(self.horizon, "horizon", least=1))

    def tasks(self, goals: ArrayLike) -> PolicyCost:
        """The tasks with these goals, (n, 2)."""
        g = as_real(goals, "goals")
        if g.ndim != 2 or g.shape[1] != 2:
            raise ValueError(f"goals has shape {g.shape}, expected (n, 2)")
        Q = np.zeros((len(g), 3, 3))
        Q[:, :2, :2], Q[:, :2, 2], Q[:, 2, :2], Q[:, 2, 2] = np.eye(2), -g, -g, np.sum(g**2, axis=-1)
        origin, still = np.diag([0.0, 0.0, 1.0]), np.zeros((3, 3))
        B, free = np.eye(3)[:, :2], np.zeros((2, 2))
        return PolicyCost(LinearQuadratic(np.eye(3), B, Q, free, origin, still, 1.0, self.horizon))

    def best_cost(self, goals: ArrayLike) -> Array:
        """|g|², (n,): the least cost of any policy, that of the first step at the origin; then the point stays at g."""
        return np.sum(as_real(goals, "goals") ** 2, axis=-1)

    def start(self, rng: Generator | int | None = None) -> Array:
        """A random stable initialisation: K = [−0.3 I, 0] + 0.05 N(0, 1), σ = 0.1."""
        K = np.eye(2, 3) * -0.3 + 0.05 * as_generator(rng).normal(size=(2, 3))
        return np.concatenate([K.ravel(), np.log([0.1, 0.1])])

    def sample(self, n: int, rng: Generator | int | None = None) -> Split:
        """n tasks; with an exact cost there are no data to split, so the query is the support."""
        return Split(self.tasks(as_generator(rng).uniform(*self.goals, (as_count(n, "n", least=1), 2))))
