"""Meta-training on a family of tasks: outer optimisers and the loop.  Derivation: derivations/meta-training.md

A *rule* has `direction(theta, support, query) -> (d,)`, which reduces over the tasks: `MAML`, `FirstOrderMAML`,
`MetaSGD`, `Reptile`, `ImplicitMAML`, `ESMAML`, `SampledMAML`.  An *outer optimiser* has `start(theta)` and
`step(theta, direction, state)`: `SGD`, `Adam`.  A *family* has `sample(n, rng)`, which returns a `Split`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from refmeta.arrays import (
    Array,
    as_count,
    as_generator,
    as_parameters,
    as_positive,
    as_real_scalar,
    check_finite,
    finite_result,
)
from refmeta.meta.arguments import as_initialisation
from refmeta.meta.inner_optimisers.state import as_rate, keep
from refmeta.meta.loop import check_methods, run_loop
from refmeta.meta.optimisers import Moments, adam, clipped, zero_moments

__all__ = ["Adam", "Iteration", "Outer", "Rule", "SGD", "SamplingRule", "Trained", "clip_by_norm", "meta_train"]


class Rule(Protocol):
    """The direction of descent for the tasks of one iteration."""

    def direction(self, theta: ArrayLike, support: Any, query: Any = None) -> Array: ...


@runtime_checkable
class SamplingRule(Protocol):
    """A rule that draws episodes: its direction depends on a generator, too."""

    def sample_direction(self, theta: ArrayLike, support: Any, query: Any = None, rng: Any = None) -> Array: ...


class Outer(Protocol):
    """A step along a direction of descent."""

    def start(self, theta: Array) -> Any: ...
    def step(self, theta: Array, direction: Array, state: Any) -> tuple[Array, Any]: ...


class Iteration(NamedTuple):
    """The argument of a callback: the number of iterations done, θ after the last one, and its direction (d,)."""

    done: int
    theta: Array
    direction: Array


class Trained(NamedTuple):
    """θ (d,) and the number of iterations done; `interrupted` by Ctrl-C or not."""

    theta: Array
    iterations: int
    interrupted: bool


@finite_result
def clip_by_norm(direction: ArrayLike, max_norm: float) -> Array:
    """g · min(1, c/‖g‖₂), (..., d): each row keeps its direction and has a norm of at most c = `max_norm`.

    Eq: clip-by-norm

    Raises
    ------
    ValueError
        If max_norm is not positive.
    """
    return clipped(as_parameters(direction, "direction"), as_positive(max_norm, "max_norm"))


@dataclass(frozen=True)
class SGD:
    """θ − β g, with g clipped to `max_norm` unless that is None."""

    beta: float
    max_norm: float | None = None

    def __post_init__(self) -> None:
        _keep_numbers(self)

    def start(self, theta: Array) -> None:
        """No state."""

    def step(self, theta: Array, direction: Array, state: None = None) -> tuple[Array, None]:
        """θ − β g.

        Eq: maml-update
        """
        return theta - self.beta * _clip(direction, self.max_norm), None


@dataclass(frozen=True)
class Adam:
    """Kingma & Ba's algorithm 1 with the step size β, and with g clipped to `max_norm` unless that is None."""

    beta: float
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    max_norm: float | None = None

    def __post_init__(self) -> None:
        _keep_numbers(self)
        rates = {name: as_rate(getattr(self, name), name) for name in ("beta1", "beta2")}
        keep(self, **rates, epsilon=as_positive(self.epsilon, "epsilon"))

    def start(self, theta: Array) -> Moments:
        """Zero moments."""
        return zero_moments(theta)

    def step(self, theta: Array, direction: Array, state: Moments) -> tuple[Array, Moments]:
        """θ − β m̂/(√v̂ + ε).

        Eq: adam
        """
        g = _clip(direction, self.max_norm)
        return adam(theta, g, state, alpha=self.beta, beta1=self.beta1, beta2=self.beta2, epsilon=self.epsilon)


def meta_train(
    distribution: Any, theta: ArrayLike, *, rule: Rule, outer: Outer, iterations: int, batch: int,
    rng: Generator | int | None = None, callback: Callable[[Iteration], Any] | None = None,
) -> Trained:  # fmt: skip
    """θ ← outer.step(θ, rule.direction(θ, *distribution.sample(batch, rng))), `iterations` times.

    Parameters
    ----------
    distribution : family
        `sample(n, rng)` gives (support, query) of n tasks.
    theta : (d,) array, real
        The initialisation; for `MetaSGD` [θ, α], (2d,).
    rule, outer
        See above.
    iterations, batch : int
        The number of iterations, and of tasks in each.
    rng : Generator, int or None
        Passed to `numpy.random.default_rng`; the sampled tasks depend on nothing else.  A rule that draws episodes, such
        as `SampledMAML`, gets a generator of its own, spawned from this one: it does not change the tasks.
    callback : function of an `Iteration`, optional
        Called after every iteration; a StopIteration that it raises ends the training.

    Returns
    -------
    Trained
        After Ctrl-C the result so far, with `interrupted` True and a message on standard error.  If that is a terminal,
        it shows the iteration, the largest slope and the time.

    Raises
    ------
    TypeError, ValueError
        For a distribution, rule or outer optimiser without its methods, or a theta that is not real and (d,); for a rule
        that draws episodes with a legacy `RandomState`, which cannot spawn a generator.
    FloatingPointError
        If a direction or θ leaves the finite numbers; a note names the iteration.
    """
    check_methods(distribution=(distribution, "sample"), rule=(rule, "direction"), outer=(outer, "step"))
    if np.iscomplexobj(start := as_initialisation(theta)):
        raise TypeError("theta must be real to be trained, got complex numbers")
    rng, iterations, batch = as_generator(rng), as_count(iterations, "iterations"), as_count(batch, "batch", least=1)
    along = partial(rule.sample_direction, rng=_spawned(rng)) if isinstance(rule, SamplingRule) else rule.direction

    def step(state: _State, done: int) -> _State:
        direction = _direction(along, state.theta, distribution.sample(batch, rng))
        with np.errstate(all="ignore"):
            following, memory = outer.step(state.theta, direction, state.outer)
        check_finite(following, f"theta left the finite numbers in iteration {done + 1}")
        return _State(following, direction, memory)

    def report(state: _State, done: int) -> None:
        if callback is not None:
            callback(Iteration(done, np.array(state.theta), np.array(state.direction)))

    first = _State(np.array(start), np.zeros_like(start), outer.start(np.array(start)))
    summary = lambda state: f"largest slope {np.max(np.abs(state.direction), initial=0.0):.3g}"
    last, done, interrupted = run_loop(step, first, iterations, name="meta_train", summary=summary, callback=report)
    return Trained(last.theta, done, interrupted)


def _spawned(rng: Generator) -> Generator:
    """A generator for a rule that draws episodes."""
    try:
        return rng.spawn(1)[0]
    except TypeError:
        raise TypeError(
            "rng must spawn a second generator, for a rule that draws episodes, and a legacy RandomState cannot: "
            "give a seed, or numpy.random.default_rng(seed)"
        ) from None


class _State(NamedTuple):
    """The state between two iterations: θ, the last direction, the state of the outer optimiser."""

    theta: Array
    direction: Array
    outer: Any


def _direction(along: Callable[..., Array], theta: Array, tasks: Any) -> Array:
    """The direction of the rule, (d,) and finite."""
    direction = check_finite(np.asarray(along(theta, *tasks)), "the rule's direction is not finite")
    if direction.shape != theta.shape:
        raise ValueError(f"the rule's direction has shape {direction.shape}, expected {theta.shape} as theta")
    return direction


def _clip(direction: Array, max_norm: float | None) -> Array:
    """The direction, clipped unless `max_norm` is None."""
    return direction if max_norm is None else clip_by_norm(direction, max_norm)


def _keep_numbers(outer: SGD | Adam) -> None:
    """Keep the step size, which must be real, and `max_norm`, which must be None or positive."""
    keep(outer, beta=as_real_scalar(outer.beta, "beta"))
    if outer.max_norm is not None:
        keep(outer, max_norm=as_positive(outer.max_norm, "max_norm"))
