"""Evidence for softmax policies, supervised losses and the judges."""

import math
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.random import Generator

from refmeta.arrays import Array
from refmeta.evidence.judged import drawing, off
from refmeta.judges import adjoint_gap, central_difference, complex_step, taylor_rates
from refmeta.oracle.certify import certified
from refmeta.policies import LinearSoftmax, TabularSoftmax
from refmeta.problems import random_linear_regression, random_process, random_quadratic, random_softmax_regression
from refmeta.softmax import log_softmax, softmax, softmax_jvp
from refmeta.tasks.exact_return import PolicyReturn

EPS = float(np.finfo(float).eps)


def _plain(x: Array) -> Array:
    """Softmax in plain scalars, row by row."""
    rows = [[math.exp(a - max(row)) for a in row] for row in x.tolist()]
    return np.array([[e / math.fsum(row) for e in row] for row in rows])


def _softmax(rng: Generator) -> float:
    x = 3 * rng.normal(size=(3, 4))
    return off(softmax, x, _plain(x))


def _log_softmax(rng: Generator) -> float:
    x = 3 * rng.normal(size=(3, 4))
    return off(log_softmax, x, np.log(_plain(x)))


def _softmax_jvp(rng: Generator) -> float:
    x, u = rng.normal(size=(2, 3, 4))
    return off(lambda z: softmax_jvp(softmax(z[0]), z[1]), (x, u), complex_step(softmax, x, u))


def _policy(rng: Generator) -> Any:
    return LinearSoftmax(rng.normal(size=(3, 4, 5)))


def _score(rng: Generator) -> float:
    policy, theta, s, a = _policy(rng), rng.normal(size=5), rng.integers(3, size=6), rng.integers(4, size=6)
    expected = complex_step(lambda t: policy.log_prob(t, s, a), theta)
    return off(lambda z: z[0].score(z[1], s, a), (policy, theta), expected, np.max(np.abs(policy.features)))


def _score_hvp(rng: Generator) -> float:
    policy, s, a = _policy(rng), rng.integers(3, size=6), rng.integers(4, size=6)
    theta, u = rng.normal(size=(2, 5))
    expected = complex_step(lambda t: policy.score(t, s, a), theta, u)
    size = np.max(np.abs(policy.features)) * np.max(np.abs(policy.logits(u)))
    return off(lambda z: z[0].score_hvp(z[1], s, a, z[2]), (policy, theta, u), expected, size)


def _linear_features(rng: Generator) -> float:
    policy, theta, g = _policy(rng), rng.normal(size=5), rng.normal(size=(3, 4))
    loop = [[math.fsum(row * theta) for row in state] for state in policy.features]
    gap = adjoint_gap(policy.logits, policy.pullback, theta, g)
    return max(off(lambda z: z[0].logits(z[1]), (policy, theta), loop), gap / (30 * EPS))


def _derivatives(task: Any, rng: Generator) -> float:
    """Gradient and Hessian product against complex steps of loss and gradient."""
    theta, v = rng.normal(size=(2, task.dim))
    grad = off(lambda z: z[0].at(z[1]).grad, (task, theta), complex_step(lambda t: task.at(t).loss, theta))
    step = complex_step(lambda t: task.at(t).grad, theta, v)
    return max(grad, off(lambda z: z[0].at(z[1]).hvp(z[2]), (task, theta, v), step))


def _quadratic(rng: Generator) -> float:
    task, theta = random_quadratic(rng), rng.normal(size=3)
    x = [[Fraction(t) - Fraction(c) for t, c in zip(theta.tolist(), row, strict=True)] for row in task.c.tolist()]
    A = [[[Fraction(a) for a in row] for row in matrix] for matrix in task.A.tolist()]
    value = [sum(x[n][i] * A[n][i][j] * x[n][j] for i in range(3) for j in range(3)) / 2 for n in range(2)]
    return max(off(lambda z: z[0].at(z[1]).loss, (task, theta), [float(f) for f in value]), _derivatives(task, rng))


def _linear_regression(rng: Generator) -> float:
    task, theta = random_linear_regression(rng), rng.normal(size=3)
    pairs = zip(task.X, task.y, strict=True)
    value = [math.fsum((math.fsum(x * theta) - b) ** 2 for x, b in zip(X, y, strict=True)) / 10 for X, y in pairs]
    return max(off(lambda z: z[0].at(z[1]).loss, (task, theta), value), _derivatives(task, rng))


def _softmax_regression(rng: Generator) -> float:
    task, theta = random_softmax_regression(rng), rng.normal(size=6)
    pi = [_plain(X @ theta.reshape(3, 2).T) for X in task.X]
    data = [
        -math.fsum(math.log(p[y]) for p, y in zip(*pair, strict=True)) / 5 for pair in zip(pi, task.labels, strict=True)
    ]
    value = np.array(data) + 0.15 * math.fsum(theta**2)
    return max(off(lambda z: z[0].at(z[1]).loss, (task, theta), value), _derivatives(task, rng))


def _cubic(x: Array) -> Any:
    return x[0] ** 3 + 2 * x[0] * x[1] + np.exp(x[1])


def _by_hand(x: Array) -> tuple[Array, Array]:
    """Gradient and Hessian of `_cubic`."""
    e = np.exp(x[1])
    return np.array([3 * x[0] ** 2 + 2 * x[1], 2 * x[0] + e]), np.array([[6 * x[0], 2], [2, e]])


def _complex_step(rng: Generator) -> float:
    x = rng.normal(size=2)
    return off(lambda z: complex_step(_cubic, z)[None], x, _by_hand(x)[0][None])


def _central_difference(rng: Generator) -> float:
    x = rng.uniform(0.25, 2, size=2)
    numeric = central_difference(_cubic, x)
    return float(np.max(np.abs(numeric.derivative - _by_hand(x)[0]) / numeric.error))


def _taylor_rate(rng: Generator) -> float:
    """The third order, off by the largest deviation of the three."""
    x, (g, H) = np.array([0.75, -0.5]), _by_hand(np.array([0.75, -0.5]))
    v = np.array([1.0, -0.625]) * rng.uniform(0.5, 1)
    return max((taylor_rates(_cubic, x, v, g, H @ v).orders[k] - (k + 1) for k in range(3)), key=abs) + 3


def _adjoint_test(rng: Generator) -> float:
    J, u, w = rng.normal(size=(3, 4)), rng.normal(size=4), rng.normal(size=3)
    return adjoint_gap(lambda x: J @ x, lambda y: y @ J, u, w) / (30 * EPS)


def _certificate(rng: Generator) -> float:
    """The gradient of a tiny return and of a softmax regression, against the library's own formulas."""
    theta, case = rng.normal(size=4), random_process(rng, 1, 2, 2)
    inputs = {name: getattr(case, name).tolist() for name in ("P", "R", "rho")}
    x = {"theta": theta.tolist(), **inputs, "gamma": case.gamma, "horizon": None, "features": None}
    value, digits = certified("policy-gradient", x, "grad")
    task = PolicyReturn(case, TabularSoftmax(2, 2))
    error = off(lambda z: z[0].at(z[1]).grad, (task, theta), np.array(value, dtype=object).astype(float))
    return error if digits >= 30 else np.inf


CHECKS = (
    drawing("softmax", "exp(x) / Σ exp(x)", "plain scalars", _softmax),
    drawing("log-softmax", "x − log Σ exp(x)", "plain scalars", _log_softmax),
    drawing("softmax-jvp", "π ⊙ (u − ⟨π, u⟩)", "complex step of softmax", _softmax_jvp),
    drawing("score", "Φᵀ(e_a − π)", "complex step of log π", _score),
    drawing("score-hvp", "−Φᵀ(π ⊙ (x − ⟨π, x⟩)), x = Φu", "complex step of the score", _score_hvp),
    drawing("linear-features", "Φθ and Φᵀg", "sums written out; adjoint test", _linear_features),
    drawing("quadratic", "½(θ − c)ᵀA(θ − c)", "fractions; complex step", _quadratic),
    drawing("linear-regression", "‖Xθ − y‖² / 2n", "sums written out; complex step", _linear_regression),
    drawing(
        "softmax-regression", "−mean log π[label] + ridge/2 ‖θ‖²", "sums written out; complex step", _softmax_regression
    ),
    drawing("complex-step", "Im f(x + ihv) / h", "a derivative by hand", _complex_step),
    drawing(
        "central-difference", "(f(x + hv) − f(x − hv)) / 2h", "a derivative by hand, its budget", _central_difference
    ),
    drawing("taylor-rate", "|f(x + hv) − f − h⟨g, v⟩ − ½h²⟨v, Hv⟩|", "derivatives by hand", _taylor_rate, (3, 0.1)),
    drawing("decimal-certificate", "central differences of the objective", "∇J by its formula", _certificate),
    drawing("adjoint-test", "⟨w, Ju⟩ = ⟨Jᵀw, u⟩", "a matrix and its transpose", _adjoint_test),
)
