"""Evidence for Meta-LSTM: scalars one after another, complex steps of the unrolled loss, gradient descent."""

import math
from typing import Any

import numpy as np
from numpy.random import Generator

from refmeta.arrays import Array
from refmeta.evidence.judged import drawing, off
from refmeta.judges import complex_step
from refmeta.meta import maml, meta_lstm
from refmeta.meta.lstm import backward, forward, preprocessing, preprocessing_slope
from refmeta.meta.meta_lstm import Parameters, Recurrence, gates, gates_released, unravel
from refmeta.oracle.learner import Learner
from refmeta.oracle.wrong.meta_lstm import Change, parts, right
from refmeta.problems import KINDS, random_problem

HIDDEN, STEPS = 2, 3


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


def _weights(rng: Generator, dim: int, start: Array) -> Parameters:
    """Weights of order one, gates about a half and above."""
    given = unravel(0.5 * rng.normal(size=4 * HIDDEN * (5 + HIDDEN) + 2 * HIDDEN + 6 + dim), dim=dim, hidden=HIDDEN)
    return given._replace(c0=start, b_I=np.array(-1.5), b_F=np.array(1.5))


def _case(rng: Generator, kinds: tuple[str, ...] = KINDS[:6]) -> Learner:
    drawn = random_problem(rng, kinds[rng.integers(len(kinds))], size=2, width=2, steps=STEPS)
    return Learner(_weights(rng, drawn.support.dim, drawn.theta), drawn.support, drawn.query, STEPS)


def _preprocessing(rng: Generator) -> float:
    """Scalars on both sides of e^−10, and the slope by complex steps."""
    x = rng.normal(size=(6, 1)) * [[1.0], [1e-3], [1e3], [1e-6], [1e-5], [1e-9]]
    rows = [
        [math.log(abs(v)) / 10, math.copysign(1.0, v)] if abs(v) >= math.exp(-10) else [-1.0, math.exp(10) * v]
        for v in x[:, 0]
    ]
    slopes = np.stack([complex_step(lambda z, i=i: preprocessing(z)[..., i], x[:, 0]) for i in (0, 1)], axis=-1)  # type: ignore[misc]
    expected = np.concatenate([np.array(rows), np.einsum("iij->ij", slopes)], axis=1)
    return off(lambda z: np.concatenate([preprocessing(z[:, 0]), preprocessing_slope(z[:, 0])], axis=1), x, expected)


def _cell(rng: Generator) -> float:
    """Gates and states as scalars; the adjoints by complex steps."""
    W, b = rng.normal(size=(8, 5)), rng.normal(size=8)
    x, h, c = rng.normal(size=(3, 3)), rng.normal(size=(3, 2)), rng.normal(size=(3, 2))
    expected, ends = np.zeros((3, 4)), rng.normal(size=(3, 4))
    for k in range(3):
        z = [sum(w * v for w, v in zip(W[r], [*x[k], *h[k]], strict=True)) + b[r] for r in range(8)]
        for j in range(2):
            state = sigmoid(z[2 + j]) * c[k, j] + sigmoid(z[j]) * math.tanh(z[6 + j])
            expected[k, 2 + j], expected[k, j] = state, sigmoid(z[4 + j]) * math.tanh(state)

    def total(z: Array) -> Array:
        cell = forward(W, b, z[:, :3], z[:, 3:5], z[:, 5:])
        return np.asarray(np.sum(ends[:, :2] * cell.output + ends[:, 2:] * cell.state))

    slopes = complex_step(total, np.concatenate([x, h, c], axis=1))

    def both(z: Any) -> Array:
        cell = forward(*z)
        back = backward(z[0], cell, ends[:, :2], ends[:, 2:])
        return np.concatenate([cell.output, cell.state, back.inputs, back.state], axis=1)

    return off(both, (W, b, x, h, c), np.concatenate([expected, slopes], axis=1))


def by_scalars(case: Learner, released: bool) -> Array:
    """The adapted parameters, one coordinate and one number after another."""
    given, (N, d), H = case.parameters, (case.support.shape[0], case.support.dim), HIDDEN
    theta = np.array(np.broadcast_to(given.c0, (N, d)))
    memory: dict[Any, Any] = {(n, j): ([0.0] * H, [0.0] * H, 0.0, 0.0) for n in range(N) for j in range(d)}
    for _ in range(case.steps):
        point = case.support.at(theta)
        following = theta.copy()
        for n, j in memory:
            h, c, i, f = memory[n, j]
            inputs = [*_scalar(point.grad[n, j]), *_scalar(point.loss[n]), *h]
            z = [
                sum(w * v for w, v in zip(row, inputs, strict=True)) + b
                for row, b in zip(given.W, given.b, strict=True)
            ]
            c = [sigmoid(z[H + k]) * c[k] + sigmoid(z[k]) * math.tanh(z[3 * H + k]) for k in range(H)]
            h = [sigmoid(z[2 * H + k]) * math.tanh(c[k]) for k in range(H)]
            z_i, z_f = (
                sum(a * v for a, v in zip(w, [*h, theta[n, j], told], strict=True)) + float(b)
                for w, b, told in ((given.W_I, given.b_I, i), (given.W_F, given.b_F, f))
            )
            following[n, j] = sigmoid(z_f) * theta[n, j] - sigmoid(z_i) * point.grad[n, j]
            memory[n, j] = (h, c, z_i, z_f) if released else (h, c, sigmoid(z_i), sigmoid(z_f))
        theta = following
    return theta


def _scalar(v: float) -> tuple[float, float]:
    large = abs(v) >= math.exp(-10)
    return (math.log(abs(v)) / 10, math.copysign(1.0, v)) if large else (-1.0, math.exp(10) * v)


def _unrolled(rng: Generator, recurrence: Recurrence) -> float:
    case = _case(rng)
    expected = by_scalars(case, recurrence is gates_released)

    def adapted(z: Any) -> Array:
        return meta_lstm.unroll(z[0], z[1], steps=STEPS, recurrence=recurrence).adapted

    return off(adapted, (case.parameters, case.support), expected)


def _exact(rng: Generator) -> float:
    """Complex steps of the unrolled query loss in every weight, with either recurrence."""
    case, recurrence = _case(rng), (gates, gates_released)[rng.integers(2)]
    dim, flat = case.support.dim, case.parameters.ravel()

    def loss(f: Array) -> Array:
        given = unravel(f, dim=dim, hidden=HIDDEN)
        return meta_lstm.objective(given, case.support, case.query, steps=STEPS, recurrence=recurrence)

    return off(
        lambda z: meta_lstm.gradient(z[0], z[1], z[2], steps=STEPS, recurrence=recurrence).ravel(),
        case[:3], complex_step(loss, flat), scale=np.max(np.abs(case.query.at(case.theta).loss)),
    )  # fmt: skip


def _independent(rng: Generator) -> float:
    """Complex steps of another forward pass, on gradients and losses that are held."""
    case = _case(rng)
    found = parts(case, Change(right))
    expected = Parameters(*[found[f"independent_{leaf}"] for leaf in Parameters._fields]).ravel()
    return off(
        lambda z: meta_lstm.gradient_independent(z[0], z[1], z[2], steps=STEPS).ravel(),
        case[:3], expected, scale=np.max(np.abs(case.query.at(case.theta).loss)),
    )  # fmt: skip


def _is_gradient_descent(rng: Generator) -> float:
    """W_I = W_F = 0, b_F = 40, b_I = logit α: MAML's gradient, and first-order MAML's."""
    case, alpha = _case(rng), float(rng.uniform(0.05, 0.2))
    given = case.parameters._replace(
        W_I=np.zeros(HIDDEN + 2),
        W_F=np.zeros(HIDDEN + 2),
        b_I=np.array(math.log(alpha / (1 - alpha))),
        b_F=np.array(40.0),
    )
    expected = [
        f(case.theta, case.support, case.query, alpha=alpha, steps=STEPS)
        for f in (maml.gradient, maml.first_order_gradient)
    ]

    def both(z: Any) -> Array:
        return np.concatenate(
            [f(z[0], z[1], z[2], steps=STEPS).c0 for f in (meta_lstm.gradient, meta_lstm.gradient_independent)], axis=-1
        )

    return off(both, (given, case.support, case.query), np.concatenate(expected, axis=-1))


def added(given: Parameters, support: Any, steps: int) -> tuple[Array, Array]:
    """|θ_t − f_t θ_{t−1}| and |∇L(θ_{t−1})| of every step, (N, steps · d) each."""
    path = meta_lstm.unroll(given, support, steps=steps).steps
    before = [step.point.theta for step in path]
    moved = [np.abs(step.theta - step.forget_gate.value * x) for step, x in zip(path, before, strict=True)]
    return np.concatenate(moved, axis=-1), np.concatenate([np.abs(step.point.grad) for step in path], axis=-1)


def _gate_bound(rng: Generator) -> float:
    """|θ_t − f_t θ_{t−1}| is at most |∇L| for any gates, and is |∇L| where i rounds to 1, whatever is forgotten."""
    case, size = _case(rng), float(rng.normal() * 5)
    generic, given = case.parameters._replace(b_I=np.array(size)), case.parameters
    opened = given._replace(b_I=np.array(40.0), W_I=np.zeros(HIDDEN + 2))
    errors = []
    for parameters, steps in ((generic, STEPS), (opened, 1)):
        moved, bound = added(parameters, case.support, steps)
        expected = np.minimum(moved, bound) if steps > 1 else bound
        scale = np.max(np.abs(meta_lstm.unroll(parameters, case.support, steps=steps).adapted))
        errors.append(off(lambda z, k=steps: added(z[0], z[1], k)[0], (parameters, case.support), expected, scale))  # type: ignore[misc]
    return float(np.max(errors))


CHECKS = (
    drawing("gradient-preprocessing", "(log|x|/p, sgn x) or (−1, e^p x)", "scalars, complex steps", _preprocessing),
    drawing("lstm-cell", "c' = σ(u₂)c + σ(u₁) tanh u₄, h' = σ(u₃) tanh c'", "scalars, complex steps", _cell),
    drawing("meta-lstm-cell", "θ_t = f θ_{t−1} − i ∇L", "scalars", lambda g: _unrolled(g, gates)),
    drawing("meta-lstm-gates", "σ(W[h, θ, σ(z)] + b)", "scalars", lambda g: _unrolled(g, gates)),
    drawing("meta-lstm-gates-released", "σ(W[h, θ, z] + b)", "scalars", lambda g: _unrolled(g, gates_released)),
    drawing("meta-lstm-bptt", "∇L and L held", "complex steps of another pass", _independent),
    drawing("meta-lstm-bptt-exact", "… + H a + b ∇L", "complex steps of the unrolled loss", _exact),
    drawing(
        "thm:meta-lstm-is-gradient-descent", "W_I = W_F = 0: MAML", "maml.gradient, first order", _is_gradient_descent
    ),
    drawing("thm:gate-bound", "|θ_t − f θ_{t−1}| ≤ |∇L|", "every gate; equality where i = 1", _gate_bound),
)
