"""Forward mode on arrays: all tasks and all directions at once."""

import numpy as np

__all__ = ["Jet", "jet"]


class Jet:
    """A value (...), and its slopes (..., D)."""

    __array_ufunc__ = None

    def __init__(self, x, dx):
        self.x, self.dx = x, dx

    def __add__(self, o):
        o = jet(o)
        return Jet(self.x + o.x, self.dx + o.dx)

    def __mul__(self, o):
        o = jet(o)
        return Jet(self.x * o.x, self.dx * o.x[..., None] + self.x[..., None] * o.dx)

    def __sub__(self, o):
        return self + (-1.0) * jet(o)

    def __rsub__(self, o):
        return (-1.0) * self + o

    def __truediv__(self, o):
        o = jet(o)
        return self * Jet(1 / o.x, -o.dx / (o.x**2)[..., None])

    def __rtruediv__(self, o):
        return jet(o) / self

    __radd__, __rmul__ = __add__, __mul__

    def sqrt(self):
        """The root; 0 has no slope here."""
        root = np.sqrt(self.x)
        slope = np.where(root > 0, 0.5 / np.where(root > 0, root, 1.0), 0.0)
        return Jet(root, slope[..., None] * self.dx)

    def exp(self):
        """The exponential."""
        return Jet(np.exp(self.x), np.exp(self.x)[..., None] * self.dx)

    def sum(self):
        """Over the last axis, which stays."""
        return Jet(self.x.sum(-1, keepdims=True), self.dx.sum(-2, keepdims=True))

    def linear(self, M, form):
        """einsum of M and self; `form` without the axis of directions."""
        left, right = form.split("->")
        return Jet(np.einsum(form, M, self.x), np.einsum(left + "z->" + right + "z", M, self.dx))

    def reshape(self, *shape):
        """Another shape of the value."""
        return Jet(self.x.reshape(shape), self.dx.reshape(*shape, self.dx.shape[-1]))

    def detach(self):
        """The value alone."""
        return Jet(self.x, 0 * self.dx)


def jet(o):
    """A constant, unless it is a jet already."""
    return o if isinstance(o, Jet) else Jet(np.asarray(o, float), np.zeros(1))
