"""A wrong implementation, as someone else writes it."""

from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["Mistake"]


class Mistake(NamedTuple):
    """A wrong target of a suite, what is wrong with it, and words one of which a useful answer contains."""

    suite: str
    name: str
    target: Callable[..., Any]
    planted: str
    words: tuple[str, ...]
    settings: dict[str, Any] = {}  # noqa: RUF012
