"""Inner optimisers that are used instead of plain descent, as steps in any arithmetic.  Derivation: derivations/maml.md

Every step is holomorphic where it has a derivative: with complex arrays it carries a derivative in its imaginary part.
Arrays are (..., N, d); what an optimiser remembers begins at 0.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array

__all__ = ["OPTIMISERS", "Memory", "Optimiser", "Step", "descent"]


class Memory(NamedTuple):
    """The start of the path, its first gradient, two running means and the number of steps."""

    start: Any
    first: Any = None
    m: Any = 0.0
    v: Any = 0.0
    t: Any = 0.0


Step = Callable[[Memory, Array, Array, Array], tuple[Array, Memory]]  # memory, φ, g, α → φ, memory


class Optimiser(NamedTuple):
    """A step, whether its memory is kept between tasks, and whether that memory is differentiated."""

    step: Step
    kept: bool = False
    detached: bool = False


def descent(memory: Memory, phi: Array, g: Array, alpha: Array) -> tuple[Array, Memory]:
    """φ − αg."""
    return phi - alpha * g, memory


def _from_start(memory: Memory, phi: Array, g: Array, alpha: Array) -> tuple[Array, Memory]:
    """θ − αg."""
    return memory.start - alpha * g, memory


def _first_gradient(memory: Memory, phi: Array, g: Array, alpha: Array) -> tuple[Array, Memory]:
    """φ − α∇L(θ)."""
    first = g if memory.first is None else memory.first
    return phi - alpha * first, memory._replace(first=first)


def _momentum(rate: float, new: float = 1.0, ahead: bool = False) -> Step:
    """m ← rate·m + new·g, φ − αm; with `ahead` φ − α(g + rate·m)."""

    def step(memory: Memory, phi: Array, g: Array, alpha: Array) -> tuple[Array, Memory]:
        m = rate * memory.m + new * g
        return phi - alpha * (g + rate * m if ahead else m), memory._replace(m=m)

    return step


def _adam(corrected: bool) -> Step:
    """m ← 0.9m + 0.1g, v ← 0.999v + 0.001g², φ − α m̂/(√v̂ + 10⁻⁸), m̂ = m/(1 − 0.9ᵗ), v̂ = v/(1 − 0.999ᵗ) or m and v."""

    def step(memory: Memory, phi: Array, g: Array, alpha: Array) -> tuple[Array, Memory]:
        m, v, t = 0.9 * memory.m + 0.1 * g, 0.999 * memory.v + 0.001 * g**2, memory.t + 1.0
        of_m, of_v = (1 - 0.9**t, 1 - 0.999**t) if corrected else (1.0, 1.0)
        return phi - alpha * m / of_m / (np.sqrt(v / of_v) + 1e-8), memory._replace(m=m, v=v, t=t)

    return step


def _scaled(keep: float, new: float, outside: float, inside: float = 0.0) -> Step:
    """v ← keep·v + new·g², φ − αg/(√(v + inside) + outside)."""

    def step(memory: Memory, phi: Array, g: Array, alpha: Array) -> tuple[Array, Memory]:
        v = keep * memory.v + new * g**2
        return phi - alpha * g / (np.sqrt(v + inside) + outside), memory._replace(v=v)

    return step


def _of_gradient(change: Callable[[Array], Array]) -> Step:
    """φ − α·change(g)."""
    return lambda memory, phi, g, alpha: (phi - alpha * change(g), memory)


def _decayed(rate: float) -> Step:
    """φ − α(g + rate·φ)."""
    return lambda memory, phi, g, alpha: (phi - alpha * (g + rate * phi), memory)


def _norm(g: Array) -> Array:
    """‖g‖ of every row."""
    return np.sqrt(np.sum(g**2, axis=-1, keepdims=True))


def _clipped_by_norm(bound: float) -> Callable[[Array], Array]:
    """g, of norm at most `bound`."""
    return lambda g: g * np.where(_norm(g).real > bound, bound / _norm(g), 1.0)


def _clipped_by_value(bound: float) -> Callable[[Array], Array]:
    """Every entry of g in [−bound, bound]."""
    return lambda g: np.where(np.abs(g.real) > bound, bound * np.sign(g.real), g)


def _normalised(g: Array) -> Array:
    """g/‖g‖."""
    return g / _norm(g)


REMEMBERING: dict[str, Step] = {
    "gradients accumulated over the steps": _momentum(1.0),
    "momentum 0.9": _momentum(0.9),
    "momentum 0.9 as a running mean": _momentum(0.9, 0.1),
    "Nesterov's momentum 0.9": _momentum(0.9, ahead=True),
    "Adam": _adam(corrected=True),
    "Adam without bias correction": _adam(corrected=False),
    "RMSProp (0.99)": _scaled(0.99, 0.01, 1e-8),
    "RMSProp (0.9)": _scaled(0.9, 0.1, 0.0, 1e-8),
    "Adagrad": _scaled(1.0, 1.0, 1e-10),
}
FORGETTING: dict[str, Step] = {
"every step from theta": _from_start,
    "the gradient at theta in every step": _first_gradient,
    "the gradient's sign": _of_gradient(lambda g: np.sign(g.real) + 0.0 * g),
    "the gradient over its norm": _of_gradient(_normalised),
    "gradient clipped to norm 1": _of_gradient(_clipped_by_norm(1.0)),
    "gradient clipped to [-1, 1]": _of_gradient(_clipped_by_value(1.0)),
    "gradient clipped to norm 10": _of_gradient(_clipped_by_norm(10.0)),
    "gradient clipped to [-10, 10]": _of_gradient(_clipped_by_value(10.0)),
    "weight decay 0.01": _decayed(0.01),
    "weight decay 0.0005": _decayed(0.0005),
    "parameters shrunk by 0.01": lambda memory, phi, g, alpha: (0.99 * phi - alpha * g, memory),
}
OPTIMISERS: dict[str, Optimiser | None] = {
    "gradient descent": None,
    **{words: Optimiser(step) for words, step in (REMEMBERING | FORGETTING).items()},
    **{f"{words}, never reset between tasks": Optimiser(step, kept=True) for words, step in REMEMBERING.items()},
    **{f"{words}, its memory not differentiated": Optimiser(step, detached=True) for words, step in REMEMBERING.items()},
}
