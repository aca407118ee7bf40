"""Evidence for the Bayes-adaptive optimum and for sensitivities: the tree of all histories, and a closed form."""

import operator
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator

from refmeta.arrays import Array
from refmeta.evidence.checks import Check, Error, off
from refmeta.evidence.maml import random_minimum
from refmeta.judges import complex_step
from refmeta.meta import maml
from refmeta.meta.bayes_adaptive import optimum, value_of
from refmeta.meta.sensitivity import step_size_sensitivity
from refmeta.tasks.mdp import FiniteMDP
from refmeta.tasks.quadratic import Quadratic

__all__ = ["CHECKS", "UnknownTask", "random_trained", "random_unknown_task", "values_by_histories"]

N, S, A, HORIZON = 3, 2, 2, 2
Values = tuple[float, float]  # under the believed prior, and under the true one
Weights = list[float]  # of each task
Outcome = tuple[int, float, Weights]


class UnknownTask(NamedTuple):
    """Tasks, the prior that is believed, the true prior, and the weights of the episodes."""

    tasks: FiniteMDP
    believed: Array
    prior: Array
    weights: Array


def random_unknown_task(rng: Generator) -> UnknownTask:
    """Tasks that differ in transitions, and in some rewards while others are the same in all; two episodes."""
    P, rho = rng.dirichlet(np.ones(S), (N, S, A)), rng.dirichlet(np.ones(S))
    R = np.where(rng.random((N, S, A)) < 0.5, rng.normal(size=(S, A)), rng.normal(size=(N, S, A)))
    believed, prior = rng.dirichlet(np.ones(N), size=2)
    return UnknownTask(FiniteMDP(P, R, rho, 0.8), believed, prior, rng.uniform(0.5, 1, size=2))


def values_by_histories(case: UnknownTask, horizon: int) -> tuple[float, float]:
    """The value of acting optimally for the believed prior, under that prior and under the true one.

    It is the definition: after every history, each action is tried, and each next state and reward in every task.  The
    weight of a task is its prior times the probability of the whole history in it; no belief is computed.
    """
    tasks, steps = case.tasks, len(case.weights) * horizon
    outcomes, rho = _outcomes(tasks), np.broadcast_to(tasks.rho, (*tasks.shape, tasks.states))[0].tolist()
    worth = [float(w) * tasks.gamma**h for w in case.weights for h in range(horizon)]

    def begin(t: int, p: Weights, q: Weights) -> Values:
        if t == steps:
            return 0.0, 0.0
        return _sum([best(t, s, [x * start for x in p], [x * start for x in q]) for s, start in enumerate(rho) if start > 0])

    def best(t: int, s: int, p: Weights, q: Weights) -> Values:
        return max([act(t, found, p, q) for found in outcomes[s]], key=operator.itemgetter(0))

    def act(t: int, found: list[Outcome], p: Weights, q: Weights) -> Values:
        values = [(0.0, 0.0)]
        for following, r, chances in found:
            after_p, after_q = [c * x for c, x in zip(chances, p, strict=True)], [c * x for c, x in zip(chances, q, strict=True)]
            if any(after_p) or any(after_q):
                values.append((worth[t] * r * sum(after_p), worth[t] * r * sum(after_q)))
                ends = (t + 1) % horizon == 0
                values.append(begin(t + 1, after_p, after_q) if ends else best(t + 1, following, after_p, after_q))
        return _sum(values)

    return begin(0, case.believed.tolist(), case.prior.tolist())


def _outcomes(tasks: FiniteMDP) -> list[list[list[Outcome]]]:
    """What may be seen after every action in every state: the next state, the reward, and their probability in each task."""
    P = np.broadcast_to(tasks.P, (*tasks.shape, *tasks.P.shape[-3:]))
    R = np.broadcast_to(tasks.R if tasks.R.ndim >= tasks.P.ndim else tasks.R[..., None], P.shape)

    def seen(s: int, a: int) -> list[Outcome]:
        pairs = [(following, r) for following in range(tasks.states) for r in sorted(set(R[:, s, a, following].tolist()))]
        return [(i, r, (P[:, s, a, i] * (R[:, s, a, i] == r)).tolist()) for i, r in pairs]

    return [[seen(s, a) for a in range(tasks.actions)] for s in range(tasks.states)]


def _sum(pairs: list[Values]) -> Values:
    """The sums of the first and of the second entries."""
    return sum([x for x, _ in pairs]), sum([y for _, y in pairs])


def _normalised(x: Any, case: UnknownTask) -> tuple[FiniteMDP, Array, Array]:
    """The tasks and both priors from numbers that do not sum to 1."""
    P, believed, prior = (part / np.sum(part, axis=-1, keepdims=True) for part in x)
    return FiniteMDP(P, case.tasks.R, case.tasks.rho, case.tasks.gamma), believed, prior


def _optimum_error(case: UnknownTask) -> Error:
    """The best value against all histories; the sum of the returns of the episodes is that value, too."""

    def both(x: Any) -> Array:
        tasks, believed, _ = _normalised(x, case)
        got = optimum(tasks, believed, episodes=2, horizon=HORIZON, weights=case.weights)
        return np.array([[got.value], [case.weights @ got.returns]])

    value = values_by_histories(case, HORIZON)[0]
    return off(both, (case.tasks.P, case.believed, case.prior), [[value], [value]], scale=np.max(np.abs(case.tasks.R)))


def _wrong_prior_error(case: UnknownTask) -> Error:
    """The value under the true prior of the policy for the believed one."""
    policy = optimum(case.tasks, case.believed, episodes=2, horizon=HORIZON, weights=case.weights).policy

    def value(p: Array) -> Array:
        return np.asarray(value_of(policy, p / np.sum(p)))[None]

    expected = [values_by_histories(case, HORIZON)[1]]
    return off(value, case.prior, expected, scale=np.max(np.abs(case.tasks.R)))


def random_trained(rng: Generator) -> tuple[Quadratic, Quadratic, float]:
    """Quadratics to train on, others to judge by, and α."""
    return random_minimum(rng)[0], random_minimum(rng)[0], float(rng.uniform(0.05, 0.15))


def _adapted_quadratic(task: Quadratic, alpha: Any) -> Any:
    """Σ A' and Σ A'c with A' = (I − αA)²A(I − αA)², for a complex α, too."""
    power = np.linalg.matrix_power(np.eye(task.dim) - alpha * task.A, 2)
    form = power @ task.A @ power
    return form, np.einsum("nij,nj->i", form, task.c)


def _sensitivity_error(case: tuple[Quadratic, Quadratic, float]) -> Error:
    """dG/dα in two steps against the complex step through the closed form of the minimum."""

    def judged(alpha: Any) -> Any:
        form, right = _adapted_quadratic(case[0], alpha)
        x = np.linalg.solve(np.sum(form, axis=0), right) - case[1].c
        return np.einsum("ni,nij,nj->n", x, _adapted_quadratic(case[1], alpha)[0], x) / 2

    def sensitivity(z: tuple[Quadratic, Quadratic, float]) -> Array:
        star = maml.quadratic_minimiser(z[0], alpha=z[2], steps=2)
        return step_size_sensitivity(star, z[0], alpha=z[2], steps=2, held_out=(z[1], None)).judged

    return off(sensitivity, case, complex_step(judged, case[2]))


CHECKS = (
    Check("bayes-adaptive", "max_a Σ_o p(o|s, a, b)(γʰ r + V(s', b'))", "the tree of all histories",
          random_unknown_task, _optimum_error),
    Check("wrong-prior", "V(p) − Σ_i p_i J_i(π_q)", "the tree of all histories", random_unknown_task, _wrong_prior_error),
    Check("hyper-sensitivity", "∂G/∂η − ∂G/∂θ (∂²F/∂θ²)⁻¹ ∂²F/∂θ∂η", "complex step of a closed form",
          random_trained, _sensitivity_error),
)  # fmt: skip
