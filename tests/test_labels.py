"""The chain definition → derivation → code → check → test: the labels of the four places are one set."""

import ast
import re
from pathlib import Path

import pytest

from refmeta.evidence import CHECKS

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
    labels = set()
    for path in sorted((ROOT / "refmeta").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        for node in definitions(ast.parse(text)) if "Eq: " in text else ():
            labels |= set(re.findall(r"^\s*Eq: ([a-z0-9-]+)$", ast.get_docstring(node) or "", re.M))
    return labels


def in_evidence():
    """Every label that `verify` judges."""
    return {check.label for check in CHECKS}


def in_tests():
    """Every argument of @pytest.mark.eq."""
    labels = set()
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        for node in definitions(ast.parse(text)) if "mark.eq(" in text else ():
            for call in getattr(node, "decorator_list", ()):
                if ast.unparse(call).startswith("pytest.mark.eq("):
                    labels |= {ast.literal_eval(argument) for argument in call.args}
    return labels


@pytest.mark.parametrize("place", [in_code, in_evidence, in_tests])
def test_the_labels_of_code_evidence_and_tests_are_those_of_the_derivations(place):
    derived = {label for label in in_derivations() if place is not in_code or not label.startswith("thm:")}
    assert len(derived) > 40
    assert place() - derived == set(), "not derived"
    assert derived - place() == set(), f"missing {place.__name__}"


@pytest.mark.parametrize("labels", [in_derivations(), [check.label for check in CHECKS]], ids=["derivations", "evidence"])
def test_a_label_is_derived_once_and_judged_once(labels):
    assert sorted(labels) == sorted(set(labels))
