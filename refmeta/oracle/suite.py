"""What a suite is, and a case of it.  Derivation: derivations/using-the-oracle.md"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Choices, Point, Predicate, no_layouts, no_numbers, no_terms_added, no_variant
from refmeta.oracle.decimals import Inputs, Steps, flatten, map_numbers
from refmeta.oracle.known import Wrong
from refmeta.oracle.sizes import sizes_in

__all__ = [
    "EXTREME", "Case", "Effects", "Expected", "Input", "Part", "Suite", "at_most_one", "choice_facts", "floats", "no_terms", "suite_of", "typed",
]  # fmt: skip

EXTREME = "extreme"  # the flag of vectors at the limits of what code clamps
Effects = dict[str, Callable[[], Any]]


class Input(NamedTuple):
    """An input of a suite: its shape (names are sizes, `*` multiplies), its meaning, and what it holds.

    `kind` is "number", "integer", "either": integers if every entry is one, or "word": one of a list in the meaning.  `place`
    is where the problem holds the input, if not under its own name.
    """

    shape: str
    meaning: str
    kind: str = "number"
    optional: bool = False
    place: str = ""


class Part(NamedTuple):
    """One result of a suite: its shape, its meaning, and whether `--ascent` turns its sign."""

    shape: str
    meaning: str
    turned: bool = True

    @property
    def by_task(self) -> bool:
        """Is there one row per task?"""
        return self.shape.startswith("(N")


def no_terms(part: str, problem: Any, value: Array) -> Any:
    """No term is larger than the value itself."""
    return 0.0


@dataclass(frozen=True, eq=False, repr=False)
class Suite:
    """All that the oracle knows of one algorithm.

    name, chapter : of the suite, and of its derivation.
    title, sizes, losses : what it judges, the sizes that shapes name, and how the losses are defined.
    inputs, parts : by name; of several wrong parts of a dict the first is explained.
    array : the part that an array alone stands for; "" where the answer is a dict of parts.
    problem(inputs) : the inputs as the library's own objects, on which `answer`, `terms` and the rows are computed.
    answer(part, problem) : the library's result, one implementation under test among others.
    terms(part, problem, value) : the size of the terms that a part is the sum of, one number per task.
    definition(part, inputs, steps) : the part from the objective alone, in any arithmetic, one entry per task.
    rational : the parts whose definition is exact in fractions.
    residual : the relative residual that an iterative answer may leave.
    rows, false_alarms, letters : known-wrong formulas, right ones that are suspected, symbols in their formulas.
    effects(case, part) : the slope of the part in an ε, by the place of the ε.
    patterns : what else a wrong result may equal, by mechanism.
    choices, variant(part, problem, point) : what implementations choose, and the part with some departures.
    recipes : points that popular code computes, by name.
    families : choices with a number in them: the words, with {} for the number, to the choice, the value of a number, and
        if need be numbers to begin with.
    additions(part, problem) : terms that may be added by mistake, by name.
    numbers(problem) : of what a factor may be made, besides the sizes and the number inputs.
    layouts(problem) : other orders of the parameters, by name: the right index of each entry.
    predicates : where a target may be right, besides what is said of every suite.
    unseen : what the vectors cannot see, a few words each.
    by_batch(function, vectorised=) : a function of the inputs, from an estimator that is called batch by batch, if the suite
        takes one.
    joined(inputs) : inputs of which some were changed, with those that must agree made to agree again.
    vectors : the file, below `refmeta/oracle/suites`.
    """

    name: str
    chapter: str
    title: str
    sizes: str
    losses: str
    inputs: Mapping[str, Input]
    parts: Mapping[str, Part]
    problem: Callable[[dict[str, Any]], Any]
    answer: Callable[[str, Any], Any]
    definition: Callable[[str, Inputs, Steps], list[Any]]
    vectors: str
    rows: tuple[Wrong, ...]
    effects: Callable[["Case", str], Effects]
    array: str = ""
    terms: Callable[[str, Any, Array], Any] = no_terms
    rational: tuple[str, ...] = ()
    residual: float = 0.0
    false_alarms: Mapping[str, str] = field(default_factory=dict)
    letters: Mapping[str, str] = field(default_factory=dict)
    patterns: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    choices: Choices = field(default_factory=dict)
    variant: Callable[[str, Any, Point], Any] = no_variant
    recipes: Mapping[str, Point] = field(default_factory=dict)
    families: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    additions: Callable[[str, Any], Mapping[str, Callable[[], Any]]] = no_terms_added
    numbers: Callable[[Any], Mapping[str, float]] = no_numbers
    layouts: Callable[[Any], Mapping[str, Any]] = no_layouts
    predicates: tuple[Predicate, ...] = ()
    unseen: tuple[str, ...] = ()
    by_batch: Callable[..., Callable[..., Any]] | None = None
    joined: Callable[[dict[str, Any]], dict[str, Any]] = dict

    def __repr__(self) -> str:
        """The name; all else stands in the folder of the suite."""
        return f"<suite {self.name}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled by name: a suite holds functions."""
        return _suite_of_name, (self.name,)

    @property
    def quantities(self) -> tuple[str, ...]:
        """What `--quantity` may name: the parts, where an answer is one array of several that may be asked for."""
        return tuple(self.parts) if self.array and len(self.parts) > 1 else ()

    def chapter_of(self, row: Wrong) -> str:
        """The derivation that a row belongs to."""
        return row.chapter or self.chapter

    def arguments(self, inputs: dict[str, Any], dtype: Any = "float64") -> dict[str, Any]:
        """The inputs of a vector as a target gets them: fresh arrays of the dtype, ints, floats, None."""
        return {name: typed(value, self.inputs[name].kind, np.dtype(dtype)) for name, value in inputs.items()}

    def sizes_of(self, inputs: dict[str, Any]) -> dict[str, int]:
        """N, S, A and the other sizes that the shapes of the inputs name."""
        return sizes_in({name: entry.shape for name, entry in self.inputs.items()}, inputs)


def suite_of(definition: ModuleType, problem: ModuleType, wrong: ModuleType, epsilons: ModuleType, **facts: Any) -> Suite:
    """The suite of a folder: what its four modules and its vectors offer, and the facts that its `__init__` states.

    `choices` among the facts is the module of the choices, if the folder has one.
    """
    choices = facts.pop("choices", None)
    facts |= {} if choices is None else choice_facts(choices)
    return Suite(
        definition=definition.define, problem=problem.problem, answer=problem.answer, effects=epsilons.effects,
        terms=getattr(problem, "terms", no_terms), rows=wrong.ROWS, false_alarms=getattr(wrong, "FALSE_ALARMS", {}),
        vectors=f"{definition.__name__.split('.')[-2]}/vectors.json", **facts,
    )  # fmt: skip


def choice_facts(module: ModuleType) -> dict[str, Any]:
    """What a module of choices offers to its suite: `CHOICES` and `variant`, and the rest if it is there."""
    names = ("CHOICES", "RECIPES", "variant", "additions", "numbers", "layouts", "PREDICATES", "FAMILIES")
    return {name.lower(): getattr(module, name) for name in names if hasattr(module, name)}


def _suite_of_name(name: str) -> Suite:
    """The suite in the table of contents, which imports this room."""
    return importlib.import_module("refmeta.oracle.suites").SUITES[name]


class Expected(NamedTuple):
    """A certified value, one row per task, and what its tolerance is made of."""

    value: Array
    kappa: Array
    scale: Array
    digits: int


@dataclass(frozen=True, eq=False)
class Case:
    """One vector.  `expected` maps a part to its value, `discriminates` a known-wrong formula to its margin."""

    id: str
    about: Suite
    comment: str
    flags: tuple[str, ...]
    result: str
    input: dict[str, Any]
    expected: dict[str, Expected]
    discriminates: dict[str, float]

    @property
    def suite(self) -> str:
        """The name of the suite."""
        return self.about.name

    def arguments(self, dtype: Any = "float64") -> dict[str, Any]:
        """The keyword inputs of the user's function: fresh writeable arrays in C order, integers as int."""
        return self.about.arguments(self.input, dtype)

    @cached_property
    def problem(self) -> Any:
        """The inputs as the library's own objects; what the suite's formulas take.  Nobody writes to them."""
        return self.about.problem(self.arguments())


def typed(value: Any, kind: str, dtype: np.dtype[Any]) -> Any:
    """An input as the user's function gets it: an array of the dtype, an int, a float, a word, or None."""
    if value is None or kind == "word":
        return value
    if kind == "integer" or kind == "either" and all(isinstance(x, int) for x in flatten(value)[0]):
        return np.array(value, dtype=np.int64) if isinstance(value, list) else int(value)
    if not isinstance(value, list):
        return float(floats(value))
    array = np.array(value)
    return np.array(array if array.dtype.kind in "if" else floats(value), dtype=dtype)


def floats(value: Any) -> Any:
    """ "nan", "inf" and "-inf" of an invalid case as floats, at any depth."""
    return map_numbers(lambda x: float(x) if isinstance(x, str) else x, value)


def at_most_one(x: float) -> float:
    """γ or λ.  A value just above 1, which the measurement of κ makes, counts as 1."""
    return 1.0 if 1 < x < 1 + 1e-6 else x
