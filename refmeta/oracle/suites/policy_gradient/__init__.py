"""The suite `policy-gradient`: exact returns of softmax policies, values and visits, derivatives, geometry, best values."""

from refmeta.oracle.common import DIRECTION, FEATURES, LOGITS, PAID_BY_NEXT, PROCESS, TIME
from refmeta.oracle.suite import Input, Part, suite_of
from refmeta.oracle.suites.policy_gradient import choices, definition, epsilons, problem, wrong
from refmeta.oracle.suites.policy_gradient.problem import TAU

__all__ = ["SUITE"]

FROM_T = "with a horizon that of the rewards from t on, for each t"

SUITE = suite_of(
    definition, problem, wrong, epsilons, choices=choices,
    name="policy-gradient",
    chapter="exact-policy-gradient",
    title="the return of a softmax policy, its values, visits and derivatives, the geometry of the policy, and the best values",
    sizes="N tasks, S states, A actions, H the horizon, d parameters (S*A of them where features is None)",
    losses="L = -J, J = E[sum of gamma^t r_t] of the policy softmax(logits), exact. --ascent turns loss, grad and hvp only.",
    inputs={
        "theta": Input("(d,)", f"parameters; without features: {LOGITS}"),
        **PROCESS,
        **PAID_BY_NEXT,
        **TIME,
        "features": FEATURES,
        **DIRECTION,
    },
    parts={
        "value": Part("(N, S) or (N, H+1, S)", f"V, the return from each state; {FROM_T}, and V_H = 0", turned=False),
        "action_value": Part("(N, S, A) or (N, H, S, A)", f"Q = R + gamma P V; {FROM_T}", turned=False),
        "advantage": Part("(N, S, A) or (N, H, S, A)", f"Q - V; {FROM_T}", turned=False),
        "occupancy": Part(
            "(N, S) or (N, H, S)",
            "sum over t of gamma^t Pr(s_t = s), not normalised; with a horizon each t apart",
            turned=False,
        ),
        "loss": Part("(N,)", "L = -J"),
        "grad": Part("(N, d)", "dL/dtheta"),
        "hvp": Part("(N, d)", "the Hessian of L times v"),
        "fisher": Part(
            "(N, d)", "F v, F = sum_s d(s) E[score score^T], d the discounted visits, not normalised", turned=False
        ),
        "natural_gradient": Part("(N, d)", "the solution x of F x = dJ/dtheta of least norm", turned=False),
        "kl": Part(
            "(N,)", "sum_s d(s) KL(policy at theta || policy at theta + v), d the visits at theta", turned=False
        ),
        "kl_grad": Part("(N, d)", "its gradient at theta + v", turned=False),
        "kl_hvp": Part("(N, d)", "its Hessian at theta + v, times v", turned=False),
        "optimal_value": Part(
            "(N, S) or (N, H+1, S)",
            f"the largest V of any policy; {FROM_T}, where the best action may depend on t",
            turned=False,
        ),
        "soft_value": Part(
            "(N, S) or (N, H+1, S)",
            f"V = tau log sum_a exp(Q/tau), Q = R + gamma P V, tau = {TAU}; {FROM_T}",
            turned=False,
        ),
    },
    unseen=("clamps of logits beyond 800", "clamps of probabilities below 4e-7"),
)
