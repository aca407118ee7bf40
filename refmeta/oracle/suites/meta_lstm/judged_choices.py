"""What implementations of Meta-LSTM choose for the start and for what is judged, the right alternative first.  Derivation: derivations/meta-lstm.md

An alternative is what is computed instead of what is right; None is what is right.
"""

from collections.abc import Callable

import numpy as np

from refmeta.arrays import Array
from refmeta.meta.lstm import sigmoid

__all__ = ["JUDGED", "STARTS", "discounted"]



def _after(loss: Callable[..., Array], path: list[Array]) -> Array:
    """The sum of the query's losses after every step."""
    return sum((loss("query", theta) for theta in path[1:]), start=0 * loss("query", path[0]))


def _best(loss: Callable[..., Array], path: list[Array], of: str, first: int = 0, sign: int = 1) -> Array:
    """The query's loss where another loss is least (the earliest), from the first point on or from one after it."""
    path = path[min(first, len(path) - 1) :]
    by, values = (np.stack(np.broadcast_arrays(*(loss(which, theta) for theta in path))) for which in (of, "query"))
    best: Array = np.take_along_axis(values, np.argmin(sign * np.real(by), axis=0)[None], axis=0)[0]
    return best


def discounted(loss: Callable[..., Array], path: list[Array], of: float) -> Array:
    """Later steps weigh more: γ^(K − k), normalised."""
    weights = of ** np.arange(len(path) - 1)[::-1]
    return sum((w * loss("query", theta) for w, theta in zip(weights, path[1:], strict=True)), start=0 * loss("query", path[0])) / max(np.sum(weights), 1e-300)


STARTS: dict[str, Callable[[Array, Array], Array] | None] = {
    "c0": None, "c0, not learned": lambda c0, base: base, "zeros": lambda c0, base: 0 * base, "c0/2": lambda c0, base: c0 / 2,
    "c0 in reverse": lambda c0, base: c0[:, ::-1], "-c0": lambda c0, base: -c0, "2 c0": lambda c0, base: 2 * c0, "ones": lambda c0, base: 0 * base + 1,
    "tanh c0": lambda c0, base: np.tanh(c0), "the mean of c0": lambda c0, base: 0 * c0 + np.mean(c0, axis=-1, keepdims=True), "sigmoid c0": lambda c0, base: sigmoid(c0),
    "c0 of norm 1": lambda c0, base: c0 / np.sqrt(np.sum(c0**2, axis=-1, keepdims=True)),
}  # fmt: skip
JUDGED: dict[str, Callable[..., Array] | None] = {
    "the query's loss at the end": None,
    "the support's loss at the end": lambda loss, path: loss("support", path[-1]),
    "support's and query's loss at the end": lambda loss, path: loss("support", path[-1]) + loss("query", path[-1]),
    "the query's loss after every step, mean": lambda loss, path: _after(loss, path) / max(len(path) - 1, 1),
    "the query's loss after every step, sum": _after,
    "the query's loss at the start": lambda loss, path: loss("query", path[0]),
    "the query's loss before the last step": lambda loss, path: loss("query", path[max(len(path) - 2, 0)]),
    "the query's loss at the mean of all points": lambda loss, path: loss("query", sum(path) / len(path)),
    "the query's loss where the support's is least": lambda loss, path: _best(loss, path, "support"),
    "the query's loss where the support's is least, after a step": lambda loss, path: _best(loss, path, "support", 1),
    "the query's least loss": lambda loss, path: _best(loss, path, "query"),
    "the query's least loss after a step": lambda loss, path: _best(loss, path, "query", 1),
    "the query's largest loss": lambda loss, path: _best(loss, path, "query", 0, -1),
    "the query's loss at all points, mean": lambda loss, path: (_after(loss, path) + loss("query", path[0])) / len(path),
    "the query's loss at all points, sum": lambda loss, path: _after(loss, path) + loss("query", path[0]),
    "the query's loss before every step, mean": lambda loss, path: (_after(loss, path) + loss("query", path[0]) - loss("query", path[-1])) / max(len(path) - 1, 1),
    "the query's loss after the first step": lambda loss, path: loss("query", path[min(1, len(path) - 1)]),
    "the support's loss after every step, sum": lambda loss, path: sum((loss("support", theta) for theta in path[1:]), start=0 * loss("support", path[0])),
    "the support's loss after every step, mean": lambda loss, path: sum((loss("support", theta) for theta in path[1:]), start=0 * loss("support", path[0])) / max(len(path) - 1, 1),
    "the query's loss at the mean of the points after a step": lambda loss, path: loss("query", sum(path[1:]) / (len(path) - 1) if len(path) > 1 else path[0]),
    "the mean of support's and query's loss": lambda loss, path: (loss("support", path[-1]) + loss("query", path[-1])) / 2,
    "the query's loss squared": lambda loss, path: loss("query", path[-1]) ** 2,
    "its negative": lambda loss, path: -loss("query", path[-1]),
    "the perplexity, exp of it": lambda loss, path: np.exp(loss("query", path[-1])),
    "the query's loss over that at the start": lambda loss, path: loss("query", path[-1]) / loss("query", path[0]),
    "query less support": lambda loss, path: loss("query", path[-1]) - loss("support", path[-1]),
    "the change of the query's loss": lambda loss, path: loss("query", path[-1]) - loss("query", path[0]),
}
