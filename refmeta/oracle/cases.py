"""The vectors that come with the library, and how a file of them is read.  Derivation: derivations/using-the-oracle.md"""

import json
import os
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from refmeta.arrays import frozen
from refmeta.oracle.case import INPUTS, SUITES, Case, Expected, quantities, typed

FORMAT, VERSION, LIMIT, DEPTH = "refmeta-vectors", 1, 16 * 2**20, 12
RESULTS = ("valid", "invalid", "ill_conditioned")
TOP = {"format", "version", "suite", "description", "flags", "groups"}
GROUP = {"source", "derivation", "certificate", "cases"}
CASE = {"id", "comment", "flags", "result", "input", "expected", "discriminates"}
VALUE = {"value", "hex", "kappa", "scale", "digits"}


class UsageError(ValueError):
    """Something was asked for that does not exist: a suite, a case, a formula, a target."""


class VectorError(ValueError):
    """A vector file that is not what it should be: which file, which key, why."""


@cache
def cases(suite: str) -> tuple[Case, ...]:
    """The vectors of a suite that come with the library, in their order."""
    if suite not in SUITES:
        raise UsageError(f"no suite is called {suite!r}; the suites are {', '.join(SUITES)}")
    return tuple(read((files("refmeta.oracle") / "vectors" / f"{suite}.json").read_text("utf-8"), f"{suite}.json"))


def read_file(path: str) -> Iterator[Case]:
    """The cases of a vector file."""
    return read(text_of(path), path)


def text_of(path: str) -> str:
    """The text of a file; its size is looked at before it is read."""
    try:
        size = os.stat(path).st_size
        if size > LIMIT:
            raise VectorError(f"{path}: {size} bytes, expected at most {LIMIT}")
        with open(path, "rb") as file:
            return file.read(LIMIT + 1).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise VectorError(f"{path}: cannot be read: {error}") from None


def read(text: str, name: str) -> Iterator[Case]:
    """The cases of a vector file's text; VectorError names file, key and reason."""
    try:
        yield from _read(text, name)
    except (AttributeError, IndexError, KeyError, TypeError, OverflowError) as error:
        raise VectorError(f"{name}: malformed: {type(error).__name__}: {error}") from None


def _read(text: str, name: str) -> Iterator[Case]:
    document = parsed(text, name)
    _keys(document, TOP, name, "")
    if (document["format"], document["version"]) != (FORMAT, VERSION):
        raise VectorError(
            f"{name}: format, version are {document['format']!r}, {document['version']!r}, expected {FORMAT!r}, {VERSION}"
        )
    if document["suite"] not in SUITES:
        raise VectorError(f"{name}: suite: {document['suite']!r} is none of {', '.join(SUITES)}")
    seen: set[str] = set()
    for g, group in enumerate(_is(document["groups"], list, name, "groups")):
        _keys(group, GROUP, name, f"groups[{g}]")
        for c, entry in enumerate(_is(group["cases"], list, name, f"groups[{g}].cases")):
            where = f"groups[{g}].cases[{c}]"
            _keys(entry, CASE, name, where)
            _consistent(entry, document, seen, f"{name}: {where}")
            seen.add(entry["id"])
            inputs, expected = (_is(entry[key], dict, name, f"{where}.{key}") for key in ("input", "expected"))
            values = {k: _expected(v, name, f"{where}.expected.{k}") for k, v in expected.items()}
            _complete(entry, document["suite"], values, f"{name}: {where}")
            head = entry["id"], document["suite"], entry["comment"], tuple(entry["flags"]), entry["result"]
            yield Case(*head, inputs, values, entry["discriminates"])


def _consistent(entry: dict[str, Any], document: dict[str, Any], seen: set[str], where: str) -> None:
    """An id of its own, a result that exists, and flags that are declared."""
    if entry["id"] in seen:
        raise VectorError(f"{where}: id {entry['id']!r} twice")
    if entry["result"] not in RESULTS:
        raise VectorError(f"{where}: result {entry['result']!r} is none of {', '.join(RESULTS)}")
    for flag in entry["flags"]:
        if flag not in document["flags"]:
            raise VectorError(f"{where}: flag {flag!r} is not declared")


def _complete(entry: dict[str, Any], suite: str, values: dict[str, Expected], where: str) -> None:
    """The inputs of the suite, numbers all of them, and every quantity unless the case is invalid."""
    wanted = set() if entry["result"] == "invalid" else set(quantities(suite))
    if set(values) != wanted:
        raise VectorError(f"{where}.expected: expected the quantities {sorted(wanted)}, got {sorted(values)}")
    if set(entry["input"]) != set(INPUTS[suite]):
        raise VectorError(f"{where}.input: expected {', '.join(INPUTS[suite])}, got {', '.join(entry['input'])}")
    try:
        for key, value in entry["input"].items():
            typed(key, value, np.dtype("float64"))
    except (TypeError, ValueError) as error:
        raise VectorError(f"{where}.input.{key}: no numbers: {error}") from None
    if not isinstance(entry["id"], str) or not isinstance(entry["discriminates"], dict):
        raise VectorError(f"{where}: id must be a string and discriminates an object")


def _is(value: Any, kind: type, name: str, where: str) -> Any:
    if not isinstance(value, kind):
        wanted = "a list" if kind is list else "an object"
        raise VectorError(f"{name}: {where}: expected {wanted}, got {type(value).__name__}")
    return value


def _expected(entry: dict[str, Any], name: str, where: str) -> Expected:
    _keys(entry, VALUE, name, where)
    try:
        value, by_hex = np.array(entry["value"], float), np.array(_from_hex(entry["hex"]), float)
        kappa, scale = np.array(entry["kappa"], float), np.array(entry["scale"], float)
    except (TypeError, ValueError) as error:
        raise VectorError(f"{name}: {where}: no numbers: {error}") from None
    if value.shape != by_hex.shape or not np.array_equal(value, by_hex):
        raise VectorError(f"{name}: {where}: value and hex disagree")
    if (
        kappa.shape != scale.shape
        or kappa.ndim != 1
        or not (np.all(kappa >= 0) and np.all(kappa < 1e12) and np.all(scale > 0) and np.all(scale < 1e300))
    ):
        raise VectorError(f"{name}: {where}: kappa must be in [0, 1e12) and scale in (0, 1e300), one a task")
    return Expected(frozen(value), frozen(kappa), frozen(scale), int(entry["digits"]))


def _from_hex(value: Any) -> Any:
    return [_from_hex(entry) for entry in value] if isinstance(value, list) else float.fromhex(value)


def _keys(value: Any, wanted: set[str], name: str, where: str) -> None:
    if not isinstance(value, dict) or set(value) != wanted:
        got = sorted(set(value) ^ wanted) if isinstance(value, dict) else type(value).__name__
        raise VectorError(f"{name}: {where or 'top level'}: expected the keys {sorted(wanted)}, these differ: {got}")


def parsed(text: str, name: str) -> Any:
    """JSON of limited size and depth, without NaN literals and without a key twice."""
    if len(text) > LIMIT:
        raise VectorError(f"{name}: {len(text)} characters, expected at most {LIMIT}")
    depth = deepest = 0
    for bracket in text:
        depth += (bracket in "[{") - (bracket in "]}")
        deepest = max(deepest, depth)
    if deepest > DEPTH:
        raise VectorError(f"{name}: nested {deepest} deep, expected at most {DEPTH}")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        twice = [key for i, (key, _) in enumerate(pairs) if key in [k for k, _ in pairs[:i]]]
        if twice:
            raise VectorError(f"{name}: the key {twice[0]!r} stands twice in one object")
        return dict(pairs)

    def literal(word: str) -> Any:
        raise VectorError(f"{name}: the literal {word} is no JSON")

    try:
        return json.loads(text, object_pairs_hook=once, parse_constant=literal)
    except json.JSONDecodeError as error:
        raise VectorError(f"{name}: no JSON: {error}") from None
