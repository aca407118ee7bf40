"""Sampling trajectories, of all tasks and episodes at once.  Derivation: derivations/sampled-policy-gradients.md"""

import math
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from refmeta.arrays import Array, as_count, as_generator, as_real, batch_shape, check_all, check_finite, index_text
from refmeta.policies.linear_gaussian import LinearGaussian
from refmeta.sampling.trajectories import Policy, Trajectories, as_policy, as_policy_parameters
from refmeta.softmax import softmax
from refmeta.tasks.lq import LinearQuadratic
from refmeta.tasks.mdp import FiniteMDP

__all__ = [
    "as_horizon", "as_process_parameters", "as_reward_noise", "finite_rollout", "noisy_rewards", "rollout",
]  # fmt: skip


def rollout(
    mdp: FiniteMDP | LinearQuadratic,
    policy: Policy,
    theta: ArrayLike,
    *,
    episodes: int,
    horizon: int | None = None,
    reward_noise: ArrayLike = 0.0,
    rng: Generator | int | None = None,
) -> Trajectories:
    """`episodes` trajectories per task, of at most `horizon` steps (default: the horizon of the process); (..., M, H).

    Batch axes of theta, process and policy broadcast.  A reward R[s, a, s'] is that of the sampled s'.  On a finite
    process a trajectory ends when it reaches a state in `mdp.terminal`.  On a `LinearQuadratic`, start and
    noise are Gaussian with its second moments, and the reward is minus the cost.

    Every reward gets Gaussian noise with standard deviation `reward_noise`, one number or one per task.  It is sampled
    last, so that states and actions of a seed do not depend on it.

    Raises
    ------
    ValueError, TypeError
        For a policy of another size or kind, a horizon that is missing or not that of the process, complex parameters,
        a noise that is negative or not one per task.
    FloatingPointError
        If a state, an action or a reward leaves the finite numbers.
    """
    as_policy(policy)
    sample: Any = {FiniteMDP: _finite_trajectories, LinearQuadratic: _lq_trajectories}.get(type(mdp))
    if sample is None or isinstance(mdp, FiniteMDP) == isinstance(policy, LinearGaussian):
        kinds = f"{type(mdp).__name__} and {type(policy).__name__}"
        raise TypeError(
            f"rollout takes a FiniteMDP and a softmax policy, or a LinearQuadratic and a LinearGaussian, got {kinds}"
        )
    theta = as_process_parameters(mdp, policy, theta)
    M, H, rng = as_count(episodes, "episodes", least=1), as_horizon(mdp, horizon), as_generator(rng)
    batch = sample(mdp, policy, theta, M, H, rng)
    return batch._replace(rewards=noisy_rewards(batch.rewards, batch.mask, reward_noise, rng))


def as_reward_noise(value: ArrayLike, shape: tuple[int, ...]) -> Array:
    """Standard deviations of rewards, at least 0, that broadcast to the batch axes `shape` of the tasks."""
    sigma = as_real(value, "reward_noise")
    if batch_shape(reward_noise=sigma.shape, tasks=shape) != shape:
        raise ValueError(f"reward_noise has shape {sigma.shape}, expected one number or one per task, {shape}")
    check_all(sigma >= 0, lambda i: f"reward_noise{index_text(i)} must be at least 0, got {sigma[i]}")
    return sigma


def noisy_rewards(rewards: Array, mask: Array, reward_noise: ArrayLike, rng: Generator) -> Array:
    """r + σ N(0, 1) at every step that was taken, (..., M, H); the same rewards if every σ is 0."""
    sigma = as_reward_noise(reward_noise, rewards.shape[:-2])
    if not np.any(sigma):
        return rewards
    with np.errstate(over="ignore"):
        noise = sigma[..., None, None] * rng.normal(size=rewards.shape)
        return check_finite(rewards + np.where(mask, noise, 0), "a reward and its noise left the finite numbers")


def as_process_parameters(mdp: Any, policy: Policy, theta: ArrayLike) -> Array:
    """Real parameters (..., d) of a policy with the numbers of states and actions of the process."""
    if not isinstance(mdp, FiniteMDP | LinearQuadratic):
        raise TypeError(f"mdp must be a FiniteMDP or a LinearQuadratic, got {type(mdp).__name__}")
    required, got = ((x.states, x.actions) for x in (mdp, as_policy(policy)))
    if required != got:
        raise ValueError(f"policy has (states, actions) = {got}, expected {required} as in the process")
    theta = as_real(as_policy_parameters(policy, theta), "theta")
    batch_shape(theta=theta.shape[:-1], mdp=mdp.shape, policy=policy.shape)
    return theta


def as_horizon(mdp: Any, horizon: int | None) -> int:
    """The number of steps: `horizon`, or that of the process, from which it must not differ."""
    H = mdp.horizon if horizon is None else as_count(horizon, "horizon", least=1)
    if H is None:
        raise ValueError("horizon is required: the process has none; give horizon=, the number of steps")
    if mdp.horizon not in (None, H):
        raise ValueError(f"horizon must be {mdp.horizon} as that of the process, got {H}")
    return int(H)


def _cumulative(p: Array) -> Array:
    """Σ_{j≤i} p_j of every row of probabilities, without the last entry, which is 1; (..., n - 1)."""
    total = np.cumsum(p, axis=-1)
    return total[..., :-1] / total[..., -1:]


def _category(cumulative: Array, u: Array) -> Array:
    """The index i with cumulative probability P_{i−1} ≤ u < P_i, for each uniform number u (...)."""
    return np.sum(u[..., None] >= cumulative, axis=-1)


def finite_rollout(
    mdp: FiniteMDP, policy: Any, theta: Array, M: int, H: int, rng: Generator
) -> tuple[Trajectories, Array]:
    """The trajectories, and the state after every step, (..., M, H)."""
    pi = softmax(policy.table(theta))
    batch = np.broadcast_shapes(pi.shape[:-2], mdp.shape)
    core = 3 if mdp.R.ndim >= mdp.P.ndim else 2

    tasks = math.prod(batch)

    def rows(array: Array, axes: int) -> Array:
        """The array with one axis of tasks before its last `axes` axes."""
        core = array.shape[array.ndim - axes :]
        return np.broadcast_to(array, batch + core).reshape(tasks, *core)

    pi, P, rho = rows(_cumulative(pi), 2), rows(_cumulative(mdp.P), 3), rows(_cumulative(mdp.rho), 1)
    R, over = rows(mdp.R, core), rows(mdp.terminal, 1)
    task, size = np.arange(tasks)[:, None], (tasks, M)
    states, actions, after = np.zeros((3, *size, H), np.intp)
    rewards, mask = np.zeros((*size, H)), np.ones((*size, H), bool)
    s = _category(rho[:, None], rng.random(size))
    for t in range(H):
        alive = ~over[task, s]
        a = _category(pi[task, s], rng.random(size)) * alive
        following = _category(P[task, s, a], rng.random(size))
        states[..., t], actions[..., t], after[..., t], mask[..., t] = s, a, following, alive
        rewards[..., t] = R[task, s, a, following] if core == 3 else R[task, s, a]
        s = following
    shaped = [x.reshape(*batch, M, H) for x in (states, actions, rewards, mask, after)]
    return Trajectories(*shaped[:4]), shaped[4]


def _finite_trajectories(*arguments: Any) -> Trajectories:
    """The trajectories of `finite_rollout` alone."""
    return finite_rollout(*arguments)[0]


def _root(S: Array) -> Array:
    """L with L Lᵀ = S, for a symmetric positive semi-definite S."""
    values, vectors = np.linalg.eigh(S)
    return vectors * np.sqrt(np.maximum(values, 0))[..., None, :]


@np.errstate(all="ignore")
def _lq_trajectories(lq: LinearQuadratic, policy: Any, theta: Array, M: int, H: int, rng: Generator) -> Trajectories:
    """Trajectories of a linear-quadratic system under a linear-Gaussian policy."""
    batch, n, m = np.broadcast_shapes(theta.shape[:-1], lq.shape), lq.states, lq.actions

    def along(matrix: Array, x: Array) -> Array:
        """matrix x for every episode."""
        return x @ matrix.swapaxes(-1, -2)

    K, deviation = policy.gain(theta), np.exp(policy.log_deviation(theta))[..., None, :]
    mean = lq.start[..., -1]
    spread, noise = _root(lq.start - mean[..., :, None] * mean[..., None, :]), _root(lq.noise)
    x = mean[..., None, :] + along(spread, rng.normal(size=(*batch, M, n)))
    states, actions, rewards = np.zeros((*batch, M, H, n)), np.zeros((*batch, M, H, m)), np.zeros((*batch, M, H))
    for t in range(H):
        a = along(K, x) + deviation * rng.normal(size=(*batch, M, m))
        states[..., t, :], actions[..., t, :] = x, a
        rewards[..., t] = -np.sum(x * along(lq.Q, x), axis=-1) - np.sum(a * along(lq.R, a), axis=-1)
        x = along(lq.A, x) + along(lq.B, a) + along(noise, rng.normal(size=(*batch, M, n)))
    for name, array in (("states", states), ("actions", actions), ("rewards", rewards)):
        check_finite(array, f"the {name} left the finite numbers: the gain or the deviation in theta is too large")
    return Trajectories(states, actions, rewards, np.ones(rewards.shape, bool))
