"""One loss of a user's own: its value, gradient and Hessian product, and the errors of what is numeric.

Derivation: derivations/judges.md
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array, check_finite
from refmeta.numerics.differences import ROUNDING, SINGLE, Difference
from refmeta.numerics.losses import gradient_along, loss_gradient, loss_hvp
from refmeta.numerics.returned import in_single_precision, returned_array

__all__ = ["MOST", "UserLoss"]

MOST = 1000  # the largest d whose derivatives are computed from the loss alone


class UserLoss(NamedTuple):
    """The functions of θ (d,) that a user has given; `grad` and `hvp` are None where there are none."""

    loss_function: Callable[..., Any]
    grad_function: Callable[..., Any] | None = None
    hvp_function: Callable[..., Any] | None = None

    def loss(self, x: Array) -> float:
        """L(x)."""
        return float(returned_array(self.loss_function(x.copy()), "loss(theta)", ()))

    def slope(self, x: Array) -> Array:
        """∇L(x) by the user's `grad`."""
        assert self.grad_function is not None
        return returned_array(self.grad_function(x.copy()), "grad(theta)", x.shape)

    def grad(self, x: Array) -> Difference:
        """∇L(x): the user's, or a difference of the loss.  The error of a user's is 0, or some units of single precision."""
        if self.grad_function is not None:
            return _taken(self.slope(x))
        _check_affordable(x.size, "gradient", 8)
        return _defined(loss_gradient(self.loss, x), "loss(theta)")

    def hvp(self, x: Array, v: Array) -> Difference:
        """∇²L(x) v: the user's, or a difference of `grad`, or of the loss; errors as of `grad`."""
        if self.hvp_function is not None:
            return _taken(returned_array(self.hvp_function(x.copy(), v.copy()), "hvp(theta, v)", x.shape))
        if self.grad_function is not None:
            return _defined(gradient_along(self.slope, x, v, self.slope(x)), "grad(theta)")
        _check_affordable(x.size, "Hessian product", 16)
        return _defined(loss_hvp(self.loss, x, v), "loss(theta)")


def _taken(derivative: Array) -> Difference:
    """A user's derivative as it is; in single precision with ten roundings of its largest entry as the error."""
    unit = ROUNDING * SINGLE * float(np.max(np.abs(derivative))) if in_single_precision(derivative) else 0.0
    return Difference(derivative, np.full(derivative.shape, unit))


def _check_affordable(dim: int, what: str, times: int) -> None:
    """ValueError where the loss alone would be evaluated too often."""
    if dim > MOST:
        raise ValueError(
            f"the {what} of a loss alone costs some {times * dim} evaluations of the loss for dim = {dim}; "
            f"give grad= (without it dim is at most {MOST})"
        )


def _defined(numeric: Difference, name: str) -> Difference:
    """The difference; FloatingPointError where the function is not finite at the steps."""
    check_finite(numeric.derivative, f"{name} is finite at theta, but not around it: no difference can be taken")
    return numeric
