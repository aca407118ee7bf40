"""Mistakes that are planted in the library's answers, for the tests of single mechanisms."""

import numpy as np

from refmeta.oracle.judge import JudgeSettings, judge
from refmeta.oracle.suites import SUITES
from tests.oracle.targets import valid


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
