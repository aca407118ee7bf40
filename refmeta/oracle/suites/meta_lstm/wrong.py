"""Known-wrong Meta-LSTMs: one function of the definition exchanged.  Right: `meta.meta_lstm`.

A problem is a `Learner`.  Rows give {part: (N, ...)}: the objective, and what it gives for the exact gradient and for the one
under the independence assumption.
"""

from typing import Any

import numpy as np

from refmeta.oracle import clamps, limits
from refmeta.oracle.decimals import real, sqrt
from refmeta.oracle.known import EVERY, rows_in, wrong
from refmeta.oracle.suites.meta_lstm.definition import Formulas, gates_released, preprocessing, sigmoid, signal
from refmeta.oracle.suites.meta_lstm.problem import LEAVES, all_parts, answer

__all__ = ["FALSE_ALARMS", "ROWS"]

FALSE_ALARMS = {
    "start-of-meta-lstm-learned": "c0 of Meta-LSTM receives a gradient under the independence assumption, too: "
    "derivations/meta-lstm.md",
}


@wrong(
    "gates-before-sigmoid", "i_t = σ(W_I[h, θ, z_{t−1}] + b_I), z before the sigmoid", quantity=EVERY,
    cause="the gates' pre-activations are kept as the state, as in the released code; the paper feeds back the gates",
    source="twitter/meta-learning-lstm, markdtw/meta-learning-lstm-pytorch",
    hint="z is kept as the state of the gates", repair="keep sigmoid(z) as the state of the gates",
)  # fmt: skip
def gates_before_sigmoid(problem: Any) -> Any:
    return all_parts(problem, Formulas(gates=gates_released))


@wrong(
    "gradient-divided-by-batch", "∇L/n instead of ∇L, n the number of data points", quantity=EVERY,
    cause="the mean gradient is divided by the batch size once more", source="markdtw/meta-learning-lstm-pytorch",
)  # fmt: skip
def gradient_divided_by_batch(problem: Any) -> Any:
    def divided_signal(support: Any, theta: Any, step: Any) -> Any:
        g, loss = signal(support, theta, step)
        return [slope / problem.support.X.shape[-2] for slope in g], loss

    return all_parts(problem, Formulas(signal=divided_signal))


@wrong("gates-swapped", "θ_t = i_t θ − f_t ∇L", quantity=EVERY, cause="W_I, b_I and W_F, b_F are taken for each other")
def gates_swapped(problem: Any) -> Any:
    def swapped_gates(z_i: Any, z_f: Any) -> Any:
        i, f = sigmoid(z_i), sigmoid(z_f)
        return f, i, i, f

    return all_parts(problem, Formulas(gates=swapped_gates))


@wrong("input-gate-tied-to-forget", "i_t = 1 − f_t", quantity=EVERY, cause="a coupled gate, as in other LSTMs")
def input_gate_tied_to_forget(problem: Any) -> Any:
    def tied_gates(z_i: Any, z_f: Any) -> Any:
        i, f = sigmoid(-z_f), sigmoid(z_f)
        return i, f, i, f

    return all_parts(problem, Formulas(gates=tied_gates))


@wrong(
    "start-not-learned", "∂F/∂c0 = 0", quantity=EVERY,
    cause="c0 is copied into the learner, and the copy is what is trained on",
    repair="c0 must be a parameter of the meta-learner and enter the graph itself, not a clone of its data",
)  # fmt: skip
def start_not_learned(problem: Any) -> Any:
    return {f"{kind}_c0": np.zeros((problem.support.shape[0], problem.support.dim)) for kind in ("exact", "independent")}


@wrong(
    "preprocessing-without-sign", "(log|x|/p, 0) where |x| ≥ e^−p", quantity=EVERY,
    cause="the second component of the preprocessing is left out: the first layer does not know the direction",
)  # fmt: skip
def preprocessing_without_sign(problem: Any) -> Any:
    def unsigned_preprocessing(x: Any) -> Any:
        size, sign = preprocessing(x)
        return [size, sign if real(size) == -1 else 0 * sign]

    return all_parts(problem, Formulas(preprocessing=unsigned_preprocessing))


@wrong(
    "independent-called-exact", "the gradient with ∇L_t and L_t held", quantity=EVERY,
    cause="the learner's gradient is detached before it enters the meta-learner", source="the paper and every port of it, on purpose",
    repair="PyTorch: create_graph=True where the learner's gradient is taken; JAX: no stop_gradient on it",
)  # fmt: skip
def independent_called_exact(problem: Any) -> Any:
    parts = all_parts(problem)
    return {f"exact_{leaf}": parts[f"independent_{leaf}"] for leaf in LEAVES}


def _with_clipped_gradient(problem: Any, most: float) -> Any:
    """Every part with the learner's gradients shortened to the norm `most`."""

    def clipped_signal(support: Any, theta: Any, step: Any) -> Any:
        g, loss = signal(support, theta, step)
        norm = sqrt(sum(slope * slope for slope in g))
        return ([slope * (most / norm) for slope in g] if real(norm) > most else g), loss

    return all_parts(problem, Formulas(signal=clipped_signal))


@wrong(
    "gradient-clipped", "∇L·min(1, 10/‖∇L‖) for ∇L", quantity=EVERY, cause="the learner's gradients are clipped",
    hint="clip_grad_norm_ on the learner before its gradients are read",
)  # fmt: skip
def gradient_clipped(problem: Any) -> Any:
    return _with_clipped_gradient(problem, limits.NORM)


@wrong(
    "steps-at-most-five", "min(K, 5) steps", quantity=EVERY, cause="the number of steps has a bound, or an unrolled loop a fixed length",
    hint="min(steps, 5), or a default that the argument does not override",
)  # fmt: skip
def steps_at_most_five(problem: Any) -> Any:
    few, kinds = problem._replace(steps=min(problem.steps, limits.MOST_STEPS)), ("exact", "independent")
    return {name: answer(name, few) for name in ("objective", *(f"{kind}_{leaf}" for kind in kinds for leaf in LEAVES))}


@wrong(
    "probabilities-clamped", "log max(p, 1e-6) in the learner's loss", quantity=EVERY, chapter="softmax-policies",
    cause="probabilities are kept away from 0, and their gradient is cut there",
    hint="PyTorch: probs.clamp(min=1e-6).log()", repair="log_softmax, which needs no clamp",
)  # fmt: skip
def probabilities_clamped(problem: Any) -> Any:
    return all_parts(problem, Formulas(softmax=clamps.CLAMPED_PROBABILITIES))


@wrong(
    "logits-clamped", "the learner's logits in [−10, 10]", quantity=EVERY, chapter="softmax-policies",
    cause="logits are clamped against overflow, and their gradient is cut there",
    hint="logits.clamp(-10, 10)", repair="subtract the largest logit from all",
)  # fmt: skip
def logits_clamped(problem: Any) -> Any:
    return all_parts(problem, Formulas(softmax=clamps.CLAMPED_LOGITS))


ROWS = rows_in(globals())
