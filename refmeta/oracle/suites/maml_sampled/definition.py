"""The objective of sampled MAML on fixed batches, in any arithmetic.  Derivation: derivations/sampled-meta-gradients.md

No derivative formula stands here: the inner gradients are numeric, and so is the gradient of the objective.
"""

from collections.abc import Callable
from typing import Any

from refmeta.oracle.decimals import Inputs, Loss, Number, Steps, Vector, adaptation, gradient, step_size_rows
from refmeta.oracle.suites.surrogates.definition import SUMMANDS, USUAL, Likelihood, TimeStep, surrogate, unchanged

__all__ = ["define", "one_batch"]

ROWS, SHARED = ("states", "actions", "rewards", "mask", "baseline"), ("state_count", "action_count", "features", "gamma", "lam")


def define(
    part: str, x: Inputs, steps: Steps, change: Callable[[TimeStep], TimeStep] = unchanged, use: Likelihood = USUAL
) -> list[Any]:
    """φ, L_query(φ), or its gradient in θ, one entry per task; a `change` of the steps in time makes it a wrong one."""
    name, _, kind = part.rpartition("_")

    def loss(batch: Inputs) -> Loss:
        return surrogate(lambda step: SUMMANDS[name](change(step)), batch, 0, use)

    results = []
    for task in range(len(x["query_rewards"])):
        support = [loss(one_batch(x, "", task, k)) for k in range(len(x["rewards"][task]))]
        results.append(_of_task(kind, x, support, loss(one_batch(x, "query_", task)), steps))
    return results


def _of_task(kind: str, x: Inputs, support: list[Loss], query: Loss, steps: Steps) -> Any:
    """One task's part: each inner step has a loss and a row of step sizes of its own."""
    alphas = step_size_rows(x["alpha"], len(support), len(x["theta"]))

    def phi(theta: Vector) -> Vector:
        for loss, row in zip(support, alphas, strict=True):
            theta = adaptation(theta, loss, [row], steps.inner)
        return theta

    def objective(theta: Vector) -> Number:
        return query(phi(theta))

    if kind == "gradient":
        return gradient(objective, x["theta"], steps.outer)
    return phi(x["theta"]) if kind == "adapted" else objective(x["theta"])


def one_batch(x: Inputs, prefix: str, task: int, *step: int) -> Inputs:
    """A batch of a task, as the inputs of the suite `surrogates` with one task; `prefix` is "" or "query_"."""

    def entry(name: str) -> Any:
        value = x[prefix + name][task]
        return value[step[0]] if step else value

    rows = {name: [entry(name)] for name in ROWS}
    return {name: x[name] for name in SHARED} | rows | {"theta_sampled": entry("theta_sampled")}
