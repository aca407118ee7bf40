"""Implicit MAML: the meta-gradient of a proximal minimiser, exact, or by methods that stop early.

Derivation: derivations/implicit-and-zeroth-order.md
"""

from refmeta.meta.implicit.early import (
    cg_gradient,
    finite_difference_gradient,
    neumann_gradient,
    one_step_gradient,
    truncated_gradient,
)
from refmeta.meta.implicit.exact import ImplicitMAML, gradient, objective
from refmeta.meta.implicit.proximal import Proximal, adapt, solve

__all__ = [
    "ImplicitMAML", "Proximal", "adapt", "cg_gradient", "finite_difference_gradient", "gradient", "neumann_gradient",
    "objective", "one_step_gradient", "solve", "truncated_gradient",
]  # fmt: skip
