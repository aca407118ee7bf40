"""A wrong implementation, and what is wrong with it."""

from collections.abc import Callable
from typing import NamedTuple


class Mistake(NamedTuple):
    """A target that is wrong; a useful diagnosis contains one of `words`; `settings` are keywords of JudgeSettings."""

    suite: str
    name: str
    target: Callable
    planted: str
    words: tuple[str, ...]
    settings: dict = {}  # noqa: RUF012
