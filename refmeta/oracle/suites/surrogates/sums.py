"""Of which steps the ratios are multiplied, and by which function of their logarithms.  Derivation: derivations/sampled-meta-gradients.md"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Point
from refmeta.sampling.surrogates import clipped_exponential, exponential, linear

__all__ = ["CONTROLS", "FADING", "HELD", "Link", "Term", "around", "constant", "held_sums", "links", "own_sums", "ratios", "sums"]

Link = Callable[[Array, Array], tuple[Array, Array, Array]]
Term = tuple[Array, Array, Link]  # weights (N, M, H), sums of x as a matrix over the M·H steps, and a function of them
CONTROLS: dict[str, tuple[tuple[float, str], ...]] = {
    "dice": ((1, "none"), (-1, "alone")), "tmaml": ((1, "before t"), (-1, "each to t")),
    "second alone": ((-1, "none"), (1, "before t"), (1, "alone"), (-1, "each to t")),
    "second added": ((2, "none"), (-2, "alone"), (-1, "before t"), (1, "each to t")),
    "present included": ((1, "each to t"), (-1, "each and t")), "up to t": ((1, "none"), (-1, "each to t")), "before": ((1, "none"), (-1, "before t")),
    "without 1": ((-1, "alone"),), "held": ((1, "none"), (-1, "alone")), "all": ((1, "none"), (-1, "all steps")), "later": ((1, "none"), (-1, "from t on")),
    "half": ((0.5, "none"), (-0.5, "alone")), "twice": ((2, "none"), (-2, "alone")), "inverse": ((1, "none"), (-1, "minus")),
    "tmaml reversed": ((-1, "before t"), (1, "each to t")),
}  # fmt: skip
HELD = {
    "before held": ("alone", "before t"), "later held": ("alone", "after t"), "others held": ("alone", "others"), "now held": ("before t", "alone"),
    "own held": ("alone", "alone"), "all held": ("none", "each to t"),
}  # fmt: skip
FADING = {
    "past not faded": ("fading", "fading step before"), "nothing subtracted": ("fading", ""), "one subtracted": ("fading", "none"),
    "one power more": ("fading more", "fading more, before"), "one power more, less x": ("fading more", "fading more less one"),
    "powers of the time": ("powers", "powers before"), "of the future": ("fading back", "fading back before"),
    "not reset": ("fading over ends", "fading over ends before"), "weighted": ("weighted", "weighted before"),
    "past alone subtracted": ("each to t", "fading before t"), "average": ("average", "average before"), "faded twice": ("fading", "faded twice"),
}  # fmt: skip


def constant(w: Array, y: Array) -> tuple[Array, Array, Array]:
    """w eʸ, held."""
    return w * np.exp(y), 0 * w * y, 0 * w * y


def own_sums(name: str) -> str:
    """Whose ratios a surrogate multiplies, by itself."""
    return "each to t" if name in ("dice", "tmaml") else "alone"


@lru_cache(maxsize=1024)
def ratios(kind: str, M: int, H: int, fading: float = 1.0) -> Array:
    """The sum of logarithms that stands in the ratio of each step, as a matrix over the M·H steps."""
    if kind.endswith("over ends") or kind.endswith("over ends before"):
        t = np.arange(M * H)
        whole = np.tril((fading if "fading" in kind else 1.0) ** np.maximum(t[:, None] - t, 0))
        return whole - np.eye(M * H) if kind.endswith("before") else whole
    return np.kron(np.eye(M), _inside(kind, M, H, fading))


def _inside(kind: str, M: int, H: int, fading: float) -> Array:
    """The same within one trajectory, (H, H)."""
    t, one = np.arange(H), np.eye(H)
    past, faded = np.tril(np.ones((H, H))), np.tril(fading ** np.maximum(t[:, None] - t, 0))
    times = np.tril(0 * t[:, None] + fading**t)
    average = _average(H, fading)
    inside = {
        "none": 0 * one, "alone": one, "minus": -one, "each to t": past, "before t": past - one, "from t on": past.T, "after t": past.T - one,
        "all steps": past + past.T - one, "others": past + past.T - 2 * one, "each and t": past + one, "twice": 2 * one,
        "first step": np.ones((H, 1)) * one[0], "last step": np.ones((H, 1)) * one[-1], "step before": np.eye(H, k=-1), "step after": np.eye(H, k=1),
        "two steps": one + np.eye(H, k=-1), "over M": past / M, "over H": past / H, "mean to t": past / (1 + t[:, None]), "fading": faded,
        "fading around": faded, "fading before t": faded - one, "fading step before": np.eye(H, k=-1) @ faded,
        "fading more": fading * faded, "fading more, before": fading * (faded - one), "fading more less one": fading * faded - one,
        "powers": times, "powers before": times - np.diag(fading**t), "fading back": faded.T, "fading back before": faded.T - one,
        "weighted": (1 - fading) * faded, "weighted before": (1 - fading) * (faded - one), "faded twice": fading * (faded - one),
        "average": average, "average before": average - np.diag(np.diag(average)),
    }  # fmt: skip
    return np.asarray(inside[kind])


def _average(H: int, fading: float) -> Array:
    """An exponential moving average that starts at 0: λ of what was, 1 − λ of what comes, the first as it is."""
    out = np.zeros((H, H))
    out[0, 0] = 1.0
    for t in range(1, H):
        out[t] = fading * out[t - 1]
        out[t, t] += 1 - fading
    return out


def around(mask: Array, fading: float) -> Array:
    """What a loop from 0 on adds: `fading` times the batch's last step to its first, and then to those after it, fading."""
    N, M, H = mask.shape
    extra = np.zeros((N, M * H, M * H))
    last = (M - 1) * H + np.sum(mask[:, -1], axis=-1).astype(int) - 1
    extra[np.arange(N)[:, None], np.arange(H), last[:, None]] = fading ** (1.0 + np.arange(H))
    return extra


def held_sums(point: Point) -> str:
    """The sums of logarithms of a ratio that is held, "" if there is none."""
    return HELD.get(point.get("sums", ""), ("", ""))[1]


def _clamped(low: float, high: float, w: Array, y: Array) -> tuple[Array, Array, Array]:
    """w eʸ between bounds, whatever the sign of w."""
    ratio = np.exp(y)
    slope = w * ratio * ((ratio >= low) & (ratio <= high))
    return w * np.clip(ratio, low, high), slope, slope


def _larger(low: float, high: float, w: Array, y: Array) -> tuple[Array, Array, Array]:
    """The larger one of w eʸ and w clip(eʸ), the other of PPO's."""
    ratio = np.exp(y)
    inside = np.where(w > 0, ratio >= low, ratio <= high)
    slope = w * ratio * inside
    return np.where(inside, w * ratio, w * np.clip(ratio, low, high)), slope, slope


LINKS: dict[str, Callable[..., Link]] = {
    "linear box": lambda: linear, "clip": lambda c: clipped_exponential(c),
    "clamp": lambda c: lambda w, y: _clamped(1 - c, 1 + c, w, y), "below": lambda c: lambda w, y: _clamped(0.0, c, w, y),
    "larger": lambda c: lambda w, y: _larger(1 - c, 1 + c, w, y), "power": lambda c: lambda w, y: (w * np.exp(c * y), c * w * np.exp(c * y), c * c * w * np.exp(c * y)),
    "less 1": lambda: lambda w, y: (w * np.expm1(y), w * np.exp(y), w * np.exp(y)),
    "first order": lambda: lambda w, y: (w * (1 + y), w + 0 * y, 0 * w * y),
    "second order": lambda: lambda w, y: (w * (1 + y + y**2 / 2), w * (1 + y), w + 0 * y),
    "held slope": lambda: lambda w, y: (w * np.exp(y), w * np.exp(y), 0 * w * y),
}  # fmt: skip


def links(name: str, ratio: Any) -> tuple[Link, Link]:
    """The functions of the sums in the box and in the control variate."""
    if name == "reinforce" or ratio is None:
        own: Link = linear if name == "reinforce" else exponential
        return own, exponential
    kind, *number = ratio
    main = LINKS[kind](*number)
    return main, main if kind in ("first order", "second order", "power", "held slope") else exponential


def sums(each: list[Term], x: Array, along: Array) -> tuple[Array, Array, Array]:
    """Σ w g(Cx), its slopes u in x, and the change of u along v."""
    flat, moved = (y.reshape(*y.shape[:-2], -1, 1) for y in (x, along))
    value, slope, bent = np.zeros(()), np.zeros(()), np.zeros(())
    for w, C, link in each:
        g, first, second = link(w.reshape(*w.shape[:-2], -1, 1), C @ flat)
        value, back = value + np.sum(g, axis=(-2, -1)), C.swapaxes(-1, -2)
        slope, bent = slope + back @ first, bent + back @ (second * (C @ moved))
    slope, bent = (y.reshape(*y.shape[:-2], *x.shape[-2:]) for y in (slope, bent))
    return value, slope, bent
