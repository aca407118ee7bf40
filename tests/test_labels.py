"""The chain definition → derivation → code → check: the labels of the three places are one set."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def in_derivations():
    """Every \\tag{label} of a math fence, with repetitions."""
    fences = [
        fence
        for path in sorted((ROOT / "derivations").glob("*.md"))
        for fence in re.findall(r"^```math\n(.*?)^```$", path.read_text(encoding="utf-8"), re.M | re.S)
    ]
    return [label for fence in fences for label in re.findall(r"\\tag\{([a-z0-9:-]+)\}", fence)]


def definitions(node):
    """A module, and every class and function in it."""
    yield node
    for child in node.body:
        if isinstance(child, (ast.FunctionDef, ast.ClassDef)):
            yield from definitions(child)


def in_code():
    """Every `Eq: label` line of a docstring."""
    found = set()
    for path in sorted((ROOT / "refmeta").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        for node in definitions(ast.parse(text)) if "Eq: " in text else ():
            found |= set(re.findall(r"^\s*Eq: ([a-z0-9-]+)$", ast.get_docstring(node) or "", re.M))
    return found


def in_tests():
    """Every argument of @pytest.mark.eq."""
    found = set()
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        for node in definitions(ast.parse(text)) if "mark.eq(" in text else ():
            for call in getattr(node, "decorator_list", ()):
                if ast.unparse(call).startswith("pytest.mark.eq("):
                    found |= {ast.literal_eval(argument) for argument in call.args}
    return found


@pytest.mark.parametrize("place", [in_code, in_tests])
def test_every_label_that_is_derived_is_in_code_and_tests_and_none_besides(place):
    derived = set(in_derivations())
    if place is in_code:
        derived = {label for label in derived if not label.startswith("thm:")}
    assert len(derived) > 40
    assert place() - derived == set(), "not derived"
    assert derived - place() == set(), f"missing {place.__name__}"


def test_a_label_is_derived_once():
    labels = in_derivations()
    assert sorted(labels) == sorted(set(labels))
