"""The vectors that come with the library, and how a file of them is read.  Derivation: derivations/using-the-oracle.md"""

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np

from refmeta.arrays import as_read_only
from refmeta.oracle.decimals import flatten, map_numbers
from refmeta.oracle.documents import VectorError, parse_json, read_text
from refmeta.oracle.suite import Case, Expected, Suite, typed
from refmeta.oracle.suites import FOLDER, SUITES

__all__ = ["UsageError", "VectorError", "cases", "read", "read_file"]

FORMAT, VERSION = "refmeta-vectors", 1
RESULTS = ("valid", "invalid", "ill_conditioned")
TOP = {"format", "version", "suite", "description", "flags", "groups"}
GROUP = {"source", "derivation", "certificate", "cases"}
CASE = {"id", "comment", "flags", "result", "input", "expected", "discriminates"}
VALUE = {"value", "hex", "kappa", "scale", "digits"}


class UsageError(ValueError):
    """Something was asked for that does not exist: a suite, a case, a formula, a target."""


@cache
def cases(suite: str) -> tuple[Case, ...]:
    """The vectors of a suite that come with the library, in their order."""
    if suite not in SUITES:
        raise UsageError(f"no suite is called {suite!r}; the suites are {', '.join(SUITES)}")
    return tuple(read((FOLDER / SUITES[suite].vectors).read_text("utf-8"), SUITES[suite].vectors))


def read_file(path: str) -> Iterator[Case]:
    """The cases of a vector file; VectorError where the inputs of a valid case are not a problem of its suite."""
    for case in read(read_text(path), path):
        try:
            _ = case.result == "invalid" or case.problem
        except (ValueError, TypeError, ArithmeticError, AttributeError, LookupError) as error:
            raise VectorError(f"{path}: {case.id}: no problem of {case.suite}: {error}") from None
        yield case


def read(text: str, name: str) -> Iterator[Case]:
    """The cases of a vector file's text; VectorError names file, key and reason."""
    try:
        yield from _cases_in(text, name)
    except VectorError:
        raise
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise VectorError(f"{name}: malformed: {type(error).__name__}: {error}") from None


def _cases_in(text: str, name: str) -> Iterator[Case]:
    """The cases of a text of the right structure."""
    document = parse_json(text, name)
    _check_keys(document, TOP, name, "")
    if (document["format"], document["version"]) != (FORMAT, VERSION):
        raise VectorError(
            f"{name}: format, version are {document['format']!r}, {document['version']!r}, expected {FORMAT!r}, {VERSION}"
        )
    if document["suite"] not in SUITES:
        raise VectorError(f"{name}: suite: {document['suite']!r} is none of {', '.join(SUITES)}")
    ids: set[str] = set()
    for g, group in enumerate(_check_type(document["groups"], list, name, "groups")):
        _check_keys(group, GROUP, name, f"groups[{g}]")
        for c, entry in enumerate(_check_type(group["cases"], list, name, f"groups[{g}].cases")):
            where = f"groups[{g}].cases[{c}]"
            _check_keys(entry, CASE, name, where)
            _check_entry(entry, document, ids, f"{name}: {where}")
            ids.add(entry["id"])
            inputs, expected = (_check_type(entry[key], dict, name, f"{where}.{key}") for key in ("input", "expected"))
            values = {k: _as_expected(v, name, f"{where}.expected.{k}") for k, v in expected.items()}
            suite = SUITES[document["suite"]]
            _check_complete(entry, suite, values, f"{name}: {where}")
            head = entry["id"], suite, entry["comment"], tuple(entry["flags"]), entry["result"]
            yield Case(*head, inputs, values, entry["discriminates"])


def _check_entry(entry: dict[str, Any], document: dict[str, Any], ids: set[str], where: str) -> None:
    """Check that the id is new, the result exists, the flags are declared and the margins are numbers."""
    margins = entry["discriminates"]
    if not isinstance(entry["id"], str) or not isinstance(entry["comment"], str) or not isinstance(margins, dict):
        raise VectorError(f"{where}: id and comment must be strings and discriminates an object")
    if not all(type(margin) in (int, float) and 0 <= margin < np.inf for margin in margins.values()):
        raise VectorError(f"{where}.discriminates: every margin must be a number of at least 0")
    if not isinstance(entry["flags"], list) or not isinstance(document["flags"], dict):
        raise VectorError(f"{where}: flags must be a list, of keys of the file's object flags")
    if entry["id"] in ids:
        raise VectorError(f"{where}: id {entry['id']!r} twice")
    if entry["result"] not in RESULTS:
        raise VectorError(f"{where}: result {entry['result']!r} is none of {', '.join(RESULTS)}")
    for flag in entry["flags"]:
        if flag not in document["flags"]:
            raise VectorError(f"{where}: flag {flag!r} is not declared")


def _check_complete(entry: dict[str, Any], suite: Suite, values: dict[str, Expected], where: str) -> None:
    """Check that the inputs are those of the suite and hold numbers, and that every part is there unless the case is invalid."""
    wanted = set() if entry["result"] == "invalid" else set(suite.parts)
    if set(values) != wanted:
        raise VectorError(f"{where}.expected: expected the quantities {sorted(wanted)}, got {sorted(values)}")
    if set(entry["input"]) != set(suite.inputs):
        raise VectorError(f"{where}.input: expected {', '.join(suite.inputs)}, got {', '.join(entry['input'])}")
    for key, value in entry["input"].items():
        about = suite.inputs[key]
        if value is None and about.optional or isinstance(value, str) and about.kind == "word":
            continue
        kinds, whole = {type(number) for number in flatten(value)[0]}, about.kind == "integer"
        kinds -= {int} | (set() if whole else {float}) | ({str} if entry["result"] == "invalid" else set())
        what = "whole numbers" if whole else "numbers"
        if kinds:
            raise VectorError(f"{where}.input.{key}: no {what}: {', '.join(kind.__name__ for kind in kinds)}")
        try:
            typed(value, about.kind, np.dtype("float64"))
        except ValueError as error:
            raise VectorError(f"{where}.input.{key}: no {what}: {error}") from None


def _check_type(value: Any, kind: type, name: str, where: str) -> Any:
    """Check that a value is a list or an object."""
    if not isinstance(value, kind):
        wanted = "a list" if kind is list else "an object"
        raise VectorError(f"{name}: {where}: expected {wanted}, got {type(value).__name__}")
    return value


def _as_expected(entry: dict[str, Any], name: str, where: str) -> Expected:
    """A certified value; what is written in decimals and in hexadecimal must agree."""
    _check_keys(entry, VALUE, name, where)
    try:
        value, by_hex = np.array(entry["value"], float), np.array(map_numbers(float.fromhex, entry["hex"]), float)
        kappa, scale = np.array(entry["kappa"], float), np.array(entry["scale"], float)
    except (TypeError, ValueError) as error:
        raise VectorError(f"{name}: {where}: no numbers: {error}") from None
    if not np.array_equal(value, by_hex) or not np.isfinite(value).all():
        raise VectorError(f"{name}: {where}: value and hex disagree, or are not finite")
    if (
        kappa.shape != scale.shape
        or kappa.ndim != 1
        or value.ndim == 0
        or kappa.size not in (1, len(value))
        or not (np.all(kappa >= 0) and np.all(kappa < 1e12) and np.all(scale > 0) and np.all(scale < 1e300))
    ):
        raise VectorError(f"{name}: {where}: kappa must be in [0, 1e12) and scale in (0, 1e300), one per task")
    if type(entry["digits"]) is not int or entry["digits"] < 0:
        raise VectorError(f"{name}: {where}: digits must be a whole number of at least 0, got {entry['digits']!r}")
    return Expected(as_read_only(value), as_read_only(kappa), as_read_only(scale), entry["digits"])


def _check_keys(value: Any, wanted: set[str], name: str, where: str) -> None:
    """Check that a value is an object with these keys."""
    if not isinstance(value, dict) or set(value) != wanted:
        got = sorted(set(value) ^ wanted) if isinstance(value, dict) else type(value).__name__
        raise VectorError(f"{name}: {where or 'top level'}: expected the keys {sorted(wanted)}, these differ: {got}")
