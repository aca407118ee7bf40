"""The recursions of all targets, with what implementations do otherwise.  Derivation: derivations/sampled-policy-gradients.md"""

from collections.abc import Callable
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Point
from refmeta.oracle.suite import at_most_one
from refmeta.oracle.suites.returns.places import bounded_products, mixture, n_step
from refmeta.oracle.suites.returns.problem import TRACES, Batch, next_values

__all__ = ["OWN_STEP", "backwards", "departed", "later", "numbers_of"]

OWN_STEP = ("v_trace", "v_trace_advantage")  # c of the own step; the others take that of the next


def later(x: Array, by: int = 1) -> Array:
    """x of a later row, of an earlier one for −1; 0 where there is none."""
    out = np.zeros_like(x)
    if by > 0:
        out[:, :-by] = x[:, by:]
    else:
        out[:, -by:] = x[:, :by]
    return out


def backwards(x: Array, factor: Array) -> Array:
    """y_t = x_t + factor_t y_{t+1}."""
    y = np.array(x)
    for t in reversed(range(y.shape[1] - 1)):
        y[:, t] += factor[:, t] * y[:, t + 1]
    return y


def numbers_of(batch: Batch, point: Point) -> tuple[float, float]:
    """γ and λ, or what is used instead of them."""
    gamma, lam = at_most_one(batch.gamma), at_most_one(batch.lam)
    return point.get("gamma", lambda g, lam: g)(gamma, lam), point.get("lam", lambda g, lam: lam)(gamma, lam)


def _flags(batch: Batch, point: Point) -> tuple[Array, Array, Array]:
    """Terminated, cut, and the mask, as the point reads them; the last kept step is no cut here."""
    kept = np.ones(batch.mask.shape, bool) if point.get("mask") in ("ignored", "late") else batch.mask > 0
    terminated, cut = batch.terminated > 0, batch.truncated > 0
    if "flags" in point:
        terminated, cut = point["flags"](terminated, cut)
    return terminated & kept, cut & ~terminated & kept, kept


def _guesses(part: str, batch: Batch, point: Point) -> tuple[Array, Array]:
    """v and v', or q and q'."""
    pair = (batch.q_values, batch.next_q_values) if part in TRACES else (batch.values, next_values(batch))
    if "guesses" in point:
        pair = point["guesses"](*pair, part in TRACES)
    return pair


def _following(v: Array, after: Array, terminated: Array, cut: Array, kept: Array, point: Point) -> Array:
    """What stands for the rest: v', or something else at a cut or after the last row; 0 after a termination."""
    last = kept & ~later(kept) & ~terminated & ~cut
    out = after
    if "inside an episode" in point:
        out = np.where(kept & later(kept) & ~terminated & ~cut, point["inside an episode"](v, later(v)), out)
    for where, name in ((cut, "at a cut"), (last, "after the last row")):
        if name in point:
            out = np.where(where, point[name](v, after, later(kept)), out)
    if "before the padding" in point:
        padded = kept & ~later(kept) & (np.arange(kept.shape[1]) < kept.shape[1] - 1)
        out = np.where(padded, point["before the padding"](v, later(v)), out)
    return np.where(terminated | ~kept, 0.0, out)


def _going(terminated: Array, cut: Array, kept: Array, point: Point) -> Array:
    """Does the recursion go on to the next row?"""
    every = terminated | cut
    read = {
        "over cuts": terminated, "over every end": every & False, "next flags": later(every), "next ends": later(every) | ~later(later(kept)),
        "flags before": later(every, -1),
    }  # fmt: skip
    return ~read.get(point.get("sum", ""), every) & kept & later(kept)


def _weights(part: str, batch: Batch, lam: float, point: Point) -> tuple[Array, Array]:
    """The factor in front of an error, and c, that of the way to the next step."""
    ratios, one = batch.ratios, np.ones_like(batch.ratios)
    if part in TRACES:
        front, c = one, TRACES[part](Batch(**vars(batch) | {"lam": lam}))
    elif part in OWN_STEP:
        front, c = np.minimum(batch.rho_bar, ratios), lam * np.minimum(batch.c_bar, ratios)
    else:
        return one, (one if part in ("discounted", "n_step") else lam * one)
    if "weights" in point:
        front, c = point["weights"](part, batch, lam, front, c)
    own = (part in OWN_STEP) != ("trace of" in point)
    return front, c if own else later(c)


def departed(part: str, batch: Batch, point: Point) -> Array | None:
    """The part where a point departs from what is right; None where it is not computed."""
    gamma, lam = numbers_of(batch, point)
    terminated, cut, kept = _flags(batch, point)
    v, after = _guesses(part, batch, point)
    v = np.where(kept, v, 0.0)
    r = np.where(kept, point["rewards"](batch.rewards) if "rewards" in point else batch.rewards, 0.0)
    going = _going(terminated, cut, kept, point)
    if "flags" in point and part not in TRACES:
        after = np.where(going, later(v), after)  # where code takes two episodes for one, it takes v of the next row for v'
    following = _following(v, after, terminated, cut, kept, point)
    front, c = _weights(part, batch, lam, point)
    carried = point["gamma of the sum"](gamma) if "gamma of the sum" in point else gamma
    error = point["error"](r, gamma, following, v) if "error" in point else r + gamma * following - v
    if part in ("discounted", "lambda_return") and not {"error", "the sum of errors is added to"} & set(point):
        result = backwards(r + mixture(point.get("mixture"), gamma, c, going, v, following), carried * c * going)
    elif part == "n_step":
        n = point["n"](batch.n_steps) if "n" in point else batch.n_steps
        result = n_step(r, gamma, following, going, n, point.get("value after n steps"))
    else:
        D = _errors(part, batch, front * error, carried * going, c, lam, point)
        result = D if part == "gae" else (following if "the sum of errors is added to" in point else v) + D
        if part == "v_trace_advantage":
            ahead = point["ahead"](later(result), following, lam) if "ahead" in point else later(result)
            front = point["ratio of the advantage"](batch) if "ratio of the advantage" in point else front
            result = front * (r + gamma * np.where(going, ahead, following) - v)
    if "added" in point:
        result = result + point["added"](part, gamma, lam, c, kept, going, after, terminated)
    kept = batch.mask > 0 if point.get("mask") == "late" else kept
    return _finished(np.where(kept, result, 0.0), kept, v, point)


def _errors(part: str, batch: Batch, error: Array, carried: Array, c: Array, lam: float, point: Point) -> Array:
    """Σ of the errors, each times the factors on the way to it."""
    if "bounded" not in point:
        return backwards(error, carried * c)
    own = part in OWN_STEP
    return bounded_products(error, lam * carried, batch.ratios if own else later(batch.ratios), batch.c_bar if own else 1.0)


def _finished(result: Array, kept: Array, v: Array, point: Point) -> Array | None:
    """The result, or what is made of it afterwards."""
    change: Callable[..., Any] | None = point.get("after that")
    with np.errstate(all="ignore"):
        result = result if change is None else np.where(kept, change(result, kept, v), 0.0)
    return result if np.isfinite(result).all() else None
