"""Evidence for Reptile: updates, inner Adam, the expansion."""

import itertools
import math
from typing import Any

import numpy as np
from numpy.random import Generator

from refmeta.arrays import Array
from refmeta.evidence.judged import drawing, off
from refmeta.evidence.maml import any_problem, quadratics, shrunk
from refmeta.meta import maml, reptile
from refmeta.meta.inner import adapt
from refmeta.meta.optimisers import adam, adam_epsilon_hat
from refmeta.problems import Problem, random_quadratic, random_softmax_regression
from refmeta.tasks.quadratic import Quadratic


def _reptile(rng: Generator) -> float:
    theta, phi = rng.normal(size=3), rng.normal(size=(4, 3))
    expected = [[theta[j] + 0.3 / 4 * math.fsum(row[j] - theta[j] for row in phi) for j in range(3)]]
    return off(lambda z: reptile.update(z[0], z[1], epsilon=0.3)[None], (theta, phi), expected)


def _serial(rng: Generator) -> float:
    task, theta, alpha, steps = quadratics(rng)
    expected = theta
    for i in range(2):
        one = Quadratic(task.A[i : i + 1], task.c[i : i + 1])
        expected = expected + 0.3 * (one.c + shrunk(one, expected, alpha, steps) - expected)[0]
    arguments: dict[str, Any] = {"steps": steps, "epsilon": 0.3}
    return off(
        lambda z: reptile.update_serial(z[1], z[0], alpha=z[2], **arguments)[None], (task, theta, alpha), expected[None]
    )


def _direction(rng: Generator) -> float:
    case = any_problem(rng, "scalar")
    expected = sum(np.array(point.grad) for point in adapt(case.theta, case.support, **case.hyper).path[:-1])

    def direction(c: Problem) -> Array:
        return reptile.gradient(c.theta, adapt(c.theta, c.support, **c.hyper).adapted, alpha=c.alpha)

    return off(direction, case, expected, np.max(np.abs(case.theta)) / case.alpha)


def _adam(step: Any, rng: Generator) -> float:
    """Six steps in plain scalars; ε = 0.1 tells the two forms apart."""
    task, theta, t, v = random_quadratic(rng, 1), rng.normal(size=3), 0, [0.0] * 3
    x = theta.tolist()
    for _ in range(6):
        t, g = t + 1, [math.fsum(task.A[0, i] * (x - task.c[0])) for i in range(3)]
        v = [0.9 * old + 0.1 * slope**2 for old, slope in zip(v, g, strict=True)]
        fix = math.sqrt(1 - 0.9**t)
        roots = [math.sqrt(s) / fix + 0.1 if step is adam else (math.sqrt(s) + 0.1) / fix for s in v]
        x = [a - 0.05 * slope / root for a, slope, root in zip(x, g, roots, strict=True)]
    arguments = {"alpha": 0.05, "steps": 6, "step": step, "beta2": 0.9, "epsilon": 0.1}
    return off(lambda z: reptile.adapt_adam(z[1], z[0], **arguments)[0], (task, theta), [x])


def _remainder(alpha: float, minibatches: list[Any], theta: Array) -> Array:
    """Mean over all orders of MAML, first-order MAML and Reptile, less their expansions."""
    k, found = len(minibatches), []
    for order in itertools.permutations(minibatches):
        before = {"support": order[:-1], "query": order[-1], "alpha": alpha, "steps": k - 1}
        path = adapt(theta, order, alpha=alpha, steps=k).path[:-1]
        found.append(
            [maml.gradient(theta, **before), maml.first_order_gradient(theta, **before), sum(p.grad for p in path)]
        )
    return np.mean(found, axis=0) - np.array(reptile.expansion(theta, minibatches, alpha=alpha))


def _expansion(rng: Generator) -> float:
    batched, theta = random_softmax_regression(rng, 3), rng.normal(size=6)
    alphas = 2.0 ** -np.arange(9, 13)
    left = [np.linalg.norm(_remainder(a, [batched[i] for i in range(3)], theta), axis=-1) for a in alphas]
    orders = np.polyfit(np.log(alphas), np.log(left), 1)[0]
    return float(orders[np.argmax(np.abs(orders - 2))])


CHECKS = (
    drawing("reptile-update", "θ + ε mean(φ_i − θ)", "sums written out", _reptile),
    drawing("reptile-serial", "θ ← θ + ε(φ_i − θ), in turn", "closed form, in turn", _serial),
    drawing("reptile-gradient", "(θ − φ)/α", "the sum of the inner gradients", _direction),
    drawing("adam", "θ − α·m/(1−β₁ᵗ) / (√(v/(1−β₂ᵗ)) + ε)", "plain scalars", lambda rng: _adam(adam, rng)),
    drawing(
        "adam-epsilon-hat",
        "θ − α√(1−β₂ᵗ)/(1−β₁ᵗ)·m / (√v + ε)",
        "plain scalars",
        lambda rng: _adam(adam_epsilon_hat, rng),
    ),
    drawing("reptile-expansion", "c₁ AvgGrad − c₂ AvgGradInner", "the mean over all 3! orders", _expansion, (2, 0.05)),
)
