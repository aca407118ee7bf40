"""The sizes of a case: what the names in the shapes of its inputs stand for.  Derivation: derivations/using-the-oracle.md"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["INTEGERS", "axes_of", "fits", "sizes_in"]

INTEGERS = {"steps": "K", "classes": "C", "state_count": "S", "action_count": "A", "episodes": "M"}


def sizes_in(shapes: Mapping[str, str], values: Mapping[str, Any]) -> dict[str, int]:
    """The sizes in the shapes of the values by name, as N, S, A; a size is taken from where it stands first."""
    sizes = {INTEGERS[name]: int(value) for name, value in values.items() if name in INTEGERS and value is not None}
    for name, shape in shapes.items():
        if name in values:
            fits(shape, values[name], sizes)
    return sizes


def fits(shape: str, value: Any, sizes: dict[str, int]) -> bool:
    """Has the value one of the shapes, as in "(N, d) or (N, S, A)"?  The sizes of the first that it has are added."""
    for each in shape.split(" or "):
        found = dict(sizes)
        if _has(each, value, found):
            sizes |= found
            return True
    return False


def axes_of(shape: str) -> list[str]:
    """The axes of a shape: N and S*A of "(N, S*A)"."""
    return [axis.strip() for axis in shape.strip("()").split(",") if axis.strip()]


def _has(shape: str, value: Any, sizes: dict[str, int]) -> bool:
    """Has the value the shape, which is an array's or that of a number, an integer, a word or None?"""
    if shape in ("number", "integer", "word", "None"):
        return type(value) is {"number": float, "integer": int, "word": str, "None": type(None)}[shape]
    axes = axes_of(shape)
    if not isinstance(value, np.ndarray) or value.ndim != len(axes):
        return False
    for axis, size in zip(axes, value.shape, strict=True):
        if axis.isidentifier():
            sizes.setdefault(axis, size)
    return all(_size(axis, sizes, size) == size for axis, size in zip(axes, value.shape, strict=True))


def _size(axis: str, sizes: dict[str, int], size: int) -> int:
    """What an axis says: a number, a name, or a sum of products; its one unknown name is solved for."""
    for name in set(re.findall(r"[A-Za-z]+", axis)) - set(sizes):
        sizes[name] = next((n for n in range(size + 1) if _value(axis, sizes | {name: n}) == size), -1)
    return _value(axis, sizes)


def _value(axis: str, sizes: Mapping[str, int]) -> int:
    """A sum of products of numbers and names."""
    numbers = [[int(f) if f.isdecimal() else sizes[f] for f in term.split("*")] for term in axis.split("+")]
    return sum(int(np.prod(factors)) for factors in numbers)
