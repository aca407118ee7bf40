"""Reptile's outer step in any arithmetic.  Derivation: derivations/reptile.md"""

from typing import Any

from refmeta.oracle.decimals import Inputs, Steps

__all__ = ["define"]


def define(part: str, x: Inputs, steps: Steps) -> list[Any]:
    """θ + ε mean(φ − θ)."""
    theta, rows, epsilon = x["theta"], x["adapted"], x["epsilon"]
    return [t + epsilon * sum(row[j] - t for row in rows) / len(rows) for j, t in enumerate(theta)]
