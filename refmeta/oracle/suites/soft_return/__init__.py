"""The suite `soft-return`: the return with the entropy of the policy, its values, gradient and Hessian products."""

from refmeta.oracle.common import DIRECTION, FEATURES, LOGITS, PROCESS, TIME
from refmeta.oracle.suite import Input, Part, suite_of
from refmeta.oracle.suites.soft_return import choices, definition, epsilons, problem, wrong

__all__ = ["SUITE"]

FROM_T = "with a horizon that of the steps from t on, for each t"

SUITE = suite_of(
    definition, problem, wrong, epsilons, choices=choices,
    name="soft-return",
    chapter="exact-policy-gradient",
    title="the return of a softmax policy with its entropy, values, gradient and Hessian product",
    sizes="N tasks, S states, A actions, H the horizon, d parameters (S*A of them where features is None)",
    losses="L = -J, J = E[sum of gamma^t (r_t + temperature times the entropy of the policy in s_t)], exact; the entropy is "
    "-sum_a pi log pi, with the natural logarithm. --ascent turns loss, grad and hvp only.",
    inputs={
        "theta": Input("(d,)", f"parameters; without features: {LOGITS}"),
        **PROCESS,
        **TIME,
        "features": FEATURES,
        "temperature": Input("number", "what the entropy is worth; 0 is allowed"),
        **DIRECTION,
    },
    parts={
        "value": Part("(N, S) or (N, H+1, S)", f"V, with the entropy of its own state; {FROM_T}, and V_H = 0", turned=False),
        "action_value": Part(
            "(N, S, A) or (N, H, S, A)", f"Q = R + gamma P V, without the entropy of its own state; {FROM_T}", turned=False
        ),
        "advantage": Part("(N, S, A) or (N, H, S, A)", f"Q - temperature log pi - V; {FROM_T}", turned=False),
        "loss": Part("(N,)", "L = -J"),
        "grad": Part("(N, d)", "dL/dtheta"),
        "hvp": Part("(N, d)", "the Hessian of L times v"),
    },
    unseen=("clamps of logits beyond 800", "clamps of probabilities below 9e-7"),
)  # fmt: skip
