"""One loss of a user's own: its value, gradient and Hessian product, and the errors of what is numeric.

Derivation: derivations/judges.md
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array, check_finite
from refmeta.numerics.differences import ROUNDING, SINGLE, Difference
from refmeta.numerics.losses import gradient_along, loss_gradient, loss_hvp
from refmeta.numerics.returned import in_single_precision, returned_array, user_function

__all__ = ["MOST", "UserLoss"]

MOST = 1000  # the largest d whose derivatives are computed from the loss alone


class UserLoss(NamedTuple):
    """The functions of θ (d,) that a user has given; `grad` and `hvp` are None where there are none."""

    loss_function: Callable[..., Any]
    grad_function: Callable[..., Any] | None = None
    hvp_function: Callable[..., Any] | None = None

    def loss(self, x: Array) -> float:
        """L(x)."""
        return float(returned_array(self.named_loss(x.copy()), "loss(theta)", ()))

    @property
    def named_loss(self) -> Callable[..., Any]:
        """The user's `loss`; an exception of its own says so."""
        return user_function(self.loss_function, "loss(theta)")

    @property
    def named_grad(self) -> Callable[..., Any]:
        """The user's `grad`; an exception of its own says so."""
        assert self.grad_function is not None
        return user_function(self.grad_function, "grad(theta)")

    @property
    def named_hvp(self) -> Callable[..., Any]:
        """The user's `hvp`; an exception of its own says so."""
        assert self.hvp_function is not None
        return user_function(self.hvp_function, "hvp(theta, v)")

    def slope(self, x: Array) -> Array:
        """∇L(x) by the user's `grad`."""
        return self._slope(x)[0]

    def _slope(self, x: Array) -> tuple[Array, bool]:
        """∇L(x) by the user's `grad`, and: is it in single precision?"""
        result = self.named_grad(x.copy())
        return returned_array(result, "grad(theta)", x.shape), in_single_precision(result)

    def product(self, x: Array, v: Array) -> tuple[Array, bool]:
        """∇²L(x) v by the user's `hvp`, and: is it in single precision?"""
        result = self.named_hvp(x.copy(), v.copy())
        return returned_array(result, "hvp(theta, v)", x.shape), in_single_precision(result)

    def slope_along(self, x: Array, v: Array) -> Difference:
        """∇²L(x) v by a difference of the user's `grad`."""
        start, single = self._slope(x)
        return gradient_along(self.slope, x, v, start, single=single)

    def grad(self, x: Array) -> Difference:
        """∇L(x): the user's, or a difference of the loss.  The error of a user's is 0, or some units of single precision."""
        if self.grad_function is not None:
            return _taken(*self._slope(x))
        _check_affordable(x.size, "gradient", 8)
        return _defined(loss_gradient(self.loss, x), "loss(theta)")

    def hvp(self, x: Array, v: Array) -> Difference:
        """∇²L(x) v: the user's, or a difference of `grad`, or of the loss; errors as of `grad`."""
        if self.hvp_function is not None:
            return _taken(*self.product(x, v))
        if self.grad_function is not None:
            return _defined(self.slope_along(x, v), "grad(theta)")
        _check_affordable(x.size, "Hessian product", 16)
        return _defined(loss_hvp(self.loss, x, v), "loss(theta)")


def _taken(derivative: Array, single: bool) -> Difference:
    """A user's derivative as it is; in single precision with ten roundings of its largest entry as the error."""
    unit = ROUNDING * SINGLE * float(np.max(np.abs(derivative))) if single else 0.0
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
