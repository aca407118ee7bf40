"""The ends of a process: states that are declared, after which nothing follows.  Derivation: derivations/exact-policy-gradient.md"""

from typing import Any

import numpy as np

from refmeta.arrays import Array, as_flags, as_read_only, batch_shape, check_all, index_text

__all__ = ["as_ends", "check_ends_reached", "reaches_end"]


def as_ends(terminal: Any, P: Array, R: Array) -> Array:
    """The flags (..., S) of the states where the process ends; None declares no end.

    Raises
    ------
    ValueError
        For a wrong shape, or an end that is left or pays a reward; the message has the index.
    """
    states, batch = P.shape[-1], P.shape[:-3]
    flags = np.array(np.zeros(states, bool) if terminal is None else as_flags(terminal, "terminal"))
    if flags.shape[-1:] != (states,):
        raise ValueError(f"terminal has shape {flags.shape}, expected last axis {states} = the number of states")
    core = 3 if R.ndim >= P.ndim else 2
    batch_shape(terminal=flags.shape[:-1], P=batch, R=R.shape[: R.ndim - core])
    if flags.any():
        _check_zero("P", np.where(np.eye(states, dtype=bool)[:, None], 0, P), flags[..., None, None], "is never left")
        _check_zero("R", R, flags.reshape(*flags.shape, *[1] * (core - 1)), "pays nothing")
    return as_read_only(flags)


def _check_zero(name: str, array: Array, end: Array, what: str) -> None:
    """ValueError with the index unless the array is 0 in the rows of the ends."""
    array, end = np.broadcast_arrays(array, end)
    check_all(
        ~end | (array == 0),
        lambda i: (
            f"{name}{index_text(i)} is {array[i]:.6g}, expected 0: its state is an end in terminal=, and an end {what} "
            "(P = 1 for the end itself, R = 0)"
        ),
    )


def reaches_end(moves: Array, terminal: Array) -> Array:
    """The states that reach an end with a positive probability, (..., S); `moves` (..., S, S) are the possible steps."""
    reached = np.broadcast_to(terminal, np.broadcast_shapes(terminal.shape, moves.shape[:-1]))
    while True:
        further = reached | np.any(moves & reached[..., None, :], axis=-1)
        if np.array_equal(further, reached):
            return reached
        reached = further


def check_ends_reached(moves: Array, terminal: Array, why: str) -> None:
    """ValueError with the state unless every state reaches an end; `why` says who does not reach one."""
    check_all(
        reaches_end(moves, terminal),
        lambda i: (
            f"gamma = 1 without a horizon requires that an end is reached from every state; {why} from "
            f"state {i[-1]}{f' of task {index_text(i[:-1])}' if i[:-1] else ''}; give gamma < 1 or a horizon"
        ),
    )
