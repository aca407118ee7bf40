"""The house: an import goes down the floors, and never in a circle."""

import ast
import functools
import graphlib
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "refmeta"
FLOORS = (
    "_start arrays conjugate_gradients judges numerics pieces softmax tables tolerance",
    "policies",
    "tasks",
    "sampling",
    "meta",
    "oracle",
    "evidence problems",
    "commands __main__",
)
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms.split()}
SHARED = set("arguments belief_graph belief_values inner inner_optimisers learned_model loop lstm optimisers posterior_sampling sampled task_posterior".split())  # of meta; the rest are algorithms


def room_of(path):
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


ROOMS = {room_of(path): path for path in PACKAGE.rglob("*.py")}


@functools.cache
def import_nodes(path):
    """Every import statement of a file, at whatever depth of it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]


def imports_of(path):
    """The modules of the package that a file imports."""
    for node in import_nodes(path):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: a relative import hides its floor"
            whole = [f"{node.module}.{alias.name}".removeprefix("refmeta.") for alias in node.names]
            names = [name if name in ROOMS else node.module for name in whole]
        yield from (name.removeprefix("refmeta.") for name in names if name and name.startswith("refmeta."))
        yield from (name for name in names if name in ROOMS)


@pytest.mark.parametrize("room", sorted(set(ROOMS) - {"__init__"}))
def test_imports_go_down(room):
    floor, *inside = room.split(".")
    assert floor in LEVEL, f"{room} is on no floor"
    for other in imports_of(ROOMS[room]):
        below, *there = other.split(".")
        assert LEVEL[below] <= LEVEL[floor], f"{room} imports {other}, which is not below it"
        algorithms = {*inside[:1], *there[:1]} - SHARED if floor == below == "meta" else set()
        assert len(algorithms) < 2, f"{room} and {other} do not know each other: what both need is a room of SHARED"


def test_no_rooms_import_each_other_in_a_circle():
    """A package's own file imports the rooms that it shows; they do not look at it."""
    graph = {room: set(imports_of(path)) - {room} for room, path in ROOMS.items() if room != "__init__"}
    graphlib.TopologicalSorter(graph).prepare()


def test_the_table_names_no_room_that_does_not_exist():
    assert set(LEVEL) <= {room.split(".")[0] for room in ROOMS}


def test_only_numpy_and_scipy_are_imported_from_outside():
    """And pytest and matplotlib by one function each, for those who have them."""
    for path in PACKAGE.rglob("*.py"):
        for node in import_nodes(path):
            names = [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            optional = {"expected_failures.py": {"pytest"}, "figure.py": {"matplotlib"}}.get(path.name, set())
            within = {"refmeta", "numpy", "scipy"} | (optional if node.col_offset else set())
            assert {n.split(".")[0] for n in names} <= within | sys.stdlib_module_names, path
