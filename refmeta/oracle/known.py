"""A known-wrong formula: what a real implementation has computed by mistake, or a mutant that checks miss."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

__all__ = ["EVERY", "Wrong", "rows_in", "wrong"]

EVERY = "parts"
EVERYWHERE = "the same in every library"


class Wrong(NamedTuple):
    """A known-wrong formula: what it computes, instead of which quantity, its likely cause, where it was seen.

    `quantity` is a part of the suite, `sum` or `mean` of its array over the tasks, or `EVERY`: a dict of parts is computed.
    `hint` is the mistake as people write it, `repair` what to write instead; one of them may be empty.
    `kind` is "wrong"; "convention", which somebody may mean; or "right": not a mistake, but not what was asked for.
    """

    slug: str
    formula: str
    quantity: str
    cause: str
    source: str
    hint: str
    repair: str
    chapter: str
    function: Callable[[Any], Any]
    kind: str = "wrong"

    def result(self, problem: Any) -> Any:
        """What the formula gives on a problem; None where it does not apply, or leaves what the library accepts."""
        with np.errstate(all="ignore"):
            try:
                return self.function(problem)
            except (AttributeError, ArithmeticError, ValueError, np.linalg.LinAlgError):
                return None


def wrong(
    slug: str,
    formula: str,
    *,
    cause: str,
    source: str = "not yet in public code",
    quantity: str = "gradient",
    hint: str = "",
    repair: str = "",
    chapter: str = "",
    kind: str = "wrong",
) -> Callable[[Callable[[Any], Any]], Wrong]:
    """Turn a function of a problem into a row; its chapter is that of the suite unless another is given.

    With neither a hint nor a repair, the mistake is written the same in every library.
    """
    written = hint or ("" if repair else EVERYWHERE)
    return lambda function: Wrong(slug, formula, quantity, cause, source, written, repair, chapter, function, kind)


def rows_in(module: dict[str, Any]) -> tuple[Wrong, ...]:
    """The rows among the names of a module, in the order of their definition."""
    return tuple(value for value in module.values() if isinstance(value, Wrong))
