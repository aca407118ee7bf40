"""What every module of refmeta offers: `__all__` says it, and no two public classes share a name."""

import ast
import importlib
import inspect
import pkgutil
from collections import Counter
from pathlib import Path

import pytest

import refmeta

ROOT = Path(refmeta.__file__).parent
NAMES = ["refmeta", *(m.name for m in pkgutil.walk_packages([str(ROOT)], "refmeta.") if m.name != "refmeta.__main__")]


def own(module):
    """The public functions and classes that a module defines itself."""
    return {
        name
        for name, thing in vars(module).items()
        if name[0] != "_" and (inspect.isfunction(thing) or inspect.isclass(thing)) and (thing.__module__, thing.__name__) == (module.__name__, name)
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_module_says_in_its_first_line_what_it_is_and_in_all_what_it_offers(name):
    module = importlib.import_module(name)
    missing = [what for what in ("__doc__", "__all__") if getattr(module, what, None) is None]
    assert missing == []
    assert len(set(module.__all__)) == len(module.__all__)
    assert [n for n in module.__all__ if not hasattr(module, n)] == [], "in __all__, but does not exist"
    for_users = name.removeprefix("refmeta.").split(".")[-1] in refmeta.__all__
    assert for_users or sorted(own(module) - set(module.__all__)) == [], "public, but not in __all__"


def test_no_two_public_classes_share_a_name():
    """But `rm.Adam`, which trains, and `rm.inner.Adam`, which adapts."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in ROOT.rglob("*.py")]
    classes = Counter(node.name for tree in trees for node in tree.body if isinstance(node, ast.ClassDef) and node.name[0] != "_")
    assert [name for name, times in classes.items() if times > 1] == ["Adam"]


def test_every_function_and_class_has_a_docstring():
    """Methods of protocols and functions within functions may do without; a known-wrong row says in its formula what it is."""
    bare = []
    for path in sorted(ROOT.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in tree.body:
            row = any(ast.unparse(of).startswith("wrong(") for of in getattr(node, "decorator_list", ()))
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not (row or ast.get_docstring(node)):
                bare.append(f"{path.relative_to(ROOT)}: {node.name}")
    assert bare == []


def test_the_test_of_a_room_stands_at_its_path():
    """`tests/<folder>/test_<room>.py` is of `refmeta/<folder>/<room>`, or of the whole folder where it has its name."""
    tests = Path(__file__).parent
    for path in set(tests.glob("*/**/test_*.py")) - {*tests.glob("peers/*"), *tests.glob("oracle/field/*"), *tests.glob("oracle/right/*")}:
        room = ROOT / path.parent.relative_to(tests) / path.stem.removeprefix("test_")
        assert room.name == room.parent.name or room.is_dir() or room.with_suffix(".py").exists(), path
