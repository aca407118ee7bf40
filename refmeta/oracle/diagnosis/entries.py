"""In which rows and entries every wrong case is right: by the place of a task, or at one end of an axis.

Derivation: derivations/using-the-oracle.md
"""

from collections.abc import Callable, Collection, Iterator, Sequence

import numpy as np

from refmeta.oracle.asking import Ask, moved
from refmeta.oracle.judge import JudgeSettings, Outcome, in_limits, limit_of, right_result
from refmeta.oracle.sizes import axes_of

__all__ = ["in_entries", "in_rows"]


def _rows(part: str, o: Outcome, settings: JudgeSettings) -> list[bool]:
    """Which rows of a result are right; none where there is one row or no axis of tasks."""
    limit = limit_of(o.case, part, settings)
    if not o.case.about.parts[part].by_task or np.ndim(limit) != 1 or len(limit) < 2:
        return []
    errors = in_limits((o.got or {})[part], right_result(o.case, part, settings), limit)
    return [bool(np.max(row, initial=0.0) <= 1) for row in errors]


PATTERNS: dict[str, Callable[[list[bool]], bool]] = {
    "only the first task's row is right: something is not reset between tasks, or is used up by the first": (
        lambda rows: rows[0] and not any(rows[1:])
    ),
    "only the last task's row is right: what the last task leaves is used for all": lambda rows: rows[-1] and not any(rows[:-1]),
    "all rows but the first task's are right": lambda rows: not rows[0] and all(rows[1:]),
    "all rows but the last task's are right": lambda rows: not rows[-1] and all(rows[:-1]),
}  # fmt: skip


def in_rows(part: str, wrong: Sequence[Outcome], settings: JudgeSettings, ask: Ask | None) -> Iterator[str]:
    """A pattern of right rows that all cases of several tasks have, also where their order is reversed."""
    several = [(o, rows) for o in wrong if (rows := _rows(part, o, settings))]
    for text, has in PATTERNS.items():
        if several and all(has(rows) for _, rows in several) and _is_positional(part, [o for o, _ in several], has, settings, ask):
            yield text
            return


def _is_positional(
    part: str, wrong: Sequence[Outcome], has: Callable[[list[bool]], bool], settings: JudgeSettings, ask: Ask | None
) -> bool:
    """Does the pattern stay where the order of the tasks is reversed?  Where no input has an axis of tasks, the cases alone tell."""
    if ask is None or not any(entry.shape.startswith("(N") for entry in wrong[0].case.about.inputs.values()):
        return len(wrong) > 1
    for o in wrong[:2]:
        inputs, shapes = o.case.arguments(), o.case.about.inputs
        turned = {name: x[::-1].copy() if np.ndim(x) and shapes[name].shape.startswith("(N") else x for name, x in inputs.items()}
        other = moved(o.case, turned, (part,))
        answer = None if other is None else ask(other)
        if answer is None or part not in (answer.got or {}) or not has(_rows(part, answer, settings) or [True, True]):
            return False
    return True


def in_entries(part: str, wrong: Sequence[Outcome], settings: JudgeSettings) -> Iterator[str]:
    """An index of an axis at which alone every case is wrong, or alone right: the first or the last of several."""
    masks = [
        in_limits((o.got or {})[part], right_result(o.case, part, settings), limit_of(o.case, part, settings)) <= 1 for o in wrong
    ]
    for axis in range(1, max((m.ndim for m in masks), default=0)):
        along = [np.all(np.moveaxis(m, axis, 0).reshape(m.shape[axis], -1), axis=1) for m in masks if m.ndim > axis]
        if len(along) < 2 or any(len(a) < 2 for a in along):
            continue
        name = _axis_name(wrong[0].case.about.parts[part].shape, axis, {m.ndim for m in masks if m.ndim > axis})
        for words, has in ENTRIES.items():
            if all(has(list(a)) for a in along):
                yield f"{words} index of the axis {name} of {part}"
                return


def _axis_name(shape: str, axis: int, axes: Collection[int]) -> str:
    """What the shapes of a part, as in "(N, S) or (N, H, S)", call an axis; those of other numbers of axes do not count."""
    each = [names for text in shape.split(" or ") if len(names := axes_of(text)) in axes]
    return " or ".join(dict.fromkeys(names[axis] for names in each))


ENTRIES: dict[str, Callable[[list[bool]], bool]] = {
    "wrong only at the last": lambda a: not a[-1] and all(a[:-1]),
    "wrong only at the first": lambda a: not a[0] and all(a[1:]),
    "right only at the last": lambda a: a[-1] and not any(a[:-1]),
    "right only at the first": lambda a: a[0] and not any(a[1:]),
}
