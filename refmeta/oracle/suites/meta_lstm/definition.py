"""The unrolled Meta-LSTM in any arithmetic.  Derivation: derivations/meta-lstm.md

No derivative formula stands here: the learner's gradients are numeric, and so is the gradient by the weights.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from refmeta.oracle.decimals import (
    Inputs,
    Loss,
    Number,
    NumericStep,
    Softmax,
    Steps,
    Vector,
    dot,
    exp,
    gradient,
    leaf_gradient,
    ln,
    magnitude,
    real,
    softmax,
    softmax_regression,
)

__all__ = [
    "PAPER", "Formulas", "Signal", "adaptation", "define", "first_layer", "gates", "gates_released", "losses", "preprocessing", "sigmoid",
    "signal", "slopes", "tanh", "task_objective",
]  # fmt: skip

Signal = tuple[Vector, Number]


def sigmoid(z: Number) -> Number:
    """1/(1 + e^−z)."""
    return 1 / (1 + exp(-z))


def tanh(z: Number) -> Number:
    """2σ(2z) − 1."""
    return 2 * sigmoid(2 * z) - 1


def preprocessing(x: Number) -> Vector:
    """(ln|x|/10, ±1), or (−1, e¹⁰x) where |x| < e⁻¹⁰."""
    if magnitude(x) >= real(exp(0 * x - 10)):
        sign = 1 if real(x) > 0 else -1
        return [ln(sign * x) / 10, 0 * x + sign]
    return [0 * x - 1, exp(0 * x + 10) * x]


def gates(z_i: Number, z_f: Number) -> tuple[Number, Number, Number, Number]:
    """i = σ(z_i), f = σ(z_f), and what the next step's gates receive: i and f."""
    i, f = sigmoid(z_i), sigmoid(z_f)
    return i, f, i, f


def gates_released(z_i: Number, z_f: Number) -> tuple[Number, Number, Number, Number]:
    """The same gates, but the next step's gates receive z_i and z_f."""
    return sigmoid(z_i), sigmoid(z_f), z_i, z_f


def signal(support: Loss, theta: Vector, step: NumericStep) -> Signal:
    """∇L(θ) and L(θ)."""
    return gradient(support, theta, step), support(theta)


class Formulas(NamedTuple):
    """The functions of a Meta-LSTM; each may be exchanged for another."""

    gates: Callable[[Number, Number], tuple[Number, Number, Number, Number]] = gates
    preprocessing: Callable[[Number], Vector] = preprocessing
    signal: Callable[[Loss, Vector, NumericStep], Signal] = signal
    softmax: Softmax = softmax


PAPER = Formulas()


def first_layer(W: Any, b: Vector, x: Vector, h: Vector, c: Vector) -> tuple[Vector, Vector]:
    """h and c after one step of an LSTM on the inputs x."""
    z, H = [dot(row, x + h) + bias for row, bias in zip(W, b, strict=True)], len(h)
    c = [sigmoid(z[H + j]) * c[j] + sigmoid(z[j]) * tanh(z[3 * H + j]) for j in range(H)]
    return [sigmoid(z[2 * H + j]) * tanh(c[j]) for j in range(H)], c


def adaptation(
    x: Inputs, support: Loss, step: NumericStep, use: Formulas = PAPER, held: list[Signal] | None = None
) -> tuple[Vector, list[Signal]]:
    """θ_K, and the (∇L, L) of every step; with `held`, on those instead."""
    theta, d, H = list(x["c0"]), len(x["c0"]), len(x["W_I"]) - 2
    zero, signals = 0 * theta[0], []
    hidden, cell = [[zero] * H for _ in range(d)], [[zero] * H for _ in range(d)]
    i, f = [zero] * d, [zero] * d
    for k in range(x["steps"]):
        g, loss = use.signal(support, theta, step) if held is None else held[k]
        signals.append((g, loss))
        after = []
        for j in range(d):
            inputs = use.preprocessing(g[j]) + use.preprocessing(loss)
            hidden[j], cell[j] = first_layer(x["W"], x["b"], inputs, hidden[j], cell[j])
            z_i = dot(x["W_I"], [*hidden[j], theta[j], i[j]]) + x["b_I"]
            z_f = dot(x["W_F"], [*hidden[j], theta[j], f[j]]) + x["b_F"]
            input_gate, forget_gate, i[j], f[j] = use.gates(z_i, z_f)
            after.append(forget_gate * theta[j] - input_gate * g[j])
        theta = after
    return theta, signals


def task_objective(
    kind: str, x: Inputs, support: Loss, query: Loss, steps: Steps, use: Formulas = PAPER
) -> Callable[[Inputs], Number]:
    """F = L_query(θ_K) of one task as a function of the inputs; every ∇L and L is held at those of x if `independent`."""
    held = adaptation(x, support, steps.inner, use)[1] if kind == "independent" else None
    return lambda x: query(adaptation(x, support, steps.inner, use, held)[0])


def slopes(objective: Callable[[Inputs], Number], x: Inputs, leaves: Sequence[str], step: NumericStep) -> list[Any]:
    """The slopes by some of the inputs, each nested as the input is."""
    together = lambda values: objective({**x, **dict(zip(leaves, values, strict=True))})
    return list(leaf_gradient(together, [x[leaf] for leaf in leaves], step))


def losses(x: Inputs, use: Formulas = PAPER) -> list[tuple[Loss, Loss]]:
    """The support's and the query's loss of each task."""
    both = [
        [softmax_regression(X, labels, x["classes"], x["ridge"], use.softmax) for X, labels in zip(x[X], x[y], strict=True)]
        for X, y in (("X", "labels"), ("query_X", "query_labels"))
    ]
    return list(zip(*both, strict=True))


def define(part: str, x: Inputs, steps: Steps, use: Formulas = PAPER) -> list[Any]:
    """A part of the suite `meta-lstm`, one entry for each task: F, or its slopes by a leaf, exact or with all ∇L and L held."""
    kind, _, leaf = part.partition("_")
    objectives = [task_objective(kind, x, *pair, steps, use) for pair in losses(x, use)]
    return [slopes(f, x, [leaf], steps.outer)[0] if leaf else f(x) for f in objectives]
