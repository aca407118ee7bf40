"""A wrong implementation, as somebody else would write it."""

from collections.abc import Callable
from typing import Any, NamedTuple


class Mistake(NamedTuple):
    """What a target computes instead, and words of which a useful answer would hold at least one."""

    suite: str
    name: str
    target: Callable[..., Any]
    planted: str
    words: tuple[str, ...]
    settings: dict[str, Any] = {}
