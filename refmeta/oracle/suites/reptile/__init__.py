"""The suite `reptile`: the outer step of Reptile."""

from refmeta.oracle.suite import Input, Part, Suite
from refmeta.oracle.suites.reptile.definition import define
from refmeta.oracle.suites.reptile.epsilons import effects
from refmeta.oracle.suites.reptile.problem import answer, problem, terms
from refmeta.oracle.suites.reptile.wrong import FALSE_ALARMS, ROWS

__all__ = ["SUITE"]

SUITE = Suite(
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
    problem=problem,
    answer=answer,
    terms=terms,
    definition=define,
    rational=("update",),
    rows=ROWS,
    false_alarms=FALSE_ALARMS,
    effects=effects,
    vectors="reptile/vectors.json",
)
