"""What the oracle's definitions make of one tiny process, in complex numbers.  Derivation: derivations/judges.md"""

from collections.abc import Iterator

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.bicomplex import COMPLEX, complex_numbers
from refmeta.oracle.certify import real_part
from refmeta.oracle.decimals import Inputs, gradient, policy
from refmeta.oracle.suites.expected_estimators.definition import Process, objective, paths, probability
from refmeta.oracle.suites.expected_estimators.problem import Expectations
from refmeta.tasks.exact_return import PolicyReturn

__all__ = ["every_trajectory", "formulation"]


def formulation(part: str, task: PolicyReturn, theta: Array, alpha: float, episodes: int = 1, steps: int = 1) -> Array:
    """`formulation_exact` or `formulation_sampled` of one task: the objective and its gradient, (1 + d,)."""
    x, process = _inputs(Expectations(theta, (task,), alpha, episodes, steps, theta))
    f = objective(part, x, process, COMPLEX)
    return real_part([f(x["theta"]), *gradient(f, x["theta"], COMPLEX.outer)])


def every_trajectory(task: PolicyReturn, theta: Array) -> Iterator[tuple[float, tuple[tuple[int, int], ...], Array]]:
    """p(τ|θ), the states and actions, and γᵗ Ĝ_t, of every trajectory of one task under a tabular policy."""
    x, process = _inputs(Expectations(theta, (task,), 0.0, 1, 1, theta))
    pi = policy(x["theta"], task.mdp.states, task.mdp.actions)
    for path in paths(*process, x["gamma"], x["horizon"]):
        yield probability(path, pi).real, path.steps, np.real(path.to_go)


def _inputs(problem: Expectations) -> tuple[Inputs, Process]:
    """The inputs in complex numbers, and the only process among them."""
    x = complex_numbers(problem.inputs)
    return x, (x["P"][0], x["R"][0], x["rho"][0])
