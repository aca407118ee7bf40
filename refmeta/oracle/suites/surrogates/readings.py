"""The states and actions that are read in a step.  Derivation: derivations/sampled-meta-gradients.md"""

from collections.abc import Callable

import numpy as np

from refmeta.arrays import Array

__all__ = ["READINGS"]


def _shifted(x: Array, by: int) -> Array:
    """Of the step before or the next one; at the end its own."""
    return np.concatenate([x[:, :, :1], x[:, :, :-1]] if by < 0 else [x[:, :, 1:], x[:, :, -1:]], axis=2)


def _turned(x: Array, size: int) -> Array:
    """The last first: of integers, or of the entries of rows."""
    return x[..., ::-1] if x.ndim == 4 else size - 1 - x


def _next(x: Array, size: int) -> Array:
    """One further: of integers, or of the entries of rows."""
    return np.roll(x, 1, axis=-1) if x.ndim == 4 else (x + 1) % size


READINGS: dict[str, Callable[[Array, Array, int, int], tuple[Array, Array]]] = {
    "own": lambda s, a, S, A: (s, a),
    "next state": lambda s, a, S, A: (_shifted(s, 1), a), "state before": lambda s, a, S, A: (_shifted(s, -1), a),
    "next action": lambda s, a, S, A: (s, _shifted(a, 1)), "action before": lambda s, a, S, A: (s, _shifted(a, -1)),
    "actions reversed": lambda s, a, S, A: (s, _turned(a, A)), "states reversed": lambda s, a, S, A: (_turned(s, S), a),
    "actions one further": lambda s, a, S, A: (s, _next(a, A)), "states one further": lambda s, a, S, A: (_next(s, S), a),
    "first state": lambda s, a, S, A: (s[:, :, :1] + 0 * s, a), "first trajectory": lambda s, a, S, A: (s[:, :1] + 0 * s, a[:, :1] + 0 * a),
    "first task": lambda s, a, S, A: (s[:1] + 0 * s, a[:1] + 0 * a),
}  # fmt: skip
