"""Mistakes that are planted in the library's answers, for the tests of single mechanisms."""

import numpy as np

from refmeta.oracle.check import as_target, run
from refmeta.oracle.diagnosis import SECONDS, explain, first_of
from refmeta.oracle.diagnosis.inputs import change_floats, is_at
from refmeta.oracle.judge import JudgeSettings, judge
from refmeta.oracle.suites import SUITES
from refmeta.oracle.vectors import cases
from tests.oracle.targets import library, valid


def diagnosis(function, suite="maml-tabular", vectors=slice(None), seconds=SECONDS, **settings):
    """The diagnosis of a function on the vectors of a suite, as one text."""
    options = JudgeSettings(**settings)
    outcomes = run(as_target(function), cases(suite)[vectors], options)
    assert any(o.verdict == "mismatch" for o in outcomes)
    return "\n".join(first_of(explain(outcomes, options, seconds=seconds)))


def exact(inputs, suite="maml-tabular"):
    """The right gradient."""
    return library(suite)(**inputs)


def changed(suite, **changes):
    """The library's answer for other inputs, none of them checked."""
    names = {n: (n,) for n in changes}

    def function(**inputs):
        problem = SUITES[suite].problem(inputs)
        for name, change in changes.items():
            at = lambda path, name=name: is_at(path, names[name][0], SUITES[suite])
            problem = change_floats(problem, at, change)
        return SUITES[suite].answer(SUITES[suite].array, problem)

    return function


def failures(suite, change, part="", vectors=None, **settings):
    """The wrong outcomes where `change(right, inputs)` is returned for a part, and the settings."""
    about, options = SUITES[suite], JudgeSettings(**settings)
    name = part or about.array

    def returned(case):
        value = change(about.answer(name, case.problem), case.arguments())
        return value if about.array else {name: value}

    outcomes = [judge(case, returned(case), options) for case in valid(suite, vectors)]
    return [o for o in outcomes if o.verdict == "mismatch"], options


def with_inputs(suite, part="", **changes):
    """A change for `failures`: the library's answer where some inputs are others, each a function of the inputs.

    What the library refuses is left right.
    """
    about = SUITES[suite]

    def change(right, x):
        try:
            return about.answer(part or about.array, about.problem(x | {n: f(x) for n, f in changes.items()}))
        except FloatingPointError:
            return right

    return change


def noise(right, x):
    """Numbers that have nothing to do with the right ones."""
    rng = np.random.default_rng(int(1e6 * np.sum(np.abs(right))) % 2**32)
    return rng.normal(size=right.shape) * np.max(np.abs(right))


def bent(right, x):
    """The right result, bent by a function that no mechanism knows."""
    return right + 0.1 * np.max(np.abs(right)) * np.sin(5 * right / np.max(np.abs(right)))


UNKNOWN = (noise, bent)
