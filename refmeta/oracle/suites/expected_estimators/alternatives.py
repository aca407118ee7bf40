"""The choices of implementations of sampled meta-gradients: of each the right alternative first.  Derivation: derivations/sampled-meta-gradients.md"""

from typing import Any

from refmeta.oracle.choices import Choices
from refmeta.oracle.suites.expected_estimators.hessians import FACTORS
from refmeta.oracle.suites.expected_estimators.ways import OF_SURROGATES
from refmeta.oracle.suites.surrogates.alternatives import CHOICES as SURROGATES
from refmeta.oracle.suites.surrogates.sums import HELD

__all__ = ["CHOICES"]

BASELINES = ("mean of each step", "mean", "leave one out", "leave one out of all", "mean of each trajectory", "leave one out of the trajectory", "median",
             "largest", "first trajectory's return", "mean of first steps")  # fmt: skip
LEFT_OUT = {
    "discount": ("on the return", "running over steps", "to the end"),
    "over time": ("steps taken", "own steps", "all steps taken", "root of the steps", "steps left"),
    "over trajectories": ("living", "not ended"),
    "rewards": ("normalised 0", "normalised 1", "scaled 0", "scaled 1", "centred", "first task's", "last", "without the last", "over H"),
    "return": ("from the start", "one step", "two steps", "gae", "gae ends", "td ends", "gae bare", ("gae of", 0.95), "bootstrapped", "bootstrapped at H",
               "bootstrapped instead", "through ends, steps", "mean to go", "over steps left"),
    "sums": ("fading around", *HELD),
    "trajectories used": tuple((name, used) for name in ("but the first", "the last", "the first half", "every second") for used in (0, 1)),
    "advantages": (),
}  # fmt: skip
STATISTICS = ("task", "trajectory", "each step")


def _kept(name: str, value: Any) -> bool:
    """Is an alternative of a surrogate one without a baseline, on a batch of one task whose trajectories do not end?"""
    if name == "baseline":
        return value in ("given", *BASELINES)
    if str(value).endswith("everywhere") or value in LEFT_OUT.get(name, ()):
        return False
    return name != "advantages" or len(value) == 1 or value[1] in STATISTICS and not value[0].startswith("return")


ENDS = {"as given": "own", "even": "even", "even where it is possible": "even where rho is", "always the first state": "the first state",
        "always the last state": "the last state", "always the likeliest state": "the likeliest state", "in the other order": "reversed"}  # fmt: skip
CHOICES: Choices = {
    "curvature": {
        "of every step": "kept", "left out (first order)": "none", "of the first step only": "first", "of the last step only": "last",
        "of all but the first step": "but the first", "of all but the last step": "but the last",
    },
    "score term": {
        "kept": "kept", "dropped": "dropped", "alpha times": "alpha", "divided by M": "over M", "divided by M H": "over M H", "divided by H": "over H",
        "of the first step only": "first", "of the last step only": "last", "of all but the first step": "but the first", "with the other sign": "negative",
        "twice": "twice", "half": ("times", 0.5), "divided by K": "over K",
    },
    "value of the score term": {
        "the loss after adaptation": "after", "minus the batch's own return": "batch", "minus the sum of the batch's returns": "batch sum",
        "the undiscounted loss after adaptation": "undiscounted", "minus the mean reward of a step after adaptation": "mean reward",
    },
    "surrogate": {
        "its own": "own", "REINFORCE's (naive)": "reinforce", "the likelihood ratio's": "likelihood_ratio", "DiCE's": "dice",
    },
    "later trajectories": {
        "drawn anew": "fresh", "those of the first step, no ratio": "reused", "all so far, pooled, no ratio": "pooled",
    },
    "drawn at": {"the parameters of the step": "phi", "theta, at every step": "theta"},
    "batches": {
        "in every order": "all", "those that differ in their order counted once": "orders once", "of different trajectories": "distinct",
        "of different trajectories, counted once for all orders": "distinct once", "of M times the same trajectory": "alike",
        "weighted by the first trajectory's transitions": "first's chance",
    },
    "start of trajectories": ENDS, "start after adaptation": ENDS,
    "credited rewards": {"those that came": "came", "E[r | s, a]": "mean", "the mean over the next states": "unweighted", "the largest over the next states": "largest", "the mean over the actions": "of the policy"},
    **{name: {words: value for words, value in SURROGATES[name].items() if _kept(name, value)} for name in OF_SURROGATES if name not in ("baseline", "discount")},
    "discount": {words: value for words, value in SURROGATES["discount"].items() if _kept("discount", value)} | {
        "the first step alone": "first step", "the last step alone": "last step",
    },
    "baseline": {"none": "given"} | {words: value for words, value in SURROGATES["baseline"].items() if value in BASELINES} | {
        "the exact value at theta": "exact V", "the exact value at theta of the first step": "exact start", "the exact action value at theta": "exact Q",
        "the exact mean of the reward to go of the step": "exact mean",
    },
    "steps": {"K": "K", "K + 1": "K + 1", "K - 1": "K - 1", "1": "1"},
    "alpha": {
        "alpha": "alpha", "alpha^2": "squared", "-alpha": "negative", "alpha/2": "half", "2 alpha": "double", "alpha/M": "over M", "alpha/K": "over K",
        "alpha K": "times K", "alpha/(k+1)": ("power", 1.0), "alpha/root(k+1)": ("power", 0.5), "alpha/(k+1)^2": ("power", 2.0), "alpha 0.9^k": ("decay", 0.9),
        "alpha 0.99^k": ("decay", 0.99), "alpha^(k+1)": "power of itself", "alpha (k+1)": "rising",
        "the root of alpha": "root",
    },
    "alpha of the curvature": {"alpha": "alpha", "1": "one", "alpha^2": "squared", "-alpha": "negative", "alpha/2": ("times", 0.5), "2 alpha": ("times", 2.0)},
    "inner update": {
        "the gradient": "own", **{f"momentum {c}": ("momentum", c) for c in (0.9, 0.5)}, **{f"Nesterov's momentum {c}": ("nesterov", c) for c in (0.9, 0.5)},
        **{f"a moving average, {c} of the past and the rest of the gradient": ("moving average", c) for c in (0.9, 0.5)},
        "a moving average that starts with the gradient, 0.9 of the past": ("moving average from g", 0.9),
        "the sum of the gradients so far": "summed", "the mean of the gradients so far": "averaged", "divided by its norm": ("unit", 0.0), "divided by its norm + 1e-8": ("unit", 1e-8),
        **{f"the norm clipped at {c}{words}": (kind, c, e) for c in (0.1, 0.25, 0.5, 1.0) for words, kind, e in (("", "norm", 0.0), (" (+ 1e-6)", "norm", 1e-6), (", the factor held", "norm held", 0.0))},
        **{f"the entries clipped at ± {c}": ("entries", c) for c in (0.1, 0.25, 0.5)}, "its signs": "signs", "tanh": "tanh", "divided by its largest entry": "largest",
        "divided by pi, entry by entry (mirror descent)": "divided by pi", "times pi, entry by entry": "times pi",
        **{f"Adam's with {b1}, {b2}, {e:g}": ("adam", b1, b2, e) for b1, b2, e in ((0.9, 0.999, 1e-8), (0.0, 0.999, 1e-8), (0.9, 0.99, 1e-8), (0.9, 0.999, 1e-5))},
        **{f"RMSprop's with {b}, {e:g}": ("rmsprop", b, e) for b, e in ((0.99, 1e-8), (0.9, 1e-8))}, "Adagrad's with 1e-10": ("adagrad", 1e-10),
        **{f"with a weight decay of {c}": ("decay", c) for c in (0.1, 0.01)}, **{f"with {c} times the distance from theta": ("decay to theta", c) for c in (1.0, 0.5, 0.1)},
        **{f"less {c} times the entropy's, {words}": (kind, c) for c in (0.1, 0.01) for words, kind in (("a mean over the states", "entropy"), ("a sum over the states", "entropy, summed"))},
    },
    "inner gradient at": {"the parameters of the step": "phi", "theta, at every step": "theta"},
    "inner loss": {
        "discounted": "discounted", "undiscounted": "undiscounted", "with gamma^2": "squared", "one step less": "one step less", "one step more": "one step more",
        "of the first reward": "first reward",
    },
    "episodes": {"M": "M", "1": "one"},
    "evaluated at": {
        "phi": "phi", "theta": "theta", "the mean of all parameters on the way": "mean of all",
        "the mean over the batches of the adapted parameters": "mean of the batches", "half the way": ("between", 0.5), "twice the way": ("between", 2.0),
    },
    "judged": {
        "after the last step": "last", "the sum over all parameters on the way": "all", "the mean over all parameters on the way": "mean of all",
        "the sum after every step": "all adapted", "the mean after every step": "mean of the adapted", "before and after, the sum": "first and last",
        "before and after, the mean": "half of the first", "after less before": "improvement",
    },
    "loss": {
        "discounted": "discounted", "undiscounted": "undiscounted", "with gamma^2": "squared", "one step less": "one step less", "one step more": "one step more",
        "of the first reward": "first reward",
    },
    "product": {name: value for name, value in SURROGATES["product"].items() if value in ("exact", "outer", "inner", "fisher", "scores", "difference", "outer twice")} | {
        f"the exact product rule, {name}": name for name in FACTORS
    },
    "over tasks": SURROGATES["over tasks"],
    "sign": SURROGATES["sign"],
}  # fmt: skip
