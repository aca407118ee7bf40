"""Evidence for Reptile: updates, inner Adam, the expansion."""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.random import Generator

from refmeta.arrays import Array
from refmeta.evidence.checks import Check, Error, off
from refmeta.evidence.maml import closed_form_offset, random_case, random_quadratics
from refmeta.meta import maml, reptile
from refmeta.meta.inner import adapt
from refmeta.meta.optimisers import adam, adam_epsilon_hat
from refmeta.problems import MetaProblem, random_quadratic, random_softmax_regression
from refmeta.tasks.quadratic import Quadratic

__all__ = ["CHECKS", "order_means", "random_adam", "random_expansion", "random_update"]


def random_update(rng: Generator, rows: int = 4, epsilon: float = 0.3) -> tuple[Array, Array, float]:
    """θ, adapted parameters and ε."""
    return rng.normal(size=3), rng.normal(size=(rows, 3)), epsilon


def _update_error(case: tuple[Array, Array, float]) -> Error:
    """The update against its sums written out."""
    theta, phi, epsilon = case
    expected = [x + epsilon / len(phi) * math.fsum(row[j] - x for row in phi) for j, x in enumerate(theta)]
    return off(lambda z: reptile.update(z[0], z[1], epsilon=epsilon)[None], (theta, phi), [expected])


def _serial_error(case: MetaProblem) -> Error:
    """The serial update against the closed form on quadratics, one task after another."""
    expected, task = case.theta, case.support
    for i in range(len(task.c)):
        one = Quadratic(task.A[i : i + 1], task.c[i : i + 1])
        expected = expected + 0.3 * (one.c + closed_form_offset(one, expected, case.alpha, case.steps) - expected)[0]
    return off(lambda c: reptile.update_serial(c.theta, c.support, epsilon=0.3, **c.hyper)[None], case, expected[None])


def _gradient_error(case: MetaProblem) -> Error:
    """(θ − φ)/α against the sum of the inner gradients."""
    expected = sum(np.array(point.grad) for point in adapt(case.theta, case.support, **case.hyper).path[:-1])
    direction = lambda c: reptile.gradient(c.theta, adapt(c.theta, c.support, **c.hyper).adapted, alpha=c.alpha)
    return off(direction, case, expected, np.max(np.abs(case.theta)) / case.alpha)


AdamCase = tuple[Quadratic, Array, float, float, float]


def random_adam(rng: Generator, dim: int = 3, beta1: float = 0.0, beta2: float = 0.9, epsilon: float = 0.1) -> AdamCase:
    """One quadratic, θ, β₁, β₂ and ε; ε = 0.1 tells the two forms apart."""
    return random_quadratic(rng, 1, dim), rng.normal(size=dim), beta1, beta2, epsilon


def _adam_error(step: Any) -> Callable[[AdamCase], Error]:
    """The judge of a form of Adam: six steps in plain scalars."""

    def judge(case: AdamCase) -> Error:
        task, theta, beta1, beta2, epsilon = case
        x, m, v, A, c = theta.tolist(), [0.0] * theta.size, [0.0] * theta.size, task.A[0], task.c[0]
        for t in range(1, 7):
            g = [math.fsum(row * (x - c)) for row in A]
            m = [beta1 * old + (1 - beta1) * slope for old, slope in zip(m, g, strict=True)]
            v = [beta2 * old + (1 - beta2) * slope**2 for old, slope in zip(v, g, strict=True)]
            fix = math.sqrt(1 - beta2**t)
            roots = [math.sqrt(s) / fix + epsilon if step is adam else (math.sqrt(s) + epsilon) / fix for s in v]
            x = [a - 0.05 * (mean / (1 - beta1**t)) / root for a, mean, root in zip(x, m, roots, strict=True)]
        fixed: dict[str, Any] = {"beta1": beta1, "beta2": beta2, "epsilon": epsilon}
        adapted = lambda z: reptile.adapt_adam(z[1], z[0], alpha=0.05, steps=6, step=step, **fixed)[0]
        return off(adapted, (task, theta), [x])

    return judge


def order_means(theta: Array, minibatches: Sequence[Any], alpha: float) -> Array:
    """MAML, first-order MAML and Reptile (the sum of its inner gradients), each the mean over all orders; (3, d)."""
    rows = []
    for order in itertools.permutations(minibatches):
        before: dict[str, Any] = {"support": order[:-1], "query": order[-1], "alpha": alpha, "steps": len(order) - 1}
        path = adapt(theta, order, alpha=alpha, steps=len(order)).path[:-1]
        rows.append(
            [maml.gradient(theta, **before), maml.first_order_gradient(theta, **before), sum(p.grad for p in path)]
        )
    return np.mean(rows, axis=0)


def random_expansion(rng: Generator, minibatches: int = 3) -> tuple[list[Any], Array]:
    """Minibatches of softmax regression, and where to start."""
    batched = random_softmax_regression(rng, minibatches)
    return [batched[i] for i in range(minibatches)], rng.normal(size=batched.dim)


def _expansion_order(case: tuple[list[Any], Array]) -> float:
    """The order in α of what the expansions leave, the one of the three that is farthest from 2."""
    minibatches, theta = case
    alphas = 2.0 ** -np.arange(9, 13)
    left = [order_means(theta, minibatches, a) - np.array(reptile.expansion(theta, minibatches, alpha=a)) for a in alphas]
    orders = np.polyfit(np.log(alphas), np.log(np.linalg.norm(left, axis=-1)), 1)[0]
    return float(orders[np.argmax(np.abs(orders - 2))])


CHECKS = (
    Check("reptile-update", "θ + ε mean(φ_i − θ)", "sums written out", random_update, _update_error),
    Check("reptile-serial", "θ ← θ + ε(φ_i − θ), in turn", "closed form, in turn", random_quadratics, _serial_error),
    Check("reptile-gradient", "(θ − φ)/α", "the sum of the inner gradients",
          lambda rng: random_case(rng, "scalar"), _gradient_error),
    Check("adam", "θ − α·m/(1−β₁ᵗ) / (√(v/(1−β₂ᵗ)) + ε)", "plain scalars", random_adam, _adam_error(adam)),
    Check("adam-epsilon-hat", "θ − α√(1−β₂ᵗ)/(1−β₁ᵗ)·m / (√v + ε)", "plain scalars",
          random_adam, _adam_error(adam_epsilon_hat)),
    Check("reptile-expansion", "c₁ AvgGrad − c₂ AvgGradInner", "the mean over all 3! orders",
          random_expansion, _expansion_order, (2, 0.05)),
)  # fmt: skip
