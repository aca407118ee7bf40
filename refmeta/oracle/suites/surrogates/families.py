"""Choices of implementations of surrogates with a number in them.  Derivation: derivations/sampled-meta-gradients.md"""

from collections.abc import Callable
from typing import Any

__all__ = ["FAMILIES"]

FAMILIES: dict[str, tuple[str, Callable[[float], Any]]] = {
    "GAE with {}": ("return", lambda c: ("gae of", c)),
    "to go with a discount of {}": ("return", lambda c: ("of", c)),
    "a discount of {}": ("discount", lambda c: ("of", c)),
    "plus {}": ("baseline", lambda c: ("plus", c)),
    "times {}": ("baseline", lambda c: ("times", c)),
    "a moving average over the tasks before, kept with {}": ("baseline", lambda c: ("running", c)),
    "as given, and a moving average over the tasks before, kept with {}": ("baseline", lambda c: ("plus running", c)),
    "clipped at ±{}": ("rewards", lambda c: ("clipped", abs(c))),
    "more by {}": ("rewards", lambda c: ("plus", c)),
    "normalised (ddof 0), epsilon {}": ("advantages", lambda c: ("normalised 0", "task", c)),
    "normalised (ddof 1), epsilon {}": ("advantages", lambda c: ("normalised 1", "task", c)),
    "normalised (ddof 0) with {} inside the root": ("advantages", lambda c: ("normalised 0, inside", "task", c)),
    "normalised (ddof 0) over all tasks, epsilon {}": ("advantages", lambda c: ("normalised 0", "all tasks", c)),
    "more by a constant, {}": ("advantages", lambda c: ("plus", "task", c)),
    "limited to ±{}": ("advantages", lambda c: ("clipped", "task", abs(c))),
    "exp of them divided by {}": ("advantages", lambda c: ("exponential", "task", c)),
    "clipped at 1 ± {}, the smaller one": ("ratio", lambda c: ("clip", abs(c))),
    "clipped at 1 ± {}, the larger one": ("ratio", lambda c: ("larger", abs(c))),
    "clamped to 1 ± {}": ("ratio", lambda c: ("clamp", abs(c))),
    "at most {}": ("ratio", lambda c: ("below", c)),
    "to the power of {}": ("ratio", lambda c: ("power", c)),
    "x clamped to ±{}": ("log ratio", lambda c: ("clamped", abs(c))),
    "x times {}": ("log ratio", lambda c: ("times", c)),
    "a temperature of {}": ("log pi", lambda c: ("temperature", c)),
    "mixed with {} of the even policy": ("log pi", lambda c: ("mixed", c)),
    "{} instead of lam": ("lam", lambda c: ("of", c)),
    "by forward differences with {}": ("product", lambda c: ("forward", c)),
    "by central differences with {}": ("product", lambda c: ("central", c)),
    "the norm clipped at {}": ("after differentiation", lambda c: ("norm", abs(c), 0.0)),
    "the norm clipped at {} (+ 1e-6)": ("after differentiation", lambda c: ("norm", abs(c), 1e-6)),
    "the norm over all tasks clipped at {}": ("after differentiation", lambda c: ("norm of all", abs(c))),
    "the norm over all tasks clipped at {} (+ 1e-6)": ("after differentiation", lambda c: ("norm of all", abs(c), 1e-6)),
    "the entries clipped at ±{}": ("after differentiation", lambda c: ("entries", abs(c))),
    "divided by its norm and {}": ("after differentiation", lambda c: ("unit", c)),
    "by the inverse of Fisher's matrix + {}": ("after differentiation", lambda c: ("natural", c)),
}
