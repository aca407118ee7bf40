"""Changes of an inner step that implementations make.  Derivation: derivations/inner-optimisers.md

A change that does not concern an optimiser leaves it as it is.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.suites.maml.steps import Memory
from refmeta.oracle.suites.maml_optimisers.rules import (
    ADAM,
    DIRECTIONS,
    MOMENTA,
    PLACES,
    Clip,
    Direction,
    InnerRule,
    StepPieces,
    adam,
    clipped,
    heavy_ball,
    norm,
    rmsprop,
)

__all__ = ["CLIPS", "DECAYS", "EPSILONS", "MOMENTS", "OVER_ALL", "RMSPROP", "UPDATES", "Change", "StepChange"]

RMSPROP = ("rmsprop",)
Change = Callable[[InnerRule, StepPieces], tuple[InnerRule, StepPieces]]


class StepChange(NamedTuple):
    """A changed step, and whether its memory is kept between tasks, and what of it is not differentiated."""

    change: Change
    kept: bool = False
    detached: tuple[str, ...] = ()


Table = dict[str, StepChange | None]


def _same(rule: InnerRule, pieces: StepPieces) -> tuple[InnerRule, StepPieces]:
    """No change of the step."""
    return rule, pieces


def _directions(table: dict[tuple[str, ...], Direction]) -> StepChange:
    """Another direction for some optimisers."""

    def change(rule: InnerRule, pieces: StepPieces) -> tuple[InnerRule, StepPieces]:
        found = next((each for names, each in table.items() if rule.optimiser in names), None)
        return rule, pieces if found is None else pieces._replace(direction=found)

    return StepChange(change)


def _named(names: tuple[str, ...], **words: Any) -> StepChange:
    """Other words or numbers for some optimisers."""
    return StepChange(lambda rule, pieces: (rule._replace(**words) if rule.optimiser in names else rule, pieces))


def _of_moments(of: Callable[..., Array], **how: Any) -> StepChange:
    """Adam with another direction made of its moments, wherever its ε stands: `of` place, m, v, 1 − β₁ᵗ, 1 − β₂ᵗ, ε."""

    def change(rule: InnerRule, pieces: StepPieces) -> tuple[InnerRule, StepPieces]:
        if rule.optimiser not in ADAM:
            return rule, pieces
        return rule, pieces._replace(direction=adam(partial(of, PLACES[rule.optimiser]), **how))

    return StepChange(change)


def _other_momentum(rule: InnerRule, pieces: StepPieces) -> tuple[InnerRule, StepPieces]:
    """Nesterov's momentum for heavy ball, and heavy ball for Nesterov's."""
    other = dict(zip(MOMENTA, MOMENTA[::-1], strict=True))
    return rule._replace(optimiser=other.get(rule.optimiser, rule.optimiser)), pieces


def _momentum(share: Callable[[InnerRule, Memory], Any], whole: bool = False) -> StepChange:
    """Both momenta with m ← βm + share·g; Nesterov's step is share·g + βm, or g + βm with the whole g."""

    def ball(rule: InnerRule, memory: Memory, g: Array) -> tuple[Array, Memory]:
        m, after = heavy_ball(rule, memory, g, share(rule, memory))
        return m, after._replace(t=memory.t + 1.0)

    def ahead(rule: InnerRule, memory: Memory, g: Array) -> tuple[Array, Memory]:
        m, after = ball(rule, memory, g)
        return (g if whole else share(rule, memory) * g) + rule.momentum * m, after

    return _directions({("heavy_ball",): ball, ("nesterov",): ahead})


def _twice(rule: InnerRule, memory: Memory, g: Array) -> tuple[Array, Memory]:
    """m + βm, m ← βm + g."""
    m, after = heavy_ball(rule, memory, g)
    return m + rule.momentum * m, after


def _from_one(rule: InnerRule, memory: Memory, g: Array) -> tuple[Array, Memory]:
    """RMSProp whose v begins at 1."""
    memory = memory if memory.first is not None else memory._replace(v=1.0, first=1.0)
    return DIRECTIONS["rmsprop"](rule, memory, g)


def _corrected(rule: InnerRule, memory: Memory, g: Array) -> tuple[Array, Memory]:
    """g/(√v̂ + ε), with v̂ = v/(1 − βᵗ)."""
    t = memory.t + 1.0
    divided: Direction = rmsprop(lambda v, e: np.sqrt(v / (1 - rule.beta2**t)) + e)
    move, after = divided(rule, memory, g)
    return move, after._replace(t=t)


def _amsgrad(rule: InnerRule, pieces: StepPieces) -> tuple[InnerRule, StepPieces]:
    """The largest v so far instead of v, wherever ε stands."""
    if rule.optimiser not in ADAM:
        return rule, pieces
    inner = adam(PLACES[rule.optimiser])

    def direction(rule: InnerRule, memory: Memory, g: Array) -> tuple[Array, Memory]:
        _, after = inner(rule, memory, g)
        most = after.v if memory.first is None else np.where(np.real(after.v) > np.real(memory.first), after.v, memory.first)
        one, two = 1 - rule.beta1**after.t, 1 - rule.beta2**after.t
        return PLACES[rule.optimiser](after.m, most, one, two, rule.epsilon), after._replace(first=most)

    return rule, pieces._replace(direction=direction)


def _anew(rule: InnerRule, pieces: StepPieces) -> tuple[InnerRule, StepPieces]:
    """The memory is made anew in every step."""
    inner = pieces.direction or DIRECTIONS[rule.optimiser]
    fresh: Direction = lambda rule, memory, g: (inner(rule, Memory(memory.start), g)[0], memory)
    return rule, pieces._replace(direction=fresh)


def _with_clip(clip: Clip) -> StepChange:
    """Another clip."""
    return StepChange(lambda rule, pieces: (rule, pieces._replace(clip=clip)))


def _with_decay(**words: Any) -> StepChange:
    """Another kind of decay where there is one."""
    return StepChange(lambda rule, pieces: (rule._replace(**words) if rule.decay else rule, pieces))


def _over_all(g: Array) -> Array:
    """The norm of all tasks' gradients together."""
    return np.sqrt(np.sum(g**2, axis=(-1, -2), keepdims=True))


def _by_value(bound: Any, g: Array) -> Array:
    """Every entry of g in [−c, c]."""
    return np.where(np.abs(np.real(g)) > bound, bound * np.sign(np.real(g)), g)


UPDATES: Table = {
    "the one asked for": None,
    "gradient descent": StepChange(lambda rule, pieces: (rule._replace(optimiser="gradient_descent"), pieces)),
    "heavy ball for Nesterov's momentum, and the other way round": StepChange(_other_momentum),
    "momentum of alpha times the gradient": StepChange(lambda rule, pieces: (rule, pieces._replace(scaled=rule.optimiser in MOMENTA))),
    "momentum with the factor 1 - beta": _momentum(lambda rule, memory: 1 - rule.momentum),
    "momentum with the factor 1 - beta, Nesterov's g without it": _momentum(lambda rule, memory: 1 - rule.momentum, whole=True),
    "Nesterov's step m + beta m": _directions({("nesterov",): _twice}),
    "momentum with the factor 1 - beta after the first step": _momentum(lambda rule, memory: np.where(np.equal(memory.t, 0), 1.0, 1 - rule.momentum)),
    "Adam without bias correction": _of_moments(lambda place, m, v, one, two, e: place(m, v, 1.0, 1.0, e)),
    "Adam's bias correction of m only": _of_moments(lambda place, m, v, one, two, e: place(m, v, one, 1.0, e)),
    "Adam's bias correction of v only": _of_moments(lambda place, m, v, one, two, e: place(m, v, 1.0, two, e)),
    "Adam's bias correction one step late": _of_moments(lambda place, *x: place(*x), count=lambda t: t + 1.0),
    "Adam's bias correction of the first step in every step": _of_moments(lambda place, *x: place(*x), count=lambda t: 1.0),
    "AMSGrad": StepChange(_amsgrad),
    "Adam with beta1 and beta2 exchanged": StepChange(
        lambda rule, pieces: (rule._replace(beta1=rule.beta2, beta2=rule.beta1) if rule.optimiser in ADAM else rule, pieces)
    ),
    "Adam with g for m": _directions({ADAM: rmsprop(lambda v, e: np.sqrt(v) + e)}),
    "RMSProp's v begins at 1": _directions({RMSPROP: _from_one}),
    "RMSProp's v over 1 - beta^t, as Adam's": _directions({RMSPROP: _corrected}),
    "RMSProp's v summed": _directions({RMSPROP: lambda rule, memory, g: rmsprop(lambda v, e: np.sqrt(v / (1 - rule.beta2)) + e)(rule, memory, g)}),
}
EPSILONS: Table = {
    "where it is asked for": None,
    "outside the root": _named(ADAM, optimiser="adam"),
    "outside the root, which is not corrected (epsilon hat)": _named(ADAM, optimiser="adam_epsilon_hat"),
    "inside the root": StepChange(lambda rule, pieces: _inside(rule, pieces)),
    "none": StepChange(lambda rule, pieces: (rule if rule.epsilon is None else rule._replace(epsilon=0.0), pieces)),
    "its square inside the root": StepChange(lambda rule, pieces: _inside(rule, pieces, 2)),
}
MOMENTS: Table = {
    "differentiated, and fresh for each task": None,
    "the earlier ones held constant": StepChange(_same, detached=("m", "v")),
    "the earlier m held constant": StepChange(_same, detached=("m",)),
    "the earlier v held constant": StepChange(_same, detached=("v",)),
    "v held constant": StepChange(lambda rule, pieces: _held(rule, pieces)),
    "carried from task to task": StepChange(_same, kept=True),
    "made anew in every step": StepChange(_anew),
}
CLIPS: Table = {
    "by norm": None,
    "by norm, c/(norm + 1e-6)": _with_clip(partial(clipped, more=1e-6)),
    "by norm, its factor held constant": _with_clip(partial(clipped, held=True)),
    "by norm, c/(norm + 1e-6) held constant": _with_clip(partial(clipped, more=1e-6, held=True)),
    "by value": _with_clip(_by_value),
    "after the decay is added": StepChange(lambda rule, pieces: (rule, pieces._replace(joined=lambda clip, g, decay: clip(g + decay)))),
    "after the decay is added, its factor held constant": StepChange(
        lambda rule, pieces: (rule, pieces._replace(joined=lambda clip, g, decay: clip(g + decay), clip=partial(clipped, held=True)))
    ),
    "not at all": _with_clip(lambda bound, g: g),
    "always to the bound": _with_clip(lambda bound, g: g * bound / norm(g)),
}
OVER_ALL = _with_clip(partial(clipped, size=_over_all))
DECAYS: Table = {
    "as asked for": None,
    "coupled": _with_decay(decay="coupled"),
    "decoupled, alpha w": _with_decay(decay="decoupled"),
    "decoupled, w": _with_decay(decay="decoupled_paper"),
    "none": _with_decay(decay=None),
    "decoupled, of the parameters after the step": StepChange(lambda rule, pieces: (rule, pieces._replace(last=True))),
    "2 w": StepChange(lambda rule, pieces: (rule._replace(weight_decay=2 * rule.weight_decay), pieces)),
    "w/2": StepChange(lambda rule, pieces: (rule._replace(weight_decay=rule.weight_decay / 2), pieces)),
    "not differentiated": StepChange(lambda rule, pieces: (rule, pieces._replace(decayed=np.real))),
}


def _inside(rule: InnerRule, pieces: StepPieces, power: int = 1) -> tuple[InnerRule, StepPieces]:
    """√(v + ε) for √v + ε, ε to a power."""
    if rule.optimiser in RMSPROP:
        return rule, pieces._replace(direction=rmsprop(lambda v, e: np.sqrt(v + e**power)))
    return rule._replace(optimiser="adam_epsilon_root", epsilon=rule.epsilon**power) if rule.optimiser in ADAM else rule, pieces


def _constant(v: Array) -> Array:
    """v without its derivative, whose square may make it negative."""
    return np.maximum(np.real(v), 0.0)


def _held(rule: InnerRule, pieces: StepPieces) -> tuple[InnerRule, StepPieces]:
    """v without its derivative, in this step and in later ones."""
    if rule.optimiser in RMSPROP:
        return rule, pieces._replace(direction=rmsprop(lambda v, e: np.sqrt(v) + e, hold=_constant))
    return rule, pieces._replace(direction=adam(PLACES[rule.optimiser], hold=_constant)) if rule.optimiser in ADAM else pieces
