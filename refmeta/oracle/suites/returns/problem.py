"""Batches of steps as the library takes them.  Derivation: derivations/sampled-policy-gradients.md"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.suite import at_most_one
from refmeta.sampling import targets

__all__ = ["TRACES", "Batch", "answer", "inside", "joined", "next_values", "problem", "terms"]


@dataclass(frozen=True, eq=False)
class Batch:
    """N rows of H steps, and what the targets are made with."""

    rewards: Array
    values: Array
    next_values: Array
    q_values: Array
    next_q_values: Array
    terminated: Array
    truncated: Array
    mask: Array
    ratios: Array
    probabilities: Array
    gamma: float
    lam: float
    n_steps: int
    rho_bar: float
    c_bar: float


TRACES: dict[str, Any] = {
    "retrace": lambda b: at_most_one(b.lam) * np.minimum(1, b.ratios),
    "tree_backup": lambda b: at_most_one(b.lam) * b.probabilities,
    "q_lambda": lambda b: at_most_one(b.lam) + 0 * b.ratios,
    "importance_sampling": lambda b: b.ratios,
}


def problem(x: dict[str, Any]) -> Batch:
    """The inputs of the suite, checked: `answer` sets the values inside episodes, and would not see two that differ."""
    batch = Batch(**x)
    flags: Any = {"terminated": batch.terminated, "truncated": batch.truncated, "mask": batch.mask, "gamma": batch.gamma}
    targets.v_trace(batch.rewards, batch.values, batch.next_values, **flags, ratios=batch.ratios, lam=batch.lam)
    targets.retrace(batch.rewards, batch.q_values, batch.next_q_values, **flags, traces=batch.probabilities)
    return batch


def inside(batch: Batch) -> Array:
    """Does the next row belong to the same episode?"""
    kept = np.concatenate([batch.mask[:, 1:], 0 * batch.mask[:, :1]], axis=1)
    return (kept > 0) & (batch.terminated == 0) & (batch.truncated == 0)


def next_values(batch: Batch) -> Array:
    """v', inside an episode v of the next row: the measurement of κ moves all numbers, these two together."""
    return np.where(inside(batch), np.roll(batch.values, -1, axis=1), batch.next_values)


def joined(inputs: dict[str, Any]) -> dict[str, Any]:
    """Inputs whose v' is that of their v inside episodes."""
    return inputs | {"next_values": next_values(Batch(**inputs))}


def answer(part: str, problem: Batch) -> Array:
    """The library's result."""
    b, gamma, lam = problem, at_most_one(problem.gamma), at_most_one(problem.lam)
    flags: Any = {"terminated": b.terminated, "truncated": b.truncated, "mask": b.mask, "gamma": gamma}
    if part in TRACES:
        return targets.retrace(b.rewards, b.q_values, b.next_q_values, **flags, traces=TRACES[part](b))
    steps = b.rewards, b.values, next_values(b)
    if part.startswith("v_trace"):
        both = targets.v_trace(*steps, **flags, ratios=b.ratios, lam=lam, rho_bar=b.rho_bar, c_bar=b.c_bar)
        return both.targets if part == "v_trace" else both.advantage
    keywords: dict[str, Any] = {"n_step": {"n": b.n_steps}, "lambda_return": {"lam": lam}, "gae": {"lam": lam}}
    result: Array = getattr(targets, part)(*steps, **flags, **keywords.get(part, {}))
    return result


def terms(part: str, problem: Batch, value: Array) -> Any:
    """The largest reward and value of each row, times the largest ratio."""
    b, kept = problem, problem.mask > 0
    guesses = (b.q_values, b.next_q_values) if part in TRACES else (b.values, b.next_values)
    reads = np.where(kept, 1.0, 0.0), np.where(kept & (b.terminated == 0), 1.0, 0.0)
    sizes = [np.abs(np.where(where > 0, x, 0)) for x, where in zip((b.rewards, *guesses), (reads[0], *reads), strict=True)]
    return np.max(sizes, axis=(0, 2))
