"""Where a target of returns may be right, besides what is said of every suite.  Derivation: derivations/sampled-policy-gradients.md"""

from typing import Any

import numpy as np

from refmeta.oracle.choices import Predicate
from refmeta.oracle.suites.returns.problem import joined

__all__ = ["PREDICATES"]

Inputs = dict[str, Any]


def _all_zero(flag: str, reading: str) -> Predicate:
    """A flag that no kept step has."""

    def holds(case: Any) -> bool:
        x = case.arguments()
        return not np.any(x[flag] * x["mask"])

    return Predicate(f"nothing is {flag}", reading, holds, lambda x: joined(x | {flag: 0 * x[flag]}))


def _last_terminated(x: Inputs) -> Inputs:
    """The last kept step of every row is terminated."""
    last = (x["mask"] > 0) & (np.cumsum(x["mask"], axis=1) == np.sum(x["mask"], axis=1, keepdims=True))
    return x | {"terminated": np.where(last, 1, x["terminated"])}


def _ends_terminated(case: Any) -> bool:
    """Is the last kept step of every row terminated?"""
    x = case.arguments()
    return bool(np.array_equal(_last_terminated(x)["terminated"], x["terminated"]))


def _on_policy(case: Any) -> bool:
    """Is every ratio of a kept step 1, and no bound smaller, which would change them?"""
    x = case.arguments()
    return bool(np.all((x["ratios"] == 1) | (x["mask"] == 0))) and min(x["rho_bar"], x["c_bar"]) >= 1


PREDICATES = (
    Predicate(
        "every step is kept", "what stands behind the mask enters: it is read, or its flags are",
        lambda case: bool(np.all(case.arguments()["mask"])), lambda x: joined(x | {"mask": 0 * x["mask"] + 1}),
    ),
    _all_zero("truncated", "at a cut something differs: the next value, or where the sum stops"),
    _all_zero("terminated", "at a termination something differs: the next value counts, or the sum goes on"),
    Predicate(
        "every row ends terminated", "at the end of the batch something differs: the value after the last row", _ends_terminated, _last_terminated
    ),
    Predicate(
        "every ratio is 1 (no bound below 1)", "off policy something differs: which ratio, of which step, or how it is bounded",
        _on_policy, lambda x: x | {"ratios": 0 * x["ratios"] + 1, "rho_bar": max(x["rho_bar"], 1.0), "c_bar": max(x["c_bar"], 1.0)},
    ),
)  # fmt: skip
