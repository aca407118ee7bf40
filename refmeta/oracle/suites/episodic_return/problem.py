"""A return with declared ends as the library takes it.  Derivation: derivations/exact-policy-gradient.md"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from refmeta.arrays import Array, as_flags, as_real, replace_fields
from refmeta.oracle.common import policy_of
from refmeta.oracle.suite import at_most_one
from refmeta.oracle.suites.policy_gradient.problem import answer as of_policy
from refmeta.oracle.suites.policy_gradient.problem import terms
from refmeta.tasks.exact_return import PolicyReturn
from refmeta.tasks.mdp import FiniteMDP
from refmeta.tasks.planning import optimal_values

__all__ = ["EpisodicReturn", "answer", "problem", "terms"]


@dataclass(frozen=True, eq=False)
class EpisodicReturn:
    """A return to be differentiated: theta (d,), the task, a direction (d,), and P and R with the rows of the ends as given."""

    theta: Array
    task: PolicyReturn
    v: Array
    P: Array
    R: Array


def problem(x: dict[str, Any]) -> EpisodicReturn:
    """The inputs of the suite; in the library's process an end stays where it is and pays nothing."""
    P, R, end = as_real(x["P"], "P"), as_real(x["R"], "R"), as_flags(x["terminal"], "terminal")
    stays = np.where(end[..., None, None], np.eye(P.shape[-1])[:, None], P)
    unpaid = np.where(end.reshape(*end.shape, *[1] * (R.ndim - end.ndim)), 0.0, R)
    FiniteMDP(P, R, x["rho"], 0.0)  # what is dropped is checked, too
    mdp = FiniteMDP(stays, unpaid, x["rho"], x["gamma"], x["horizon"], end)
    return EpisodicReturn(x["theta"], PolicyReturn(mdp, policy_of(x, mdp)), x["v"], P, R)


def answer(part: str, problem: EpisodicReturn) -> Array:
    """The library's answer."""
    if part == "optimal_value":
        mdp = problem.task.mdp
        return optimal_values(replace_fields(mdp, gamma=at_most_one(mdp.gamma))).value
    return of_policy(part, problem)  # type: ignore[arg-type]
