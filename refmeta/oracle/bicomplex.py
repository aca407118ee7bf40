"""Complex numbers in two units: a derivative of a derivative without a difference.  Derivation: derivations/judges.md

a + jb with complex a and b, and j² = −1: the unit i carries the derivative of an objective, j that of a gradient inside it.
"""

import cmath
from typing import Any, NamedTuple

from refmeta.oracle.decimals import Loss, Number, Steps, Vector

__all__ = ["COMPLEX", "Bicomplex"]

H = 1e-30


class Bicomplex:
    """a + jb."""

    __slots__ = ("a", "b")

    def __init__(self, a: complex, b: complex) -> None:
        self.a, self.b = a, b

    @property
    def real(self) -> float:
        """The real part of a."""
        return self.a.real

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
        """eᵃ (cos b + j sin b)."""
        e = cmath.exp(self.a)
        return Bicomplex(e * cmath.cos(self.b), e * cmath.sin(self.b))

    def ln(self) -> "Bicomplex":
        """ln √(a² + b²) + j arctan(b/a), b small beside a."""
        return Bicomplex(cmath.log(self.a), cmath.atan(self.b / self.a))

    def sqrt(self) -> "Bicomplex":
        """√a + jb/(2√a), b small beside a."""
        root = cmath.sqrt(self.a)
        return Bicomplex(root, self.b / (2 * root))

    __radd__, __rmul__ = __add__, __mul__


class FirstUnit(NamedTuple):
    """The complex step."""

    h: float = H

    def slope(self, f: Loss, x: Vector, v: Vector) -> Number:
        """Im f(x + ihv) / h."""
        return complex(f([a + 1j * self.h * b if b else a for a, b in zip(x, v, strict=True)])).imag / self.h


class SecondUnit(NamedTuple):
    """The complex step in the second unit; its slope may be complex itself."""

    h: float = H

    def slope(self, f: Loss, x: Vector, v: Vector) -> Number:
        """The part of f(x + jhv) in j, over h."""
        value = f([Bicomplex(a, self.h * b) if b else a for a, b in zip(x, v, strict=True)])
        return value.b / self.h if isinstance(value, Bicomplex) else 0j


COMPLEX = Steps(inner=SecondUnit(), outer=FirstUnit(), second=SecondUnit())
