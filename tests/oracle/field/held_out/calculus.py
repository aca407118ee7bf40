"""Derivatives by complex steps, and the decorator that makes a mistake of a changed program."""

import re

import numpy as np

from tests.oracle.field.mistake import Mistake

STEP = 1e-40


def slopes(f, x):
    """Every derivative of f at x, of the values' shape and then that of x; f takes a batch of x in front."""
    x = np.asarray(x, float)
    axes = np.eye(x.size).reshape(x.size, *x.shape)
    values = np.imag(f(x + 1j * STEP * axes)) / STEP
    return np.moveaxis(values, 0, -1).reshape((*values.shape[1:], *x.shape))


def along(f, x, v):
    """The derivative of f at x along v."""
    return np.imag(f((x + 1j * STEP * v)[None]))[0] / STEP


def target_of(program):
    """The function that a user would name: it runs the program on its inputs."""

    def target(**inputs):
        with np.errstate(all="ignore"):
            return program(inputs).answer()

    target.__name__ = target.__qualname__ = program.__name__
    target.__module__, target.__doc__ = program.__module__, program.__doc__
    return target


def planter(mistakes, suite):
    """A decorator that appends a class with a mistake to a list; its docstring says what it computes instead."""

    def plant(*words, **settings):
        def decorate(program):
            target = target_of(program)
            name = re.sub(r"(?<!^)(?=[A-Z])", "-", program.__name__).lower()
            mistakes.append(Mistake(suite, name, target, program.__doc__, words, settings))
            return target

        return decorate

    return plant
