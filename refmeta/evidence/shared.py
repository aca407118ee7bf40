"""Evidence for softmax policies, supervised losses and the judges."""

import math
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
from numpy.random import Generator

from refmeta.arrays import Array
from refmeta.evidence.checks import Check, Error, gradient_error, hvp_error, off, worst
from refmeta.judges import adjoint_gap, central_difference, complex_step, taylor_rates
from refmeta.oracle.certify import certificate
from refmeta.oracle.suites import SUITES
from refmeta.policies import LinearSoftmax, TabularSoftmax
from refmeta.problems import random_linear_regression, random_process, random_quadratic, random_softmax_regression
from refmeta.softmax import log_softmax, softmax, softmax_jvp
from refmeta.tasks.exact_return import PolicyReturn
from refmeta.tasks.mdp import FiniteMDP

__all__ = ["CHECKS"]

EPS = float(np.finfo(float).eps)


def _scalar_softmax(x: Array) -> Array:
    """Softmax in plain scalars, row by row."""
    rows = [[math.exp(a - max(row)) for a in row] for row in x.tolist()]
    return np.array([[e / math.fsum(row) for e in row] for row in rows])


def _features(policy: Any) -> Array:
    """Φ (S, A, d); of a tabular policy the identity."""
    S, A = policy.states, policy.actions
    return getattr(policy, "features", np.eye(S * A).reshape(S, A, -1))


def _random_policy(rng: Generator) -> LinearSoftmax:
    """Three states, four actions, five features."""
    return LinearSoftmax(rng.normal(size=(3, 4, 5)))


def _score(case: Any) -> Error:
    """The case is (policy, theta, states, actions, ...)."""
    policy, theta, s, a, *_ = case
    expected = complex_step(lambda t: policy.log_prob(t, s, a), theta)
    return off(lambda z: z[0].score(z[1], s, a), (policy, theta), expected, np.max(np.abs(_features(policy))))


def _score_hvp(case: Any) -> Error:
    """The case is (policy, states, actions, (theta, u))."""
    policy, s, a, (theta, u) = case
    expected = complex_step(lambda t: policy.score(t, s, a), theta, u)
    size = np.max(np.abs(_features(policy))) * np.max(np.abs(policy.logits(u)))
    return off(lambda z: z[0].score_hvp(z[1], s, a, z[2]), (policy, theta, u), expected, size)


def _linear_features(case: Any) -> Error:
    """The case is (policy, theta, g), g one number per state and action."""
    policy, theta, g = case
    sums = [[math.fsum(row * theta) for row in state] for state in _features(policy)]
    gap = adjoint_gap(policy.logits, policy.pullback, theta, g)
    return worst([off(lambda z: z[0].logits(z[1]), (policy, theta), sums), gap / (30 * EPS)])


def _random_points(tasks: Callable[[Generator], Any], rng: Generator) -> Any:
    """Tasks, a point for the loss, and a point and a direction for the derivatives."""
    task = tasks(rng)
    return task, *rng.normal(size=(3, task.dim))


def _supervised(loss: Callable[[Any, Array], Any], case: Any) -> Error:
    """The case is (task, theta, other, v): the loss at theta, gradient and Hessian product at another point."""
    task, theta, *derivatives = case
    value = off(lambda z: z[0].at(z[1]).loss, (task, theta), loss(task, theta))
    return worst([value, gradient_error((task, *derivatives)), hvp_error((task, *derivatives))])


def _quadratic(task: Any, theta: Array) -> Any:
    """½(θ − c)ᵀA(θ − c) in fractions."""
    exact = np.vectorize(Fraction, otypes=[object])
    return [float(x @ (A @ x) / 2) for A, x in zip(exact(task.A), exact(theta) - exact(task.c), strict=True)]


def _linear_regression(task: Any, theta: Array) -> Any:
    """Half the mean squared residual, one row after another."""
    pairs = zip(task.X, task.y, strict=True)
    return [
        math.fsum((math.fsum(x * theta) - b) ** 2 for x, b in zip(X, y, strict=True)) / (2 * len(y)) for X, y in pairs
    ]


def _softmax_regression(task: Any, theta: Array) -> Any:
    """Minus the mean logarithm of the label's probability, one row after another, and the ridge."""
    probabilities = [_scalar_softmax(X @ theta.reshape(task.classes, -1).T) for X in task.X]
    logs = [[math.log(p[k]) for p, k in zip(*pair, strict=True)] for pair in zip(probabilities, task.labels, strict=True)]
    return np.array([-math.fsum(row) / len(row) for row in logs]) + task.ridge / 2 * math.fsum(theta**2)


def _cubic(x: Array) -> Any:
    """x₀³ + 2x₀x₁ + e^{x₁}."""
    return x[0] ** 3 + 2 * x[0] * x[1] + np.exp(x[1])


def _cubic_derivatives(x: Array) -> tuple[Array, Array]:
    """Gradient and Hessian of `_cubic`."""
    e = np.exp(x[1])
    return np.array([3 * x[0] ** 2 + 2 * x[1], 2 * x[0] + e]), np.array([[6 * x[0], 2], [2, e]])


def _central_difference(case: Any) -> float:
    """The case is (x, direction, h), the last two None for the axes and the step of the library's own choice."""
    x, v, h = case
    numeric, gradient = central_difference(_cubic, x, v, h=h), _cubic_derivatives(x)[0]
    return float(np.max(np.abs(numeric.derivative - (gradient if v is None else gradient @ v)) / numeric.error))


def _taylor_rate(case: tuple[Array, Array]) -> float:
    """The case is (x, v); the third order, off by the largest deviation of the three."""
    x, v = case
    g, H = _cubic_derivatives(x)
    return max((taylor_rates(_cubic, x, v, g, H @ v).orders[k] - (k + 1) for k in range(3)), key=abs) + 3


def _adjoint_test(case: tuple[Array, Array, Array]) -> float:
    """The case is (J, u, w)."""
    J, u, w = case
    return adjoint_gap(lambda x: J @ x, lambda y: y @ J, u, w) / (30 * EPS)


def _certificate(case: tuple[Array, FiniteMDP]) -> Error | float:
    """The case is (theta, process): the gradient of a tabular policy's return, against the library's own formula."""
    theta, mdp = case
    task = PolicyReturn(mdp, TabularSoftmax(mdp.states, mdp.actions))
    inputs = {name: getattr(mdp, name).tolist() for name in ("P", "R", "rho")}
    x = {"theta": theta.tolist(), **inputs, "gamma": mdp.gamma, "horizon": mdp.horizon, "features": None}
    value, digits = certificate(SUITES["policy-gradient"], x, "grad")
    error = off(lambda z: z[0].at(z[1]).grad, (task, theta), np.array(value, dtype=object).astype(float))
    return error if digits >= 30 else np.inf


CHECKS = (
    Check("softmax", "exp(x) / Σ exp(x)", "plain scalars",
          lambda rng: 3 * rng.normal(size=(3, 4)), lambda x: off(softmax, x, _scalar_softmax(x))),
    Check("log-softmax", "x − log Σ exp(x)", "plain scalars",
          lambda rng: 3 * rng.normal(size=(3, 4)), lambda x: off(log_softmax, x, np.log(_scalar_softmax(x)))),
    Check("softmax-jvp", "π ⊙ (u − ⟨π, u⟩)", "complex step of softmax",
          lambda rng: tuple(rng.normal(size=(2, 3, 4))),
          lambda case: off(lambda z: softmax_jvp(softmax(z[0]), z[1]), case, complex_step(softmax, *case))),
    Check("score", "Φᵀ(e_a − π)", "complex step of log π",
          lambda rng: (_random_policy(rng), rng.normal(size=5), rng.integers(3, size=6), rng.integers(4, size=6)), _score),
    Check("score-hvp", "−Φᵀ(π ⊙ (x − ⟨π, x⟩)), x = Φu", "complex step of the score",
          lambda rng: (_random_policy(rng), rng.integers(3, size=6), rng.integers(4, size=6), rng.normal(size=(2, 5))),
          _score_hvp),
    Check("linear-features", "Φθ and Φᵀg", "sums written out; adjoint test",
          lambda rng: (_random_policy(rng), rng.normal(size=5), rng.normal(size=(3, 4))), _linear_features),
    Check("quadratic", "½(θ − c)ᵀA(θ − c)", "fractions; complex step",
          partial(_random_points, random_quadratic), partial(_supervised, _quadratic)),
    Check("linear-regression", "‖Xθ − y‖² / 2n", "sums written out; complex step",
          partial(_random_points, random_linear_regression), partial(_supervised, _linear_regression)),
    Check("softmax-regression", "−mean log π[label] + ridge/2 ‖θ‖²", "sums written out; complex step",
          partial(_random_points, random_softmax_regression), partial(_supervised, _softmax_regression)),
    Check("complex-step", "Im f(x + ihv) / h", "a derivative by hand",
          lambda rng: rng.normal(size=2),
          lambda x: off(lambda z: complex_step(_cubic, z)[None], x, _cubic_derivatives(x)[0][None])),
    Check("central-difference", "(f(x + hv) − f(x − hv)) / 2h", "a derivative by hand, its budget",
          lambda rng: (rng.uniform(0.25, 2, size=2), None, None), _central_difference),
    Check("taylor-rate", "|f(x + hv) − f − h⟨g, v⟩ − ½h²⟨v, Hv⟩|", "derivatives by hand",
          lambda rng: (np.array([0.75, -0.5]), np.array([1.0, -0.625]) * rng.uniform(0.5, 1)), _taylor_rate, (3, 0.1)),
    Check("decimal-certificate", "central differences of the objective", "∇J by its formula",
          lambda rng: (rng.normal(size=4), random_process(rng, 1, 2, 2)), _certificate),
    Check("adjoint-test", "⟨w, Ju⟩ = ⟨Jᵀw, u⟩", "a matrix and its transpose",
          lambda rng: (rng.normal(size=(3, 4)), rng.normal(size=4), rng.normal(size=3)), _adjoint_test),
)  # fmt: skip
