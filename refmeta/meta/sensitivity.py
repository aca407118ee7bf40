"""How the result of a meta-objective depends on its hyper-parameters, exactly.  Derivation: derivations/best-possible.md

θ*(η) minimises F(θ, η) for a hyper-parameter η, such as the inner step size or the weight of a task, and is judged by
G(θ*(η), η), for example on tasks that were held out.  How G depends on η follows from derivatives at θ* alone: nothing is
minimised again.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from refmeta.arrays import Array, as_parameters, as_real, finite_result
from refmeta.judges import complex_step
from refmeta.meta.arguments import Task, as_initialisation
from refmeta.meta.inner import adapt, adjoints, query_point
from refmeta.meta.loop import sum_over_tasks

__all__ = ["Sensitivity", "hyper_sensitivity", "minimiser", "step_size_sensitivity"]

Function = Callable[[Any, Any], Any]
Derivative = Callable[[Callable[[Any], Any], Any], Any]
FLAT = 1e-12  # a curvature below so much of the largest one counts as none
FAR = 1e-6  # the longest Newton step, in units of the largest entry of θ or 1, from which θ counts as stationary
MOST = 50


class Sensitivity(NamedTuple):
    """dθ*/dη, (d, ...), and dG/dη, the axes of G and then those of η."""

    minimiser: Array
    judged: Array


@finite_result
def hyper_sensitivity(
    theta: ArrayLike, eta: ArrayLike, gradient: Function, judged: Function, derivative: Derivative = complex_step,
    *, flat: float = FLAT,
) -> Sensitivity:  # fmt: skip
    """dG/dη = ∂G/∂η + ∂G/∂θ · dθ*/dη, with dθ*/dη = −(∂²F/∂θ²)⁻¹ ∂²F/∂θ∂η, at θ = θ*(η).

    Eq: hyper-sensitivity

    Directions along which neither F's gradient nor G changes, such as a shift of all logits of a state, are left out.

    Parameters
    ----------
    theta : (d,) array
        θ*, a minimum of F(·, η); `minimiser` makes one.
    eta : array
        The hyper-parameter: one number, or several.
    gradient : function of θ and η
        ∂F/∂θ, (d,).
    judged : function of θ and η
        G, one number or several.
    derivative : function of a function and a point
        The derivative of a function by all entries of its argument, in new last axes.  The default is the complex step,
        for which `gradient` and `judged` must accept complex θ and η.  For others, `lambda f, x:
        refmeta.judges.central_difference(f, x).derivative` has about ten digits.
    flat : float
        A direction is flat if its curvature is below this share of the largest, 1e-12.  For differences give 1e-8.

    Raises
    ------
    ValueError
        If θ is not a minimum of F: its gradient is not zero, it has a direction of negative curvature, or θ* or G is not
        determined along a direction without curvature.
    """
    theta, eta = as_initialisation(as_real(theta, "theta")), as_real(eta, "eta")
    H = np.asarray(derivative(lambda t: gradient(t, eta), theta))
    inverse, level = _curvature(H, flat)
    _check_small(theta, inverse @ np.asarray(gradient(theta, eta)))
    mixed = np.asarray(derivative(lambda e: gradient(theta, e) + 0 * np.sum(e), eta))
    slope = np.asarray(derivative(lambda t: judged(t, eta) + 0 * np.sum(t), theta))
    direct = np.asarray(derivative(lambda e: judged(theta, e) + 0 * np.sum(e), eta))
    _check_determined("dF/dtheta changes with eta", level.T @ mixed.reshape(len(level), -1), (mixed, H), flat)
    _check_determined("G changes", slope @ level, (slope, judged(theta, eta)), flat)
    moves = -np.tensordot(inverse, mixed, axes=1)
    return Sensitivity(moves, direct + np.tensordot(slope, moves, axes=1))


@finite_result
def step_size_sensitivity(
    theta: ArrayLike, support: Task, query: Task | None = None, *, alpha: ArrayLike, steps: int = 1,
    held_out: tuple[Task, Task | None] | None = None,
) -> Sensitivity:  # fmt: skip
    """dθ*/dα and dG_i/dα, where θ* minimises MAML's Σᵢ Fᵢ(θ; α), and G_i is the same objective of held-out tasks.

    Eq: hyper-sensitivity

    The arguments are those of `maml.objective`; `theta` (d,) is a minimum of the sum over all tasks.  `held_out` is a pair
    of support and query (or None), by default that of the training itself.  Errors are those of `hyper_sensitivity`.
    """
    support_too, query_too = (support, query) if held_out is None else held_out

    def gradient(t: Any, a: Any) -> Array:
        inner = adapt(t, support, alpha=a, steps=steps)
        return sum_over_tasks(adjoints(inner, a, [query_point(inner, support, query).grad])[0])

    def judged(t: Any, a: Any) -> Any:
        return query_point(adapt(t, support_too, alpha=a, steps=steps), support_too, query_too).loss

    return hyper_sensitivity(theta, alpha, gradient, judged)


def minimiser(
    theta: ArrayLike, gradient: Callable[[Any], Any], derivative: Derivative = complex_step, *, flat: float = FLAT
) -> Array:
    """The minimum of F near θ, by Newton's method on ∂F/∂θ, (d,), while this halves the step; `flat` as in `hyper_sensitivity`.

    Raises
    ------
    ValueError
        If Newton's method meets a direction of negative curvature, or ends where the step is not small.
    """
    theta = as_initialisation(as_parameters(theta))
    step, last = _newton_step(theta, gradient, derivative, flat), np.inf
    for _ in range(MOST):
        if not np.max(np.abs(step)) < last / 2:
            break
        theta, last = theta - step, float(np.max(np.abs(step)))
        step = _newton_step(theta, gradient, derivative, flat)
    _check_small(theta, step)
    return theta


def _newton_step(theta: Array, gradient: Callable[[Any], Any], derivative: Derivative, flat: float) -> Array:
    """(∂²F/∂θ²)⁻¹ ∂F/∂θ."""
    return _curvature(np.asarray(derivative(gradient, theta)), flat)[0] @ np.asarray(gradient(theta))


def _curvature(H: Array, flat: float) -> tuple[Array, Array]:
    """The inverse of a Hessian where it has curvature, and a basis (d, n) of the directions where it has none."""
    values, vectors = np.linalg.eigh((H + H.T) / 2)
    least = flat * np.max(np.abs(values))
    if values[0] < -least or not least > 0:
        raise ValueError(f"theta must be a minimum of F: its Hessian has eigenvalues from {values[0]:.3g} to {values[-1]:.3g}")
    curved = values > least
    return (vectors[:, curved] / values[curved]) @ vectors[:, curved].T, vectors[:, ~curved]


def _check_small(theta: Array, step: Array) -> None:
    """ValueError unless a Newton step from θ is small."""
    if not (size := np.max(np.abs(step))) <= FAR * max(1.0, np.max(np.abs(theta))):
        raise ValueError(
            f"theta must be a minimum of F: Newton's step from it is {size:.3g}, at most {FAR:g} is allowed; "
            "refmeta.sensitivity.minimiser goes to the minimum"
        )


def _check_determined(change: str, part: Array, units: tuple[Any, ...], flat: float) -> None:
    """ValueError if the part of a derivative along flat directions is more than rounding, in units of these arrays."""
    size = np.max(np.abs(part), initial=0.0)
    if size > 1e-6 * max(float(np.max(np.abs(unit))) for unit in units):
        raise ValueError(
            f"the minimum of F is not unique up to rounding: {change} by {size:.3g} along a direction whose curvature is "
            f"below {flat:g} of the largest; if it is not flat, measure theta in other units"
        )
