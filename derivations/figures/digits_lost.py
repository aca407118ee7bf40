"""Digits of a gradient that are lost as a policy becomes certain.  Derivation: derivations/softmax-policies.md"""

from decimal import Decimal, getcontext
from typing import NamedTuple

import numpy as np
import style

import refmeta as rm
from refmeta.softmax import softmax, softmax_jvp

__all__ = ["Digits", "data", "draw"]

DIGITS = -np.log10(np.finfo(float).eps)  # of a number in double precision


class Digits(NamedTuple):
    """Logit gaps (n,), and by name the digits that each form loses (n,)."""

    gaps: np.ndarray
    lost: dict


def exact(gap):
    """π₀π₁ for the logits (gap, 0), in 60 decimals."""
    getcontext().prec = 60
    tail = 1 / (1 + Decimal(gap).exp())
    return float(tail * (1 - tail))


def forms(gap):
    """∂π₀/∂z₀ = π₀π₁ in four forms; they are equal in exact arithmetic."""
    logits, u = np.array([gap, 0.0]), np.array([1.0, 0.0])
    pi = softmax(logits)
    naive = lambda x: np.exp(x) / np.exp(x).sum()
    single = softmax(logits.astype(np.float32)).astype(np.float32)
    return {
        "π (u − ⟨π, u⟩) in single precision": float(single[0] * (np.float32(1) - single[0])),
        "π (u − ⟨π, u⟩)": (pi * (u - pi @ u))[0],
        "complex step of exp z / Σ exp z": rm.judges.complex_step(naive, logits, u)[0],
        "π times differences: softmax_jvp": softmax_jvp(pi, u)[0],
    }


def data(gaps=None):
    """The digits lost by each form at gaps from 0 to 45: the worst of nine gaps near by."""
    gaps = np.linspace(0, 45, 91) if gaps is None else np.asarray(gaps, float)
    rows = [_lost(np.abs(gap + np.linspace(-0.5, 0.5, 9))) for gap in gaps]
    return Digits(gaps, {name: np.array([row[name] for row in rows]) for name in rows[0]})


def _lost(near):
    """The digits of double precision that each form loses, at the worst of some gaps."""
    errors = [{name: abs(value / exact(gap) - 1) for name, value in forms(gap).items()} for gap in near]
    return {
        name: float(np.clip(DIGITS + np.log10(max(max(e[name] for e in errors), 1e-17)), 0, DIGITS))
        for name in errors[0]
    }


def draw(found):
    """The figure."""
    drawing, axes = style.figure(3.3)
    colours = (style.ORANGE, style.BLUE, style.PURPLE, style.RED)
    for (name, lost), colour, at in zip(found.lost.items(), colours, PLACES, strict=True):
        axes.plot(found.gaps, lost, color=colour)
        style.label(axes, name, at, colour, va="center")
    axes.axhline(DIGITS, color=style.GREY, linewidth=1, linestyle="dotted")
    style.label(axes, "all digits are lost", (1, DIGITS), style.GREY, xytext=(0, -11), textcoords="offset points")
    axes.set(xlabel="gap between the two logits", ylabel="digits lost, of the 15.7 of a double")
    return drawing


PLACES = ((4, 8.5), (21, 8), (21, 6), (21, 1))


if __name__ == "__main__":
    print(style.save(draw(data()), __file__))
