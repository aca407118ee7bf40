"""What implementations of PEARL choose for the belief, the right alternative first.  Derivation: derivations/pearl.md

An alternative is what `beliefs` computes instead of what is right; None is what is right.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.choices import Choices
from refmeta.oracle.suites.pearl.beliefs import Factors
from refmeta.oracle.suites.pearl.context_choices import CONTEXT
from refmeta.oracle.suites.pearl.pieces import absolute, between, least, most, softplus
from refmeta.oracle.suites.pearl.product_choices import KEPT, PRIORS, PRODUCTS, by_precision, more_precise

__all__ = ["BELIEFS", "FAMILIES_OF_BELIEFS"]
Pair = tuple[Array, Array]
Product = Callable[[Factors], Pair]
VARIANCES: dict[str, Callable[[Array], Array] | None] = {
    "exp": None,
    "softplus": softplus,
    "softplus, ln(1 + e^x) in as few digits as 1 + e^x has": lambda x: np.log(1 + np.exp(x)),
    "exp(2x), the log of a deviation": lambda x: np.exp(2 * x),
    "exp(x/2), a deviation taken for a variance": lambda x: np.exp(x / 2),
    "softplus^2": lambda x: softplus(x) ** 2,
    "sqrt(softplus)": lambda x: np.sqrt(softplus(x)),
    "softplus(-x)": lambda x: softplus(-x),
    "exp(-x), a precision": lambda x: np.exp(-x),
    "|x|": absolute,
    "x^2": lambda x: x**2,
    "x": lambda x: x,
    "1 + elu(x)": lambda x: np.where(np.real(x) > 0, 1 + x, np.exp(x)),
    "1 + |x|": lambda x: 1 + absolute(x),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "exp(tanh x)": lambda x: np.exp(np.tanh(x)),
    "1 + exp": lambda x: 1 + np.exp(x),
    "2^x": lambda x: 2**x,
    "10^x": lambda x: 10**x,
    "1": lambda x: 0 * x + 1,
}
LIMITS = ((-20, 2), (-10, 2), (-5, 2), (-2, 2), (-1, 1))
CLAMPS: dict[str, Callable[[Array], Array] | None] = {
    "no": None,
    **{f"at least {low:g}": partial(most, y=low) for low in (1e-7, 1e-6, 1e-4, 1e-3, 1e-2, 0.1)},
    **{f"ln within {low} and {high}": partial(between, low=np.exp(low), high=np.exp(high)) for low, high in LIMITS},
}
CHANGED: dict[str, Callable[[Array, Array], Pair] | None] = {
    "no": None,
    "mean: tanh": lambda m, v: (np.tanh(m), v),
    "mean: at most 1 in size": lambda m, v: (between(m, -1, 1), v),
    "mean: of norm 1": lambda m, v: (m / np.sqrt(np.sum(m**2, -1, keepdims=True)), v),
    "mean: 0": lambda m, v: (0 * m, v),
    "mean: negative": lambda m, v: (-m, v),
    "variance: at least 1e-2": lambda m, v: (m, most(v, 1e-2)),
    "variance: at least 0.1": lambda m, v: (m, most(v, 0.1)),
    "variance: at most 1": lambda m, v: (m, least(v, 1.0)),
    "variance: at most 0.1": lambda m, v: (m, least(v, 0.1)),
    "variance: softplus": lambda m, v: (m, softplus(v)),
    "variance: mean over the latent variables": lambda m, v: (m, 0 * v + np.mean(v, -1, keepdims=True)),
}


def _slopes(of_mean: float, of_variance: float) -> Callable[..., Pair]:
    """Multiples of the slopes of the means and of the variances of the factors."""
    return lambda product, f, base: product(
        f._replace(mean=np.real(f.mean) + 1j * of_mean * np.imag(f.mean), variance=np.real(f.variance) + 1j * of_variance * np.imag(f.variance))
    )


BELIEF_SLOPES: dict[str, Callable[..., Pair] | None] = {
    "as they are": None,
    "weights of the means held": lambda product, f, base: (product(f._replace(variance=base.variance))[0], product(f)[1]),
    "belief's variance held": lambda product, f, base: (product(f)[0], np.real(product(f)[1])),
    "belief's mean held": lambda product, f, base: (np.real(product(f)[0]), product(f)[1]),
    "variances held": _slopes(1, 0),
    "means held": _slopes(0, 1),
    "those of log variances doubled": _slopes(1, 2),
    "those of log variances halved": _slopes(1, 0.5),
    "those of log variances negative": _slopes(1, -1),
    "in the variance, not its logarithm": lambda product, f, base: product(f._replace(variance=base.variance + 1j * np.imag(f.variance) / base.variance)),
    "in the deviation, not in log variance": lambda product, f, base: product(
        f._replace(variance=base.variance + 2j * np.imag(f.variance) / np.sqrt(base.variance))
    ),
    "times the variance once more": lambda product, f, base: product(f._replace(variance=base.variance + 1j * np.imag(f.variance) * base.variance)),
}
BELIEFS: Choices = {
    **CONTEXT, "variance from": VARIANCES, "variance clamped": CLAMPS, "prior factor": PRIORS, "product": PRODUCTS,
    "slopes of the belief": BELIEF_SLOPES, "beliefs of the tasks before": KEPT, "belief changed": CHANGED,
}  # fmt: skip
FAMILIES_OF_BELIEFS = {
    "exp(x) + {}": ("variance from", lambda c: lambda x: np.exp(x) + c),
    "softplus(x) + {}": ("variance from", lambda c: lambda x: softplus(x) + c),
    "{} exp(x)": ("variance from", lambda c: lambda x: c * np.exp(x)),
    "exp({} x)": ("variance from", lambda c: lambda x: np.exp(c * x)),
    "the constant {}": ("variance from", lambda c: lambda x: 0 * x + c),
    "at least {}": ("variance clamped", lambda c: partial(most, y=c)),
    "at most {}": ("variance clamped", lambda c: partial(least, y=c)),
    "its logarithm within -{0} and {0}": ("variance clamped", lambda c: partial(between, low=np.exp(-abs(c)), high=np.exp(abs(c)))),
    "its logarithm at most {}": ("variance clamped", lambda c: partial(least, y=np.exp(c))),
    "{} times": ("prior factor", lambda c: lambda n, there: c * n + 0 * np.sum(there, 1, keepdims=True)),
    "one of variance {}": ("prior factor", lambda c: lambda n, there: n / c + 0 * np.sum(there, 1, keepdims=True)),
    "of variances to the power {}": ("product", by_precision),
    "precisions add, and {}": ("product", lambda c: lambda f: more_precise(f, c)),
    "variance: at least {}": ("belief changed", lambda c: lambda m, v: (m, most(v, c))),
    "variance: at most {}": ("belief changed", lambda c: lambda m, v: (m, least(v, c))),
    "variance: {} more": ("belief changed", lambda c: lambda m, v: (m, v + c)),
    "variance: times {}": ("belief changed", lambda c: lambda m, v: (m, c * v)),
    "mean: at most {} in size": ("belief changed", lambda c: lambda m, v: (between(m, -abs(c), abs(c)), v)),
    "mean: times {}": ("belief changed", lambda c: lambda m, v: (c * m, v)),
    "those of log variances times {}": ("slopes of the belief", lambda c: _slopes(1, c)),
}
