"""The suite `implicit`: implicit MAML."""

from refmeta.oracle.common import POINTS, QUADRATIC, both
from refmeta.oracle.suite import Input, Part, suite_of
from refmeta.oracle.suites.implicit import choices, definition, epsilons, problem, wrong

__all__ = ["SUITE"]

LOSSES = {
    name: Input(f"{each.shape} or None", f"{each.meaning}; None where the loss is the other one", optional=True)
    for name, each in (QUADRATIC | POINTS).items()
}
PARTS = {
    "objective": Part("(N,)", "F_i = L_query(phi_i)"),
    "first_order": Part("(N, d)", "the gradient of L_query at phi_i"),
    "gradient": Part("(N, d)", "dF_i/dtheta of F_i: (I + H_i/lambda)^-1 dL_query(phi_i)"),
}
SUITE = suite_of(
    definition, problem, wrong, epsilons,
    choices=choices,
    name="implicit",
    chapter="implicit-and-zeroth-order",
    title="implicit MAML",
    sizes="N tasks, d parameters, n data points (query: q)",
    losses="phi_i = argmin_phi L_support(phi) + lambda/2 * |phi - theta|^2. L = 1/2 * (theta - c)^T A (theta - c) where A "
    "and c are arrays, L = 1/(2n) * sum_j (x_j . theta - y_j)^2 where X and y are; support and query may differ in this. "
    "To a residual of 1e-10 in all: 5e-11 for each of the two systems.",
    inputs={
        "theta": Input("(d,)", "the initialisation"),
        **both(LOSSES),
        "strength": Input("number", "lambda, the weight of the proximal term"),
    },
    parts=PARTS,
    array="gradient",
    rational=tuple(PARTS),
    residual=1e-10,
    unseen=("limits of conjugate gradients from 6",),
)
