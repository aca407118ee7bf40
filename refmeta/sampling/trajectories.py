"""A batch of trajectories and its checks.  Derivation: derivations/sampled-policy-gradients.md"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from refmeta.arrays import (
    Array,
    as_array,
    as_flags,
    as_integers,
    as_numbers,
    as_parameters,
    as_read_only,
    as_real,
    batch_shape,
    check_all,
    index_text,
)
from refmeta.policies import LinearSoftmax, TabularSoftmax
from refmeta.policies.linear_gaussian import LinearGaussian

__all__ = ["Policy", "Trajectories", "as_policy", "as_policy_parameters", "as_trajectories", "discounts", "joint_batch"]

Policy = TabularSoftmax | LinearSoftmax | LinearGaussian


def as_policy(policy: Policy) -> Policy:
    """The policy; TypeError unless it is one of the three."""
    if not isinstance(policy, Policy):
        raise TypeError(
            f"policy must be a TabularSoftmax, LinearSoftmax or LinearGaussian, got {type(policy).__name__}"
        )
    return policy


class Trajectories(NamedTuple):
    """M trajectories per task, of at most H steps.

    states : (..., M, H), or (..., M, H, n) for a linear-Gaussian policy
        The state in which each action was taken.
    actions : (..., M, H), or (..., M, H, m)
    rewards : (..., M, H)
    mask : (..., M, H)
        True where a step was taken.  After its end a trajectory has no further step; entries there are not read.
    """

    states: Any
    actions: Any
    rewards: Any
    mask: Any


def as_trajectories(trajectories: Any, policy: Policy | None = None) -> Trajectories:
    """The trajectories as read-only arrays, zero after the end; with a policy, states and actions must be its own.

    Raises
    ------
    ValueError, TypeError
        For shapes that do not match, a step after the end, or a state or action that the policy does not have.
    """
    if not isinstance(trajectories, tuple) or len(trajectories) != 4:
        raise TypeError(
            f"trajectories must be Trajectories(states, actions, rewards, mask), got {type(trajectories).__name__}"
        )
    mask = as_flags(trajectories[3], "mask")
    if mask.ndim < 2 or 0 in mask.shape[-2:]:
        raise ValueError(f"mask has shape {mask.shape}, expected (..., M, H), at least one trajectory of one step")
    check_all(
        mask[..., 1:] <= mask[..., :-1],
        lambda i: f"mask{index_text((*i[:-1], i[-1] + 1))} is True after the end of its trajectory: it must stay False",
    )
    rewards = as_real(_zero_after_end(trajectories[2], mask, 0, "rewards"), "rewards")
    states, actions = (_as_steps(trajectories[i], mask, policy, name) for i, name in ((0, "states"), (1, "actions")))
    return Trajectories(states, actions, rewards, as_read_only(np.array(mask)))


def _zero_after_end(value: Any, mask: Array, core: int, name: str) -> Array:
    """The array with zeros where the mask is False; it has the axes of the mask and `core` more."""
    array = as_array(value, name)
    if array.dtype.kind not in "iufc":
        raise TypeError(f"{name} must be numbers, got dtype {array.dtype}")
    if array.ndim != mask.ndim + core or array.shape[: mask.ndim] != mask.shape:
        raise ValueError(f"{name} has shape {array.shape}, expected {mask.shape}{' + (n,)' * core} as the mask's")
    if mask.all():
        return np.array(array)
    return np.where(mask.reshape(mask.shape + (1,) * core), array, np.zeros((), array.dtype))


def _as_steps(value: Any, mask: Array, policy: Policy | None, name: str) -> Array:
    """States or actions of the kind that the policy needs."""
    if policy is None:
        core = int(as_array(value, name).ndim > mask.ndim)
        array = as_numbers(_zero_after_end(value, mask, core, name), name)
        check_all(np.isfinite(array), lambda i: f"{name}{index_text(i)} is {array[i]}; every number must be finite")
        return array
    most = getattr(as_policy(policy), name)
    if not isinstance(policy, LinearGaussian):
        return as_integers(_zero_after_end(value, mask, 0, name), name, below=most)
    array = as_real(_zero_after_end(value, mask, 1, name), name)
    if array.shape[-1] != most:
        raise ValueError(f"{name} has shape {array.shape}, expected last axis {most} as the policy's")
    return array


def discounts(mask: Array, gamma: float) -> Array:
    """γᵗ at every step, and 0 after the end; (..., M, H)."""
    return gamma ** np.arange(mask.shape[-1]) * mask


def as_policy_parameters(policy: Policy, theta: ArrayLike, name: str = "theta") -> Array:
    """Parameters (..., d) of the policy, which is checked, too."""
    return as_parameters(theta, name, dim=as_policy(policy).dim, why=policy.why)


def joint_batch(policy: Policy, theta: Array, trajectories: Trajectories) -> tuple[int, ...]:
    """The shape that the batch axes of policy, parameters and trajectories broadcast to."""
    return batch_shape(theta=theta.shape[:-1], policy=policy.shape, trajectories=trajectories.rewards.shape[:-2])
