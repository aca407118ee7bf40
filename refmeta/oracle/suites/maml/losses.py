"""What implementations choose inside the losses of support and query, on any tasks.  Derivation: derivations/maml.md"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import replace_fields
from refmeta.oracle.choices import Point
from refmeta.oracle.suites.maml.changed import Made, one_for_all, rolled, weighted

__all__ = ["COMMON", "BOTH", "QUERY", "SCALES", "SUPPORT", "Change", "Side", "changed_losses", "from_query", "from_support", "having", "scaled", "sided"]

SUPPORT, QUERY, BOTH = ("support",), ("query",), ("support", "query")


class Side(NamedTuple):
    """Where a loss stands: itself and the one of the other side, both as given, and the number of tasks."""

    own: Any
    other: Any
    tasks: int


class Change(NamedTuple):
    """A task made of a task: where it is applied, and when; fields are changed first, then sums are made."""

    of: Callable[[Any, Side], Any]
    sides: tuple[str, ...] = BOTH
    stage: int = 0


def changed_losses(problem: Any, point: Point) -> tuple[Any, Any]:
    """The support and the query of a point."""
    given = {"support": problem.support, "query": problem.query}
    changes = sorted((x for x in point.values() if isinstance(x, Change)), key=lambda change: change.stage)
    tasks = dict(given)
    for change in changes:
        for name in change.sides:
            other = given["query" if name == "support" else "support"]
            tasks[name] = change.of(tasks[name], Side(given[name], other, problem.support.shape[0]))
    pair = tasks["support"], tasks["query"]
    return point["split"](*pair) if "split" in point else pair


def sided(table: Mapping[str, Any], sides: tuple[tuple[str, ...], ...] = (SUPPORT, QUERY)) -> dict[str, Any]:
    """The alternatives, and each of them in the support only or in the query only."""
    changes = {words: x for words, x in table.items() if x is not None}
    alone = {f"{words}, in the {each[0]} only": x._replace(sides=each) for words, x in changes.items() for each in sides}
    return {**table, **alone}


def having(field: str, table: Mapping[str, Any]) -> dict[str, Any]:
    """Changes of losses that have a field; other losses stay."""

    def of(change: Change) -> Change:
        return change._replace(of=lambda task, side: change.of(task, side) if hasattr(side.own, field) else task)

    return {words: each and of(each) for words, each in table.items()}


def scaled(factor: Callable[[Side], float]) -> Change:
    """A factor times the loss."""
    return Change(lambda task, side: weighted((factor(side), task)), stage=3)


def from_support(*names: str) -> Change:
    """The query with fields of the support."""
    return _from_other(QUERY, names)


def from_query(*names: str) -> Change:
    """The support with fields of the query."""
    return _from_other(SUPPORT, names)


def _from_other(sides: tuple[str, ...], names: tuple[str, ...]) -> Change:
    """A side with fields of the other: those of the task, or of its process or system."""

    def of(task: Any, side: Side) -> Any:
        inner = next((name for name in ("mdp", "lq") if hasattr(task, name)), "")
        theirs, ours = (getattr(each, inner) if inner else each for each in (side.other, task))
        fields = {name: getattr(theirs, name) for name in names}
        if any(np.shape(getattr(ours, name)) != np.shape(x) for name, x in fields.items()):
            raise ValueError("support and query have other numbers of data points")
        changed = replace_fields(ours, **fields)
        return replace_fields(task, **{inner: changed}) if inner else changed

    return Change(of, sides)


def _sum(a: Any, b: Any, weight: float = 1.0) -> Made:
    """weight (L_a + L_b)."""
    return weighted((weight, a), (weight, b))


SPLITS: dict[str, Callable[[Any, Any], tuple[Any, Any]] | None] = {
    "as given": None,
    "exchanged": lambda support, query: (query, support),
    "the support for both": lambda support, query: (support, support),
    "the query for both": lambda support, query: (query, query),
    "the next task's query": lambda support, query: (support, rolled(query, -1)),
    "the query of the task before": lambda support, query: (support, rolled(query, 1)),
    "the first task's query for all": lambda support, query: (support, one_for_all(query, 0)),
    "the last task's query for all": lambda support, query: (support, one_for_all(query, -1)),
    "the first task's support for all": lambda support, query: (one_for_all(support, 0), query),
    "the last task's support for all": lambda support, query: (one_for_all(support, -1), query),
    "outer loss of support plus query": lambda support, query: (support, _sum(support, query)),
    "outer loss of the mean of support and query": lambda support, query: (support, _sum(support, query, 0.5)),
    "inner loss of support plus query": lambda support, query: (_sum(support, query), query),
    "inner loss of the mean of support and query": lambda support, query: (_sum(support, query, 0.5), query),
    "support plus query for both": lambda support, query: (_sum(support, query),) * 2,
    "the mean of support and query for both": lambda support, query: (_sum(support, query, 0.5),) * 2,
}
SCALES: dict[str, Change | None] = {
    "as it is": None,
    "halved": scaled(lambda side: 0.5),
    "doubled": scaled(lambda side: 2.0),
}
WITHOUT_QUERY: dict[str, Change] = {  # in the query alone these are factors of the result
    "negated": scaled(lambda side: -1.0),
    "divided by the number of tasks": scaled(lambda side: 1 / side.tasks),
    "times the number of tasks": scaled(lambda side: float(side.tasks)),
    "divided by the number of parameters": scaled(lambda side: 1 / side.own.dim),
}
COMMON: dict[str, Mapping[str, Any]] = {
    "split": SPLITS,
    "loss": {**sided(SCALES), **sided(WITHOUT_QUERY, (SUPPORT,))},
}
