"""The oracle's definitions on random problems, in complex numbers.  Derivation: derivations/judges.md"""

from collections.abc import Iterator

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.bicomplex import COMPLEX, complex_numbers, real_part
from refmeta.oracle.decimals import Inputs, Number, exp, gradient, policy
from refmeta.oracle.suites.expected_estimators.definition import Process, objective, paths, probability
from refmeta.oracle.suites.expected_estimators.problem import Expectations
from refmeta.oracle.suites.surrogates import definition
from refmeta.oracle.suites.surrogates.problem import Batches
from refmeta.tasks.exact_return import PolicyReturn

__all__ = ["clipped_summand", "all_trajectories", "formulation", "surrogate_loss"]


def clipped_summand(s: definition.TimeStep) -> Number:
    """γᵗ min(Â ratio, Â clip(ratio, ¾, 5/4)), of real numbers."""
    A, ratio = (s.to_go - s.baseline).real, exp(s.now).real
    return s.discount * min(A * ratio, A * min(max(ratio, 0.75), 1.25))


def surrogate_loss(name: str, problem: Batches) -> Array:
    """The loss of a surrogate of the suite, or of `clipped`, step by step; (N,)."""
    x, summand = complex_numbers(problem.inputs), (definition.SUMMANDS | {"clipped": clipped_summand})[name]
    return real_part([definition.surrogate(summand, x, task)(x["theta"]) for task in range(len(x["rewards"]))])


def formulation(part: str, task: PolicyReturn, theta: Array, alpha: float, episodes: int = 1, steps: int = 1) -> Array:
    """`formulation_exact` or `formulation_sampled` of one task: the objective and its gradient, (1 + d,)."""
    x, process = _inputs(Expectations(theta, (task,), alpha, episodes, steps, theta))
    f = objective(part, x, process, COMPLEX)
    return real_part([f(x["theta"]), *gradient(f, x["theta"], COMPLEX.outer)])


def all_trajectories(task: PolicyReturn, theta: Array) -> Iterator[tuple[float, tuple[tuple[int, int], ...], Array]]:
    """p(τ|θ), the states and actions, and γᵗ Ĝ_t, of every trajectory of one task under a tabular policy."""
    x, process = _inputs(Expectations(theta, (task,), 0.0, 1, 1, theta))
    pi = policy(x["theta"], task.mdp.states, task.mdp.actions)
    for path in paths(*process, x["gamma"], x["horizon"]):
        yield probability(path, pi).real, path.steps, np.real(path.to_go)


def _inputs(problem: Expectations) -> tuple[Inputs, Process]:
    """The inputs in complex numbers, and the only process among them."""
    x = complex_numbers(problem.inputs)
    return x, (x["P"][0], x["R"][0], x["rho"][0])
