"""The tables of inputs: their names are the suites', and their shapes those of every vector's arrays."""

import re

import numpy as np
import pytest

from refmeta.oracle.case import INPUTS, SUITES, quantities
from refmeta.oracle.cases import cases
from refmeta.oracle.inputs import INPUTS_OF


def fits(shape, value, sizes):
    """Does the value have the shape?  A size is taken from where it stands first."""
    if shape in ("number", "integer", "None"):
        return type(value) is {"number": float, "integer": int, "None": type(None)}[shape]
    axes = [axis.strip() for axis in shape.strip("()").split(",") if axis.strip()]
    if np.ndim(value) != len(axes) or value is None or not isinstance(value, np.ndarray):
        return False
    for axis, size in zip(axes, value.shape, strict=True):
        if axis.isidentifier() and axis not in sizes:
            sizes[axis] = size
    return all(evaluated(axis, sizes, size) == size for axis, size in zip(axes, value.shape, strict=True))


def evaluated(axis, sizes, size):
    """The size that an axis says; one unknown in it is solved for."""
    unknown = set(re.findall(r"[A-Za-z]+", axis)) - set(sizes)
    for name in unknown:
        sizes[name] = next(n for n in range(size + 1) if eval(axis, {name: n}) == size)
    return eval(axis, {}, sizes)


@pytest.mark.parametrize("suite", SUITES)
def test_names_are_those_of_the_suite(suite):
    assert tuple(INPUTS_OF) == SUITES
    assert set(INPUTS_OF[suite].inputs) == set(INPUTS[suite])
    assert tuple(INPUTS_OF[suite].answers) == quantities(suite)
    assert all(entry.meaning for part in INPUTS_OF[suite][2:4] for entry in part.values())


@pytest.mark.parametrize("suite", SUITES)
def test_every_array_has_a_shape_of_its_table_and_every_shape_occurs(suite):
    """K, M and C are told by integers; "d = S*A parameters" is an equation between the sizes."""
    about, occurring = INPUTS_OF[suite], set()
    for case in cases(suite):
        if case.result == "invalid":
            continue
        values = case.arguments()
        sizes = {name: values[key] for name, key in (("K", "steps"), ("C", "classes")) if key in values}
        if "state_count" in values:
            sizes |= {"S": values["state_count"], "A": values["action_count"]}
        values |= {name: expected.value for name, expected in case.expected.items()}
        for name, entry in (about.inputs | about.answers).items():
            shapes = [shape for shape in entry.shape.split(" or ") if fits(shape, values[name], dict(sizes))]
            assert shapes, f"{case.id}: {name} has shape {np.shape(values[name])}, expected {entry.shape}"
            fits(shapes[0], values[name], sizes)
            occurring.add((name, shapes[0]))
        for name, formula in re.findall(r"(\w+) = (\S+) ", about.sizes):
            assert sizes[name] == eval(formula, {}, sizes), f"{case.id}: {name} = {formula} of {sizes}"
    declared = {(name, shape) for name, entry in about.inputs.items() for shape in entry.shape.split(" or ")}
    assert declared - occurring == set()
