"""The inner loop: adaptation by gradient descent or another rule, and its exact adjoint.  Derivation: derivations/maml.md

A task is a loss L.  `task.at(theta)` is a point with `theta`, `loss`, `grad` and the Hessian product `hvp(v)`; nothing
else is needed.  `adapt` goes forwards from θ⁽⁰⁾ = θ to φ = θ⁽ᴷ⁾, and `adjoints` goes back over the same points.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from refmeta.arrays import Array, as_parameters, batch_shape, check_finite, trusted
from refmeta.meta.arguments import Point, Task, Tasks, as_query, as_step_sizes, as_step_tasks, common_batch
from refmeta.meta.inner_optimisers import GradientDescent, Moments, Slopes, UpdateRule, as_optimiser, zero_moments
from refmeta.meta.inner_optimisers.state import filled, held

__all__ = ["Adaptation", "adapt", "adjoints", "query_point", "slopes", "trusted_adaptation", "trusted_point"]


class Adaptation(NamedTuple):
    """The adapted parameters φ (..., d), and the K + 1 points at θ⁽⁰⁾ … θ⁽ᴷ⁾."""

    adapted: Array
    path: tuple[Point, ...]


def adapt(
    theta: ArrayLike, task: Tasks, *, alpha: ArrayLike, steps: int, optimiser: UpdateRule | None = None
) -> Adaptation:
    """θ⁽ᵏ⁺¹⁾ = θ⁽ᵏ⁾ − α ⊙ ∇L(θ⁽ᵏ⁾), K times, or K steps of another rule.

    Eq: inner-step

    Parameters
    ----------
    theta : (..., d) array
        The initialisation; its leading axes broadcast with those of the task.
    task : task, or a sequence of K tasks
        The support loss; a sequence has one loss per step, for example a minibatch each.
    alpha : scalar, (d,), (K, 1) or (K, d)
        Inner step size: one for all, one per parameter, one per step, or one per step and parameter.
    steps : int
        K, at least 0.
    optimiser : rule of `rm.inner`, or None
        The rule of the step, such as `rm.inner.Adam()`; None is gradient descent.  Its state starts from zeros.

    Returns
    -------
    Adaptation
        `adapted` (..., d), and `path`: the points at θ⁽⁰⁾ … θ⁽ᴷ⁾; the last one uses the task of the last step.

    Raises
    ------
    ValueError, TypeError
        For a theta or alpha of the wrong shape or type, or an optimiser without `step` and `adjoint`.
    FloatingPointError
        If a step leaves the finite numbers.
    """
    theta = as_parameters(theta)
    return _along_path(lambda task, theta, first=False: task.at(theta), theta, task, alpha, steps, optimiser)


def trusted_adaptation(
    theta: ArrayLike, task: Tasks, *, alpha: ArrayLike, steps: int, optimiser: UpdateRule | None = None
) -> Adaptation:
    """As `adapt`, with points that check nothing again: they must not leave the library, and what comes of them is checked."""
    with np.errstate(all="ignore"):
        return _along_path(trusted_point, theta, task, alpha, steps, optimiser)


def trusted_point(task: Task, theta: ArrayLike, *, first: bool = False) -> Point:
    """The task at a theta that was checked, unless it is the first; a task of a user's own checks what it likes."""
    if not _has_trusted_points(type(task)):
        return task.at(as_parameters(theta) if first else theta)
    return trusted(task.at(theta) if first else task._at(theta))  # type: ignore[attr-defined]


@functools.cache
def _has_trusted_points(kind: type) -> bool:
    """Whether the class that has `at` has `_at`, too: a subclass or a wrapper with an `at` of its own is asked for that."""
    return any("_at" in vars(owner) for owner in [c for c in kind.__mro__ if "at" in vars(c)][:1])


def _along_path(
    at: Callable[..., Point], theta: ArrayLike, task: Tasks, alpha: ArrayLike, steps: int, optimiser: UpdateRule | None
) -> Adaptation:
    """The adaptation on the points that `at` makes."""
    tasks, rule = as_step_tasks(task, steps), as_optimiser(optimiser)
    path = [at(tasks[0], theta, first=True)]
    batch, state = common_batch(path[0].theta, tasks), _no_moments(path[0].theta, rule)
    for k, step_size in enumerate(as_step_sizes(alpha, steps, tasks[0].dim), start=1):
        following, state = _step(path[-1], state, rule, step_size, k)
        path.append(at(tasks[k], following))
    adapted, shape = path[-1].theta, (*batch, tasks[0].dim)
    return Adaptation(np.array(adapted if adapted.shape == shape else np.broadcast_to(adapted, shape)), tuple(path))


def _no_moments(theta: Array, rule: UpdateRule) -> Moments:
    """The state before the first step: zeros, or numbers where the rule has no state."""
    return Moments(0.0, 0.0, 0) if isinstance(rule, GradientDescent) else zero_moments(theta)  # type: ignore[arg-type]


def _step(point: Point, state: Moments, rule: UpdateRule, alpha: Array, k: int) -> tuple[Array, Moments]:
    """The parameters and the state after step k."""
    gradient = np.asarray(point.grad)
    if gradient.shape[-1:] != point.theta.shape[-1:]:
        raise ValueError(f"the task's grad has shape {gradient.shape}, expected last axis {point.theta.shape[-1]}")
    plain = isinstance(rule, GradientDescent)  # it has no state
    with np.errstate(all="ignore"):
        following, state = rule.step(point.theta, gradient, state if plain else held(state), alpha=alpha)
    reason = "alpha may be too large" + ("" if plain else ", or epsilon is 0 where the gradient is 0")
    for result in (following,) if plain else (state.second, following):
        check_finite(result, f"inner step {k} left the finite numbers; {reason}")
    return following, state


def query_point(inner: Adaptation, support: Tasks, query: Task | None) -> Point:
    """The query at φ; where the query is the support itself, this is the last point of the path."""
    task = as_query(support, query)
    if task is support:
        return inner.path[-1]
    batch_shape(support=inner.adapted.shape[:-1], query=task.shape)
    return trusted_point(task, inner.adapted)


def adjoints(inner: Adaptation, alpha: ArrayLike, sources: list[Array], optimiser: UpdateRule | None = None) -> list[Array]:
    """λ_k = s_k + λ_{k+1} − ∇²L(θ⁽ᵏ⁾)(α_k ⊙ λ_{k+1}), backwards from λ_K = s_K; returns λ_0 … λ_K, (..., d) each.

    For an objective F(θ⁽⁰⁾, …, θ⁽ᴷ⁾) with s_k = ∂F/∂θ⁽ᵏ⁾, λ_k is its derivative by θ⁽ᵏ⁾ through all later steps, and
    λ_0 = dF/dθ.  `sources` are the last of s_0 … s_K, the others are 0: MAML has one, s_K = ∇L_query(φ).  Another rule
    than gradient descent has its own adjoint: see `slopes`.
    """
    if optimiser is not None:
        return [at.theta for at in _backwards(inner, alpha, sources, optimiser)][::-1]
    steps = len(inner.path) - 1
    alphas, s = as_step_sizes(alpha, steps, inner.adapted.shape[-1]), _at_all_points(sources, steps)
    adjoint = [np.array(sources[-1])]
    for k in reversed(range(steps)):
        later = adjoint[0]
        earlier = _plus(s[k], later) - inner.path[k].hvp(alphas[k] * later)
        adjoint.insert(0, check_finite(earlier, f"the adjoint of inner step {k + 1} left the finite numbers"))
    return adjoint


def slopes(inner: Adaptation, alpha: ArrayLike, sources: list[Array], optimiser: UpdateRule | None = None) -> list[Slopes]:
    """λ_k = s_k + λ̄_k + ∇²L(θ⁽ᵏ⁾) χ_k, backwards from λ_K = s_K, where the rule's adjoint gives λ̄_k and χ_k.

    Eq: maml-gradient-optimiser

    χ_k is the slope by the gradient of the step.  Entry k of the list, k = 0 … K, has the derivatives by θ⁽ᵏ⁾, m_k, v_k, and
    by the gradient and the step size of step k + 1.  Each step needs one Hessian product; time and memory are linear in K.
    """
    return list(_backwards(inner, alpha, sources, optimiser))[::-1]


def _backwards(inner: Adaptation, alpha: ArrayLike, sources: list[Array], optimiser: UpdateRule | None) -> Iterator[Slopes]:
    """The entries of `slopes`, the last one first."""
    steps, rule = len(inner.path) - 1, as_optimiser(optimiser)
    alphas, s = as_step_sizes(alpha, steps, inner.adapted.shape[-1]), _at_all_points(sources, steps)
    later, made = Slopes(np.array(sources[-1])), _steps_again(inner, alphas, rule)
    yield later
    for k in reversed(range(steps)):
        point, (gradient, state) = inner.path[k], made[k]
        with np.errstate(all="ignore"):
            before = filled(rule.adjoint(point.theta, gradient, state, later, alpha=alphas[k]), later.theta)
            check_finite(before.gradient, sentence := f"the adjoint of inner step {k + 1} left the finite numbers")
            # twice −, so that gradient descent has the bits of `adjoints`
            theta = check_finite(_plus(s[k], before.theta) - point.hvp(-before.gradient), sentence)
        yield (later := before._replace(theta=theta))


def _at_all_points(sources: list[Array], steps: int) -> list[Any]:
    """s_0 … s_K: None where none is given."""
    return [*([None] * (steps + 1 - len(sources))), *sources]


def _plus(source: Array | None, slope: Array) -> Array:
    """s + λ, and λ where no s is given."""
    return slope if source is None else source + slope


def _steps_again(inner: Adaptation, alphas: Array, rule: UpdateRule) -> list[tuple[Array, Moments]]:
    """The gradient of each step, a copy since a task may use one array for all, and the state before it."""
    made, state = [], zero_moments(inner.path[0].theta)
    for point, alpha in zip(inner.path[:-1], alphas, strict=True):
        made.append((np.array(point.grad), held(state)))
        state = rule.step(point.theta, made[-1][0], made[-1][1], alpha=alpha)[1]
    return made
