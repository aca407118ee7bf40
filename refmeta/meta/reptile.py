"""Reptile: move the initialisation towards the adapted parameters.  Derivation: derivations/reptile.md"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from refmeta.arrays import Array, as_parameters, as_real_scalar, as_scalar, batch_shape, check_finite, finite_result
from refmeta.meta.arguments import Point, Task, Tasks, as_initialisation, as_step_tasks, common_batch
from refmeta.meta.inner import trusted_adaptation
from refmeta.meta.inner_optimisers import Adam, AdamEpsilonHat, UpdateRule, as_optimiser
from refmeta.meta.optimisers import Moments, adam, adam_epsilon_hat, zero_moments

__all__ = [
    "Expansion", "Reptile", "adam", "adam_epsilon_hat", "adapt_adam", "adapt_adam_carried", "adapt_carried", "expansion",
    "gradient", "update", "update_serial",
]  # fmt: skip

Step = Callable[..., tuple[Array, Moments]]


@finite_result
def update(theta: ArrayLike, adapted: ArrayLike, *, epsilon: float) -> Array:
    """θ + ε · meanᵢ(φᵢ − θ).

    Eq: reptile-update

    Parameters
    ----------
    theta : (d,) array
        Initialisation.
    adapted : (..., d) array
        Adapted parameters, one row per task; the mean is over all rows.
    epsilon : float
        Outer step size; 1 replaces the initialisation by the mean of the rows, up to rounding.

    Returns
    -------
    (d,) array

    Raises
    ------
    ValueError
        If theta is not (d,), or there is no row.
    """
    theta, adapted = as_initialisation(theta), _as_adapted(adapted, np.shape(theta)[-1:])
    if adapted.size == 0:
        raise ValueError(f"adapted has shape {adapted.shape}, expected at least one row")
    return theta + as_scalar(epsilon, "epsilon") * np.mean(adapted - theta, axis=tuple(range(adapted.ndim - 1)))


def update_serial(theta: ArrayLike, tasks: Any, *, alpha: ArrayLike, steps: int, epsilon: float) -> Array:
    """θ ← θ + ε(φᵢ − θ), one task after another, each φᵢ adapted from the latest θ; (d,).

    Eq: reptile-serial

    `tasks` is a sequence of tasks, or one batched task, used in the order of its first axis.
    """
    theta = as_initialisation(theta)
    for task in _as_sequence(tasks):
        theta = update(theta, trusted_adaptation(theta, task, alpha=alpha, steps=steps).adapted, epsilon=epsilon)
    return np.array(theta)


@finite_result
def gradient(theta: ArrayLike, adapted: ArrayLike, *, alpha: float) -> Array:
    """(θ − φ)/α, one per task, a gradient for an optimiser; (..., d).

    Eq: reptile-gradient

    Raises
    ------
    ValueError
        If alpha is not one number, or zero.
    """
    theta = as_parameters(theta)
    if as_scalar(alpha, "alpha") == 0:
        raise ValueError("alpha must not be 0: the direction (theta - phi) / alpha is not defined")
    adapted = _as_adapted(adapted, theta.shape[-1:])
    batch_shape(theta=theta.shape[:-1], adapted=adapted.shape[:-1])
    return (theta - adapted) / as_scalar(alpha, "alpha")


@dataclass(frozen=True)
class Reptile:
    """Rule for `meta_train`: meanᵢ (θ − φᵢ)/α, for one step size α; `optimiser` as in `refmeta.adapt`, fresh for each task."""

    alpha: float
    steps: int = 1
    optimiser: UpdateRule | None = None

    def __post_init__(self) -> None:
        as_optimiser(self.optimiser)

    def direction(self, theta: ArrayLike, support: Tasks, query: Task | None = None) -> Array:
        """meanᵢ (θ − φᵢ)/α, (d,); Reptile adapts to all data of a task and has no query.

        Eq: reptile-gradient
        """
        theta = as_initialisation(theta)
        inner = trusted_adaptation(theta, support, alpha=self.alpha, steps=self.steps, optimiser=self.optimiser)
        slopes = gradient(theta, inner.adapted, alpha=self.alpha)
        return np.mean(slopes, axis=tuple(range(slopes.ndim - 1)))


def adapt_adam(
    theta: ArrayLike, task: Tasks, *, alpha: float, steps: int, step: Step = adam,
    beta1: float = 0.0, beta2: float = 0.999, epsilon: float = 1e-8, state: Moments | None = None,
) -> tuple[Array, Moments]:  # fmt: skip
    """φ (..., d) after K steps of Adam, and its state; every task starts from zero moments, or from `state`.

    `task` is as in `adapt`, and `step` is `adam` or `adam_epsilon_hat`; β₁ = 0 as in the experiments of the paper.
    """
    rule, alpha = _as_adam(step, beta1, beta2, epsilon), as_real_scalar(alpha, "alpha")
    return _adapt_from(theta, task, rule, state, alpha=alpha, steps=steps, name="Adam step")


def adapt_adam_carried(
    theta: ArrayLike, tasks: Any, *, alpha: float, steps: int, step: Step = adam,
    beta1: float = 0.0, beta2: float = 0.999, epsilon: float = 1e-8, state: Moments | None = None,
) -> tuple[Array, Moments]:  # fmt: skip
    """φ₁ … φ_N (N, d), each from θ, with the moments and the step count of Adam carried over; and the last state."""
    rule, alpha = _as_adam(step, beta1, beta2, epsilon), as_real_scalar(alpha, "alpha")
    return _carried(theta, tasks, rule, state, alpha=alpha, steps=steps, name="Adam step")


def adapt_carried(
    theta: ArrayLike, tasks: Any, *, alpha: float, steps: int, optimiser: UpdateRule | None, state: Moments | None = None
) -> tuple[Array, Moments]:
    """φ₁ … φ_N (N, d), each from θ, with the state of any rule of `rm.inner` carried over; and the last state.

    `tasks` is as in `update_serial`.
    """
    rule, alpha = as_optimiser(optimiser), as_real_scalar(alpha, "alpha")
    return _carried(theta, tasks, rule, state, alpha=alpha, steps=steps, name="inner step")


def _as_adam(step: Step, beta1: float, beta2: float, epsilon: float) -> UpdateRule:
    """The rule of `rm.inner` that belongs to `adam` or to `adam_epsilon_hat`."""
    for function, rule in ((adam, Adam), (adam_epsilon_hat, AdamEpsilonHat)):
        if step is function:
            return rule(beta1, beta2, epsilon)
    raise ValueError(f"step must be adam or adam_epsilon_hat, got {step!r}; for other rules see adapt_carried and rm.adapt")


def _carried(
    theta: ArrayLike, tasks: Any, rule: UpdateRule, state: Moments | None, *, alpha: float, steps: int, name: str
) -> tuple[Array, Moments]:
    """One task after another, each from θ and from the state that the one before it left."""
    adapted = []
    for task in _as_sequence(tasks):
        phi, state = _adapt_from(theta, task, rule, state, alpha=alpha, steps=steps, name=name)
        adapted.append(phi)
    return np.stack(adapted), state or zero_moments(adapted[0])


def _adapt_from(
    theta: ArrayLike, task: Tasks, rule: UpdateRule, state: Moments | None, *, alpha: float, steps: int, name: str
) -> tuple[Array, Moments]:
    """φ (..., d) after K steps of the rule from a state, zero moments if it is None; and the state then."""
    tasks = as_step_tasks(task, steps)
    theta = as_parameters(theta, dim=tasks[0].dim)
    phi = np.array(np.broadcast_to(theta, (*common_batch(theta, tasks), theta.shape[-1])))
    state = zero_moments(phi) if state is None else Moments(np.array(state.first), np.array(state.second), state.steps)
    if state.second.shape != phi.shape:
        raise ValueError(f"state has shape {state.second.shape}, expected that of the adapted parameters, {phi.shape}")
    for k, task in enumerate(tasks[:-1]):
        with np.errstate(all="ignore"):
            phi, state = rule.step(phi, np.asarray(task.at(phi).grad), state, alpha=alpha)
        for result in (phi, state.second):
            check_finite(result, f"{name} {k + 1} left the finite numbers")
    return phi, state


class Expansion(NamedTuple):
    """Meta-gradients of k minibatches, averaged over their orders, up to O(α²); (d,) each."""

    maml: Array
    first_order_maml: Array
    reptile: Array


@finite_result
def expansion(theta: ArrayLike, minibatches: Sequence[Task], *, alpha: float) -> Expansion:
    """c₁·AvgGrad − c₂·AvgGradInner: (1, 2(k−1)α), (1, (k−1)α), and for Reptile (k, ½k(k−1)α).

    Eq: reptile-expansion

    AvgGrad is the mean of ḡᵢ, AvgGradInner the mean of H̄ᵢḡⱼ over i ≠ j, both at θ.  MAML and first-order MAML take
    k − 1 inner steps, and the k-th minibatch is the query; Reptile takes k steps, and its (θ − φ)/α is expanded.
    """
    alpha, k = as_real_scalar(alpha, "alpha"), len(as_step_tasks(minibatches, len(minibatches))) - 1
    if k < 2:
        raise ValueError(f"minibatches has {k} tasks, expected at least 2")
    points: list[Point] = [task.at(theta) for task in minibatches]
    total = sum(point.grad for point in points)
    average = total / k
    inner = sum(point.hvp(total - point.grad) for point in points) / (k * (k - 1))
    return Expansion(
        maml=average - 2 * (k - 1) * alpha * inner,
        first_order_maml=average - (k - 1) * alpha * inner,
        reptile=k * average - k * (k - 1) / 2 * alpha * inner,
    )


def _as_adapted(adapted: ArrayLike, core: tuple[int, ...]) -> Array:
    """φ (..., d)."""
    return as_parameters(adapted, "adapted", dim=core[0], why=" as theta")


def _as_sequence(tasks: Any) -> Iterable[Any]:
    """The tasks of a sequence, or of a batched task along its first axis, checked."""
    if isinstance(tasks, Task) and tasks.shape:
        tasks = [tasks[i] for i in range(tasks.shape[0])]  # type: ignore[index]
    if isinstance(tasks, Task) or not isinstance(tasks, Sequence) or not tasks:
        raise ValueError("tasks must be a sequence of at least one task, or one task with a batch axis")
    return as_step_tasks(tasks, len(tasks))[:-1]
