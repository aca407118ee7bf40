"""Evidence for differences that are extrapolated: derivatives by hand, and noise that is planted."""

import numpy as np
from numpy.random import Generator

from refmeta.arrays import Array
from refmeta.differences import noise_of
from refmeta.evidence.checks import Check
from refmeta.numeric_loss import loss_gradient, loss_hvp

__all__ = ["CHECKS", "random_smooth"]

Smooth = tuple[Array, Array, Array]


def random_smooth(rng: Generator) -> Smooth:
    """W (4, 3), a point and a direction, for f(x) = Σ sin(Wx) + e^{mean Wx}."""
    return rng.normal(size=(4, 3)), rng.normal(size=3), rng.normal(size=3)


def _value(W: Array, x: Array) -> float:
    """Σ sin(Wx) + e^{mean Wx}."""
    return float(np.sum(np.sin(W @ x)) + np.exp(np.mean(W @ x)))


def _gradient_error(case: Smooth) -> float:
    """Errors of the gradient, in bounds."""
    W, x, _ = case
    found = loss_gradient(lambda z: _value(W, z), x)
    exact = W.T @ np.cos(W @ x) + np.exp(np.mean(W @ x)) * np.mean(W, axis=0)
    return float(np.max(np.abs(found.derivative - exact) / found.error))


def _product_error(case: Smooth) -> float:
    """Errors of the Hessian product, in bounds."""
    W, x, v = case
    found, mean = loss_hvp(lambda z: _value(W, z), x, v), np.mean(W, axis=0)
    exact = -W.T @ (np.sin(W @ x) * (W @ v)) + np.exp(np.mean(W @ x)) * mean * (mean @ v)
    return float(np.max(np.abs(found.derivative - exact) / found.error))


def _noise_error(case: tuple[Array, float]) -> float:
    """The root mean square of the noise at 40 places against what was planted, in halves of it."""
    errors, size = case
    draws = iter(size * errors)
    found = [noise_of(lambda t: np.array([np.cos(t) + next(draws)]), np.array([t]), 1e-4).noise[0] for t in np.linspace(0, 1, 40)]
    return float(2 * np.abs(np.sqrt(np.mean(np.square(found))) / size - 1))


CHECKS = (
    Check("richardson-difference", "T(k,j−1) + (T(k,j−1) − T(k−1,j−1)) / (12ʲ − 1)", "derivatives by hand, its bound",
          random_smooth, _gradient_error),
    Check("richardson-mixed-difference", "(F(h,h) + F(−h,−h) − F(h,−h) − F(−h,h)) / 4h²", "derivatives by hand, its bound",
          random_smooth, _product_error),
    Check("sixth-difference-noise", "E(Δ⁶F)² = 924 σ²", "noise that is planted",
          lambda rng: (rng.normal(size=360), float(10.0 ** rng.uniform(-12, -2))), _noise_error),
)  # fmt: skip
