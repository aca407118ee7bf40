"""The record of an experiment: its question, tables, curves and sentences, of which text, JSON and figure are views."""

from collections.abc import Callable
from typing import NamedTuple

from numpy.random import Generator

__all__ = ["Curves", "Experiment", "NumberTable", "ExperimentPart", "Result", "difference_text", "named_numbers"]


class NumberTable(NamedTuple):
    """One row of numbers per name; `formats` has a format for each column, by default three decimals."""

    title: str
    unit: str
    corner: str
    heads: tuple[str, ...]
    rows: dict[str, list[float]]
    formats: tuple[str, ...] | None = None


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


def named_numbers(values: dict[str, float], form: str = ".3f") -> str:
    """Names and their numbers in one phrase: "MAML 0.730, zeros 0.584"."""
    return ", ".join(f"{name} {value:{form}}" for name, value in values.items())
