"""The suite `episodic-return`: the return of a process whose ends are declared, discounted or not, and its derivatives."""

from refmeta.oracle.common import DIRECTION, FEATURES, LOGITS, PAID_BY_NEXT, PROCESS, TIME
from refmeta.oracle.suite import Input, Part, suite_of
from refmeta.oracle.suites.episodic_return import choices, definition, epsilons, problem, wrong

__all__ = ["SUITE"]

FROM_T = "with a horizon that of the rewards from t on, for each t"
END = "0 in an end"

SUITE = suite_of(
    definition, problem, wrong, epsilons, choices=choices,
    name="episodic-return",
    chapter="exact-policy-gradient",
    title="the return of a softmax policy in a process with declared ends, values, visits and derivatives, also at gamma = 1",
    sizes="N tasks, S states, A actions, H the horizon, d parameters (S*A of them where features is None)",
    losses="L = -J, J = E[sum of gamma^t r_t] up to the first end, exact; the step that enters an end is paid, and nothing comes after "
    "it. A start in an end counts for nothing. --ascent turns loss, grad and hvp only.",
    inputs={
        "theta": Input("(d,)", f"parameters; without features: {LOGITS}"),
        **PROCESS,
        **PAID_BY_NEXT,
        "terminal": Input("(N, S)", "1 where the state is an end; what P and R say in the rows of an end plays no part", "integer"),
        **TIME,
        "gamma": Input("number", "the discount; 1 is allowed without a horizon where an end is reached from every state"),
        "features": FEATURES,
        **DIRECTION,
    },
    parts={
        "value": Part("(N, S) or (N, H+1, S)", f"V, the return from each state, {END}; {FROM_T}, and V_H = 0", turned=False),
        "action_value": Part("(N, S, A) or (N, H, S, A)", f"Q = R + gamma P V, {END}; {FROM_T}", turned=False),
        "advantage": Part("(N, S, A) or (N, H, S, A)", f"Q - V, {END}; {FROM_T}", turned=False),
        "occupancy": Part(
            "(N, S) or (N, H, S)",
            f"sum over t of gamma^t Pr(s_t = s), {END}, not normalised; with a horizon each t apart",
            turned=False,
        ),
        "loss": Part("(N,)", "L = -J"),
        "grad": Part("(N, d)", "dL/dtheta"),
        "hvp": Part("(N, d)", "the Hessian of L times v"),
        "optimal_value": Part(
            "(N, S) or (N, H+1, S)",
            f"the largest V of any policy, at gamma = 1 without a horizon of any that reaches an end from every state; {END}; {FROM_T}",
            turned=False,
        ),
    },
    rational=("optimal_value",),
    unseen=("clamps of logits beyond 800", "clamps of probabilities below 1e-9", "best values of policies that go round for ever, at no cost"),
)  # fmt: skip
