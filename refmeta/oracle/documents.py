"""A JSON file from somebody else: its kind, size and depth are checked before it is parsed."""

import json
import os
import re
import stat
from typing import Any

__all__ = ["DEPTH", "LIMIT", "VectorError", "as_object", "depth", "parse_json", "read_text"]

LIMIT, DEPTH = 16 * 2**20, 12
STRING = r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)'


class VectorError(ValueError):
    """A vector file that is not what it should be: which file, which key, why."""


def read_text(path: str) -> str:
    """The text of a file; its kind and size are checked before it is read."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise VectorError(f"{path}: is {_kind(status.st_mode)}, expected a regular file")
        if status.st_size > LIMIT:
            raise VectorError(f"{path}: {status.st_size} bytes, expected at most {LIMIT}")
        with open(path, "rb") as file:
            return file.read(LIMIT + 1).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise VectorError(f"{path}: cannot be read: {error}") from None


def _kind(mode: int) -> str:
    """The kind of a file that is not a regular one."""
    return "a directory" if stat.S_ISDIR(mode) else "a pipe" if stat.S_ISFIFO(mode) else "a device or a socket"


def depth(text: str) -> int:
    """How deep the brackets of a text are nested, not counting those in strings; a string may lack its end."""
    deepest = level = 0
    for bracket in re.sub(rf"{STRING}|[^\"\[{{\]}}]++", "", text, flags=re.DOTALL):
        level += 1 if bracket in "[{" else -1
        deepest = max(deepest, level)
    return deepest


def as_object(pairs: list[tuple[str, Any]], name: str) -> dict[str, Any]:
    """The object of these pairs; VectorError names a key that stands twice."""
    keys: set[str] = set()
    for key, _ in pairs:
        if key in keys:
            raise VectorError(f"{name}: the key {key!r} stands twice in one object")
        keys.add(key)
    return dict(pairs)


def parse_json(text: str, name: str) -> Any:
    """JSON of limited size and depth, without NaN literals and without a key twice."""
    if len(text) > LIMIT:
        raise VectorError(f"{name}: {len(text)} characters, expected at most {LIMIT}")
    if (nested := depth(text)) > DEPTH:
        raise VectorError(f"{name}: nested {nested} deep, expected at most {DEPTH}")

    def literal(word: str) -> Any:
        raise VectorError(f"{name}: the literal {word} is no JSON")

    try:
        return json.loads(text, object_pairs_hook=lambda pairs: as_object(pairs, name), parse_constant=literal)
    except VectorError:
        raise
    except ValueError as error:
        raise VectorError(f"{name}: no JSON: {error}") from None
