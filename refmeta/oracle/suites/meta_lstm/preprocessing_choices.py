"""What implementations of Meta-LSTM choose for the preprocessing, the right alternative first.  Derivation: derivations/meta-lstm.md

An alternative is what is computed instead of what is right; None is what is right.
"""

from collections.abc import Callable

import numpy as np

from refmeta.arrays import Array
from refmeta.meta.lstm import preprocessing

Pair = tuple[Array, Array]

__all__ = [
    "EPSILONS", "PREPROCESSINGS", "at_least", "both", "everywhere", "linear", "log", "log_and_sign", "plain_log", "sign", "size",
]  # fmt: skip



def size(x: Array) -> Array:
    """|x|, with its slope."""
    return np.where(np.real(x) < 0, -x, x)


def sign(x: Array) -> Array:
    """±1."""
    return np.where(np.real(x) < 0, -1.0, 1.0)


def both(large: Callable[[Array], Pair], small: Callable[[Array], Pair], p: float = 10.0) -> Callable[[Array], Array]:
    """One pair where |x| ≥ e^−p, another elsewhere."""

    def value(x: Array) -> Array:
        where = np.real(size(x)) >= np.exp(-p)
        pairs = zip(large(np.where(where, x, 1)), small(x), strict=True)
        return np.stack(np.broadcast_arrays(*(np.where(where, a, b) for a, b in pairs)), axis=-1)

    return value


def log(p: float) -> Callable[[Array], Pair]:
    """(ln|x|/p, ±1)."""
    return lambda x: (np.log(size(x)) / p, sign(x))


def linear(p: float) -> Callable[[Array], Pair]:
    """(−1, eᵖ x)."""
    return lambda x: (-1.0 + 0 * x, np.exp(p) * x)


def everywhere(pair: Callable[[Array], Pair]) -> Callable[[Array], Array]:
    """One pair for every x."""
    return lambda x: np.stack(np.broadcast_arrays(*pair(x)), axis=-1)


def at_least(x: Array, low: float) -> Array:
    """Not below, with its slope."""
    return np.where(np.real(x) < low, low, x)


def _at_most(x: Array, high: float) -> Array:
    """Not above, with its slope."""
    return np.where(np.real(x) > high, high, x)


def plain_log(e: float) -> Callable[[Array], Pair]:
    """(ln(|x| + ε)/10, ±1)."""
    return lambda x: (np.log(size(x) + e) / 10, sign(x))


def log_and_sign(e: float) -> Callable[[Array], Pair]:
    """(max(ln(|x| + ε)/10, −1), ±1)."""
    return lambda x: (at_least(np.log(size(x) + e) / 10, -1.0), sign(x))


def _log_and_clip(e: float) -> Callable[[Array], Pair]:
    """(max(ln(|x| + ε)/10, −1), e¹⁰ x within −1 and 1), the release of "Learning to learn by gradient descent"."""
    return lambda x: (at_least(np.log(size(x) + e) / 10, -1.0), _at_most(at_least(np.exp(10) * x, -1.0), 1.0))


def _split(large: Callable[[Array], Pair], small: Callable[[Array], Pair], at: float) -> Callable[[Array], Array]:
    """One pair where |x| is at least so much, another elsewhere."""
    return lambda x: both(large, small, -float(np.log(at)))(x)


def _positive(large: Callable[[Array], Pair], small: Callable[[Array], Pair]) -> Callable[[Array], Array]:
    """One pair where x itself is large, another elsewhere."""

    def value(x: Array) -> Array:
        where = np.real(x) >= np.exp(-10)
        pairs = zip(large(np.where(where, x, 1)), small(x), strict=True)
        return np.stack(np.broadcast_arrays(*(np.where(where, a, b) for a, b in pairs)), axis=-1)

    return value


EPSILONS = (1e-8, 1e-10, 1e-6, 2.220446049250313e-16, 1.1920929e-07)
PREPROCESSINGS: dict[str, Callable[[Array], Array] | None] = {
    "(ln|x|/10, sign x), or (-1, e^10 x) below e^-10": None,
    "without the sign": both(lambda x: (np.log(size(x)) / 10, 0 * x), linear(10)),
    "the sign alone": both(lambda x: (0 * x, sign(x)), lambda x: (0 * x, np.exp(10) * x)),
    "the first entry alone": lambda x: preprocessing(x) * np.array([1, 0]),
    "the second entry alone": lambda x: preprocessing(x) * np.array([0, 1]),
    "entries exchanged": lambda x: preprocessing(x)[..., ::-1],
    "(x, 0)": everywhere(lambda x: (x, 0 * x)),
    "(x, x)": everywhere(lambda x: (x, x)),
    "(0, x)": everywhere(lambda x: (0 * x, x)),
    "(x, sign x)": everywhere(lambda x: (x, sign(x))),
    "(|x|, sign x)": everywhere(lambda x: (size(x), sign(x))),
    "(0, 0)": everywhere(lambda x: (0 * x, 0 * x)),
    "p = 7": both(log(7), linear(7), 7),
    "p = 5": both(log(5), linear(5), 5),
    "p = 1": both(log(1), linear(1), 1),
    "ln not divided by p": both(log(1), linear(10)),
    "log10": both(lambda x: (np.log10(size(x)) / 10, sign(x)), linear(10)),
    "log2": both(lambda x: (np.log2(size(x)) / 10, sign(x)), linear(10)),
    "-ln|x|/10": both(lambda x: (-np.log(size(x)) / 10, sign(x)), linear(10)),
    "sign reversed": both(lambda x: (np.log(size(x)) / 10, -sign(x)), linear(10)),
    "ln(1 + |x|)/10": everywhere(lambda x: (np.log1p(size(x)) / 10, sign(x))),
    "ln(|x| + 1e-8)/10": everywhere(lambda x: (np.log(size(x) + 1e-8) / 10, sign(x))),
    "the first branch everywhere": everywhere(log(10)),
    "the second branch everywhere": everywhere(linear(10)),
    "branches exchanged": both(lambda x: linear(10)(x), log(10)),
    "(0, e^10 x) below e^-10": both(log(10), lambda x: (0 * x, np.exp(10) * x)),
    "(1, e^10 x) below e^-10": both(log(10), lambda x: (0 * x + 1, np.exp(10) * x)),
    "(-1, e^-10 x) below e^-10": both(log(10), lambda x: (0 * x - 1, np.exp(-10) * x)),
    "(-1, sign x) below e^-10": both(log(10), lambda x: (0 * x - 1, sign(x))),
    "(-1, 0) below e^-10": both(log(10), lambda x: (0 * x - 1, 0 * x)),
    "(-1, x) below e^-10": both(log(10), lambda x: (0 * x - 1, x)),
    "(max(ln|x|/10, -1), sign x)": everywhere(lambda x: (at_least(np.log(size(np.where(x == 0, 1e-300, x))) / 10, -1.0), sign(x))),
    **{f"(max(ln(|x| + {e:.2g})/10, -1), sign x)": everywhere(log_and_sign(e)) for e in EPSILONS},
    **{f"(max(ln(|x| + {e:.2g})/10, -1), e^10 x within -1 and 1)": everywhere(_log_and_clip(e)) for e in EPSILONS if e > 1e-15},
    **{f"(ln(|x| + {e:.2g})/10, sign x)": everywhere(plain_log(e)) for e in EPSILONS if e != 1e-8},
    "(ln|x|/10, x)": both(lambda x: (np.log(size(x)) / 10, x), linear(10)),
    "(ln x^2/10, sign x)": both(lambda x: (2 * np.log(size(x)) / 10, sign(x)), linear(10)),
    "(ln|x|/10 + 1, sign x)": both(lambda x: (np.log(size(x)) / 10 + 1, sign(x)), linear(10)),
    "(sign x ln|x|/10, sign x)": both(lambda x: (sign(x) * np.log(size(x)) / 10, sign(x)), linear(10)),
    "(1, sign x)": everywhere(lambda x: (0 * x + 1, sign(x))),
    "threshold 1/10 for e^-10": _split(log(10), linear(10), 0.1),
    "threshold e^-1 for e^-10": _split(log(10), linear(10), np.exp(-1.0)),
    "e^10 for e^-10 in the threshold": _split(log(10), linear(10), np.exp(10.0)),
    "x > e^-10 for |x| (negative x are small)": _positive(log(10), linear(10)),
    "(tanh x, sign x)": everywhere(lambda x: (np.tanh(x), sign(x))),
    "(asinh x, sign x)": everywhere(lambda x: (np.arcsinh(x), sign(x))),
    "slopes of ln|x| not followed": lambda x: np.stack(np.broadcast_arrays(np.real(preprocessing(x)[..., 0]), preprocessing(x)[..., 1]), -1),
    "its slopes not followed": lambda x: np.real(preprocessing(x)),
}
