"""Targets as a user would write them: functions of the inputs of a suite."""

from refmeta.oracle.judge import JudgeSettings
from refmeta.oracle.known import EVERY
from refmeta.oracle.suites import SUITES
from refmeta.oracle.vectors import cases


def library(suite, quantity=""):
    """The library's answer: a quantity of a suite whose answer is one array, else a dict of all parts."""
    about = SUITES[suite]

    def target(**inputs):
        problem = about.problem(inputs)
        if about.array:
            return about.answer(quantity or about.array, problem)
        return {part: about.answer(part, problem) for part in about.parts}

    return target


def known_wrong(suite, row):
    """What a known-wrong formula computes, in the form in which the suite answers."""
    about = SUITES[suite]

    def target(**inputs):
        value = row.function(about.problem(inputs))
        return value if about.array or row.quantity == EVERY else {row.quantity: value}

    return target


def settings_of(suite, row):
    """The settings with which `check` judges the quantity that a known-wrong formula stands for."""
    if row.quantity in ("sum", "mean"):
        return JudgeSettings(reduce=row.quantity)
    return JudgeSettings(quantity=row.quantity) if row.quantity in SUITES[suite].quantities else JudgeSettings()


def rejecting(suite, row):
    """The valid vectors that reject a known-wrong formula."""
    return [case for case in cases(suite) if row.slug in case.discriminates]


def valid(suite, most=None):
    """The first valid vectors of a suite."""
    return [case for case in cases(suite) if case.result == "valid"][:most]
