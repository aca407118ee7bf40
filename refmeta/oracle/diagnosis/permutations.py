"""Entries in another order: of the parameters on the way in or out, of the rows, of the axes.

Derivation: derivations/using-the-oracle.md
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.diagnosis.inputs import answer_with
from refmeta.oracle.judge import JudgeSettings, Outcome, gap, right_result
from refmeta.oracle.match import Candidate, Match, Pair, alike, candidate_of, is_like_right, match_of, matching, pairs
from refmeta.oracle.suite import Case

__all__ = ["layout_matches", "order_matches", "permutation_matches"]

Order = Callable[[int], Sequence[int]]
FEWEST, FAR, SHOWN = 3, 1e3, 12
ORDERS: dict[str, Order] = {
    "the last one first": lambda n: range(n)[::-1],
    "each that of the next": lambda n: np.roll(range(n), -1).tolist(),
    "each that of the one before": lambda n: np.roll(range(n), 1).tolist(),
}
BACKWARDS, INVERSE = "the last entry first", "(the inverse)"


def order_matches(failing: Sequence[Outcome], settings: JudgeSettings) -> list[Match]:
    """The right rows, the tasks in another order: one that has a name, or one permutation for each number of tasks."""
    wrong = [pair for pair in pairs(failing, settings) if not is_like_right(pair)]
    if not all(np.ndim(pair.limit) == 1 and len(pair.got) == len(pair.limit) > 1 for pair in wrong):
        return []
    found = {len(pair.got): _row_order(pair) for pair in reversed(wrong)}
    longest = ", ".join(str(row + 1) for row in max(found.values(), key=len, default=()))
    orders: dict[str, Order] = {**ORDERS, f"those of task {longest}": lambda n: found.get(n, ())}
    named = (
        match_of(f"the right rows, the tasks in another order: {words}", _in_order(order, settings), failing)
        for words, order in orders.items()
    )
    return next(([m] for m in named if matching([m], failing, settings)), [])


def _in_order(order: Order, settings: JudgeSettings) -> Candidate:
    """The right rows in an order; None where a number of tasks has none."""

    def value(case: Case, name: str) -> Array | None:
        right = right_result(case, name, settings)
        rows = list(order(len(right)))
        return right[rows] if rows else None

    return value


def _row_order(pair: Pair) -> Sequence[int]:
    """Of each row that was got the index of the right row that it is; empty if there is none, or if one is taken twice."""
    equal = [[gap(row[None], right[None], limit[None]) <= 1 for right, limit in zip(pair.right, pair.limit, strict=True)] for row in pair.got]
    order = [int(np.argmax(each)) for each in equal]
    return order if np.all(np.any(equal, axis=1)) and len(set(order)) == len(order) else ()


def layout_matches(failing: Sequence[Outcome], settings: JudgeSettings) -> list[Match]:
    """The parameters in a layout that the suite knows, or backwards: in the result, on the way in, or both."""
    names = [*failing[0].case.about.layouts(failing[0].case.problem), BACKWARDS]
    candidates = [
        match_of(f"the right result with {where} in another layout: {name}", candidate_of(how(name), settings), failing)
        for name in names
        for where, how in PLACES.items()
        if not (where.endswith(INVERSE) and all(_is_own_inverse(o.case, name) for o in failing))
    ]
    return matching(candidates, failing, settings)


def _layout(case: Case, name: str) -> Array:
    """The index of every entry of the parameters in a layout."""
    if name == BACKWARDS:
        return np.arange(np.size(case.problem.theta))[::-1]
    return np.asarray(case.about.layouts(case.problem)[name])


def _is_own_inverse(case: Case, name: str) -> bool:
    """Is a layout its own inverse, or not there?"""
    try:
        return np.array_equal(_layout(case, name), np.argsort(_layout(case, name)))
    except (AttributeError, KeyError):
        return True


def _out(name: str) -> Candidate:
    """The right result, its last axis in the layout."""
    return lambda case, part: _last_axis(case.expected[part].value, _layout(case, name))


def _back(name: str) -> Candidate:
    """The right result, its last axis in the inverse of the layout."""
    return lambda case, part: _last_axis(case.expected[part].value, np.argsort(_layout(case, name)))


def _in(name: str) -> Candidate:
    """The result for parameters that are read in the layout."""
    return lambda case, part: answer_with(case, part, ("theta",), lambda x: x[_layout(case, name)])


def _in_inverse(name: str) -> Candidate:
    """The result for parameters that are read in the inverse of the layout."""
    return lambda case, part: answer_with(case, part, ("theta",), lambda x: x[np.argsort(_layout(case, name))])


def _both(name: str) -> Candidate:
    """The result for parameters that are read and returned in the layout."""
    return lambda case, part: _last_axis(_in(name)(case, part), np.argsort(_layout(case, name)))


def _both_inverse(name: str) -> Candidate:
    """The result for parameters that are read and returned in the inverse of the layout."""
    return lambda case, part: _last_axis(_in_inverse(name)(case, part), _layout(case, name))


PLACES: dict[str, Callable[[str], Candidate]] = {
    "its entries": _out, "its entries (the inverse)": _back, "theta read": _in, "theta read (the inverse)": _in_inverse,
    "theta and the result": _both, "theta and the result (the inverse)": _both_inverse,
}  # fmt: skip


def _last_axis(value: Any, order: Array) -> Array:
    """The value with its last axis in an order; ValueError if the axis has another length."""
    if np.shape(value)[-1:] != order.shape:
        raise ValueError("the last axis is not that of the parameters")
    return np.asarray(value)[..., order]


def permutation_matches(failing: Sequence[Outcome], settings: JudgeSettings) -> list[Match]:
    """The same entries in another order: one permutation of the last axis for each of its lengths, of at least three."""
    orders: dict[int, Array] = {}
    for pair in pairs(failing, settings):
        if is_like_right(pair):
            continue
        size = pair.got.shape[-1] if pair.got.ndim else 0
        if size < FEWEST:
            return []
        if size not in orders and (order := _order(pair)) is not None:
            orders[size] = order

    def value(case: Case, name: str) -> Array | None:
        right = right_result(case, name, settings)
        return right[..., orders[right.shape[-1]]] if right.ndim and right.shape[-1] in orders else None

    some = max(orders.values(), key=len, default=np.zeros(0))
    shown = ", ".join(str(entry + 1) for entry in some[:SHOWN]) + f", … of {len(some)}" * (len(some) > SHOWN)
    what = f"the entries of the right result in another order (entry {shown} of a row)"
    return matching([match_of(what, value, failing)], failing, settings)


def _order(pair: Pair) -> Array | None:
    """The order of a row in which the entries of the right result are those of what was got; None if there is none."""
    row = np.unravel_index(np.argmax(np.abs(pair.right)), pair.right.shape)[:-1]
    got, right = pair.got[row], pair.right[row]
    order = np.empty(len(got), int)
    order[np.argsort(got, kind="stable")] = np.argsort(right, kind="stable")
    apart = np.min(np.diff(np.sort(right)), initial=np.inf) > FAR * np.max(pair.limit)
    return order if apart and alike(pair, pair.right[..., order]) else None
