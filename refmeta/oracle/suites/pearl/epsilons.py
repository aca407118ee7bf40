"""Where an ε may stand in a training step of PEARL.  Derivation: derivations/using-the-oracle.md"""

from functools import partial
from typing import Any

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.bicomplex import COMPLEX, H, complex_numbers
from refmeta.oracle.decimals import Inputs, Number, Vector, exp, ln, sqrt
from refmeta.oracle.suite import Case, Effects
from refmeta.oracle.suites.pearl import definition
from refmeta.oracle.suites.pearl.definition import Pearl

__all__ = ["effects", "epsilon_places"]


def epsilon_places(e: Number) -> dict[str, Pearl]:
    """PEARL with an ε in each of the places where code has one."""

    def factor(x: Inputs, psi: Vector) -> tuple[Vector, Vector]:
        mean, log_variance = definition.factor(x, psi)
        return mean, [ln(exp(v) + e) for v in log_variance]

    def product(factors: Any) -> tuple[Vector, Vector]:
        mean, variance = definition.product(factors)
        return [m / (1 + e * v) for m, v in zip(mean, variance, strict=True)], [1 / (1 / v + e) for v in variance]

    def kl(mean: Vector, variance: Vector) -> Number:
        return definition.kl(mean, variance) - sum(ln(1 + e / v) for v in variance) / 2

    def deviation(mean: Vector, variance: Vector, noise: Vector) -> Vector:
        return [m + (sqrt(v) + e) * x for m, v, x in zip(mean, variance, noise, strict=True)]

    return {
        "σ_n² + ε in the factors": Pearl(factor=factor),
        "1/(Σ σ_n⁻² + ε) in the product of factors": Pearl(product=product),
        "log(σ² + ε) in the KL divergence": Pearl(kl=kl),
        "√(σ² + ε) in the sample": Pearl(sample=lambda m, v, x: definition.sample(m, [a + e for a in v], x)),
        "σ + ε in the sample": Pearl(sample=deviation),
        "log(π + ε)": Pearl(log=lambda p: ln(p + e)),
        "1/(Σ mask + ε)": Pearl(count=lambda values: len(values) + e),
    }


def effects(case: Case, part: str) -> Effects:
    """The derivative of a part by an ε in one of the places."""
    return {place: partial(_slope, case, part, f) for place, f in epsilon_places(1j * H).items()}


def _slope(case: Case, part: str, f: Pearl) -> Array:
    """The complex step in the first unit; the part's own slopes are taken in the second."""
    steps = COMPLEX._replace(outer=COMPLEX.inner)
    nested = definition.define(part, complex_numbers(case.problem.inputs), steps, f)
    return np.imag(np.array(nested, dtype=complex)) / H
