"""Known-wrong Meta-LSTMs, each a forward pass of its own, differentiated by complex steps.  Right: `meta.meta_lstm`.

A case is a `Learner`: parameters, support, query, steps.  Rows give {part: (N, ...)}: the objective, and what it gives
for the exact gradient and for the one under the independence assumption.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.judges import complex_step
from refmeta.meta.lstm import forward, preprocessing, sigmoid
from refmeta.meta.meta_lstm import Parameters, unravel
from refmeta.oracle.wrong.row import rows, wrong


class Change(NamedTuple):
    """What is done differently: the gates from their pre-activations and memories, the gradient's scale, the inputs."""

    gates: Callable[[Array, Array], tuple[Array, Array, Array, Array]]
    scale: float = 1.0
    inputs: Callable[[Array], Array] = preprocessing


def right(z_i: Array, z_f: Array) -> tuple[Array, Array, Array, Array]:
    """i, f, and what the next step is told of them."""
    i, f = sigmoid(z_i), sigmoid(z_f)
    return i, f, i, f


def loss(case: Any, given: Parameters, change: Change, held: list[tuple[Array, Array]] | None = None) -> Array:
    """L_query(θ_K); with `held`, of given gradients and losses at every step."""
    N, d = case.support.shape[0], case.support.dim
    theta = np.broadcast_to(given.c0, (N, d))
    h = c = np.zeros((N, d, given.hidden))
    told_i = told_f = np.zeros((N, d))
    for k in range(case.steps):
        g, value = _inputs(case, theta, change) if held is None else held[k]
        x = np.concatenate(np.broadcast_arrays(change.inputs(g), change.inputs(value)[:, None, :]), axis=-1)
        cell = forward(given.W, given.b, x, h, c)
        h, c = cell.output, cell.state
        z_i, z_f = (
            h @ w[:-2] + theta * w[-2] + told * w[-1] + b
            for w, b, told in ((given.W_I, given.b_I, told_i), (given.W_F, given.b_F, told_f))
        )
        i, f, told_i, told_f = change.gates(z_i, z_f)
        theta = f * theta - i * g
    return np.asarray(case.query.at(theta).loss)


def _inputs(case: Any, theta: Array, change: Change) -> tuple[Array, Array]:
    """∇L, scaled, and L."""
    point = case.support.at(theta)
    return change.scale * point.grad, np.asarray(point.loss)


def _held(case: Any, change: Change) -> list[tuple[Array, Array]]:
    """The gradients and losses of the forward pass, one pair a step."""
    given, found = case.parameters, []
    N, d = case.support.shape[0], case.support.dim
    theta = np.broadcast_to(given.c0, (N, d))
    for k in range(case.steps):
        found.append(_inputs(case, theta, change))
        theta = reached(case, change, found, k + 1)
    return found


def reached(case: Any, change: Change, held: list[tuple[Array, Array]], steps: int) -> Array:
    """θ after some steps on given gradients and losses."""
    captured: list[Array] = []

    class Capture:
        """A query that keeps where it is asked."""

        def at(self, theta: Array) -> Any:
            captured.append(theta)
            return case.query.at(theta)

    loss(case._replace(query=Capture(), steps=steps), case.parameters, change, held)
    return captured[0]


def parts(case: Any, change: Change) -> dict[str, Array]:
    """The objective, and both gradients, leaf by leaf."""
    flat, dim, hidden = case.parameters.ravel(), case.support.dim, case.parameters.hidden
    found = {"objective": loss(case, case.parameters, change)}
    for name, held in (("exact", None), ("independent", _held(case, change))):
        slopes = complex_step(lambda f, h=held: loss(case, unravel(f, dim=dim, hidden=hidden), change, h), flat)  # type: ignore[misc]
        for leaf, value in zip(Parameters._fields, unravel(slopes, dim=dim, hidden=hidden), strict=True):
            found[f"{name}_{leaf}"] = value
    return found


@wrong(
    "gates-before-sigmoid", "i_t = σ(W_I[h, θ, z_{t−1}] + b_I), z before the sigmoid", quantity="parts",
    cause="the gates' pre-activations are kept as the state, as in the released code; the paper feeds back the gates",
    seen="twitter/meta-learning-lstm, markdtw/meta-learning-lstm-pytorch",
)  # fmt: skip
def gates_before_sigmoid(case: Any) -> Any:
    return parts(case, Change(lambda z_i, z_f: (sigmoid(z_i), sigmoid(z_f), z_i, z_f)))


@wrong(
    "gradient-divided-by-batch", "∇L/n in the place of ∇L, n the number of data points", quantity="parts",
    cause="the mean gradient is divided by the batch size once more", seen="markdtw/meta-learning-lstm-pytorch",
)  # fmt: skip
def gradient_divided_by_batch(case: Any) -> Any:
    return parts(case, Change(right, scale=1 / case.support.X.shape[-2]))


@wrong(
    "gates-swapped", "θ_t = i_t θ − f_t ∇L", quantity="parts", cause="W_I, b_I and W_F, b_F are taken for each other"
)
def gates_swapped(case: Any) -> Any:
    given = case.parameters
    swapped = given._replace(W_I=given.W_F, b_I=given.b_F, W_F=given.W_I, b_F=given.b_I)
    found, back = (
        parts(case._replace(parameters=swapped), Change(right)),
        {"W_I": "W_F", "W_F": "W_I", "b_I": "b_F", "b_F": "b_I"},
    )
    for name in ("exact", "independent"):
        found |= {f"{name}_{back[leaf]}": found[f"{name}_{leaf}"] for leaf in back}
    return found


@wrong("input-gate-tied-to-forget", "i_t = 1 − f_t", quantity="parts", cause="a coupled gate, as in other LSTMs")
def input_gate_tied_to_forget(case: Any) -> Any:
    def tied(z_i: Array, z_f: Array) -> tuple[Array, Array, Array, Array]:
        f = sigmoid(z_f)
        return sigmoid(-z_f), f, sigmoid(-z_f), f

    return parts(case, Change(tied))


@wrong(
    "start-not-learned",
    "∂F/∂c0 = 0",
    quantity="parts",
    cause="c0 is copied into the learner, and the copy is what is trained on",
)
def start_not_learned(case: Any) -> Any:
    return {f"{name}_c0": np.zeros((case.support.shape[0], case.support.dim)) for name in ("exact", "independent")}


@wrong(
    "preprocessing-without-sign", "(log|x|/p, 0) where |x| ≥ e^−p", quantity="parts",
    cause="the second component of the preprocessing is left out: the first layer does not know the direction",
)  # fmt: skip
def preprocessing_without_sign(case: Any) -> Any:
    def unsigned(x: Array) -> Array:
        both = preprocessing(x)
        return np.stack([both[..., 0], np.where(both[..., 0] == -1, both[..., 1], 0)], axis=-1)

    return parts(case, Change(right, inputs=unsigned))


@wrong(
    "independent-called-exact", "the gradient with ∇L_t and L_t held", quantity="parts",
    cause="the learner's gradient is detached before it enters the meta-learner", seen="the paper and every port of it, on purpose",
)  # fmt: skip
def independent_called_exact(case: Any) -> Any:
    found = parts(case, Change(right))
    return {f"exact_{leaf}": found[f"independent_{leaf}"] for leaf in Parameters._fields}


ROWS = rows(globals())
