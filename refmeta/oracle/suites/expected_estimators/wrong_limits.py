"""Exact returns of tiny processes with a limit that nobody asked for.  Right: `sampled.formulation_exact`, and −∇²J v.

A limit that nothing reaches changes nothing.
"""

from typing import Any

import numpy as np

from refmeta.arrays import Array, replace_fields
from refmeta.meta import maml
from refmeta.oracle import clamps, limits
from refmeta.oracle.clamps import ClampedSoftmax
from refmeta.oracle.known import EVERY, rows_in, wrong
from refmeta.tasks.exact_return import PolicyReturn

__all__ = ["ROWS"]


def _batch(problem: Any) -> PolicyReturn:
    """The tasks as one."""
    mdps, first = [task.mdp for task in problem.tasks], problem.tasks[0]
    arrays = {name: np.stack([getattr(mdp, name) for mdp in mdps]) for name in ("P", "R", "rho")}
    return replace_fields(first, mdp=replace_fields(first.mdp, **arrays))


def _with_softmax(problem: Any, use: ClampedSoftmax) -> dict[str, Array]:
    """The parts that are derivatives of the exact return, with another softmax."""
    task, hyper = clamps.with_softmax(_batch(problem), use), {"alpha": problem.alpha, "steps": problem.steps}
    point = task.at(problem.theta)
    return {"formulation_exact": maml.gradient(problem.theta, task, **hyper), "dice_hessian": np.asarray(point.hvp(problem.v))}


probabilities_clamped, logits_clamped = clamps.clamp_rows(_with_softmax)


@wrong(
    "gradient-clipped", "an inner gradient of at most norm 10", quantity=EVERY, chapter="maml",
    cause="gradients are clipped in the inner loop",
    hint="PyTorch: clip_grad_norm_ before an inner step; optax: clip_by_global_norm in the inner optimiser",
)  # fmt: skip
def gradient_clipped(problem: Any) -> Any:
    task, hyper = _batch(problem), {"alpha": problem.alpha, "steps": problem.steps}
    support = limits.with_clipped_gradient(task)
    return {"formulation_exact": maml.gradient(problem.theta, support, task, **hyper)}


ROWS = rows_in(globals())
