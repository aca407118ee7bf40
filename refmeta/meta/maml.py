"""MAML: differentiate through the adaptation.  Derivation: derivations/maml.md

`support` and `query` are tasks with their batch in the leading axes; `support` may also be a sequence of tasks, one
per step; `query=None` is the support itself.  `alpha`, `steps`, `optimiser` and the errors raised are as in `refmeta.adapt`;
a gradient raises FloatingPointError where the optimiser's step has no derivative.  There is one result per task; only
`update`, `meta_sgd_update` and `quadratic_minimiser` reduce: they sum over the tasks.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from refmeta.arrays import (
    Array,
    as_count,
    as_parameters,
    as_real,
    as_real_scalar,
    as_scalar,
    check_finite,
    finite_result,
    matvec,
)
from refmeta.meta.arguments import Point, Task, Tasks, as_initialisation, as_query
from refmeta.meta.inner import Adaptation, adjoints, query_point, slopes, trusted_adaptation
from refmeta.meta.inner_optimisers import UpdateRule, as_optimiser
from refmeta.meta.loop import sum_over_tasks
from refmeta.tasks.quadratic import Quadratic

__all__ = [
    "FirstOrderMAML", "MAML", "MetaParameters", "MetaSGD", "first_order_gradient", "gradient", "meta_sgd_update",
    "multi_step_gradient", "multi_step_objective", "objective", "quadratic_closed_form", "quadratic_minimiser",
    "step_size_gradient", "update",
]  # fmt: skip


@finite_result
def objective(
    theta: ArrayLike, support: Tasks, query: Task | None = None, *, alpha: ArrayLike, steps: int = 1,
    optimiser: UpdateRule | None = None,
) -> Array:  # fmt: skip
    """F(θ) = L_query(φ), where φ = θ⁽ᴷ⁾ is adapted on the support; (...).

    Eq: maml-objective
    """
    return np.array(query_point(trusted_adaptation(theta, support, alpha=alpha, steps=steps, optimiser=optimiser), support, query).loss)[()]


@finite_result
def first_order_gradient(
    theta: ArrayLike, support: Tasks, query: Task | None = None, *, alpha: ArrayLike, steps: int = 1,
    optimiser: UpdateRule | None = None,
) -> Array:  # fmt: skip
    """∇L_query(φ), which is ∇F without its Hessians; (..., d).

    Eq: first-order-maml
    """
    return np.array(query_point(trusted_adaptation(theta, support, alpha=alpha, steps=steps, optimiser=optimiser), support, query).grad)


@finite_result
def gradient(
    theta: ArrayLike, support: Tasks, query: Task | None = None, *, alpha: ArrayLike, steps: int = 1,
    optimiser: UpdateRule | None = None,
) -> Array:  # fmt: skip
    """∇F(θ) = λ_0, by λ_k = λ_{k+1} − ∇²L(θ⁽ᵏ⁾)(α ⊙ λ_{k+1}) from λ_K = ∇L_query(φ); (..., d).

    Eq: maml-gradient
    Eq: maml-gradient-optimiser

    With an optimiser λ goes back by the adjoint of its step: see `refmeta.meta.inner.slopes`.  ∇F is exact for every number of
    steps; time and memory are linear in the number of steps.
    """
    inner = trusted_adaptation(theta, support, alpha=alpha, steps=steps, optimiser=optimiser)
    return adjoints(inner, alpha, [query_point(inner, support, query).grad], optimiser)[0]


@finite_result
def step_size_gradient(
    theta: ArrayLike, support: Tasks, query: Task | None = None, *, alpha: ArrayLike, steps: int = 1,
    optimiser: UpdateRule | None = None,
) -> Array:  # fmt: skip
    """∂F/∂α = −∇L(θ⁽ᵏ⁾) ⊙ λ_{k+1}, summed over all that share an entry of α; (...) + the shape of α.

    Eq: step-size-gradient
    """
    inner = trusted_adaptation(theta, support, alpha=alpha, steps=steps, optimiser=optimiser)
    before = slopes(inner, alpha, [query_point(inner, support, query).grad], optimiser)
    rows = [np.zeros((*before[0].theta.shape[:-1], 0, before[0].theta.shape[-1]))]
    rows += [slope.alpha[..., None, :] for slope in before[:-1]]
    return _sum_as_alpha(np.concatenate(rows, axis=-2), np.shape(alpha))


@finite_result
def multi_step_objective(
    theta: ArrayLike, support: Tasks, query: Task | None = None, *, alpha: ArrayLike, steps: int, weights: ArrayLike,
    optimiser: UpdateRule | None = None,
) -> Array:  # fmt: skip
    """F(θ) = Σ_k w_k L_query(θ⁽ᵏ⁾), k = 0 … K, weights (K + 1,); (...).

    Eq: multi-step-loss
    """
    inner = trusted_adaptation(theta, support, alpha=alpha, steps=steps, optimiser=optimiser)
    queries = _query_points(inner, support, query)
    return sum(w * point.loss for w, point in zip(_as_weights(weights, len(queries)), queries, strict=True))


@finite_result
def multi_step_gradient(
    theta: ArrayLike, support: Tasks, query: Task | None = None, *, alpha: ArrayLike, steps: int, weights: ArrayLike,
    optimiser: UpdateRule | None = None,
) -> Array:  # fmt: skip
    """∇F = λ_0, by λ_k = w_k ∇L_query(θ⁽ᵏ⁾) + λ_{k+1} − ∇²L(θ⁽ᵏ⁾)(α ⊙ λ_{k+1}); (..., d).

    Eq: multi-step-loss
    """
    inner = trusted_adaptation(theta, support, alpha=alpha, steps=steps, optimiser=optimiser)
    queries = _query_points(inner, support, query)
    sources = [w * point.grad for w, point in zip(_as_weights(weights, len(queries)), queries, strict=True)]
    return adjoints(inner, alpha, sources, optimiser)[0]


@finite_result
def update(theta: ArrayLike, gradients: ArrayLike, *, beta: float) -> Array:
    """θ − β Σᵢ ∇Fᵢ(θ), for theta (d,) and one gradient per task, (..., d); (d,).

    Eq: maml-update
    """
    theta = as_initialisation(theta)
    gradients = as_parameters(gradients, "gradients", dim=theta.shape[-1], why=" as theta")
    return theta - as_scalar(beta, "beta") * sum_over_tasks(gradients)


class MetaParameters(NamedTuple):
    """An initialisation (d,) and step sizes that are learned with it."""

    theta: Array
    alpha: Array


@finite_result
def meta_sgd_update(
    theta: ArrayLike, support: Tasks, query: Task | None = None, *, alpha: ArrayLike, beta: float, steps: int = 1,
    optimiser: UpdateRule | None = None,
) -> MetaParameters:  # fmt: skip
    """(θ, α) − β Σᵢ (∂Fᵢ/∂θ, ∂Fᵢ/∂α), for theta (d,) and α of any of its shapes.

    Eq: meta-sgd
    """
    by_theta = gradient(theta, support, query, alpha=alpha, steps=steps, optimiser=optimiser)
    by_alpha = step_size_gradient(theta, support, query, alpha=alpha, steps=steps, optimiser=optimiser)
    tasks = tuple(range(by_alpha.ndim - np.ndim(alpha)))
    new_alpha = np.asarray(alpha) - as_scalar(beta, "beta") * np.sum(by_alpha, axis=tasks)
    return MetaParameters(update(theta, by_theta, beta=beta), new_alpha)


@dataclass(frozen=True, eq=False)
class MAML:
    """Rule for `meta_train`: Σᵢ ∇Fᵢ(θ).  With steps=0 it is joint training: Σᵢ ∇Lᵢ(θ) of the queries."""

    alpha: Any
    steps: int = 1
    optimiser: UpdateRule | None = None

    def __post_init__(self) -> None:
        as_optimiser(self.optimiser)

    def direction(self, theta: ArrayLike, support: Tasks, query: Task | None = None) -> Array:
        """Σᵢ ∇Fᵢ(θ), (d,)."""
        theta, settings = as_initialisation(theta), {"alpha": self.alpha, "steps": self.steps, "optimiser": self.optimiser}
        return sum_over_tasks(gradient(theta, support, query, **settings))


@dataclass(frozen=True, eq=False)
class FirstOrderMAML:
    """Rule for `meta_train`: Σᵢ ∇L_query(φᵢ)."""

    alpha: Any
    steps: int = 1
    optimiser: UpdateRule | None = None

    def __post_init__(self) -> None:
        as_optimiser(self.optimiser)

    def direction(self, theta: ArrayLike, support: Tasks, query: Task | None = None) -> Array:
        """Σᵢ ∇L_query(φᵢ), (d,)."""
        theta, settings = as_initialisation(theta), {"alpha": self.alpha, "steps": self.steps, "optimiser": self.optimiser}
        return sum_over_tasks(first_order_gradient(theta, support, query, **settings))


@dataclass(frozen=True)
class MetaSGD:
    """Rule for `meta_train` on [θ, α], (2d,): an initialisation, and one step size per parameter."""

    steps: int = 1
    optimiser: UpdateRule | None = None

    def __post_init__(self) -> None:
        as_optimiser(self.optimiser)

    def direction(self, theta: ArrayLike, support: Tasks, query: Task | None = None) -> Array:
        """Σᵢ [∂Fᵢ/∂θ, ∂Fᵢ/∂α], (2d,).

        Eq: meta-sgd
        """
        dim = as_query(support, query).dim
        if (pair := as_initialisation(theta)).size != 2 * dim:
            raise ValueError(f"theta has shape {pair.shape}, expected ({2 * dim},): [theta, alpha], {dim} numbers each")
        theta, alpha = pair[:dim], pair[dim:]
        settings: dict[str, Any] = {"alpha": alpha, "steps": self.steps, "optimiser": self.optimiser}
        by_both = (f(theta, support, query, **settings) for f in (gradient, step_size_gradient))
        return np.concatenate([sum_over_tasks(slope) for slope in by_both])


def quadratic_closed_form(task: Quadratic, *, alpha: float, steps: int = 1) -> Quadratic:
    """On a quadratic with query = support, F is the quadratic of A' = (I − αA)ᴷ A (I − αA)ᴷ with the same c.

    Eq: quadratic-maml
    """
    if not isinstance(task, Quadratic):
        raise TypeError(f"the closed form is that of a Quadratic, got {type(task).__name__}")
    alpha, steps = as_real_scalar(alpha, "alpha"), as_count(steps, "steps")
    with np.errstate(all="ignore"):
        power = np.linalg.matrix_power(np.eye(task.dim) - alpha * task.A, steps)
        A = check_finite(power @ task.A @ power, "(I - alpha A)^K A (I - alpha A)^K left the finite numbers")
    return Quadratic((A + A.swapaxes(-1, -2)) / 2, task.c)


@finite_result
def quadratic_minimiser(task: Quadratic, *, alpha: float, steps: int = 1) -> Array:
    """argmin_θ Σᵢ Fᵢ(θ) = (Σᵢ Aᵢ')⁻¹ Σᵢ Aᵢ'cᵢ, over all leading axes; (d,).

    Eq: quadratic-maml

    Raises
    ------
    FloatingPointError
        If Σ A' is not positive definite: all A map a common direction to the eigenvalues 0 and 1/α only, so that F does
        not depend on it.
    """
    form = quadratic_closed_form(task, alpha=alpha, steps=steps)
    tasks = tuple(range(len(form.shape)))
    A = np.sum(np.broadcast_to(form.A, (*form.shape, form.dim, form.dim)), axis=tasks)
    low, high = np.linalg.eigvalsh(A)[[0, -1]]
    if not low > _rounding(task, alpha, steps):
        raise FloatingPointError(
            f"the sum of A' = (I - alpha A)^K A (I - alpha A)^K must be positive definite for a unique minimiser, got "
            f"eigenvalues from {low:.3g} to {high:.3g}; alpha times an eigenvalue of A may be 1"
        )
    return np.linalg.solve(A, np.sum(matvec(form.A, form.c), axis=tasks))


def _rounding(task: Quadratic, alpha: float, steps: int) -> float:
    """The rounding error of an eigenvalue of Σ A': Σ 4d·eps ‖A‖ [N²ᴷ + 2K (1 + |α|‖A‖) N²ᴷ⁻¹], N = ‖I − αA‖."""
    size = np.linalg.norm(task.A, ord=2, axis=(-2, -1))
    N = np.linalg.norm(np.eye(task.dim) - alpha * task.A, ord=2, axis=(-2, -1))
    error = size * (N ** (2 * steps) + 2 * steps * (1 + abs(alpha) * size) * N ** max(2 * steps - 1, 0))
    return float(4 * task.dim * np.finfo(float).eps * np.sum(np.broadcast_to(error, task.shape)))


def _query_points(inner: Adaptation, support: Tasks, query: Task | None) -> list[Point]:
    """The query at θ⁽⁰⁾ … θ⁽ᴷ⁾."""
    task, earlier = as_query(support, query), inner.path[:-1]
    return [*(p if task is support else task.at(p.theta) for p in earlier), query_point(inner, support, query)]


def _sum_as_alpha(rows: Array, shape: tuple[int, ...]) -> Array:
    """Rows (..., K, d) summed to the shape of α: (), (d,), (K, 1) or (K, d)."""
    if len(shape) < 2:
        rows = rows.sum(axis=-2)
        return rows if shape else rows.sum(axis=-1)
    return rows if shape[1] == rows.shape[-1] else rows.sum(axis=-1, keepdims=True)


def _as_weights(weights: ArrayLike, n: int) -> Array:
    """The n = K + 1 weights w_0 … w_K."""
    w = as_real(weights, "weights")
    if w.shape != (n,):
        raise ValueError(f"weights has shape {w.shape}, expected ({n},): one for each of theta_0 ... theta_K")
    return w
