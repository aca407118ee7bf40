"""Steps that remember nothing: the gradient is clipped, scaled, or something is added to it.  Derivation: derivations/maml.md"""

from collections.abc import Callable

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.suites.maml.steps import Memory, Step

__all__ = ["FORGETTING", "FORGETTING_OF_NUMBERS"]


def _of_gradient(change: Callable[[Array], Array]) -> Step:
    """φ − α·change(g)."""
    return lambda memory, phi, g, alpha: (phi - alpha * change(g), memory)


def _plus(more: Callable[[Memory, Array, Array], Array]) -> Step:
    """φ − α(g + more of the memory, φ and g)."""
    return lambda memory, phi, g, alpha: (phi - alpha * (g + more(memory, phi, g)), memory)


def _norm(g: Array) -> Array:
    """‖g‖ of every row."""
    return np.sqrt(np.sum(g**2, axis=-1, keepdims=True))


def _root_mean_square(g: Array) -> Array:
    """√mean(g²) of every row."""
    return np.sqrt(np.mean(g**2, axis=-1, keepdims=True))


def _over_all(g: Array) -> Array:
    """The norm of all tasks' gradients together."""
    return np.sqrt(np.sum(g**2, axis=(-1, -2), keepdims=True))


def _clipped_by(size: Callable[[Array], Array], bound: float, held: bool = False) -> Step:
    """g, of a size of at most `bound`; the factor is a constant if it is held."""

    def change(g: Array) -> Array:
        norm = size(g).real if held else size(g)
        return g * np.where(norm.real > bound, bound / norm, 1.0)

    return _of_gradient(change)


def _clipped_by_value(bound: float) -> Step:
    """Every entry of g in [−bound, bound]."""
    return _of_gradient(lambda g: np.where(np.abs(g.real) > bound, bound * np.sign(g.real), g))


def _over(size: Callable[[Array], Array], more: float = 0.0, held: bool = False) -> Step:
    """g over its size plus a number."""
    return _of_gradient(lambda g: g / ((size(g).real if held else size(g)) + more))


def _size(g: Array) -> Array:
    """|g|, entry by entry."""
    return g * np.sign(g.real)


FORGETTING: dict[str, Step] = {
    "the gradient's sign": _of_gradient(lambda g: np.sign(g.real) + 0.0 * g),
    "the gradient over its norm": _over(_norm),
    "the gradient over its norm, which is held constant": _over(_norm, held=True),
    "the gradient over its root mean square": _over(_root_mean_square),
    "the gradient over its largest entry, which is held constant": _over(lambda g: np.max(np.abs(g.real), axis=-1, keepdims=True)),
    "the gradient over the norm of all tasks' gradients, held constant": _over(_over_all, held=True),
    "the gradient less its mean over the parameters": _of_gradient(lambda g: g - np.mean(g, axis=-1, keepdims=True)),
    "the gradient's mean over the parameters": _of_gradient(lambda g: np.mean(g, axis=-1, keepdims=True) + 0 * g),
    "the gradient's square": _of_gradient(lambda g: g**2),
    "tanh of the gradient": _of_gradient(np.tanh),
    "gradient clipped to norm 1": _clipped_by(_norm, 1.0),
    "gradient clipped to norm 1, its factor held constant": _clipped_by(_norm, 1.0, held=True),
    "gradient clipped to [-1, 1]": _clipped_by_value(1.0),
    "gradient clipped to norm 10": _clipped_by(_norm, 10.0),
    "gradient clipped to [-10, 10]": _clipped_by_value(10.0),
    "weight decay 0.01": _plus(lambda memory, phi, g: 0.01 * phi),
    "weight decay 0.0005": _plus(lambda memory, phi, g: 0.0005 * phi),
    "parameters shrunk by 0.01": lambda memory, phi, g, alpha: (0.99 * phi - alpha * g, memory),
}
FORGETTING_OF_NUMBERS: dict[str, Callable[[float], Step]] = {
    "gradient clipped to norm {}": lambda c: _clipped_by(_norm, c),
    "gradient clipped to norm {}, its factor held constant": lambda c: _clipped_by(_norm, c, held=True),
    "gradient clipped to plus or minus {}": _clipped_by_value,
    "all tasks' gradients clipped to norm {}, the factor held constant": lambda c: _clipped_by(_over_all, c, held=True),
    "the gradient over its norm plus {}": lambda c: _over(_norm, c),
    "the gradient over its size plus {}": lambda c: _over(_size, c),
    "weight decay {}": lambda c: _plus(lambda memory, phi, g: c * phi),
    "weight decay {}, not differentiated": lambda c: _plus(lambda memory, phi, g: c * phi.real),
    "parameters shrunk by {}": lambda c: lambda memory, phi, g, alpha: ((1 - c) * phi - alpha * g, memory),
    "a pull back to theta of {}": lambda c: _plus(lambda memory, phi, g: c * (phi - memory.start)),
    "a pull back to theta of {}, theta held constant": lambda c: _plus(lambda memory, phi, g: c * (phi - memory.start.real)),
    "a pull to the sign of {}": lambda c: _plus(lambda memory, phi, g: c * np.sign(phi.real)),
    "a constant of {} added to the gradient": lambda c: _plus(lambda memory, phi, g: c + 0 * g),
}
