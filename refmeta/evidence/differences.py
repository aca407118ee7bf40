"""Evidence for differences that are extrapolated: derivatives by hand, and noise that is planted."""

import math

import numpy as np
from numpy.random import Generator

from refmeta.arrays import Array
from refmeta.evidence.checks import Check
from refmeta.numerics.differences import noise_of
from refmeta.numerics.losses import loss_gradient, loss_hvp

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
    """Against the sixth differences by their binomials, to eight digits; and against the planted size, within a half."""
    errors, size = case
    draws = iter((size * errors).ravel())
    noise = np.array([noise_of(lambda t: np.array([next(draws)]), np.zeros(1), 1e-4).noise[0] for _ in errors])
    sixth = [[math.fsum(math.comb(6, j) * (-1) ** j * row[i + j] for j in range(7)) for i in range(3)] for row in size * errors]
    exact = np.sqrt(np.mean(np.square(sixth), axis=1) / math.comb(12, 6))
    planted = np.abs(np.sqrt(np.mean(np.square(noise))) / size - 1)
    return float(np.max([2 * planted, np.max(np.abs(noise / exact - 1)) / 1e-8]))


CHECKS = (
    Check("richardson-difference", "T(k,j−1) + (T(k,j−1) − T(k−1,j−1)) / (12ʲ − 1)", "derivatives by hand, its bound",
          random_smooth, _gradient_error),
    Check("richardson-mixed-difference", "(F(h,h) + F(−h,−h) − F(h,−h) − F(−h,h)) / 4h²", "derivatives by hand, its bound",
          random_smooth, _product_error),
    Check("sixth-difference-noise", "E(Δ⁶F)² = 924 σ²", "noise that is planted, binomials",
          lambda rng: (rng.normal(size=(40, 9)), float(10.0 ** rng.uniform(-12, -2))), _noise_error),
)  # fmt: skip
