"""A user's estimator of one batch: what it asks for.  Derivation: derivations/sampled-meta-gradients.md

The function takes as keywords what it asks for: theta, states, actions, rewards, mask, gamma, alpha, query, v, state_count,
action_count.  What it asks for says what it estimates: with `query` a meta-gradient from K batches, with `v` Hessian products
from one batch, else ∇L from one batch.  Every gradient is of the loss L = −J.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from refmeta.arrays import Array, as_parameters
from refmeta.oracle.results import CallError, on_host
from refmeta.tasks.exact_return import PolicyReturn

__all__ = ["OFFERED", "BatchFunction", "Query", "as_batch_function"]

OFFERED = (
    "theta", "states", "actions", "rewards", "mask", "gamma", "alpha", "query", "v", "state_count", "action_count",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class BatchFunction:
    """A user's estimator.

    kind : "meta" for a meta-gradient, "hessian" for Hessian products, "gradient" for ∇L.
    asks : the keywords that it takes.
    vectorised : does it take n batches at once, every array with one more leading axis?
    """

    function: Callable[..., Any]
    kind: str
    asks: tuple[str, ...]
    vectorised: bool = False


def as_batch_function(function: Callable[..., Any], *, vectorised: bool = False) -> BatchFunction:
    """The estimator with what it asks for; `CallError` if it requires a keyword that there is not."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return BatchFunction(function, "meta", OFFERED, vectorised)
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    unknown = [p.name for p in named if p.default is p.empty and p.name not in OFFERED]
    positional = [p.name for p in parameters if p.kind is p.POSITIONAL_ONLY and p.default is p.empty]
    if unknown or positional:
        raise CallError(f"the function requires {', '.join(unknown + positional)}; it is called with keywords out of {', '.join(OFFERED)}")
    names, all_keywords = [p.name for p in named if p.name in OFFERED], any(p.kind is p.VAR_KEYWORD for p in parameters)
    kind = "meta" if "query" in names else "hessian" if "v" in names else "meta" if all_keywords else "gradient"
    return BatchFunction(function, kind, OFFERED if all_keywords else tuple(names), vectorised)


class Query:
    """L(φ) and ∇L(φ), exact, as the function `query(phi)` of a user; it keeps where it was asked.

    phi is (d,), or (n, d) for n batches at once; the loss is one number, or (n,).
    """

    def __init__(self, task: PolicyReturn, shape: tuple[int, ...]) -> None:
        self.task, self.shape = task, shape
        self.points: list[Array] = []

    def __call__(self, phi: Any) -> tuple[Any, Array]:
        """L(φ) and ∇L(φ)."""
        phi = as_parameters(on_host(phi), "phi")
        if phi.shape != self.shape:
            raise ValueError(f"query(phi): phi has shape {phi.shape}, expected {self.shape}")
        point = self.task.at(phi)
        self.points.append(np.real(phi))
        return np.array(point.loss)[()], np.array(point.grad)

    def adapted(self) -> Array:
        """φ, where it was asked; `CallError` if it was never asked, or at several points."""
        if not self.points:
            raise CallError(
                "the function never called query(phi): the parameters after the inner steps are unknown, so that no batch "
                "can be drawn at them"
            )
        first, scale = self.points[0], max(1.0, float(np.max(np.abs(self.points[0]))))
        gap = max(float(np.max(np.abs(phi - first))) for phi in self.points) / scale
        if gap > 1e-9:
            raise CallError(
                f"the function called query at parameters that differ by {gap:.2g}; with several inner steps it must be "
                "called at the adapted parameters alone, as the next batch is drawn there"
            )
        return first
