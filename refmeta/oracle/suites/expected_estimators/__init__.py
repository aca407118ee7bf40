"""The suite `expected-estimators`: exact expectations over every trajectory of a tiny process."""

from refmeta.oracle.common import DIRECTION, LOGITS, PAID_BY_NEXT, PROCESS
from refmeta.oracle.suite import Input, Part, suite_of
from refmeta.oracle.suites.expected_estimators import choices, definition, epsilons, problem, wrong
from refmeta.oracle.suites.expected_estimators.batch_target import by_batch

__all__ = ["SUITE"]

SUITE = suite_of(
    definition, problem, wrong, epsilons,
    name="expected-estimators",
    choices=choices,
    by_batch=by_batch,
    chapter="sampled-meta-gradients",
    title="exact expectations over every trajectory: the two objectives of sampled MAML, and estimators of the Hessian",
    sizes="N tasks, S states, A actions, d = S*A parameters",
    losses="L = -J, J = E[sum of gamma^t r_t]; the surrogates are those of the suite surrogates, at theta = "
    "theta_sampled, without a baseline.",
    inputs={
        "theta": Input("(d,)", LOGITS),
        **PROCESS,
        **PAID_BY_NEXT,
        "gamma": Input("number", "the discount; 1 is allowed"),
        "horizon": Input("integer", "the number of rewards", "integer"),
        "alpha": Input("number", "inner step size"),
        "episodes": Input("integer", "M, trajectories for each inner step", "integer"),
        "steps": Input("integer", "K, inner steps", "integer"),
        **DIRECTION,
    },
    parts={
        "formulation_exact": Part("(N, d)", "the gradient of L(phi), phi adapted by exact gradients"),
        "formulation_sampled": Part("(N, d)", "the gradient of E[L(phi)], phi adapted on M trajectories (GPOMDP)"),
        "naive_hessian": Part("(N, d)", "E[Hessian of REINFORCE's surrogate] v"),
        "lvc_hessian": Part("(N, d)", "E[Hessian of the likelihood-ratio surrogate] v"),
        "dice_hessian": Part("(N, d)", "E[Hessian of DiCE] v"),
    },
    unseen=("clamps of logits beyond 800", "clamps of probabilities below 1e-9", "clips of inner gradients above 625", "limits of K from 2"),
)
