"""The suite `reptile`: the outer step of Reptile."""

from refmeta.oracle.suite import Input, Part, suite_of
from refmeta.oracle.suites.reptile import choices, definition, epsilons, problem, wrong

__all__ = ["SUITE"]

SUITE = suite_of(
    definition, problem, wrong, epsilons,
    choices=choices,
    name="reptile",
    chapter="reptile",
    title="Reptile's outer step",
    sizes="N tasks, d parameters",
    losses="none enters; the adapted parameters are inputs. --ascent turns nothing.",
    inputs={
        "theta": Input("(d,)", "the initialisation"),
        "adapted": Input("(N, d)", "phi_i, one row for each task"),
        "epsilon": Input("number", "outer step size"),
    },
    parts={"update": Part("(d,)", "theta + epsilon * mean_i(phi_i - theta)", turned=False)},
    array="update",
    rational=("update",),
    unseen=("clips of steps above 1135",),
)
