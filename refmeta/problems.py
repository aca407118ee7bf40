"""Random problems for `verify` and for the property tests.

They are generic, so that every term of a formula matters: several different tasks, query ≠ support, unequal weights,
Hessians that do not commute, γ away from 0 and 1, and step sizes with α‖∇²L‖ of order one.
"""

from typing import Any

import numpy as np
from numpy.random import Generator

from refmeta.arrays import Array
from refmeta.oracle.suites.maml.problem import MetaProblem
from refmeta.policies import LinearSoftmax, TabularSoftmax
from refmeta.policies.linear_gaussian import LinearGaussian
from refmeta.sampling.trajectories import Trajectories
from refmeta.tasks.classification import SoftmaxRegression
from refmeta.tasks.exact_return import PolicyReturn
from refmeta.tasks.lq import LinearQuadratic
from refmeta.tasks.mdp import FiniteMDP
from refmeta.tasks.policy_cost import PolicyCost
from refmeta.tasks.quadratic import Quadratic
from refmeta.tasks.regression import LinearRegression

__all__ = [
    "ALPHAS", "KINDS", "POLICIES", "MetaProblem", "random_tasks", "largest_curvature", "curvatures", "hessian", "random_ending_process", "random_linear_quadratic",
    "random_linear_regression", "random_policy_return", "random_problem", "random_process", "random_quadratic", "random_softmax_regression", "random_trajectories", "random_undiscounted_control",
]  # fmt: skip

KINDS = ("quadratic", "linear-regression", "softmax-regression", "discounted", "finite-horizon", "linear-features",
         "linear-quadratic")  # fmt: skip
POLICIES = ("tabular", "linear-features", "linear-gaussian")
ALPHAS = ("scalar", "parameter", "step", "step-parameter")


def random_quadratic(rng: Generator, tasks: int = 2, dim: int = 3) -> Quadratic:
    """Quadratics with symmetric A, whose eigenvalues are mostly positive but have both signs."""
    half = rng.normal(size=(tasks, dim, dim))
    A = half @ half.swapaxes(-1, -2) / dim - 0.2 * np.eye(dim)
    return Quadratic((A + A.swapaxes(-1, -2)) / 2, rng.normal(size=(tasks, dim)))


def random_linear_regression(rng: Generator, tasks: int = 2, dim: int = 3, rows: int = 5) -> LinearRegression:
    """Linear regression with noise: all entries of X and y are independent."""
    return LinearRegression(rng.normal(size=(tasks, rows, dim)), rng.normal(size=(tasks, rows)))


def random_softmax_regression(
    rng: Generator, tasks: int = 2, features: int = 2, classes: int = 3, rows: int = 5
) -> SoftmaxRegression:
    """Softmax regression with random labels and a ridge away from 0."""
    labels = rng.integers(0, classes, size=(tasks, rows))
    return SoftmaxRegression(rng.normal(size=(tasks, rows, features)), labels, classes, ridge=0.3)


def random_process(
    rng: Generator, tasks: int = 2, states: int = 3, actions: int = 3, gamma: float = 0.8, horizon: int | None = None
) -> FiniteMDP:
    """Processes with dense transitions, unequal start probabilities, and rewards of both signs around an offset."""
    P = rng.dirichlet(np.ones(states), size=(tasks, states, actions))
    rho = rng.dirichlet(np.ones(states), size=tasks)
    return FiniteMDP(P, 0.5 + rng.normal(size=(tasks, states, actions)), rho, gamma, horizon)


def random_ending_process(rng: Generator, tasks: int = 2, states: int = 3, actions: int = 3) -> FiniteMDP:
    """Processes at γ = 1 without a horizon: the last state is an end, reached at every step with probability 0.2 or more."""
    base = random_process(rng, tasks, states, actions)
    end = np.arange(states) == states - 1
    P = np.where(end[:, None, None], np.eye(states)[-1], 0.8 * base.P + 0.2 * np.eye(states)[-1])
    return FiniteMDP(P, np.where(end[:, None], 0, base.R), base.rho, 1.0, terminal=end)


def random_policy_return(rng: Generator, kind: str, tasks: int = 2, states: int = 3, actions: int = 3) -> PolicyReturn:
    """Exact returns of a tabular policy, or of one with fewer features than states x actions; γ in [0.3, 0.95]."""
    horizon = int(rng.integers(1, 6)) if kind == "finite-horizon" else None
    mdp = random_process(rng, tasks, states, actions, gamma=float(rng.uniform(0.3, 0.95)), horizon=horizon)
    if kind == "linear-features":
        return PolicyReturn(mdp, LinearSoftmax(rng.normal(size=(states, actions, max(2, states * actions // 2)))))
    return PolicyReturn(mdp, TabularSoftmax(states, actions))


def random_linear_quadratic(
    rng: Generator, tasks: int = 2, states: int = 2, actions: int = 2, horizon: int | None = 4
) -> LinearQuadratic:
    """Stable dynamics with a drift; costs and covariances are not diagonal; γ in [0.7, 0.95]; n = `states`."""
    n = states

    def semi_definite(size: int) -> Array:
        half = rng.normal(size=(tasks, size, size + 1))
        S = half @ half.swapaxes(-1, -2) / (size + 1)
        return (S + S.swapaxes(-1, -2)) / 2

    A, B = np.zeros((tasks, n + 1, n + 1)), np.zeros((tasks, n + 1, actions))
    A[:, :n] = 0.4 * rng.normal(size=(tasks, n, n + 1)) / np.sqrt(n)
    A[:, n, n] = 1
    B[:, :n] = rng.normal(size=(tasks, n, actions))
    noise, start, mean = np.zeros_like(A), np.zeros_like(A), rng.normal(size=(tasks, n))
    noise[:, :n, :n], start[:, :n, :n] = 0.3 * semi_definite(n), semi_definite(n) + mean[:, :, None] * mean[:, None]
    start[:, :n, n], start[:, n, :n], start[:, n, n] = mean, mean, 1
    gamma = float(rng.uniform(0.7, 0.95))
    return LinearQuadratic(A, B, semi_definite(n + 1), semi_definite(actions), start, noise, gamma, horizon)


def random_undiscounted_control(rng: Generator, tasks: int = 2, states: int = 2, actions: int = 2) -> LinearQuadratic:
    """Systems at γ = 1 without a horizon: those of `random_linear_quadratic` without noise, drift and cost at the state 0."""
    base = random_linear_quadratic(rng, tasks, states, actions)
    state = np.arange(states + 1) < states
    A = base.A * (state | np.eye(states + 1, dtype=bool))
    return LinearQuadratic(A, base.B, base.Q * (state & state[:, None]), base.R, base.start, 0 * base.noise, 1.0)


def random_trajectories(
    rng: Generator, kind: str = "tabular", tasks: int = 2, episodes: int = 3, horizon: int = 4
) -> tuple[Any, Array, Trajectories]:
    """A policy (tabular, linear-features or linear-gaussian), parameters, and trajectories of which some end early."""
    shape, size, width = (tasks, episodes, horizon), 3, 2
    ends = rng.integers(1, horizon + 1, size=(tasks, episodes, 1))
    ends[..., 0, 0] = horizon
    mask, rewards = np.arange(horizon) < ends, 0.5 + rng.normal(size=shape)
    if kind == "linear-gaussian":
        gaussian = LinearGaussian(size, width)
        states = rng.normal(size=(*shape, size))
        batch = Trajectories(states, rng.normal(size=(*shape, width)), rewards, mask)
        return gaussian, 0.3 * rng.normal(size=gaussian.dim), batch
    features = LinearSoftmax(rng.normal(size=(size, width, 4)))
    policy = TabularSoftmax(size, width) if kind == "tabular" else features
    batch = Trajectories(rng.integers(0, size, shape), rng.integers(0, width, shape), rewards, mask)
    return policy, rng.normal(size=policy.dim), batch


def random_tasks(rng: Generator, kind: str, tasks: int = 2, size: int = 3, width: int = 3) -> Any:
    """N tasks of a kind; `size` is d, features or states, `width` classes or actions."""
    if kind == "quadratic":
        return random_quadratic(rng, tasks, size)
    if kind == "linear-regression":
        return random_linear_regression(rng, tasks, size)
    if kind == "softmax-regression":
        return random_softmax_regression(rng, tasks, size, width)
    if kind == "linear-quadratic":
        return PolicyCost(random_linear_quadratic(rng, tasks, min(size, 3), min(width, 2), int(rng.integers(1, 5))))
    return random_policy_return(rng, kind, tasks, size, width)


def random_problem(
    rng: Generator, kind: str, *, tasks: int = 2, size: int = 3, width: int = 3, steps: int = 2, alpha: str = "scalar"
) -> MetaProblem:
    """A generic problem; α has one of its four shapes, and the largest α‖∇²L(θ)‖ of the tasks lies in [0.2, 0.8]."""
    support = random_tasks(rng, kind, tasks, size, width)
    query = _random_query(rng, kind, support, tasks, size, width)
    theta = rng.normal(size=support.dim) * (0.3 if kind == "linear-quadratic" else 1)
    shape = {"scalar": (), "parameter": (support.dim,), "step": (steps, 1), "step-parameter": (steps, support.dim)}
    alphas = rng.uniform(0.2, 0.8, size=shape[alpha]) / max(largest_curvature(support, theta), 0.1)
    return MetaProblem(theta, support, query, float(alphas) if alpha == "scalar" else alphas, steps)


def _random_query(rng: Generator, kind: str, support: Any, tasks: int, size: int, width: int) -> Any:
    """Other tasks of the kind; for a process the policy, discount and horizon are those of the support."""
    if not isinstance(support, PolicyReturn):
        return random_tasks(rng, kind, tasks, size, width)
    mdp = random_process(rng, tasks, size, width, support.mdp.gamma, support.mdp.horizon)
    return PolicyReturn(mdp, support.policy, support.temperature)


def hessian(task: Any, theta: Array) -> Array:
    """∇²L(θ) as a matrix, one Hessian product per column; (..., d, d) for theta (d,)."""
    return np.moveaxis(np.stack([task.at(theta).hvp(e) for e in np.eye(task.dim)]), 0, -1)


def curvatures(task: Any, theta: Array) -> Array:
    """The eigenvalues of ∇²L(θ), (..., d)."""
    return np.linalg.eigvalsh(hessian(task, theta))


def largest_curvature(task: Any, theta: Array) -> float:
    """The largest ‖∇²L(θ)‖₂ of the tasks."""
    return float(np.max(np.abs(curvatures(task, theta))))
