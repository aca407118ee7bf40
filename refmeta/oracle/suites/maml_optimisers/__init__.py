"""The suite `maml-optimisers`: MAML through an inner optimiser other than gradient descent."""

from refmeta.oracle.common import ADAPTED, CROSS_ENTROPY, LABELLED, QUADRATIC, both
from refmeta.oracle.suite import Input, Part, suite_of
from refmeta.oracle.suites.maml_optimisers import choices, definition, epsilons, problem, wrong
from refmeta.oracle.suites.maml_optimisers.rules import ADAM, DECAYED, MOMENTA

__all__ = ["SUITE"]

OPTIMISERS = ("gradient_descent", *MOMENTA, "rmsprop", *ADAM)
LOSSES = {
    name: each._replace(shape=f"{each.shape} or None", meaning=f"{each.meaning}; None where the loss is the other one", optional=True)
    for name, each in (QUADRATIC | LABELLED).items()
}
OF = "None for the others"
SUITE = suite_of(
    definition, problem, wrong, epsilons,
    choices=choices,
    name="maml-optimisers",
    chapter="inner-optimisers",
    title="MAML through an inner optimiser",
    sizes="N tasks, d parameters, n data points (query: q), f features, C classes, K steps",
    losses="L = 1/2 * (theta - c)^T A (theta - c) where A and c are arrays. Where X and labels are, " + CROSS_ENTROPY + " One inner step: clip "
    "the gradient, add coupled decay, follow the optimiser, subtract decoupled decay. Every task begins with m = v = 0 and t = 0.",
    inputs={
        "theta": Input("(d,)", "the initialisation; of softmax regression class after class"),
        **both(LOSSES),
        "classes": Input("integer or None", "C, the number of classes", "integer", optional=True),
        "ridge": Input("number or None", "weight of |theta|^2 / 2 in support and query; 0 is allowed", optional=True),
        **ADAPTED,
        "optimiser": Input("word", f"the inner optimiser: {', '.join(OPTIMISERS)}", "word", place="rule.optimiser"),
        "momentum": Input("number or None", f"beta of {' and '.join(MOMENTA)}: m = beta m + g; {OF}", optional=True, place="rule.momentum"),
        "beta1": Input("number or None", f"that of {', '.join(ADAM)}; {OF}", optional=True, place="rule.beta1"),
        "beta2": Input("number or None", f"that of rmsprop, {', '.join(ADAM)}; {OF}", optional=True, place="rule.beta2"),
        "epsilon": Input(
            "number or None", f"outside the root of rmsprop and adam; adam_epsilon_hat: outside the root of v before its correction; "
            f"adam_epsilon_root: inside the root; {OF}", optional=True, place="rule.epsilon",
        ),
        "decay": Input(
            "word or None", f"{', '.join(DECAYED)} or None: w theta added to the clipped gradient; alpha w theta, or w theta, subtracted from theta",
            "word", optional=True, place="rule.decay",
        ),
        "weight_decay": Input("number", "w; 0 where nothing decays", place="rule.weight_decay"),
        "clip": Input("number or None", "the largest norm of a task's gradient; None: not clipped", optional=True, place="rule.clip"),
    },
    parts={
        "adapted": Part("(N, d)", "phi_i after K steps of the optimiser from theta", turned=False),
        "objective": Part("(N,)", "F_i = L_query(phi_i)"),
        "first_order": Part("(N, d)", "the gradient of L_query at phi_i: first-order MAML on purpose"),
        "gradient": Part("(N, d)", "dF_i/dtheta, F_i = L_query(phi_i), phi_i after K steps of the optimiser from theta"),
        "step_size_gradient": Part("(N,) or (N, d) or (N, K, 1) or (N, K, d)", "dF_i/dalpha: N and the shape of alpha"),
    },
    array="gradient",
    unseen=("clips of inner gradients above 3681", "limits of K from 12"),
)  # fmt: skip
