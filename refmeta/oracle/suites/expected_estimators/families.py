"""Choices of implementations of sampled meta-gradients with a number in them.  Derivation: derivations/sampled-meta-gradients.md"""

from collections.abc import Callable
from typing import Any

__all__ = ["FAMILIES"]

FAMILIES: dict[str, tuple[str, Callable[[float], Any]]] = {
    "alpha {}^k": ("alpha", lambda c: ("decay", c)),
    "alpha/(k+1)^{}": ("alpha", lambda c: ("power", c)),
    "alpha times {} in the derivative": ("alpha of the curvature", lambda c: ("times", c)),
    "the score term times {}": ("score term", lambda c: ("times", c)),
    "momentum {}": ("inner update", lambda c: ("momentum", c)),
    "Nesterov's momentum {}": ("inner update", lambda c: ("nesterov", c)),
    "a moving average, {} of the past and the rest of the gradient": ("inner update", lambda c: ("moving average", c)),
    "a moving average that starts with the gradient, {} of the past": ("inner update", lambda c: ("moving average from g", c)),
    "the norm clipped at {}": ("inner update", lambda c: ("norm", abs(c))),
    "the norm clipped at {} (+ 1e-6)": ("inner update", lambda c: ("norm", abs(c), 1e-6)),
    "the norm clipped at {}, the factor held": ("inner update", lambda c: ("norm held", abs(c))),
    "the entries clipped at ±{}": ("inner update", lambda c: ("entries", abs(c))),
    "divided by its norm and {}": ("inner update", lambda c: ("unit", c)),
    "with a weight decay of {}": ("inner update", lambda c: ("decay", c)),
    "with {} times the distance from theta": ("inner update", lambda c: ("decay to theta", c)),
    "less {} times the entropy's, a mean over the states": ("inner update", lambda c: ("entropy", c)),
    "less {} times the entropy's, a sum over the states": ("inner update", lambda c: ("entropy, summed", c)),
    "divided by the root of the squares and {}": ("inner update", lambda c: ("softened", abs(c))),
    "{} of the way": ("evaluated at", lambda c: ("between", c)),
    "to go with a discount of {}": ("return", lambda c: ("of", c)),
    "a discount of {}": ("discount", lambda c: ("of", c)),
    "rewards clipped at ±{}": ("rewards", lambda c: ("clipped", abs(c))),
    "rewards more by {}": ("rewards", lambda c: ("plus", c)),
    "advantages normalised (ddof 0), epsilon {}": ("advantages", lambda c: ("normalised 0", "task", c)),
    "advantages normalised (ddof 1), epsilon {}": ("advantages", lambda c: ("normalised 1", "task", c)),
    "advantages more by a constant, {}": ("advantages", lambda c: ("plus", "task", c)),
    "advantages limited to ±{}": ("advantages", lambda c: ("clipped", "task", abs(c))),
}
