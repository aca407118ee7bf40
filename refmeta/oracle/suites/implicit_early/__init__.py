"""The suite `implicit-early`: hypergradients of implicit MAML that stop early, on purpose."""

from refmeta.oracle.suite import Input, Part, suite_of
from refmeta.oracle.suites.implicit import SUITE as EXACT
from refmeta.oracle.suites.implicit_early import choices, definition, epsilons, problem, wrong

__all__ = ["SUITE"]

PARTS = {
    "neumann": Part("(N, d)", "eta * sum of (I - eta * H)^j g over j = 0 ... terms - 1"),
    "one_step": Part("(N, d)", "eta * g"),
    "cg": Part("(N, d)", "cg_steps steps of conjugate gradients for H x = g from x = 0, ended early where nothing is left"),
    "finite_difference": Part("(N, d)", "neumann with H v = v + (dL(phi + delta * v) - dL(phi - delta * v)) / (2 * delta * lambda)"),
    "truncated": Part(
        "(N, d)", "dL_query(phi_T)/dtheta through the last `kept` of T = `steps` steps phi - eta/lambda * (dL(phi) + lambda * (phi - theta)) "
        "from theta; the point before them is held, even if it is theta",
    ),
}  # fmt: skip
SUITE = suite_of(
    definition, problem, wrong, epsilons,
    choices=choices,
    name="implicit-early",
    chapter="implicit-and-zeroth-order",
    title="implicit MAML that stops early, on purpose",
    sizes=EXACT.sizes,
    losses="L and L_query as in `implicit`. phi_i = argmin_phi L_support(phi) + lambda/2 * |phi - theta|^2, to a residual of 5e-11; "
    "H = I + (Hessian of L_support at phi)/lambda, g = dL_query at phi. Only `truncated` does not look for phi.",
    inputs={
        **EXACT.inputs,
        "eta": Input("number", "the step size of the series and of the unrolled steps, in units of 1/lambda"),
        "terms": Input("integer", "the number of terms of Neumann's series, at least 1; the first is eta * g", "integer"),
        "cg_steps": Input("integer", "the number of steps of conjugate gradients, at least 1", "integer"),
        "steps": Input("integer", "T, the number of unrolled steps, at least 1", "integer"),
        "kept": Input("integer", "how many of them are differentiated, from the end; 1 to T", "integer"),
        "delta": Input("number", "the step of the difference of gradients, the same for every v"),
    },
    parts=PARTS,
    rational=tuple(PARTS),
    residual=1e-10,
    unseen=("limits of terms from 6", "limits of unrolled steps from 6", "ends of conjugate gradients at residuals below 0.00402"),
)  # fmt: skip
