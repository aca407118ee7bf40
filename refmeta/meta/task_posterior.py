"""The exact posterior over a finite set of tasks, and Thompson sampling from it.  Derivation: derivations/pearl.md"""

from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from refmeta.arrays import Array, as_real, as_real_scalar, check_all, finite_result, index_text
from refmeta.meta.posterior_sampling import Adapted, posterior_sampling
from refmeta.sampling.transitions import Transitions, as_transitions
from refmeta.softmax import softmax
from refmeta.tasks.exact_return import PolicyReturn
from refmeta.tasks.mdp import FiniteMDP
from refmeta.tasks.planning import optimal_values

__all__ = ["check_tasks", "entropy", "log_likelihood", "optimal_plans", "task_posterior", "thompson_sampling"]

CERTAIN = 1000.0


def log_likelihood(tasks: FiniteMDP, context: Transitions, reward_noise: float = 0.0) -> Array:
    """Σ log P_i(s'|s, a) p_i(r|s, a, s') over a context (..., n), up to a constant; (..., N) for N tasks.

    The reward of (s, a, s') is R_i[s, a, s'] or R_i[s, a], as in `refmeta.rollout`.  With noise, p_i is the density of
    N(R_i, reward_noise²).  Without noise p_i is 1 where the reward is exactly R_i, else 0.
    """
    check_tasks(tasks)
    sigma = as_real_scalar(reward_noise, "reward_noise", least=0)
    s, a, r, following, _, mask = as_transitions(context, tasks.states, tasks.actions, "context")
    P = np.broadcast_to(tasks.P, (*tasks.shape, *tasks.P.shape[-3:]))
    core = tasks.R.shape[-3:] if tasks.R.ndim >= tasks.P.ndim else tasks.R.shape[-2:]
    R = np.broadcast_to(tasks.R, (*tasks.shape, *core))
    rewards = R[..., s, a] if len(core) == 2 else R[..., s, a, following]
    with np.errstate(divide="ignore", over="ignore"):
        log_p = np.log(P[..., s, a, following])
        log_p = log_p - ((r - rewards) / sigma) ** 2 / 2 if sigma else np.where(rewards == r, log_p, -np.inf)
    return np.moveaxis(np.sum(np.where(mask, log_p, 0), axis=-1), 0, -1)


@finite_result
def task_posterior(
    tasks: FiniteMDP, context: Transitions, prior: ArrayLike | None = None, *, reward_noise: float = 0.0
) -> Array:
    """p(i | c) ∝ p(i) ∏ P_i(s'|s, a) 1[r = R_i(s, a, s')], (..., N), for a context (..., n); the prior is (N,).

    Eq: task-posterior

    The default prior is uniform.  With `reward_noise` σ > 0 the density of N(R_i(s, a, s'), σ²) at r replaces
    1[r = R_i(s, a, s')].

    Raises
    ------
    ValueError, TypeError
        If the tasks are not a batch (N,), the prior has another shape or is not probabilities, or no task can have
        produced the context.
    """
    log_p = log_likelihood(tasks, context, reward_noise)
    if prior is not None:
        p = as_real(prior, "prior")
        if p.shape != tasks.shape or not (np.all(p >= 0) and abs(np.sum(p) - 1) <= 1e-12):
            raise ValueError(
                f"prior must be {tasks.shape[0]} probabilities, got shape {p.shape} with sum {np.sum(p):.16g}"
            )
        with np.errstate(divide="ignore"):
            log_p = log_p + np.log(p)
    check_all(
        np.any(log_p > -np.inf, axis=-1),
        lambda i: f"no task can have produced the context of task {index_text(i) or '()'}",
    )
    return softmax(log_p)


def check_tasks(tasks: FiniteMDP) -> None:
    """TypeError or ValueError unless `tasks` is a batch (N,) of processes."""
    if not isinstance(tasks, FiniteMDP):
        raise TypeError(f"tasks must be a FiniteMDP of N tasks, got {type(tasks).__name__}")
    if len(tasks.shape) != 1:
        raise ValueError(f"tasks must be a FiniteMDP of N tasks, shape (N,), got shape {tasks.shape}")


def entropy(p: Array) -> Array:
    """−Σ p log p over the last axis, in nats."""
    return -np.sum(np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0), axis=-1)


def optimal_plans(tasks: FiniteMDP) -> Array:
    """The optimal stationary policy of each task as tabular logits, 1000 for the best action and 0 else; (N, S·A).

    Raises
    ------
    ValueError
        For tasks with a horizon, whose optimal policy depends on time.
    """
    check_tasks(tasks)
    if tasks.horizon is not None:
        raise ValueError(
            f"tasks have a horizon of {tasks.horizon}: their optimal policy depends on time; give your own plans"
        )
    chosen = np.eye(tasks.actions)[optimal_values(tasks).action]
    return CERTAIN * chosen.reshape(*tasks.shape, -1)


def thompson_sampling(
    task: PolicyReturn, tasks: FiniteMDP, plans: ArrayLike, *, prior: ArrayLike | None = None, episodes: int,
    horizon: int | None = None, reward_noise: float = 0.0, rng: Generator | int | None = None,
) -> Adapted:  # fmt: skip
    """Sample one of N `tasks` from the exact posterior, act by its plan, update the posterior, repeat.

    Eq: posterior-sampling

    Parameters and results are those of `posterior_sampling`, but `reward_noise` is one number for all tasks.  `plans`
    (N, d) has the parameters of the policy for each task.  A belief is `task_posterior`.  Errors are those of
    `task_posterior`, and ValueError unless there is one plan per task.

    It is a yardstick, not an upper bound: it knows the tasks and how to act in each, but does not explore on purpose.
    """
    check_tasks(tasks)
    plans = as_real(plans, "plans")
    if plans.ndim != 2 or len(plans) != tasks.shape[0]:
        raise ValueError(f"plans has shape {plans.shape}, expected ({tasks.shape[0]}, d): one policy per task")

    def act(p: Array, rng: Generator) -> Array:
        below = np.cumsum(p, axis=-1)
        return plans[np.sum(rng.random(p.shape[:-1])[..., None] * below[..., -1:] >= below[..., :-1], axis=-1)]

    infer = lambda context: task_posterior(tasks, context, prior, reward_noise=reward_noise)
    options: dict[str, Any] = {"episodes": episodes, "horizon": horizon, "reward_noise": reward_noise, "rng": rng}
    return posterior_sampling(task, infer, act, **options)
