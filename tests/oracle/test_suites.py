"""The suites: what they say of their inputs and parts is what the vectors hold, and the core knows none by name."""

import ast
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from refmeta import oracle
from refmeta.oracle.known import EVERY
from refmeta.oracle.sizes import fits, sizes_in
from refmeta.oracle.suites import SUITES
from refmeta.oracle.vectors import cases
from tests.oracle.test_vectors import NOT_EXPRESSIBLE


def test_every_input_and_every_part_has_a_meaning():
    entries = [entry for suite in SUITES.values() for entry in (*suite.inputs.values(), *suite.parts.values())]
    assert all(entry.meaning and entry.shape for entry in entries)


def test_every_known_wrong_formula_says_what_it_computes_why_and_where_it_was_seen():
    for suite in SUITES.values():
        slugs = [row.slug for row in suite.rows]
        assert slugs and len(set(slugs)) == len(slugs)
        for row in suite.rows:
            assert row.formula and row.cause and row.source and (row.hint or row.repair) and callable(row.function)
            assert row.kind in ("wrong", "convention", "right")
            assert row.quantity in {EVERY, "sum", "mean", *suite.parts} or row.slug in NOT_EXPRESSIBLE


def test_the_core_holds_no_name_of_a_suite():
    """Adding a suite touches its own folder and one line of the table of contents.  `returns` is a verb, too: it counts in quotes."""
    names = {written for name in SUITES for written in (name, name.replace("-", "_"))} - {"returns"}
    name = re.compile(rf"(?<![\w-])({'|'.join(names)})(?![\w-])|['\"]returns['\"]")
    folder = Path(oracle.__file__).parent
    lines = [
        f"{path.name}:{number}: {line.strip()}"
        for path in folder.rglob("*.py")
        if "suites" not in path.relative_to(folder).parts
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if name.search(line)
    ]
    assert not lines


@pytest.mark.parametrize("path", sorted(Path(oracle.__file__).parent.glob("suites/*/*definition.py")), ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_a_definition_imports_decimals_another_definition_and_the_standard_library_only(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names = [node.module] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for module in names:
            definition = re.fullmatch(r"refmeta\.oracle\.suites\.\w+\.(kl_)?definition", module)
            assert definition or module == "refmeta.oracle.decimals" or module.split(".")[0] in sys.stdlib_module_names, module


def test_nothing_is_imported_from_known_wrong_formulas_but_the_rows():
    """What is right stands elsewhere."""
    allowed = {"ROWS", "FALSE_ALARMS", "LETTERS", "normalised_surrogate", "scaled_score"}  # `bias` shows wrong estimators on purpose
    allowed |= {"OF_COSTS", "OF_EVERY_LOSS", "OF_SOFTMAX", "SUMMED"}  # rows for some of the suites
    for path in Path(oracle.__file__).parents[1].rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[-1].startswith("wrong"):
                assert {alias.name for alias in node.names} <= allowed, path


@pytest.mark.parametrize("suite", SUITES)
def test_every_array_has_a_shape_of_its_table_and_every_shape_occurs(suite):
    """K, M and C are told by integers; "d = S*A parameters" is an equation between the sizes."""
    about, occurring = SUITES[suite], set()
    for case in cases(suite):
        if case.result == "invalid":
            continue
        values = case.arguments()
        sizes = sizes_in({}, values)
        values |= {name: expected.value for name, expected in case.expected.items()}
        for name, entry in (dict(about.inputs) | dict(about.parts)).items():
            shapes = [shape for shape in entry.shape.split(" or ") if fits(shape, values[name], dict(sizes))]
            assert shapes, f"{case.id}: {name} has shape {np.shape(values[name])}, expected {entry.shape}"
            fits(shapes[0], values[name], sizes)
            occurring.add((name, shapes[0]))
        for name, formula in re.findall(r"(\w+) = (\S+) ", about.sizes):
            assert sizes[name] == eval(formula, {}, sizes), f"{case.id}: {name} = {formula} of {sizes}"
    declared = {(name, shape) for name, entry in about.inputs.items() for shape in entry.shape.split(" or ")}
    assert declared - occurring == set()
