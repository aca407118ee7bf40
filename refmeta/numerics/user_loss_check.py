"""Do the gradient and the Hessian product that a user gives belong to the loss?  Derivation: derivations/judges.md"""

from typing import NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.numerics.departures import Comparison
from refmeta.numerics.differences import Difference
from refmeta.numerics.gradient_check import GradientVerdict, check, check_unchanged, randomness, verdict_of
from refmeta.numerics.losses import loss_hvp
from refmeta.numerics.user_loss import MOST, UserLoss

__all__ = ["UserLossVerdict", "check_user_loss"]

SEED = 20180801


class UserLossVerdict(NamedTuple):
    """What was found of a user's `grad` and `hvp`; None of one that was not given."""

    grad: GradientVerdict | None
    hvp: GradientVerdict | None

    def __str__(self) -> str:
        """The sentences, one a line."""
        found = {"grad": self.grad, "hvp": self.hvp}
        lines = [f"{name}: {verdict.word}: {verdict.sentence}" for name, verdict in found.items() if verdict is not None]
        return "\n".join(lines or ["grad and hvp are numeric: nothing of yours to judge but the loss"])


def check_user_loss(one: UserLoss, x: Array) -> UserLossVerdict:
    """`grad` against the loss, and `hvp` against `grad`, or against the loss where there is no `grad`."""
    grad = check(one.named_loss, one.named_grad, x) if one.grad_function is not None else _roughness(one, x)
    return UserLossVerdict(grad, _product(one, x) if one.hvp_function is not None else None)


def _roughness(one: UserLoss, x: Array) -> GradientVerdict | None:
    """CANNOT TELL of a loss alone that is random, not smooth or too noisy; else None.

    There is no gradient of the user's here, so the numeric one is compared with itself: only its errors can speak.
    """
    check_unchanged(one.named_loss, "f", theta=x)
    if random := randomness(one.loss, x):
        return random
    numeric = one.grad(x)
    verdict = verdict_of(Comparison(numeric.derivative, *numeric, x, x.shape, 1, False), "gradient", "loss")
    return None if verdict.word == "RIGHT" else verdict


def _product(one: UserLoss, x: Array) -> GradientVerdict:
    """The product along random signs against a difference, and its symmetry in two directions."""
    v, w = np.random.default_rng(SEED).choice([-1.0, 1.0], size=(2, x.size))
    check_unchanged(one.named_hvp, "hvp", theta=x, v=v)
    (yours, single), (mirrored, _) = (one.product(x, u) for u in (v, w))
    left, right = float(w @ yours), float(v @ mirrored)
    numeric = _numeric(one, x, v)
    verdict = verdict_of(Comparison(yours, *numeric, v, x.shape, 1, single), "Hessian product", "gradient" if one.grad_function else "loss")
    size = float(np.abs(w) @ np.abs(yours) + np.abs(v) @ np.abs(mirrored)) or 1.0
    if verdict.word == "RIGHT" and abs(left - right) > 1e-6 * size + float(np.sum(numeric.error)):
        sentence = f"your Hessian product is not symmetric: <w, Hv> is {left:.10g}, <v, Hw> is {right:.10g}"
        return verdict._replace(word="WRONG", digits=0.0, sentence=sentence, advice=())
    return verdict


def _numeric(one: UserLoss, x: Array, v: Array) -> Difference:
    """∇²L(x) v by differences."""
    if one.grad_function is not None:
        return one.slope_along(x, v)
    if x.size > MOST:
        raise ValueError(f"hvp cannot be judged by a loss alone for dim = {x.size}; give grad=")
    return loss_hvp(one.loss, x, v)
