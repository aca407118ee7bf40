"""Transitions without an order, for contexts and replay buffers.  Derivation: derivations/pearl.md"""

from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from refmeta.arrays import (
    Array,
    as_array,
    as_count,
    as_flags,
    as_generator,
    as_integers,
    as_read_only,
    as_real,
    check_all,
    index_text,
)
from refmeta.policies import Softmax
from refmeta.sampling.rollout import as_horizon, as_process_parameters, finite_rollout, noisy_rewards
from refmeta.tasks.mdp import FiniteMDP

__all__ = [
    "Transitions", "as_transitions", "concatenation", "empty_transitions", "mean_weights", "newest_transitions",
    "sample_experience", "sample_prefix", "sample_transitions",
]  # fmt: skip


class Transitions(NamedTuple):
    """n transitions (s, a, r, s') per task, (..., n) each.

    `terminal` is True where s' is an end of the process.  `mask` is True where there is a transition: tasks may
    have different numbers of them, and entries where it is False are not read.
    """

    states: Any
    actions: Any
    rewards: Any
    following: Any
    terminal: Any
    mask: Any


def empty_transitions(shape: tuple[int, ...] = ()) -> Transitions:
    """No transition for any task of the batch axes `shape`."""
    empty = np.zeros((*shape, 0), np.intp)
    return Transitions(empty, empty, np.zeros(empty.shape), empty, empty.astype(bool), empty.astype(bool))


def as_transitions(transitions: Any, states: int, actions: int, name: str = "transitions") -> Transitions:
    """The transitions as read-only arrays, with zeros where there is no transition.

    Raises
    ------
    ValueError, TypeError
        For shapes that differ, a state or action that does not exist, a reward that is not finite.
    """
    if not isinstance(transitions, tuple) or len(transitions) != 6:
        raise TypeError(
            f"{name} must be Transitions(states, actions, rewards, following, terminal, mask), "
            f"got {type(transitions).__name__}"
        )
    states, actions = as_count(states, "states", least=1), as_count(actions, "actions", least=1)
    mask = as_flags(transitions[5], f"{name}.mask")
    if mask.ndim == 0:
        raise ValueError(f"{name}.mask is one flag, expected (..., n)")

    def where_present(value: Any, field: str) -> Array:
        array = as_array(value, f"{name}.{field}")
        if array.shape != mask.shape:
            raise ValueError(f"{name}.{field} has shape {array.shape}, expected {mask.shape} as the mask")
        if array.dtype.kind not in "biufc":
            raise TypeError(f"{name}.{field} must be numbers, got dtype {array.dtype}")
        return np.where(mask, array, np.zeros((), array.dtype))

    s, a, following = (
        as_integers(where_present(transitions[i], field), f"{name}.{field}", below=below)
        for i, field, below in ((0, "states", states), (1, "actions", actions), (3, "following", states))
    )
    rewards = as_real(where_present(transitions[2], "rewards"), f"{name}.rewards")
    terminal = as_flags(where_present(transitions[4], "terminal"), f"{name}.terminal")
    return Transitions(s, a, rewards, following, as_read_only(np.array(terminal)), as_read_only(np.array(mask)))


def sample_experience(
    mdp: FiniteMDP, policy: Softmax, theta: ArrayLike, *, episodes: int, horizon: int | None = None,
    reward_noise: ArrayLike = 0.0, rng: Generator | int | None = None,
) -> Transitions:  # fmt: skip
    """The transitions of `episodes` trajectories per task, of at most `horizon` steps; (..., episodes · horizon).

    They are sampled as in `refmeta.rollout`, with the noise of the rewards, and include the state after the last step.

    Raises
    ------
    ValueError, TypeError
        If `mdp` is not a `FiniteMDP`, the policy has another size, or the horizon is missing or not that of `mdp`.
    """
    if not isinstance(mdp, FiniteMDP) or not hasattr(policy, "logits"):
        kinds = f"{type(mdp).__name__} and {type(policy).__name__}"
        raise TypeError(f"transitions are sampled from a FiniteMDP under a softmax policy, got {kinds}")
    M, H, rng = as_count(episodes, "episodes", least=1), as_horizon(mdp, horizon), as_generator(rng)
    batch, after = finite_rollout(mdp, policy, as_process_parameters(mdp, policy, theta), M, H, rng)
    batch = batch._replace(rewards=noisy_rewards(batch.rewards, batch.mask, reward_noise, rng))
    flat = [x.reshape(*x.shape[:-2], M * H) for x in (*batch, after)]
    states, actions, rewards, mask, following = flat
    end = np.broadcast_to(mdp.terminal, (*mask.shape[:-1], mdp.states))
    terminal = np.take_along_axis(end, following, axis=-1) & mask
    return Transitions(states, actions, rewards, following, terminal, mask)


def concatenation(*batches: Transitions) -> Transitions:
    """The transitions of all batches, one batch after another."""
    return Transitions(*(np.concatenate(fields, axis=-1) for fields in zip(*batches, strict=True)))


def newest_transitions(batch: Transitions, most: int) -> Transitions:
    """The last `most` transitions of every task, in order, missing ones first; (..., most) or fewer."""
    order = np.argsort(~batch.mask[..., ::-1], axis=-1, kind="stable")[..., :most]
    chosen = batch.mask.shape[-1] - 1 - order[..., ::-1]
    return Transitions(*(np.take_along_axis(field, chosen, axis=-1) for field in batch))


def sample_transitions(batch: Transitions, n: int, rng: Generator) -> Transitions:
    """n transitions of every task, chosen uniformly with replacement; none for a task that has none."""
    number = np.sum(batch.mask, axis=-1, keepdims=True)
    place = (rng.random((*number.shape[:-1], n)) * number).astype(np.intp)
    chosen = np.take_along_axis(np.argsort(~batch.mask, axis=-1, kind="stable"), place, axis=-1)
    return Transitions(*(np.take_along_axis(field, chosen, axis=-1) for field in batch))


def sample_prefix(batch: Transitions, rng: Generator, fewest: int = 0) -> Transitions:
    """The first k transitions of every task, k uniform in `fewest` … n, where n counts missing transitions, too."""
    n = batch.mask.shape[-1]
    k = rng.integers(fewest, n + 1, (*batch.mask.shape[:-1], 1))
    return batch._replace(mask=batch.mask & (np.cumsum(batch.mask, axis=-1) <= k))


def mean_weights(batch: Transitions, name: str) -> Array:
    """Weights of a mean over transitions, (..., n): 1/number of a task's transitions, and 0 where there is none."""
    number = np.sum(batch.mask, axis=-1)
    check_all(number > 0, lambda i: f"task {index_text(i) or '()'} of {name} has no transition, expected at least one")
    return batch.mask / number[..., None]
