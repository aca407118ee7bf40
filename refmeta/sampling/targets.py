"""Returns, advantages and targets of a batch of steps, with cuts and ends.  Derivation: derivations/sampled-policy-gradients.md

Arrays are (..., H): every row holds steps in the order of time, and may hold several episodes one after another.

rewards : r_t.
values : v_t, the guess for the state of step t.
next_values : v'_t, the guess for the step's own next state.  After an automatic reset this is not the state of the next row.
terminated : the process ended with this step.  Nothing follows: v' is not read.
truncated : the episode was cut after this step.  v' counts.  Where both flags are set, `terminated` wins.
mask : True where a step was taken, a prefix of each row; None keeps every step.  Entries behind it are not read, results are 0.

A step ends its episode if it is terminated, truncated, or the last one that the mask keeps; if it is not terminated, the end is
a cut.  Inside an episode v'_t must be v_{t+1}; `retrace` does not ask for that.

Errors of all functions, with the index: ValueError for shapes that differ, a mask that is no prefix, a v' that is not the next
v, a number that is read and not finite, gamma or lam outside [0, 1], a negative ratio; TypeError for complex numbers.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from refmeta.arrays import (
    Array,
    as_array,
    as_count,
    as_flags,
    as_fraction,
    as_numbers,
    check_all,
    finite_result,
    index_text,
)

__all__ = ["VTrace", "discounted", "gae", "lambda_return", "n_step", "retrace", "v_trace"]

ROUNDING = 32  # units in the last place of the row's largest value: two evaluations of one network differ by a few


class VTrace(NamedTuple):
    """What `v_trace` returns: `targets` for the values and `advantage` for the policy, (..., H)."""

    targets: Array
    advantage: Array


class _Steps(NamedTuple):
    """A checked batch: `following` is v' and 0 after a termination, `inside` says that the next row belongs to the episode."""

    rewards: Array
    values: Array
    following: Array
    inside: Array
    mask: Array


@finite_result
def discounted(
    rewards: ArrayLike,
    values: ArrayLike,
    next_values: ArrayLike,
    *,
    terminated: ArrayLike,
    truncated: ArrayLike,
    mask: ArrayLike | None = None,
    gamma: float,
) -> Array:
    """Ĝ_t = r_t + γ (1 − terminated) · (Ĝ_{t+1} inside an episode, v'_t at a cut), (..., H).

    Eq: discounted-return

    v is read by the check of v' alone.
    """
    steps = _as_steps(rewards, values, next_values, terminated, truncated, mask)
    gamma = as_fraction(gamma, "gamma")
    return _backwards(steps.rewards + gamma * np.where(steps.inside, 0.0, steps.following), gamma * steps.inside)


@finite_result
def n_step(
    rewards: ArrayLike,
    values: ArrayLike,
    next_values: ArrayLike,
    *,
    terminated: ArrayLike,
    truncated: ArrayLike,
    mask: ArrayLike | None = None,
    gamma: float,
    n: int | None,
) -> Array:
    """Σ_{k<m} γᵏ r_{t+k} + γᵐ (1 − terminated) v'_{t+m−1}, m = min(n, steps up to and including the next end), (..., H).

    Eq: n-step-return

    n is at least 1; None is ∞, the discounted return.
    """
    steps = _as_steps(rewards, values, next_values, terminated, truncated, mask)
    gamma, H = as_fraction(gamma, "gamma"), steps.mask.shape[-1]
    target = steps.rewards + gamma * steps.following
    for _ in range((H if n is None else min(as_count(n, "n", least=1), H)) - 1):
        target = steps.rewards + gamma * np.where(steps.inside, _next(target), steps.following)
    return target


@finite_result
def lambda_return(
    rewards: ArrayLike,
    values: ArrayLike,
    next_values: ArrayLike,
    *,
    terminated: ArrayLike,
    truncated: ArrayLike,
    mask: ArrayLike | None = None,
    gamma: float,
    lam: float,
) -> Array:
    """G_t = r_t + γ (1 − terminated) · [(1 − λ) v'_t + λ (G_{t+1} inside an episode, v'_t at a cut)], (..., H).

    Eq: lambda-return
    """
    steps = _as_steps(rewards, values, next_values, terminated, truncated, mask)
    gamma, lam = as_fraction(gamma, "gamma"), as_fraction(lam, "lam")
    weight = np.where(steps.inside, 1 - lam, 1.0)
    return _backwards(steps.rewards + gamma * weight * steps.following, gamma * lam * steps.inside)


@finite_result
def gae(
    rewards: ArrayLike,
    values: ArrayLike,
    next_values: ArrayLike,
    *,
    terminated: ArrayLike,
    truncated: ArrayLike,
    mask: ArrayLike | None = None,
    gamma: float,
    lam: float,
) -> Array:
    """Â_t = δ_t + γλ (1 − end) Â_{t+1}, δ_t = r_t + γ (1 − terminated) v'_t − v_t, (..., H).

    Eq: gae

    Â + v is the λ-return.
    """
    steps = _as_steps(rewards, values, next_values, terminated, truncated, mask)
    gamma, lam = as_fraction(gamma, "gamma"), as_fraction(lam, "lam")
    return _backwards(steps.rewards + gamma * steps.following - steps.values, gamma * lam * steps.inside)


@finite_result
def v_trace(
    rewards: ArrayLike,
    values: ArrayLike,
    next_values: ArrayLike,
    *,
    terminated: ArrayLike,
    truncated: ArrayLike,
    mask: ArrayLike | None = None,
    gamma: float,
    ratios: ArrayLike,
    lam: float = 1.0,
    rho_bar: float = 1.0,
    c_bar: float = 1.0,
) -> VTrace:
    """v_t + D_t, D_t = δ_t + γ (1 − end) c_t D_{t+1}, δ_t = ρ_t (r_t + γ (1 − terminated) v'_t − v_t), and the advantage.

    Eq: v-trace

    ρ = min(ρ̄, π/μ) and c = λ min(c̄, π/μ), both of the own step.  The advantage is ρ_t (r_t + γ (1 − terminated) n_t − v_t),
    n_t the next step's target inside an episode and v'_t at a cut.

    Parameters
    ----------
    ratios : (..., H)
        π(a_t|s_t) / μ(a_t|s_t), at least 0.
    rho_bar, c_bar : float
        ρ̄ and c̄, above 0; `inf` bounds nothing.
    """
    steps = _as_steps(rewards, values, next_values, terminated, truncated, mask)
    gamma, ratios = as_fraction(gamma, "gamma"), _as_weights(ratios, steps.mask, "ratios")
    rho = np.minimum(_as_bound(rho_bar, "rho_bar"), ratios)
    c = as_fraction(lam, "lam") * np.minimum(_as_bound(c_bar, "c_bar"), ratios)
    delta = rho * (steps.rewards + gamma * steps.following - steps.values)
    targets = steps.values + _backwards(delta, gamma * c * steps.inside)
    ahead = np.where(steps.inside, _next(targets), steps.following)
    return VTrace(targets, rho * (steps.rewards + gamma * ahead - steps.values))


@finite_result
def retrace(
    rewards: ArrayLike,
    values: ArrayLike,
    next_values: ArrayLike,
    *,
    terminated: ArrayLike,
    truncated: ArrayLike,
    mask: ArrayLike | None = None,
    gamma: float,
    traces: ArrayLike,
) -> Array:
    """q_t + D_t, D_t = δ_t + γ (1 − end) c_{t+1} D_{t+1}, δ_t = r_t + γ (1 − terminated) q'_t − q_t, (..., H).

    Eq: retrace

    Parameters
    ----------
    values, next_values : (..., H)
        q_t = Q(s_t, a_t), and q'_t = Σ_a π(a|s') Q(s', a) at the step's own next state.
    traces : (..., H)
        c_t of the action of step t, at least 0: λ min(1, π/μ) (Retrace), λπ (tree backup), λ (Q(λ)), π/μ (importance
        sampling).  That of the first step of an episode is not read.
    """
    steps = _as_steps(rewards, values, next_values, terminated, truncated, mask, consistent=False)
    gamma, later = as_fraction(gamma, "gamma"), np.roll(steps.inside, 1, axis=-1)  # the last step is never inside
    c = _as_weights(traces, later, "traces")
    delta = steps.rewards + gamma * steps.following - steps.values
    return steps.values + _backwards(delta, gamma * steps.inside * _next(c))


def _next(x: Array) -> Array:
    """x_{t+1}, 0 behind the last step."""
    return np.concatenate([x[..., 1:], 0 * x[..., :1]], axis=-1)


def _backwards(x: Array, factor: Array) -> Array:
    """y_t = x_t + factor_t y_{t+1}: a loop over time, for all rows at once."""
    y, factor = (np.array(np.moveaxis(z, -1, 0), order="C") for z in (x, factor))
    for t in reversed(range(len(y) - 1)):
        y[t] += factor[t] * y[t + 1]
    return np.ascontiguousarray(np.moveaxis(y, 0, -1))


def _as_steps(
    rewards: Any, values: Any, next_values: Any, terminated: Any, truncated: Any, mask: Any, *, consistent: bool = True
) -> _Steps:
    """The batch with zeros for what is not read; ValueError for other shapes, a mask that is no prefix, a v' that is not v."""
    shape = as_array(rewards, "rewards").shape
    if not shape or 0 in shape:
        raise ValueError(f"rewards has shape {shape}, expected (..., H): at least one row of one step")
    kept = np.ones(shape, bool) if mask is None else _as_flags(mask, shape, "mask")
    check_all(
        kept[..., 1:] <= kept[..., :-1],
        lambda i: f"mask{index_text((*i[:-1], i[-1] + 1))} is True behind a step that is not kept: keep a prefix of each row",
    )
    ended, cut = _as_flags(terminated, shape, "terminated") & kept, _as_flags(truncated, shape, "truncated")
    inside = ~ended & ~cut & (np.concatenate([kept[..., 1:], np.zeros_like(kept[..., :1])], axis=-1))
    reads = (rewards, kept, "rewards"), (values, kept, "values"), (next_values, kept & ~ended, "next_values")
    r, v, following = (_read(*each) for each in reads)
    if consistent:
        _check_consistent(v, following, inside, _rounding(values, next_values))
    return _Steps(r, v, following, inside, kept)


def _as_flags(value: Any, shape: tuple[int, ...], name: str) -> Array:
    """An array of bool of the shape of the rewards."""
    return as_flags(_same_shape(value, shape, name), name)


def _same_shape(value: Any, shape: tuple[int, ...], name: str) -> Array:
    """The value as an array; ValueError unless it has the shape of the rewards."""
    if (array := as_array(value, name)).shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, expected {shape} as rewards")
    return array


def _read(value: Any, where: Array, name: str) -> Array:
    """Finite numbers where they are read, 0 elsewhere."""
    array = as_numbers(_same_shape(value, where.shape, name), name)
    if array.dtype.kind == "c":
        raise TypeError(f"{name} must be real, got dtype {array.dtype}")
    kept = array if where.all() else np.where(where, array, np.zeros((), array.dtype))
    kept = kept.astype(float, copy=False)
    check_all(np.isfinite(kept), lambda i: f"{name}{index_text(i)} is {kept[i]}; every number that is read must be finite")
    return kept


def _as_weights(value: Any, where: Array, name: str) -> Array:
    """Importance ratios or traces: finite and at least 0."""
    weights = _read(value, where, name)
    check_all(weights >= 0, lambda i: f"{name}{index_text(i)} is {weights[i]}; it must be at least 0")
    return weights


def _as_bound(value: Any, name: str) -> float:
    """A bound of the ratios: a number above 0, or ∞."""
    array = as_array(value, name)
    if array.ndim or array.dtype.kind not in "iuf" or not array > 0:
        raise ValueError(f"{name} must be one number above 0, or inf for no bound, got {value!r}")
    return float(array)


def _rounding(*arrays: Any) -> float:
    """The relative error that two evaluations in the coarsest of the types may leave."""
    types = [np.asarray(array).dtype for array in arrays]
    return ROUNDING * max(float(np.finfo(t if t.kind == "f" else float).eps) for t in types)


def _check_consistent(v: Array, following: Array, inside: Array, rounding: float) -> None:
    """Check that inside an episode v' of a step is v of the next one, to rounding of the row's largest value."""
    largest = np.maximum(_largest(v), _largest(following))
    gap = following[..., :-1] - v[..., 1:]  # the last step is never inside
    check_all(
        ~inside[..., :-1] | (np.abs(gap, out=gap) <= rounding * largest),
        lambda i: (
            f"next_values{index_text(i)} is {following[i]}, but values{index_text((*i[:-1], i[-1] + 1))} is {v[..., 1:][i]}; inside an "
            f"episode both are the value of one state: set truncated{index_text(i)} if the episode was cut there"
        ),
    )


def _largest(x: Array) -> Array:
    """max |x| of each row, (..., 1)."""
    return np.maximum(np.max(x, axis=-1, keepdims=True), -np.min(x, axis=-1, keepdims=True))
