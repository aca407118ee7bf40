"""What the oracle's definitions make of random problems, in complex numbers.  Derivation: derivations/judges.md"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.bicomplex import COMPLEX
from refmeta.oracle.certify import real_part
from refmeta.oracle.decimals import gradient, policy
from refmeta.oracle.suites.expected_estimators.definition import objective, paths, probability
from refmeta.oracle.suites.surrogates.definition import define
from refmeta.oracle.suites.surrogates.problem import Batches
from refmeta.tasks.exact_return import PolicyReturn

__all__ = ["every_trajectory", "formulation", "surrogate"]


def surrogate(part: str, problem: Batches) -> Array:
    """A surrogate's loss, gradient or Hessian product (`dice_hvp`), (N,) or (N, d)."""
    return real_part(define(part, problem.inputs, COMPLEX))


def formulation(part: str, task: PolicyReturn, theta: Array, alpha: float, episodes: int = 1, steps: int = 1) -> Array:
    """`formulation_exact` or `formulation_sampled` of one task: the objective and its gradient, (1 + d,)."""
    x = {**_shared(task, theta), "alpha": complex(alpha), "episodes": episodes, "steps": steps}
    f = objective(part, x, _process(task), COMPLEX)
    return real_part([f(x["theta"]), *gradient(f, x["theta"], COMPLEX.outer)])


def every_trajectory(task: PolicyReturn, theta: Array) -> Iterator[tuple[float, tuple[tuple[int, int], ...], Array]]:
    """p(τ|θ), the states and actions, and γᵗ Ĝ_t, of every trajectory of one task under a tabular policy."""
    x, process = _shared(task, theta), _process(task)
    pi = policy(x["theta"], task.mdp.states, task.mdp.actions)
    for path in paths(*process, x["gamma"], x["horizon"]):
        yield probability(path, pi).real, path.steps, np.real(path.to_go)


def _shared(task: PolicyReturn, theta: Array) -> dict[str, Any]:
    """θ, γ and the horizon."""
    return {"theta": theta.astype(complex).tolist(), "gamma": complex(task.mdp.gamma), "horizon": task.mdp.horizon}


def _process(task: PolicyReturn) -> tuple[Any, Any, Any]:
    """P, R and ρ."""
    P, R, rho = (array.astype(complex).tolist() for array in (task.mdp.P, task.mdp.R, task.mdp.rho))
    return P, R, rho
