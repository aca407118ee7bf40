"""Transitions out of their order: what a context and a replay buffer hold.  Derivation: derivations/pearl.md"""

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
from refmeta.sampling.rollout import as_horizon, as_process_parameters, end_states, finite_rollout, noisy_rewards
from refmeta.tasks.mdp import FiniteMDP

__all__ = [
    "Transitions", "as_transitions", "concatenation", "empty_transitions", "mean_weights", "newest_transitions",
    "sample_experience", "sample_prefix", "sample_transitions",
]  # fmt: skip


class Transitions(NamedTuple):
    """n transitions (s, a, r, s') a task, (..., n) each.

    `terminal` is True where s' is never left and pays nothing, `mask` where there is a transition at all: tasks may have
    different numbers of them.  What stands where the mask is False is not read.
    """

    states: Any
    actions: Any
    rewards: Any
    following: Any
    terminal: Any
    mask: Any


def empty_transitions(shape: tuple[int, ...] = ()) -> Transitions:
    """No transition, for every task of the batch axes `shape`."""
    empty = np.zeros((*shape, 0), np.intp)
    return Transitions(empty, empty, np.zeros(empty.shape), empty, empty.astype(bool), empty.astype(bool))


def as_transitions(transitions: Any, states: int, actions: int, name: str = "transitions") -> Transitions:
    """The transitions as read-only arrays, zero where there is none.

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

    def where(value: Any, field: str) -> Array:
        array = as_array(value, f"{name}.{field}")
        if array.shape != mask.shape:
            raise ValueError(f"{name}.{field} has shape {array.shape}, expected {mask.shape} as the mask")
        if array.dtype.kind not in "biufc":
            raise TypeError(f"{name}.{field} must be numbers, got dtype {array.dtype}")
        return np.where(mask, array, np.zeros((), array.dtype))

    s, a, following = (
        as_integers(where(transitions[i], field), f"{name}.{field}", below=below)
        for i, field, below in ((0, "states", states), (1, "actions", actions), (3, "following", states))
    )
    rewards = as_real(where(transitions[2], "rewards"), f"{name}.rewards")
    terminal = as_flags(where(transitions[4], "terminal"), f"{name}.terminal")
    return Transitions(s, a, rewards, following, as_read_only(np.array(terminal)), as_read_only(np.array(mask)))


def sample_experience(
    mdp: FiniteMDP, policy: Softmax, theta: ArrayLike, *, episodes: int, horizon: int | None = None,
    reward_noise: ArrayLike = 0.0, rng: Generator | int | None = None,
) -> Transitions:  # fmt: skip
    """The transitions of `episodes` trajectories a task, of at most `horizon` steps; (..., episodes · horizon).

    Sampled as by `refmeta.rollout`, noise of the rewards included, with the state after the last step kept, too.

    Raises
    ------
    ValueError, TypeError
        For something else than a `FiniteMDP`, a policy of another size, a horizon that is missing or not the process's.
    """
    if not isinstance(mdp, FiniteMDP) or not hasattr(policy, "logits"):
        kinds = f"{type(mdp).__name__} and {type(policy).__name__}"
        raise TypeError(f"transitions are of a FiniteMDP under a softmax policy, got {kinds}")
    M, H, rng = as_count(episodes, "episodes", least=1), as_horizon(mdp, horizon), as_generator(rng)
    batch, after = finite_rollout(mdp, policy, as_process_parameters(mdp, policy, theta), M, H, rng)
    batch = batch._replace(rewards=noisy_rewards(batch.rewards, batch.mask, reward_noise, rng))
    flat = [x.reshape(*x.shape[:-2], M * H) for x in (*batch, after)]
    states, actions, rewards, mask, following = flat
    end = np.broadcast_to(end_states(mdp), (*mask.shape[:-1], mdp.states))
    terminal = np.take_along_axis(end, following, axis=-1) & mask
    return Transitions(states, actions, rewards, following, terminal, mask)


def concatenation(*batches: Transitions) -> Transitions:
    """The transitions of all batches, one batch after another."""
    return Transitions(*(np.concatenate(parts, axis=-1) for parts in zip(*batches, strict=True)))


def newest_transitions(batch: Transitions, most: int) -> Transitions:
    """The last `most` transitions of every task, in their order and after what is missing; (..., most) or fewer."""
    order = np.argsort(~batch.mask[..., ::-1], axis=-1, kind="stable")[..., :most]
    chosen = batch.mask.shape[-1] - 1 - order[..., ::-1]
    return Transitions(*(np.take_along_axis(part, chosen, axis=-1) for part in batch))


def sample_transitions(batch: Transitions, n: int, rng: Generator) -> Transitions:
    """n transitions of every task, drawn uniformly and independently from those that are there; none where none is."""
    there = np.sum(batch.mask, axis=-1, keepdims=True)
    which = (rng.random((*there.shape[:-1], n)) * there).astype(np.intp)
    chosen = np.take_along_axis(np.argsort(~batch.mask, axis=-1, kind="stable"), which, axis=-1)
    return Transitions(*(np.take_along_axis(part, chosen, axis=-1) for part in batch))


def sample_prefix(batch: Transitions, rng: Generator, fewest: int = 0) -> Transitions:
    """Of every task's transitions the first k that are there, k uniform in `fewest` … n, the number of places."""
    n = batch.mask.shape[-1]
    k = rng.integers(fewest, n + 1, (*batch.mask.shape[:-1], 1))
    return batch._replace(mask=batch.mask & (np.cumsum(batch.mask, axis=-1) <= k))


def mean_weights(batch: Transitions, name: str) -> Array:
    """1/n for each of the n transitions of a task that are there, 0 else; (..., n).  A task must have one."""
    there = np.sum(batch.mask, axis=-1)
    check_all(there > 0, lambda i: f"task {index_text(i) or '()'} of {name} has no transition, expected at least one")
    return batch.mask / there[..., None]
