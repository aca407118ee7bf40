"""The weights of the tasks: rows that are mixed, sums in which tasks weigh more or less, other mixes of adapted rows.

Derivation: derivations/using-the-oracle.md
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.diagnosis.additions import added, mixed
from refmeta.oracle.diagnosis.factors import scaled, wrong_pairs
from refmeta.oracle.judge import JudgeSettings, Outcome, right_result
from refmeta.oracle.match import Candidate, Match, Pair, alike, inputs_of, match_of, matching, task_count
from refmeta.oracle.sizes import axes_of
from refmeta.oracle.suite import Case

__all__ = ["fitted_weights", "weight_matches"]

FEWEST = 4
MIXES: dict[str, Callable[[int], Array]] = {
    "the row of the next task": lambda n: np.roll(np.eye(n), 1, axis=1),
    "the row of the task before": lambda n: np.roll(np.eye(n), -1, axis=1),
    "the last task's row": lambda n: np.eye(n)[[-1] * n],
    "the first task's row": lambda n: np.eye(n)[[0] * n],
    "the sum of all rows": lambda n: np.ones((n, n)),
    "the sum of the rows up to its own": lambda n: np.tril(np.ones((n, n))),
    "the mean of the rows up to its own": lambda n: np.tril(np.ones((n, n))) / np.arange(1, n + 1)[:, None],
    "the sum of the rows from its own on": lambda n: np.triu(np.ones((n, n))),
    "the sum of the other rows": lambda n: np.ones((n, n)) - np.eye(n),
    "its own row minus the mean of all": lambda n: np.eye(n) - 1 / n,
    "its own row in the first task, else 0": lambda n: np.diag(np.eye(n)[0]),
    "its own row in the last task, else 0": lambda n: np.diag(np.eye(n)[-1]),
    "the sum of all rows in the last task, else 0": lambda n: np.outer(np.eye(n)[-1], np.ones(n)),
}
WEIGHTS: dict[str, Callable[[int], Array]] = {
    "the sum over the tasks": lambda n: np.ones(n),
    "the last task alone": lambda n: np.eye(n)[-1],
    "the first task alone": lambda n: np.eye(n)[0],
    "all tasks but the last": lambda n: 1 - np.eye(n)[-1],
    "all tasks but the first": lambda n: 1 - np.eye(n)[0],
    "weights that halve from the last task back (the mean with the next, again and again)": lambda n: 0.5 ** np.arange(n)[::-1],
    "weights that halve from the last task back, the first two alike":
        lambda n: 0.5 ** np.append(np.arange(1, n)[::-1], n - 1)[np.r_[-1, 0 : n - 1]],
    "weights 1, 2, … N": lambda n: np.arange(1.0, n + 1),
    "weights 1, ½, … 1/N": lambda n: 1 / np.arange(1.0, n + 1),
}  # fmt: skip


def weight_matches(failing: Sequence[Outcome], settings: JudgeSettings) -> list[Match]:
    """The right rows mixed, summed with other weights, or the same of the rows of an input, with a factor if need be."""
    if all(task_count(pair.case) < 2 for pair in wrong_pairs(failing, settings)):
        return []
    found: list[Match] = []
    for base in (*_mixes(settings), *_sums(settings)):
        found += matching([match_of(base.what, base.value, failing)], failing, settings) or scaled(base, failing, settings)
    if found:
        return found
    for base in _mixes(settings):
        if found := mixed(base._replace(what=f"({base.what})"), failing, settings):
            return found
    return [m for start, steps in _steps(failing) for m in added(start, steps, failing, settings)]


def _mixes(settings: JudgeSettings) -> Iterator[Match]:
    """Every row a mix of the right rows."""
    for name, mix in MIXES.items():
        yield Match(f"the right rows mixed: each is {name}", "", _of_rows(mix, settings))


def _of_rows(mix: Callable[[int], Array], settings: JudgeSettings) -> Candidate:
    """The right rows mixed; None where they are reduced, or are no rows."""

    def value(case: Case, name: str) -> Array | None:
        right = right_result(case, name, settings)
        if not _has_rows(case, name) or settings.reduce != "none" and case.about.array:
            return None
        return np.tensordot(mix(len(right)), right, axes=1)

    return value


def _has_rows(case: Case, name: str) -> bool:
    """Is the part one row per task?"""
    return case.about.parts[name].by_task


def _sums(settings: JudgeSettings) -> Iterator[Match]:
    """The right rows, summed with other weights."""
    if settings.reduce == "none":
        return
    for name, weights in list(WEIGHTS.items())[1:]:
        yield Match(f"the right rows, summed with {name}", "", _weighted(weights, settings))


def _weighted(weights: Callable[[int], Array], settings: JudgeSettings) -> Candidate:
    """A weighted sum of the right rows; None where the target is to return them all."""

    def value(case: Case, name: str) -> Array | None:
        if not _has_rows(case, name):
            return None
        rows = right_result(case, name, settings._replace(reduce="none"))
        return np.tensordot(weights(len(rows)), rows, axes=1)

    return value


def _steps(failing: Sequence[Outcome]) -> Iterator[tuple[Match, Match]]:
    """For a part of one vector: each input of its shape as a start, and from it to the rows of another, in some mixes."""
    about = failing[0].case.about
    names = {name for o in failing for name in o.got or {}}
    shapes = {about.parts[name].shape for name in names}
    for start in (n for n, entry in about.inputs.items() if entry.shape in shapes):
        for rows in (n for n, entry in about.inputs.items() if axes_of(entry.shape) == ["N", *axes_of(about.inputs[start].shape)]):
            for text, weights in WEIGHTS.items():
                yield Match(start, "", _input(start)), Match(f"({text}) of {rows} − {start}", "", _from(start, rows, weights))


def _input(name: str) -> Candidate:
    """An input itself."""
    return lambda case, part: inputs_of(case)[name]


def _from(start: str, rows: str, weights: Callable[[int], Array]) -> Candidate:
    """Σ wᵢ (rowᵢ − start)."""

    def value(case: Case, part: str) -> Array | None:
        x = inputs_of(case)
        return np.tensordot(weights(len(x[rows])), x[rows] - x[start], axes=1)

    return value


def fitted_weights(failing: Sequence[Outcome], settings: JudgeSettings) -> list[Match]:
    """Every row a mix of the right rows, by a fit in every vector, which is said to be one."""
    fits: dict[Case, Array] = {}
    spare = 0
    for pair in wrong_pairs(failing, settings):
        if not _has_rows(pair.case, pair.name):
            return []
        if (fit := _fit(pair, settings)) is None:
            continue
        if not fit.size:
            return []
        fits[pair.case] = fit
        spare += pair.got.size - fit.size
    if len(fits) < 2 or spare < FEWEST:
        return []

    def value(case: Case, name: str) -> Array | None:
        return np.tensordot(fits[case], right_result(case, name, _whole(settings)), axes=1) if case in fits else None

    some = next((case for case, fit in fits.items() if fit.shape[-1] > 1), next(iter(fits)))
    right = "the identity" if fits[some].ndim == 2 else "1" if settings.reduce == "sum" else "1/N"
    text = np.array2string(fits[some], precision=4, suppress_small=True, separator=", ").replace("\n", "")
    what = f"the right rows with other weights, in the {len(fits)} failing vectors that determine them"
    return [Match(what, f"{what}, by a fit ({text} in {some.id}; right: {right})", value)]


def _whole(settings: JudgeSettings) -> JudgeSettings:
    """The settings without a reduction."""
    return settings._replace(reduce="none")


def _fit(pair: Pair, settings: JudgeSettings) -> Array | None:
    """The weights that give a result from the right rows; None if these do not determine them, empty if none do."""
    rows = right_result(pair.case, pair.name, _whole(settings))
    X = rows.reshape(len(rows), -1).T
    if X.shape[0] <= X.shape[1] or np.linalg.matrix_rank(X, tol=1e-6 * np.max(np.abs(X), initial=0.0)) < X.shape[1]:
        return None
    reduced = pair.got.shape == rows.shape[1:] and pair.got.shape != rows.shape
    Y = np.ravel(pair.got) if reduced else pair.got.reshape(len(rows), -1).T
    fit = np.linalg.lstsq(X, Y, rcond=None)[0]
    return fit.T if alike(pair, (X @ fit).T.reshape(pair.got.shape)) else np.zeros(0)
