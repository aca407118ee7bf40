"""A step of an inner optimiser, in any arithmetic.  Derivation: derivations/maml.md

Every step is holomorphic where it has a derivative: with complex arrays it carries a derivative in its imaginary part.
Arrays are (..., N, d); what an optimiser remembers begins at 0.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from refmeta.arrays import Array

__all__ = ["Memory", "Optimiser", "Step", "descent"]


class Memory(NamedTuple):
    """The start of the path, its first gradient, two running means and the number of steps."""

    start: Any
    first: Any = None
    m: Any = 0.0
    v: Any = 0.0
    t: Any = 0.0


Step = Callable[[Memory, Array, Array, Array], tuple[Array, Memory]]  # memory, φ, g, α → φ, memory


class Optimiser(NamedTuple):
    """A step, whether its memory is kept between tasks, and what is not differentiated: "m" or "v" of earlier steps, the gradients "g"."""

    step: Step
    kept: bool = False
    detached: tuple[str, ...] = ()


def descent(memory: Memory, phi: Array, g: Array, alpha: Array) -> tuple[Array, Memory]:
    """φ − αg."""
    return phi - alpha * g, memory
