"""What implementations of returns and targets choose, the right one first.  Derivation: derivations/sampled-policy-gradients.md"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Choices, Point
from refmeta.oracle.suites.returns.places import PLACES
from refmeta.oracle.suites.returns.predicates import PREDICATES
from refmeta.oracle.suites.returns.problem import TRACES, Batch
from refmeta.oracle.suites.returns.recursions import OWN_STEP, departed, later

__all__ = ["CHOICES", "PREDICATES", "additions", "numbers", "variant"]

GUESS: dict[str, Callable[[Array, Array, Array], Array] | None] = {
    "v'": None,
    "0": lambda v, after, there: 0 * v,
    "v of the step itself": lambda v, after, there: v,
    "twice v'": lambda v, after, there: 2 * after,
    "half of v'": lambda v, after, there: after / 2,
    "v of the row before": lambda v, after, there: later(v, -1),
    "1": lambda v, after, there: 0 * v + 1,
}  # of v, v', and whether there is a next row
FLAGS: dict[str, Callable[[Array, Array], tuple[Array, Array]] | None] = {
    "terminated and truncated": None,
    "truncated read as terminated": lambda t, c: (t | c, c & False),
    "terminated read as truncated": lambda t, c: (t & False, t | c),
    "those of the next step": lambda t, c: (later(t), later(c)),
    "those of the step before": lambda t, c: (later(t, -1), later(c, -1)),
    "terminated of the next step": lambda t, c: (later(t), c),
    "terminated of the step before": lambda t, c: (later(t, -1), c),
    "truncated of the next step": lambda t, c: (t, later(c)),
    "the two exchanged": lambda t, c: (c, t),
    "terminated alone": lambda t, c: (t, c & False),
    "truncated alone": lambda t, c: (t & False, c),
    "neither": lambda t, c: (t & False, c & False),
    "truncated counts where both are set": lambda t, c: (t & ~c, c),
}  # of terminated and truncated; where both are set after that, terminated counts


def _bootstrap(part: str, gamma: float, lam: float, c: Array, kept: Array, going: Array, after: Array, terminated: Array) -> Array:
    """(Π γc) V(s_T), c the factors from the step to the last row, if no end stands between."""
    last = kept & ~later(kept) & ~terminated
    steps, total = gamma * (1 if part == "n_step" else c) * going, np.zeros_like(after)
    total += np.where(last, gamma * np.where(last, c if part in OWN_STEP else lam if part not in ("discounted", "n_step") else 1, 0) * after, 0)
    for t in reversed(range(kept.shape[1] - 1)):
        total[:, t] += steps[:, t] * total[:, t + 1]
    return total


def _normalised(ddof: int, epsilon: float, axis: Any = None) -> Callable[..., Array]:
    """(x − mean)/(deviation + ε) over the steps that are kept, of the batch or of every row."""

    def change(x: Array, kept: Array, v: Array) -> Array:
        count = np.sum(kept, axis=axis, keepdims=True)
        mean = np.sum(x, axis=axis, keepdims=True) / count
        square = np.sum(np.where(kept, (x - mean) ** 2, 0), axis=axis, keepdims=True) / np.maximum(count - ddof, 1)
        return np.asarray((x - mean) / (np.sqrt(square) + epsilon))

    return change


WEIGHTS: dict[str, Callable[..., tuple[Array, Array]] | None] = {
    "as they are": None,
    "no ratio in front of the error": lambda part, b, lam, front, c: (1 + 0 * front, c),
    "the bounded ratio in front of the error, too": lambda part, b, lam, front, c: (front * np.minimum(b.rho_bar, b.ratios), c),
    "the ratio, at most 1, in front of the error, too": lambda part, b, lam, front, c: (front * np.minimum(1, b.ratios), c),
    "the ratio in front of the error, not bounded, too": lambda part, b, lam, front, c: (front * b.ratios, c),
    "rho not bounded": lambda part, b, lam, front, c: (b.ratios if part in OWN_STEP else front, c),
    "rho bounded by 1": lambda part, b, lam, front, c: (np.minimum(1, b.ratios) if part in OWN_STEP else front, c),
    "rho bounded by c_bar": lambda part, b, lam, front, c: (np.minimum(b.c_bar, b.ratios) if part in OWN_STEP else front, c),
    "c not bounded": lambda part, b, lam, front, c: (front, lam * b.ratios if part in (*OWN_STEP, "retrace") else c),
    "c bounded by 1": lambda part, b, lam, front, c: (front, lam * np.minimum(1, b.ratios) if part in OWN_STEP else c),
    "c bounded by rho_bar": lambda part, b, lam, front, c: (front, lam * np.minimum(b.rho_bar, b.ratios) if part in (*OWN_STEP, "retrace") else c),
    "the bounds exchanged": lambda part, b, lam, front, c: (
        (np.minimum(b.c_bar, b.ratios), lam * np.minimum(b.rho_bar, b.ratios)) if part in OWN_STEP else (front, c)
    ),
    "c without lam": lambda part, b, lam, front, c: (front, c / lam if lam and part != "importance_sampling" else c),
    "c with lam twice": lambda part, b, lam, front, c: (front, lam * c),
    "min(1, lam times the ratio)": lambda part, b, lam, front, c: (front, np.minimum(1, lam * b.ratios) if part in (*OWN_STEP, "retrace") else c),
    "c is lam times the ratio, at most 1": lambda part, b, lam, front, c: (front, lam * np.minimum(1, b.ratios) if part in ("tree_backup", "q_lambda") else c),
    "c is lam times the ratio": lambda part, b, lam, front, c: (front, lam * b.ratios if part in ("tree_backup", "q_lambda") else c),
    "c is the ratio": lambda part, b, lam, front, c: (front, b.ratios if part in TRACES else c),
    "no ratio in c": lambda part, b, lam, front, c: (front, lam + 0 * c),
    "c is the probability": lambda part, b, lam, front, c: (front, lam * b.probabilities),
    "the ratios upside down": lambda part, b, lam, front, c: (
        np.minimum(b.rho_bar, 1 / b.ratios) if part in OWN_STEP else front,
        lam * np.minimum(b.c_bar, 1 / b.ratios) if part in OWN_STEP else c / b.ratios**2 if part == "importance_sampling" else
        lam * np.minimum(1, 1 / b.ratios) if part == "retrace" else c,
    ),
    "logarithms of the ratios": lambda part, b, lam, front, c: (
        (np.minimum(b.rho_bar, np.log(b.ratios)), lam * np.minimum(b.c_bar, np.log(b.ratios))) if part in OWN_STEP else (front, c)
    ),
    "the root of the ratios": lambda part, b, lam, front, c: (
        (np.minimum(b.rho_bar, b.ratios**0.5), lam * np.minimum(b.c_bar, b.ratios**0.5)) if part in OWN_STEP else (front, c)
    ),
    "rho in c, too": lambda part, b, lam, front, c: (front, c * np.minimum(b.rho_bar, b.ratios)),
    "c stays 0 once the ratio is below a half": lambda part, b, lam, front, c: (front, np.where(b.ratios < 0.5, 0, c)),
}
Number = Callable[[float, float], float]
NUMBERS: dict[str, Number] = {
    "1": lambda g, lam: 1.0, "0": lambda g, lam: 0.0, "0.99": lambda g, lam: 0.99, "0.95": lambda g, lam: 0.95, "0.9": lambda g, lam: 0.9,
    "gamma lam": lambda g, lam: g * lam, "its square": lambda g, lam: g * g, "its root": lambda g, lam: float(np.sqrt(g)),
    "1 less it": lambda g, lam: 1 - g,
}  # fmt: skip


def _exchanged(f: Number) -> Number:
    """The number made of λ and γ instead of γ and λ."""
    return lambda gamma, lam: f(lam, gamma)


CHOICES: Choices = {
    "flags": FLAGS,
    "at a cut": GUESS | {"v of the next row": lambda v, after, there: np.where(there, later(v), after)},
    "after the last row": GUESS,
    "sum": {
        "stops at every end": None, "goes on over cuts": "over cuts", "goes on over every end": "over every end",
        "stops by the flags of the next step": "next flags", "stops one step before every end": "next ends",
        "stops by the flags of the step before": "flags before",
    },
    **PLACES,
    "added": {
        "nothing": None, "the last value once more, faded": _bootstrap,
        "the last value's part away": lambda *a: -_bootstrap(*a),
        "half of the last value once more, faded": lambda *a: _bootstrap(*a) / 2,
    },
    "gamma": {"gamma": None, **NUMBERS, "lam": lambda g, lam: lam},
    "lam": {"lam": None, **{words: _exchanged(f) for words, f in NUMBERS.items()}, "gamma": lambda g, lam: g},
    "error": {
        "r + gamma v' - v": None,
        "without v": lambda r, g, f, v: r + g * f,
        "without the reward": lambda r, g, f, v: g * f - v,
        "without gamma": lambda r, g, f, v: r + f - v,
        "gamma squared": lambda r, g, f, v: r + g * g * f - v,
        "without v'": lambda r, g, f, v: r - v,
        "gamma v too": lambda r, g, f, v: r + g * f - g * v,
        "gamma times the reward, too": lambda r, g, f, v: g * r + g * f - v,
        "with the other sign": lambda r, g, f, v: v - r - g * f,
        "v added": lambda r, g, f, v: r + g * f + v,
        "v' and v exchanged": lambda r, g, f, v: r + g * v - f,
        "its size": lambda r, g, f, v: np.abs(r + g * f - v),
        "clipped to plus or minus 1": lambda r, g, f, v: np.clip(r + g * f - v, -1, 1),
    },
    "rewards": {
        "of the step": None, "of the next step": later, "of the step before": lambda r: later(r, -1), "their signs": np.sign,
        "clipped to plus or minus 1": lambda r: np.clip(r, -1, 1), "half": lambda r: r / 2, "tenth": lambda r: r / 10, "negative": lambda r: -r,
        "less their mean": lambda r: r - np.mean(r), "plus 1": lambda r: r + 1, "of the first row": lambda r: r[:1] + 0 * r,
    },
    "guesses": {
        "v and v'": None,
        "v of the row before, v": lambda v, after, actions: (later(v, -1), v),
        "v of the next row for v'": lambda v, after, actions: (v, later(v)),
        "v' for both": lambda v, after, actions: (after, after),
        "v for both": lambda v, after, actions: (v, v),
        "exchanged": lambda v, after, actions: (after, v),
        "v' of the next row": lambda v, after, actions: (v, later(after)),
        "of the first row": lambda v, after, actions: (v[:1] + 0 * v, after[:1] + 0 * after),
        "no v'": lambda v, after, actions: (v, 0 * after),
        "in the other order of time": lambda v, after, actions: (v[:, ::-1], after[:, ::-1]),
    },
    "weights": WEIGHTS,
    "trace of": {"its step": None, "the other step": "other"},
    "ahead": {
        "the next step's target": None,
        "v'": lambda target, following, lam: following,
        "lam times the target, 1 - lam times v'": lambda target, following, lam: lam * target + (1 - lam) * following,
        "the mean of both": lambda target, following, lam: (target + following) / 2,
        "nothing": lambda target, following, lam: 0 * target,
    },
    "n": {
        "n": None, "n - 1": lambda n: n - 1, "n + 1": lambda n: n + 1, "1": lambda n: 1, "2": lambda n: 2, "3": lambda n: 3, "5": lambda n: 5,
        "all": lambda n: 10**3, "2 n": lambda n: 2 * n,
    },
    "mask": {"read": None, "ignored": "ignored", "read when all is done": "late"},
    "after that": {
        "as it is": None,
        "normalised (ddof 0)": _normalised(0, 0.0), "normalised (ddof 0, + 1e-8)": _normalised(0, 1e-8), "normalised (ddof 0, + 1e-5)": _normalised(0, 1e-5),
        "normalised (ddof 1)": _normalised(1, 0.0), "normalised (ddof 1, + 1e-8)": _normalised(1, 1e-8), "normalised (ddof 1, + 1e-5)": _normalised(1, 1e-5),
        "normalised row by row (ddof 0, + 1e-8)": _normalised(0, 1e-8, 1), "normalised row by row (ddof 1, + 1e-8)": _normalised(1, 1e-8, 1),
        "less its mean": lambda x, kept, v: x - np.sum(x) / np.sum(kept),
        "less its mean over the row": lambda x, kept, v: x - np.sum(x, axis=1, keepdims=True) / np.maximum(np.sum(kept, axis=1, keepdims=True), 1),
        "divided by its deviation (+ 1e-8)": lambda x, kept, v: x / (np.std(x[kept]) + 1e-8),
        "plus v": lambda x, kept, v: x + v, "minus v": lambda x, kept, v: x - v, "divided by H": lambda x, kept, v: x / x.shape[1],
        "divided by the steps of the row": lambda x, kept, v: x / np.maximum(np.sum(kept, axis=1, keepdims=True), 1),
        "divided by N": lambda x, kept, v: x / len(x), "clipped to plus or minus 1": lambda x, kept, v: np.clip(x, -1, 1),
        "its positive part": lambda x, kept, v: np.maximum(x, 0), "its size": lambda x, kept, v: np.abs(x), "its sign": lambda x, kept, v: np.sign(x),
        "negative": lambda x, kept, v: -x, "one step later": lambda x, kept, v: later(x), "one step earlier": lambda x, kept, v: later(x, -1),
        "in the other order of time": lambda x, kept, v: x[:, ::-1],
    },
}  # fmt: skip
CONCERNED: dict[str, Callable[[str], bool]] = {
    "weights": lambda part: part in (*OWN_STEP, *TRACES),
    "trace of": lambda part: part in (*OWN_STEP, *TRACES) and part != "q_lambda",
    "ahead": lambda part: part == "v_trace_advantage",
    "n": lambda part: part == "n_step",
    "lam": lambda part: part not in ("discounted", "n_step", "importance_sampling"),
    "error": lambda part: part != "n_step",
    "added": lambda part: part != "v_trace_advantage",
    "inside an episode": lambda part: part in TRACES,
    "mixture": lambda part: part == "lambda_return",
    "value after n steps": lambda part: part == "n_step",
    "gamma of the sum": lambda part: part != "n_step",
    "ratio of the advantage": lambda part: part == "v_trace_advantage",
    "bounded": lambda part: part in (*OWN_STEP, "retrace"),
    "the sum of errors is added to": lambda part: part in ("lambda_return", "v_trace", *TRACES),
}  # of a choice that does not concern every part: does it?


def variant(part: str, problem: Batch, point: Point) -> Array | None:
    """The part where a point departs from what is right; None where the point does not concern it."""
    point = {name: value for name, value in point.items() if value is not None}
    if not all(CONCERNED[name](part) for name in point if name in CONCERNED):
        return None
    with np.errstate(all="ignore"):
        return departed(part, problem, point)


def additions(part: str, problem: Batch) -> dict[str, Callable[[], Array]]:
    """Rewards, guesses, and 1, at the steps that are kept."""
    b, kept = problem, problem.mask > 0
    terms = {"r": b.rewards, "v": b.values, "v'": np.where(b.terminated > 0, 0, b.next_values), "the ratio": b.ratios, "1": np.ones(kept.shape)}
    terms |= {"q": b.q_values, "q'": np.where(b.terminated > 0, 0, b.next_q_values)}
    return {name: partial(_where, kept, x) for name, x in terms.items()}


def _where(kept: Array, x: Array) -> Array:
    """x at the steps that are kept, 0 elsewhere."""
    return np.where(kept, x, 0.0)


def numbers(problem: Batch) -> dict[str, float]:
    """1 − γ, 1 − λ and γλ."""
    return {"1 - gamma": 1 - problem.gamma, "1 - lam": 1 - problem.lam, "gamma lam": problem.gamma * problem.lam}
