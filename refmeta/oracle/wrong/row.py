"""What is known of a wrong formula."""

from collections.abc import Callable
from typing import Any, NamedTuple

from refmeta.arrays import Array


class Wrong(NamedTuple):
    """A known-wrong formula: what it computes, in the place of which quantity, its likely cause, where it was seen."""

    slug: str
    formula: str
    quantity: str
    cause: str
    seen: str
    function: Callable[[Any], Array]


def rows(module: dict[str, Any]) -> tuple[Wrong, ...]:
    """The rows among the names of a module, in the order of their definition."""
    return tuple(value for value in module.values() if isinstance(value, Wrong))


def wrong(
    slug: str, formula: str, *, cause: str, seen: str = "synthetic", quantity: str = "gradient"
) -> Callable[[Callable[[Any], Array]], Wrong]:
    """Make a function of a case a row."""
    return lambda function: Wrong(slug, formula, quantity, cause, seen, function)
