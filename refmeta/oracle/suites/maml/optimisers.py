"""Inner optimisers that are used instead of plain descent.  Derivation: derivations/maml.md"""

from collections.abc import Callable

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.suites.maml.directions import FORGETTING, FORGETTING_OF_NUMBERS
from refmeta.oracle.suites.maml.steps import Memory, Optimiser, Step

__all__ = ["OF_NUMBERS", "OPTIMISERS", "adam", "decoupled", "heavy_ball", "momentum", "scaled"]


def _from_start(memory: Memory, phi: Array, g: Array, alpha: Array) -> tuple[Array, Memory]:
    """θ − αg."""
    return memory.start - alpha * g, memory


def _first_gradient(memory: Memory, phi: Array, g: Array, alpha: Array) -> tuple[Array, Memory]:
    """φ − α∇L(θ)."""
    first = g if memory.first is None else memory.first
    return phi - alpha * first, memory._replace(first=first)


def momentum(rate: float, new: float = 1.0, ahead: bool = False) -> Step:
    """m ← rate·m + new·g, φ − αm; with `ahead` φ − α(g + rate·m)."""

    def step(memory: Memory, phi: Array, g: Array, alpha: Array) -> tuple[Array, Memory]:
        m = rate * memory.m + new * g
        return phi - alpha * (g + rate * m if ahead else m), memory._replace(m=m)

    return step


def heavy_ball(rate: float) -> Step:
    """m ← rate·m + αg, φ − m."""

    def step(memory: Memory, phi: Array, g: Array, alpha: Array) -> tuple[Array, Memory]:
        m = rate * memory.m + alpha * g
        return phi - m, memory._replace(m=m)

    return step


def adam(corrected: bool = True, first: float = 0.9, second: float = 0.999, outside: float = 1e-8, hat: bool = False) -> Step:
    """m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g², φ − α m̂/(√v̂ + ε), m̂ = m/(1 − β₁ᵗ), v̂ = v/(1 − β₂ᵗ) or m and v.

    With `hat` ε stands beside √v, as TensorFlow's: ε/√(1 − β₂ᵗ) beside √v̂.
    """

    def step(memory: Memory, phi: Array, g: Array, alpha: Array) -> tuple[Array, Memory]:
        m, v, t = first * memory.m + (1 - first) * g, second * memory.v + (1 - second) * g**2, memory.t + 1.0
        of_m, of_v = (1 - first**t, 1 - second**t) if corrected else (1.0, 1.0)
        return phi - alpha * m / of_m / (np.sqrt(v / of_v) + (outside / np.sqrt(of_v) if hat else outside)), memory._replace(m=m, v=v, t=t)

    return step


def scaled(keep: float, new: float, outside: float, inside: float = 0.0) -> Step:
    """v ← keep·v + new·g², φ − αg/(√(v + inside) + outside)."""

    def step(memory: Memory, phi: Array, g: Array, alpha: Array) -> tuple[Array, Memory]:
        v = keep * memory.v + new * g**2
        return phi - alpha * g / (np.sqrt(v + inside) + outside), memory._replace(v=v)

    return step


def decoupled(step: Step, weight: float) -> Step:
    """A step, less α·weight·φ."""

    def decayed(memory: Memory, phi: Array, g: Array, alpha: Array) -> tuple[Array, Memory]:
        moved, memory = step(memory, phi, g, alpha)
        return moved - alpha * weight * phi, memory

    return decayed


def _made(make: Callable[[float], Step]) -> Callable[[float], Optimiser]:
    """The optimiser of a number."""
    return lambda c: Optimiser(make(c))


REMEMBERING: dict[str, Step] = {
    "gradients accumulated over the steps": momentum(1.0),
    "momentum 0.9": momentum(0.9),
    "momentum 0.9 as a running mean": momentum(0.9, 0.1),
    "Nesterov's momentum 0.9": momentum(0.9, ahead=True),
    "Adam": adam(),
    "Adam with epsilon hat 1e-7 (TensorFlow's)": adam(outside=1e-7, hat=True),
    "AdamW (0.01)": decoupled(adam(), 0.01),
    "Adam without bias correction": adam(corrected=False),
    "RMSProp (0.99)": scaled(0.99, 0.01, 1e-8),
    "RMSProp (0.9)": scaled(0.9, 0.1, 0.0, 1e-8),
    "the steps' momentum 0.9": heavy_ball(0.9),
    "Adagrad": scaled(1.0, 1.0, 1e-10),
}
MOMENTS = ("m", "v")
OPTIMISERS: dict[str, Optimiser | None] = {
    "gradient descent": None,
    **{words: Optimiser(step) for words, step in (REMEMBERING | {"every step from theta": _from_start, "the gradient at theta in every step": _first_gradient} | FORGETTING).items()},
    **{f"{words}, never reset between tasks": Optimiser(step, kept=True) for words, step in REMEMBERING.items()},
    **{f"{words}, first order": Optimiser(step, detached=("g",)) for words, step in REMEMBERING.items()},
    **{f"{words}, its memory not differentiated": Optimiser(step, detached=MOMENTS) for words, step in REMEMBERING.items()},
}
REMEMBERING_OF_NUMBERS: dict[str, Callable[[float], Step]] = {
    "momentum {}": momentum,
    "momentum {} as a running mean": lambda c: momentum(c, 1 - c),
    "Nesterov's momentum {}": lambda c: momentum(c, ahead=True),
    "the steps' momentum {}": heavy_ball,
    "Adam with epsilon {}": lambda c: adam(outside=c),
    "AdamW ({})": lambda c: decoupled(adam(), c),
    "Adam with epsilon hat {}": lambda c: adam(outside=c, hat=True),
    "Adam (0.9, {})": lambda c: adam(second=c),
    "Adam ({}, 0.999)": lambda c: adam(first=c),
    "Adam without bias correction, with epsilon {}": lambda c: adam(False, outside=c),
    "RMSProp (0.99) with epsilon {}": lambda c: scaled(0.99, 0.01, c),
    "RMSProp (0.9) with epsilon {}": lambda c: scaled(0.9, 0.1, c),
    "RMSProp (0.999) with epsilon {}": lambda c: scaled(0.999, 0.001, c),
    "RMSProp ({})": lambda c: scaled(c, 1 - c, 1e-8),
    "RMSProp (0.99) with epsilon {} below the root": lambda c: scaled(0.99, 0.01, 0.0, c),
    "RMSProp (0.9) with epsilon {} below the root": lambda c: scaled(0.9, 0.1, 0.0, c),
    "Adagrad with epsilon {}": lambda c: scaled(1.0, 1.0, c),
    "Adagrad that begins at {}": lambda c: scaled(1.0, 1.0, 1e-10, c),
}
OF_NUMBERS: dict[str, Callable[[float], Optimiser]] = {
    words: _made(make) for words, make in (REMEMBERING_OF_NUMBERS | FORGETTING_OF_NUMBERS).items()
}
