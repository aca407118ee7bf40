"""Evidence for Meta-LSTM: the definition in complex numbers, scalars, gradient descent."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator

from refmeta.arrays import Array
from refmeta.evidence.checks import Check, Error, off, worst
from refmeta.judges import complex_step
from refmeta.meta import maml, meta_lstm
from refmeta.meta.lstm import backward, forward, preprocessing, preprocessing_slope
from refmeta.meta.meta_lstm import Parameters, Recurrence, gates, gates_released, unravel
from refmeta.oracle.bicomplex import COMPLEX, complex_numbers, real_part
from refmeta.oracle.decimals import Loss, flatten, linear_regression, policy_return, quadratic, softmax_regression
from refmeta.oracle.suites.meta_lstm import definition
from refmeta.oracle.suites.meta_lstm.definition import PAPER, Formulas, adaptation, slopes, task_objective
from refmeta.oracle.suites.meta_lstm.problem import LEAVES, Learner, leaves
from refmeta.problems import KINDS, random_problem
from refmeta.tasks.classification import SoftmaxRegression
from refmeta.tasks.exact_return import PolicyReturn
from refmeta.tasks.regression import LinearRegression

__all__ = [
    "CHECKS", "CellCase", "HIDDEN", "LearnerCase", "by_definition", "losses", "step_lengths", "random_cell",
    "random_learner", "random_parameters", "random_signals",
]  # fmt: skip

HIDDEN, STEPS = 2, 3


class LearnerCase(NamedTuple):
    """A learner and a recurrence of its gates; a step size where the gates are constant."""

    learner: Learner
    recurrence: Recurrence = gates
    alpha: float = 0.0

    @property
    def arguments(self) -> tuple[Parameters, Any, Any]:
        """The arguments, which are perturbed to measure κ."""
        return self.learner[:3]

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments, which are not."""
        return {"steps": self.learner.steps, "recurrence": self.recurrence}

    @property
    def formulas(self) -> Formulas:
        """The definition with this recurrence."""
        return PAPER if self.recurrence is gates else Formulas(gates=definition.gates_released)


def random_parameters(rng: Generator, dim: int, start: Array) -> Parameters:
    """Weights of order one, so that every path shows; gates about a half and above."""
    flat = 0.5 * rng.normal(size=4 * HIDDEN * (5 + HIDDEN) + 2 * HIDDEN + 6 + dim)
    return unravel(flat, dim=dim, hidden=HIDDEN)._replace(c0=start, b_I=np.array(-1.5), b_F=np.array(1.5))


def random_learner(rng: Generator, kind: str = "", steps: int = STEPS) -> Learner:
    """A learner on tasks of a kind, by default a random one whose curvature allows gates of order one."""
    case = random_problem(rng, kind or KINDS[rng.integers(6)], size=2, width=2, steps=steps)
    return Learner(random_parameters(rng, case.support.dim, case.theta), case.support, case.query, steps)


def losses(task: Any) -> list[Loss]:
    """The definition's loss of each task."""
    make: Callable[..., Loss]
    data: tuple[Any, ...]
    shared: tuple[Any, ...]
    if isinstance(task, PolicyReturn):
        mdp, features = task.mdp, getattr(task.policy, "features", None)
        shared = (mdp.gamma, mdp.horizon, None if features is None else features.tolist())
        make, data = policy_return, (mdp.P, mdp.R, mdp.rho)
    elif isinstance(task, SoftmaxRegression):
        make, data, shared = softmax_regression, (task.X, task.labels), (task.classes, task.ridge)
    elif isinstance(task, LinearRegression):
        make, data, shared = linear_regression, (task.X, task.y), ()
    else:
        make, data, shared = quadratic, (task.A, task.c), ()
    return [make(*one, *shared) for one in zip(*(array.tolist() for array in data), strict=True)]


def by_definition(case: LearnerCase, kind: str = "") -> Array:
    """The adapted parameters (N, d), or all slopes of a kind, (N, size)."""
    one, rows = case.learner, []
    x = complex_numbers(leaves(one.parameters)) | {"steps": one.steps}
    for support, query in zip(losses(one.support), losses(one.query), strict=True):
        if kind:
            objective = task_objective(kind, x, support, query, COMPLEX, case.formulas)
            rows.append(flatten(slopes(objective, x, LEAVES, COMPLEX.outer))[0])
        else:
            rows.append(adaptation(x, support, COMPLEX.inner, case.formulas)[0])
    return real_part(rows)


def random_signals(rng: Generator) -> Array:
    """Scalars on both sides of e^−10."""
    return rng.normal(size=(6, 1)) * [[1.0], [1e-3], [1e3], [1e-6], [1e-5], [1e-9]]


def _preprocessing(x: Array) -> Error:
    """The definition's value, one number after another, and the slope by complex steps."""
    rows = real_part([definition.preprocessing(complex(v)) for v in x[:, 0]])
    slopes = np.stack([complex_step(lambda z, i=i: preprocessing(z)[..., i], x[:, 0]) for i in (0, 1)], axis=-1)  # type: ignore[misc]
    expected = np.concatenate([rows, np.einsum("iij->ij", slopes)], axis=1)
    return off(lambda z: np.concatenate([preprocessing(z[:, 0]), preprocessing_slope(z[:, 0])], axis=1), x, expected)


class CellCase(NamedTuple):
    """Weights of an LSTM, its inputs x, h and c, and adjoints of h' and c'."""

    W: Array
    b: Array
    x: Array
    h: Array
    c: Array
    ends: Array


def random_cell(rng: Generator, rows: int = 3, inputs: int = 3, hidden: int = 2) -> CellCase:
    """Numbers of order one."""
    shapes = (4 * hidden, inputs + hidden), (4 * hidden,), (rows, inputs), (rows, hidden), (rows, hidden), (rows, 2 * hidden)
    return CellCase(*(rng.normal(size=shape) for shape in shapes))


def _cell(case: CellCase) -> Error:
    """Gates and states as scalars; the adjoints by complex steps."""
    W, b, x, h, c, ends = case
    H, weights = h.shape[-1], ((W + 0j).tolist(), (b + 0j).tolist())
    rows = [definition.first_layer(*weights, *row) for row in zip(*((z + 0j).tolist() for z in (x, h, c)), strict=True)]
    expected = real_part([[*output, *state] for output, state in rows])

    def total(z: Array) -> Array:
        after = forward(W, b, *np.split(z, [x.shape[1], x.shape[1] + H], axis=1))
        return np.asarray(np.sum(ends[:, :H] * after.output + ends[:, H:] * after.state))

    slopes = complex_step(total, np.concatenate([x, h, c], axis=1))

    def both(z: Any) -> Array:
        after = forward(*z)
        back = backward(z[0], after, ends[:, :H], ends[:, H:])
        return np.concatenate([after.output, after.state, back.inputs, back.state], axis=1)

    return off(both, case[:5], np.concatenate([expected, slopes], axis=1))


def _unrolled(case: LearnerCase) -> Error:
    """The adapted parameters, one coordinate and one number after another."""
    return off(lambda z: meta_lstm.unroll(z[0], z[1], **case.options).adapted, case.arguments[:2], by_definition(case))


def _slopes(case: LearnerCase, kind: str, gradient: Any) -> Error:
    """Complex steps of the definition in every weight."""
    one, expected = case.learner, by_definition(case, kind)
    scale = np.max(np.abs(one.query.at(one.theta).loss))
    return off(lambda z: gradient(*z, **case.options).ravel(), case.arguments, expected, scale)


def _is_gradient_descent(case: LearnerCase) -> Error:
    """W_I = W_F = 0, b_F = 40, b_I = logit α: MAML's gradient, and first-order MAML's."""
    (weights, *tasks), zero, logit = case.arguments, np.zeros(HIDDEN + 2), math.log(case.alpha / (1 - case.alpha))
    constant = weights._replace(W_I=zero, W_F=zero, b_I=np.array(logit), b_F=np.array(40.0))
    expected = [
        f(weights.c0, *tasks, alpha=case.alpha, steps=case.learner.steps)
        for f in (maml.gradient, maml.first_order_gradient)
    ]

    def both(z: Any) -> Array:
        kinds = meta_lstm.gradient, meta_lstm.gradient_independent
        return np.concatenate([f(*z, **case.options).c0 for f in kinds], axis=-1)

    return off(both, (constant, *tasks), np.concatenate(expected, axis=-1))


def step_lengths(parameters: Parameters, support: Any, steps: int) -> tuple[Array, Array]:
    """|θ_t − f_t θ_{t−1}| and |∇L(θ_{t−1})| of every step, (N, steps · d) each."""
    path = meta_lstm.unroll(parameters, support, steps=steps).steps
    lengths = [np.abs(step.theta - step.forget_gate.value * step.point.theta) for step in path]
    return np.concatenate(lengths, axis=-1), np.concatenate([np.abs(step.point.grad) for step in path], axis=-1)


def _gate_bound(case: Learner) -> Error:
    """|θ_t − f_t θ_{t−1}| is at most |∇L| for any gates, and is |∇L| where i rounds to 1, whatever is forgotten."""
    opened = case.parameters._replace(b_I=np.array(40.0), W_I=np.zeros(HIDDEN + 2))
    errors = []
    for parameters, steps in ((case.parameters, case.steps), (opened, 1)):
        lengths, bound = step_lengths(parameters, case.support, steps)
        expected = np.minimum(lengths, bound) if parameters is not opened else bound
        scale = np.max(np.abs(meta_lstm.unroll(parameters, case.support, steps=steps).adapted))
        errors.append(off(lambda z, k=steps: step_lengths(z[0], z[1], k)[0], (parameters, case.support), expected, scale))  # type: ignore[misc]
    return worst(errors)


def _any_gate(rng: Generator) -> Learner:
    """A learner whose input gate may be anything."""
    one, bias = random_learner(rng), np.array(rng.normal() * 5)
    return one._replace(parameters=one.parameters._replace(b_I=bias))


CHECKS = (
    Check(
        "gradient-preprocessing", "(log|x|/p, sgn x) or (−1, e^p x)", "scalars, complex steps",
        random_signals, _preprocessing,
    ),
    Check("lstm-cell", "c' = σ(u₂)c + σ(u₁) tanh u₄, h' = σ(u₃) tanh c'", "scalars, complex steps", random_cell, _cell),
    Check("meta-lstm-cell", "θ_t = f θ_{t−1} − i ∇L", "scalars", lambda rng: LearnerCase(random_learner(rng)), _unrolled),
    Check("meta-lstm-gates", "σ(W[h, θ, σ(z)] + b)", "scalars", lambda rng: LearnerCase(random_learner(rng)), _unrolled),
    Check(
        "meta-lstm-gates-released", "σ(W[h, θ, z] + b)", "scalars",
        lambda rng: LearnerCase(random_learner(rng), gates_released), _unrolled,
    ),
    Check(
        "meta-lstm-bptt", "∇L and L held", "complex steps of another pass",
        lambda rng: LearnerCase(random_learner(rng)), lambda case: _slopes(case, "independent", meta_lstm.gradient_independent),
    ),
    Check(
        "meta-lstm-bptt-exact", "… + H a + b ∇L", "complex steps of the unrolled loss",
        lambda rng: LearnerCase(random_learner(rng), (gates, gates_released)[rng.integers(2)]),
        lambda case: _slopes(case, "exact", meta_lstm.gradient),
    ),
    Check(
        "thm:meta-lstm-is-gradient-descent", "W_I = W_F = 0: MAML", "maml.gradient, first order",
        lambda rng: LearnerCase(random_learner(rng), gates, float(rng.uniform(0.05, 0.2))), _is_gradient_descent,
    ),
    Check("thm:gate-bound", "|θ_t − f θ_{t−1}| ≤ |∇L|", "every gate; equality where i = 1", _any_gate, _gate_bound),
)  # fmt: skip
