"""Complex numbers in two units: a derivative of a derivative without a difference.  Derivation: derivations/judges.md

a + jb with complex a and b, and j² = −1: the unit i carries the derivative of an objective, j that of a gradient inside it.
The coefficient of j is so small that its square is lost.

A gradient takes one evaluation.  A perturbed number is then an array with one entry per perturbed coordinate: on the last
axis for the unit i, on the one before it for j.  All entries have the same real part.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from refmeta.arrays import Array
from refmeta.oracle.decimals import Inputs, Loss, Losses, Number, Steps, Vector, exp, ln, map_numbers, real, sqrt

__all__ = ["Bicomplex", "COMPLEX", "FirstUnit", "H", "SecondUnit", "complex_numbers", "complex_value", "real_part"]

H = 1e-30

exp.register(np.ndarray, np.exp)
ln.register(np.ndarray, np.log)
sqrt.register(np.ndarray, np.sqrt)
real.register(np.ndarray, lambda x: x.flat[0].real)


class Bicomplex:
    """a + jb; a and b are complex numbers or arrays of them."""

    __slots__ = ("a", "b")
    __array_ufunc__ = None  # an array leaves its arithmetic with these numbers to them

    def __init__(self, a: Number, b: Number) -> None:
        self.a, self.b = a, b

    @property
    def real(self) -> float:
        """The real part of a."""
        return float(real(self.a))

    def __add__(self, other: Any) -> "Bicomplex":
        if isinstance(other, Bicomplex):
            return Bicomplex(self.a + other.a, self.b + other.b)
        return Bicomplex(self.a + other, self.b)

    def __neg__(self) -> "Bicomplex":
        return Bicomplex(-self.a, -self.b)

    def __sub__(self, other: Any) -> "Bicomplex":
        return self + -other

    def __rsub__(self, other: Any) -> "Bicomplex":
        return -self + other

    def __mul__(self, other: Any) -> "Bicomplex":
        if isinstance(other, Bicomplex):
            return Bicomplex(self.a * other.a - self.b * other.b, self.a * other.b + self.b * other.a)
        return Bicomplex(self.a * other, self.b * other)

    def __truediv__(self, other: Any) -> "Bicomplex":
        if not isinstance(other, Bicomplex):
            return Bicomplex(self.a / other, self.b / other)
        norm = other.a * other.a + other.b * other.b
        return self * Bicomplex(other.a / norm, -other.b / norm)

    def __rtruediv__(self, other: Any) -> "Bicomplex":
        return Bicomplex(other, 0.0) / self

    def __pow__(self, n: int) -> "Bicomplex":
        """A whole power."""
        power = Bicomplex(1.0, 0.0)
        for _ in range(n):
            power = power * self
        return power

    def exp(self) -> "Bicomplex":
        """eᵃ (1 + jb)."""
        e = exp(self.a)
        return Bicomplex(e, e * self.b)

    def ln(self) -> "Bicomplex":
        """ln a + jb/a."""
        return Bicomplex(ln(self.a), self.b / self.a)

    def sqrt(self) -> "Bicomplex":
        """√a + jb/(2√a)."""
        root = sqrt(self.a)
        return Bicomplex(root, self.b / (2 * root))

    __radd__, __rmul__ = __add__, __mul__


class FirstUnit(NamedTuple):
    """The complex step."""

    h: float = H

    def slope(self, f: Loss, x: Vector, v: Vector) -> Number:
        """Im f(x + ihv) / h."""
        return complex(f([a + 1j * self.h * b if b else a for a, b in zip(x, v, strict=True)])).imag / self.h

    def gradients(self, f: Losses, x: Vector) -> list[Vector]:
        """Im f(x + ihe) / h of every axis e."""
        values = f([a + 1j * self.h * e for a, e in zip(x, np.eye(len(x)), strict=True)])
        return [(np.zeros(len(x)) + np.imag(value) / self.h).tolist() for value in values]


class SecondUnit(NamedTuple):
    """The complex step in the second unit; its slope may be complex itself."""

    h: float = H

    def slope(self, f: Loss, x: Vector, v: Vector) -> Number:
        """The part of f(x + jhv) in j, over h."""
        value = f([Bicomplex(a, self.h * b) if b else a for a, b in zip(x, v, strict=True)])
        return value.b / self.h if isinstance(value, Bicomplex) else 0j

    def gradients(self, f: Losses, x: Vector) -> list[Vector]:
        """The part of f(x + jhe) in j, over h, of every axis e."""
        values = f([Bicomplex(a, self.h * e[:, None] + 0j) for a, e in zip(x, np.eye(len(x)), strict=True)])
        return [self._slopes(value, len(x)) for value in values]

    def _slopes(self, value: Number, axes: int) -> Vector:
        """The part of one value in j, over h, as one number or one array for each axis."""
        slopes = np.zeros((axes, 1)) + (value.b / self.h if isinstance(value, Bicomplex) else 0j)
        return list(slopes) if slopes.shape[1] > 1 else list(slopes[:, 0].tolist())


COMPLEX = Steps(inner=SecondUnit(), outer=FirstUnit(), second=SecondUnit())


def complex_numbers(inputs: Inputs) -> Inputs:
    """Every float of the inputs as a complex number; integers and None stay."""
    as_complex: Callable[[Any], Any] = lambda x: complex(x) if isinstance(x, float) else x
    return {name: map_numbers(as_complex, value) for name, value in inputs.items()}


def real_part(nested: list[Any]) -> Array:
    """The real parts of a nested list of numbers."""
    return np.real(np.array(nested, dtype=complex))


def complex_value(define: Callable[..., list[Any]], part: str, inputs: Inputs, *changes: Any) -> Array:
    """A part by its definition in complex numbers, to double precision; `changes` are what `define` takes beyond them."""
    return real_part(define(part, complex_numbers(inputs), COMPLEX, *changes))
