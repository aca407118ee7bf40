"""The update rules of an inner optimiser as steps in any arithmetic, right ones and others.  Derivation: derivations/inner-optimisers.md

A step is made of pieces, so that a wrong piece can stand where a right one is meant.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.suites.maml.steps import Memory, Step

__all__ = [
    "ADAM", "DECAYED", "DIRECTIONS", "MOMENTA", "PLACES", "Clip", "Direction", "StepPieces", "RIGHT", "InnerRule", "adam", "clipped", "heavy_ball", "norm", "rmsprop",
    "step_of",
]  # fmt: skip

MOMENTA, ADAM = ("heavy_ball", "nesterov"), ("adam", "adam_epsilon_hat", "adam_epsilon_root")
DECAYED = ("coupled", "decoupled", "decoupled_paper")


class InnerRule(NamedTuple):
    """An inner optimiser by its words and numbers: None where it has no such number, or nothing is clipped or decays."""

    optimiser: str
    momentum: Any = None
    beta1: Any = None
    beta2: Any = None
    epsilon: Any = None
    decay: str | None = None
    weight_decay: Any = 0.0
    clip: Any = None


Direction = Callable[[InnerRule, Memory, Array], tuple[Array, Memory]]  # memory, g → what α multiplies, memory
Clip = Callable[[Any, Array], Array]  # the bound, g → g


class StepPieces(NamedTuple):
    """What a step does: how it clips, the parameters that decay, how the two are joined, and the rule.

    last : is decoupled decay of the parameters after the step?  scaled : does the rule see α times its gradient?
    """

    clip: Clip
    decayed: Callable[[Array], Array]
    joined: Callable[[Callable[[Array], Array], Array, Array], Array]  # clip, g, wφ → the gradient that the rule sees
    direction: Direction | None = None
    last: bool = False
    scaled: bool = False


def step_of(rule: InnerRule, pieces: StepPieces | None = None) -> Step:
    """Clip, add coupled decay, follow the rule, subtract decoupled decay."""
    pieces = RIGHT if pieces is None else pieces
    direction = pieces.direction or DIRECTIONS[rule.optimiser]
    coupled, by_alpha, alone = (rule.weight_decay * (rule.decay == each) for each in DECAYED)

    def clip(g: Array) -> Array:
        return g if rule.clip is None else pieces.clip(rule.clip, g)

    def step(memory: Memory, phi: Array, g: Array, alpha: Array) -> tuple[Array, Memory]:
        weights = pieces.decayed(phi)
        seen = pieces.joined(clip, g, coupled * weights) if coupled else clip(g)
        move, memory = direction(rule, memory, alpha * seen if pieces.scaled else seen)
        moved = phi - (move if pieces.scaled else alpha * move)
        weights = pieces.decayed(moved) if pieces.last else weights
        return moved - (alpha * by_alpha + alone) * weights, memory

    return step


def norm(g: Array) -> Array:
    """‖g‖ of every row."""
    return np.sqrt(np.sum(g**2, axis=-1, keepdims=True))


def clipped(bound: Any, g: Array, size: Callable[[Array], Array] = norm, more: float = 0.0, held: bool = False) -> Array:
    """g · min(1, c/(‖g‖ + more)); the factor is a constant if it is held."""
    length = size(g) + more
    length = length.real if held else length
    above = length.real > bound
    return g * np.where(above, bound / np.where(above, length, 1.0), 1.0)


def _as_it_is(x: Array) -> Array:
    """x."""
    return x


def _descent(rule: InnerRule, memory: Memory, g: Array) -> tuple[Array, Memory]:
    """g."""
    return g, memory


def heavy_ball(rule: InnerRule, memory: Memory, g: Array, share: float = 1.0) -> tuple[Array, Memory]:
    """m ← βm + share·g."""
    m = rule.momentum * memory.m + share * g
    return m, memory._replace(m=m)


def _nesterov(rule: InnerRule, memory: Memory, g: Array) -> tuple[Array, Memory]:
    """g + βm, m ← βm + g."""
    m = rule.momentum * memory.m + g
    return g + rule.momentum * m, memory._replace(m=m)


def rmsprop(denominator: Callable[[Array, Any], Array], hold: Callable[[Array], Array] = _as_it_is) -> Direction:
    """g over a function of v and ε; v ← βv + (1 − β)g², of which `hold` may take the derivative."""

    def direction(rule: InnerRule, memory: Memory, g: Array) -> tuple[Array, Memory]:
        v = rule.beta2 * hold(memory.v) + (1 - rule.beta2) * hold(g) ** 2
        return g / denominator(v, rule.epsilon), memory._replace(v=v)

    return direction


def adam(of: Callable[..., Array], count: Callable[[Any], Any] = _as_it_is, hold: Callable[[Array], Array] = _as_it_is) -> Direction:
    """`of` m, v, 1 − β₁ᵗ, 1 − β₂ᵗ and ε; m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g²; t counts from 1, and `count` of it is taken."""

    def direction(rule: InnerRule, memory: Memory, g: Array) -> tuple[Array, Memory]:
        m = rule.beta1 * memory.m + (1 - rule.beta1) * g
        v = rule.beta2 * hold(memory.v) + (1 - rule.beta2) * hold(g) ** 2
        t = memory.t + 1.0
        return of(m, v, 1 - rule.beta1 ** count(t), 1 - rule.beta2 ** count(t), rule.epsilon), memory._replace(m=m, v=v, t=t)

    return direction


PLACES: dict[str, Callable[..., Array]] = {
    "adam": lambda m, v, one, two, e: m / one / (np.sqrt(v / two) + e),
    "adam_epsilon_hat": lambda m, v, one, two, e: np.sqrt(two) / one * m / (np.sqrt(v) + e),
    "adam_epsilon_root": lambda m, v, one, two, e: m / one / np.sqrt(v / two + e),
}
DIRECTIONS: dict[str, Direction] = {
    "gradient_descent": _descent, "heavy_ball": heavy_ball, "nesterov": _nesterov, "rmsprop": rmsprop(lambda v, e: np.sqrt(v) + e),
    **{name: adam(of) for name, of in PLACES.items()},
}  # fmt: skip
RIGHT = StepPieces(clipped, _as_it_is, lambda clip, g, decay: clip(g) + decay)
