"""The record of an experiment: its question, tables, curves and sentences, of which text, JSON and figure are views."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from refmeta.arrays import Array

__all__ = [
    "AT_END", "Curves", "Experiment", "ExperimentPart", "GREEDY", "NOTHING_RANDOM", "NumberTable", "Result", "chosen_text",
    "difference_text", "is_end", "named_choices", "named_numbers", "paired_text",
]  # fmt: skip

AT_END = "(end of the grid)"
GREEDY = (
    "One exact step with a very large alpha is a step of greedy policy improvement: in every state that was visited, the policy "
    "then takes the action with the largest product of probability and advantage. So the return approaches a limit as alpha "
    "grows, and where it still rises at the end of the grid, no alpha is the best."
)
NOTHING_RANDOM = "Nothing is random here: the seed changes nothing."


class NumberTable(NamedTuple):
    """One row of numbers per name; `formats` has a format for each column, by default three decimals.

    `ends` names the columns, by row, whose number is a best value at an end of the grid that was searched: it gets a star.
    """

    title: str
    unit: str
    corner: str
    heads: tuple[str, ...]
    rows: dict[str, list[float]]
    formats: tuple[str, ...] | None = None
    ends: dict[str, list[int]] = {}


class Curves(NamedTuple):
    """One line per name over the same x; a level is a horizontal line; `log` names the logarithmic axes ("", "x", "xy").

    `slopes` has dy/dx at every x for the lines whose tangents are drawn.
    """

    title: str
    x_label: str
    y_label: str
    x: list[float]
    lines: dict[str, list[float]]
    levels: dict[str, float] = {}
    log: str = ""
    slopes: dict[str, list[float]] = {}


class ExperimentPart(NamedTuple):
    """What one family of tasks shows, and the sentences that its numbers support."""

    tables: tuple[NumberTable, ...]
    curves: tuple[Curves, ...]
    sentences: tuple[str, ...]


class Experiment(NamedTuple):
    """A question, what the experiment does not show, and its parts by name, each a function of a generator."""

    name: str
    title: str
    question: str
    limits: str
    parts: dict[str, Callable[[Generator], ExperimentPart]]


class Result(NamedTuple):
    """An experiment that has been run: the parts that were asked for, by name."""

    experiment: Experiment
    seed: int
    parts: dict[str, ExperimentPart]


def difference_text(value: float, other: float, form: str = ".3f") -> str:
    """How a value compares with another: "0.146 higher", "0.010 lower" or "equal"; all as printed in the format."""
    gap = float(format(value, form)) - float(format(other, form))
    return f"{abs(gap):{form}} {'higher' if gap > 0 else 'lower'}" if gap else "equal"


def paired_text(values: Array, others: Array) -> str:
    """How a mean over tasks compares with another over the same tasks, and whether two standard errors can tell them apart."""
    gaps = values - others
    error = float(np.std(gaps, ddof=1) / np.sqrt(len(gaps)))
    chance = "" if abs(np.mean(gaps)) >= 2 * error else ", within chance"
    return f"{difference_text(float(np.mean(values)), float(np.mean(others)))} (standard error {error:.3f}{chance})"


def is_end(best: float, grid: Iterable[float]) -> bool:
    """Whether the best value of a grid is its least or its largest, so that a better one may lie beyond."""
    every = list(grid)
    return best in (min(every), max(every))


def chosen_text(best: float, grid: Iterable[float], form: str = ".4g") -> str:
    """The best value of a grid; "(end of the grid)" follows if it is the least or the largest."""
    return f"{best:{form}} {AT_END}" if is_end(best, grid) else f"{best:{form}}"


def named_choices(best: dict[str, float], grid: Iterable[float], form: str = ".4g") -> str:
    """Names and their best values; where all are the same end of the grid, this is said once."""
    every = list(grid)
    if len(best) > 1 and len(set(best.values())) == 1:
        return f"{chosen_text(next(iter(best.values())), every, form)} for all"
    return ", ".join(f"{name} {chosen_text(value, every, form)}" for name, value in best.items())


def named_numbers(values: dict[str, float], form: str = ".3f") -> str:
    """Names and their numbers in one phrase: "MAML 0.730, zeros 0.584"; rounding to zero leaves no sign."""
    return ", ".join(f"{name} {value:z{form}}" for name, value in values.items())
