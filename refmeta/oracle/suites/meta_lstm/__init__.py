"""The suite `meta-lstm`: an LSTM whose cell state is the learner's parameters."""

from refmeta.oracle.common import CLASSES, CROSS_ENTROPY, LABELLED, both
from refmeta.oracle.suite import Input, Part, suite_of
from refmeta.oracle.suites.meta_lstm import choices, definition, epsilons, problem, wrong

__all__ = ["SUITE"]

LEAVES = {
    "W": Input(
        "(4*H, 4+H)", "rows: input, forget and output gate, candidate; columns: the gradient (2), the loss (2), h"
    ),
    "b": Input("(4*H,)", "rows as in W"),
    "W_I": Input(
        "(H+2,)", "of the input gate i = sigmoid(W_I [h, theta, i before] + b_I), the same for every parameter"
    ),
    "b_I": Input("number", "of the input gate"),
    "W_F": Input("(H+2,)", "of the forget gate f = sigmoid(W_F [h, theta, f before] + b_F)"),
    "b_F": Input("number", "of the forget gate"),
    "c0": Input("(d,)", "the learner's first parameters, class after class"),
}


def _slopes(kind: str, meaning: str) -> dict[str, Part]:
    """One gradient, leaf after leaf, with the axis of the tasks in front."""
    shapes = {leaf: each.shape.strip("(,)").replace("number", "") for leaf, each in LEAVES.items()}
    return {
        f"{kind}_{leaf}": Part(f"(N, {shape})" if shape else "(N,)", meaning.format(leaf))
        for leaf, shape in shapes.items()
    }


SUITE = suite_of(
    definition, problem, wrong, epsilons, choices=choices,
    name="meta-lstm",
    chapter="meta-lstm",
    title="Meta-LSTM on softmax regression",
    sizes="N tasks, n data points (query: q), f features, C classes, H hidden units, K steps, d = C*f parameters",
    losses=f"{CROSS_ENTROPY} One step is theta <- f * theta - i * dL_support/dtheta, parameter by parameter; first "
    "gates 0. The first layer, an LSTM, reads the preprocessed gradient and loss: x becomes (log|x|/p, sign x) "
    "where |x| >= e^-p, else (-1, e^p x), p = 10.",
    inputs=LEAVES
    | both(LABELLED)
    | CLASSES
    | {"steps": Input("integer", "K, the number of steps; 0 is allowed", "integer")},
    parts={
        "objective": Part("(N,)", "L_query(theta_K)"),
        **_slopes("exact", "its gradient in {}"),
        **_slopes("independent", "the same in {}, with the learner's gradients and losses held constant"),
    },
    unseen=("clamps of logits beyond 800", "clips of gradients above 362", "limits of K from 6"),
)
