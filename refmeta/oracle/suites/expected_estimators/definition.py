"""Expectations over every trajectory of a tiny process, in any arithmetic.  Derivation: derivations/sampled-meta-gradients.md"""

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from refmeta.oracle.decimals import (
    Inputs,
    Loss,
    Losses,
    Number,
    Steps,
    Vector,
    adaptation,
    exp,
    gradient,
    gradients,
    hessian_product,
    ln,
    policy,
    policy_return,
    step_size_rows,
)

__all__ = ["Path", "Process", "define", "objective", "paths", "probability", "trajectory_surrogate", "trajectory_surrogates"]

Log = Callable[[Number], Number]
Process = tuple[Any, Any, Vector]
Summand = Callable[[Number, Number], Number]


class Path(NamedTuple):
    """A trajectory: what the process contributes to its probability, its states and actions, and γᵗ Ĝ_t of each step."""

    weight: Number
    steps: tuple[tuple[int, int], ...]
    to_go: Vector


def define(part: str, x: Inputs, steps: Steps, log: Log = ln) -> list[Any]:
    """The gradient of an objective, or an expected Hessian product, task by task; `log` is that of the sampled steps."""
    return [_one(part, x, process, steps, log) for process in zip(x["P"], x["R"], x["rho"], strict=True)]


def _one(part: str, x: Inputs, process: Process, steps: Steps, log: Log) -> Vector:
    """The part of one task; the mean of DiCE's Hessian is that of the return."""
    theta, v = x["theta"], x["v"]
    if part.startswith("formulation"):
        return gradient(objective(part, x, process, steps, log), theta, steps.outer)
    if part == "dice_hessian":
        return hessian_product(policy_return(*process, x["gamma"], x["horizon"]), theta, v, steps.outer, steps.second)
    total, pi = [0 * t for t in theta], policy(theta, len(process[0]), len(process[0][0]))
    logs = [list(map(ln, row)) for row in pi]
    for path in paths(*process, x["gamma"], x["horizon"]):
        product = hessian_product(trajectory_surrogate(path, SUMMANDS[part], logs), theta, v, steps.outer, steps.second)
        weight = probability(path, pi)
        total = [a - weight * b for a, b in zip(total, product, strict=True)]
    return total


def objective(part: str, x: Inputs, process: Process, steps: Steps, log: Log = ln) -> Loss:
    """L(φ) after exact steps, or E[L(φ)] after sampled ones."""
    loss = policy_return(*process, x["gamma"], x["horizon"])
    if part == "formulation_exact":
        alphas = step_size_rows(x["alpha"], x["steps"], len(x["theta"]))
        return lambda theta: loss(adaptation(theta, loss, alphas, steps.inner))
    each, alpha, M = list(paths(*process, x["gamma"], x["horizon"])), x["alpha"], x["episodes"]
    summand: Summand = lambda pi, old: log(pi)

    def expected_loss(theta: Vector, K: int) -> Number:
        """Over M trajectories per step; tuples that differ only in their order are evaluated once, and counted."""
        if K == 0:
            return loss(theta)
        pi, total = policy(theta, len(process[0]), len(process[0][0])), 0 * theta[0]
        p, g = [probability(path, pi) for path in each], gradients(trajectory_surrogates(each, summand, pi), theta, steps.inner)
        for batch in itertools.combinations_with_replacement(range(len(each)), M):
            weight, phi = math.factorial(M) // math.prod(map(math.factorial, Counter(batch).values())), theta
            for i in batch:
                weight, phi = weight * p[i], [t + alpha * slope / M for t, slope in zip(phi, g[i], strict=True)]
            total += weight * expected_loss(phi, K - 1)
        return total

    return lambda theta: expected_loss(theta, x["steps"])


def paths(P: Any, R: Any, rho: Vector, gamma: Number, horizon: int) -> Iterator[Path]:
    """Every trajectory; the last next state only where rewards depend on it."""
    S, A = len(P), len(P[0])
    nested = isinstance(R[0][0], list)
    for path in itertools.product(range(S), *([range(A), range(S)] * horizon)[: None if nested else -1]):
        states, steps = path[::2], tuple(zip(path[::2], path[1::2], strict=False))
        weight, rewards = rho[states[0]], []
        for t, ((s, a), following) in enumerate(itertools.zip_longest(steps, states[1:])):
            weight *= 1 if following is None else P[s][a][following]
            rewards.append((R[s][a][following] if nested else R[s][a]) * (gamma**t if t else 1))
        if weight:
            yield Path(weight, steps, [sum(rewards[t:], 0 * gamma) for t in range(horizon)])


def probability(path: Path, pi: list[Vector]) -> Number:
    """p(τ|θ)."""
    return math.prod((pi[s][a] for s, a in path.steps), start=path.weight)


def trajectory_surrogates(each: Sequence[Path], f: Summand, old: list[Vector]) -> Losses:
    """Σ_t γᵗĜ_t f(π(a_t|s_t), old(s_t, a_t)), a surrogate of each trajectory."""
    steps = {step for path in each for step in path.steps}

    def values(theta: Vector) -> Vector:
        pi = policy(theta, len(old), len(old[0]))
        table = {(s, a): f(pi[s][a], old[s][a]) for s, a in steps}
        return [sum(w * table[step] for w, step in zip(path.to_go, path.steps, strict=True)) for path in each]

    return values


def trajectory_surrogate(path: Path, f: Summand, old: list[Vector]) -> Loss:
    """The same of one trajectory."""
    surrogates = trajectory_surrogates([path], f, old)
    return lambda theta: surrogates(theta)[0]


SUMMANDS: dict[str, Summand] = {
    "naive_hessian": lambda pi, log_old: ln(pi),
    "lvc_hessian": lambda pi, log_old: exp(ln(pi) - log_old),
}
