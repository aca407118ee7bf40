"""The choices of implementations of surrogates: of each the right alternative first.  Derivation: derivations/sampled-meta-gradients.md"""

from typing import Any

from refmeta.oracle.choices import Choices
from refmeta.oracle.suites.surrogates.definition import SUMMANDS
from refmeta.oracle.suites.surrogates.kl_alternatives import KL_CHOICES
from refmeta.oracle.suites.surrogates.penalties import OF_POLICIES
from refmeta.oracle.suites.surrogates.sums import FADING
from refmeta.oracle.suites.surrogates.weighing import WEIGHING

__all__ = ["CHOICES"]

SUMS: dict[str, Any] = {
    "ratio of each step alone": "alone", "ratios up to the step": "each to t", "ratios before the step": "before t",
    "ratios from the step on": "from t on", "ratios after the step": "after t", "ratios of the whole trajectory": "all steps",
    "ratios of all other steps": "others", "ratio of the first step": "first step", "ratio of the step before": "step before",
    "ratio of the next step": "step after", "ratios of the step and the one before": "two steps", "ratios up to the step, that of the step twice": "each and t",
    "ratio of the step, squared": "twice", "logarithms up to the step, divided by M": "over M", "logarithms up to the step, divided by H": "over H",
    "logarithms up to the step, each fading by 1/M": "fading", "logarithms up to the step, each fading by 1/M, from the batch's last step on": "fading around",
    "mean of the logarithms up to the step": "mean to t", "mean of the logarithms of the whole trajectory": "mean of all",
    "logarithms up to the step, past the ends of trajectories": "over ends",
    "ratio of the step, those before it held": "before held", "ratio of the step, those after it held": "later held",
    "ratio of the step, all others held": "others held", "ratios before the step, its own held": "now held", "ratio of the step, and once more, held": "own held",
    "all held": "all held",
}  # fmt: skip
EVERYWHERE = ("from t on", "after t", "all steps", "over M", "over H", "mean to t", "over ends", "fading")
CHOICES: Choices = {
    "curvature": {"its own": "own"} | {
        words: name for name, words in zip(
            SUMMANDS, ("REINFORCE's (naive)", "the likelihood ratio's", "DiCE's", "T-MAML's", "Loaded DiCE's"), strict=True
        )
    },
    **WEIGHING,
    "control": {
        "its own": "own", "DiCE's": "dice", "T-MAML's second term alone": "second alone", "T-MAML's second term with the other sign": "second added",
        "T-MAML's with the present ratio in its past": "present included", "b (1 − ☐ up to t)": "up to t", "b (1 − ☐ before t)": "before",
        "without its 1": "without 1", "b (1 − ☐ of the whole trajectory)": "all", "b (1 − ☐ from t on)": "later",
        "held": "held", "half": "half", "twice": "twice", "b (1 − 1/ratio)": "inverse", "T-MAML's with the other sign": "tmaml reversed",
    },
    "sums": {"its own": "own"} | SUMS | {
        f"{words}; in the control variate, too": f"{value}, everywhere" for words, value in SUMS.items() if value in EVERYWHERE
    },
    "fading": {"exp of the sum less exp of the sum before times lam": "own"} | dict(zip((
        "subtracts the sum before without lam", "subtracts nothing", "subtracts 1", "lam^(t − k + 1), the present step has the weight lam",
        "lam^(t − k + 1), and subtracts x", "lam^k instead of lam^(t − k)", "over later steps", "not reset at the ends of trajectories",
        "times 1 − lam", "the whole sum less the faded past", "a moving average", "subtracts the sum before, faded twice",
    ), FADING, strict=True)),
    "ratio": {
        "exp": ("exp",), "its logarithm in the magic box, not in the baseline": ("linear box",),
        **{f"clipped at 1 ± {c}, the smaller one": ("clip", c) for c in (0.1, 0.2, 0.3)},
        **{f"clamped to 1 ± {c}": ("clamp", c) for c in (0.1, 0.2, 0.3)}, "clipped at 1 ± 0.2, the larger one": ("larger", 0.2),
        "at most 1": ("below", 1.0), "squared": ("power", 2.0), "its root": ("power", 0.5), "less 1": ("less 1",),
        "1 + x": ("first order",), "1 + x + x²/2": ("second order",), "its slope held": ("held slope",),
    },
    "log ratio": {
        "as it is": "own", **{f"clamped to ± {c}": ("clamped", c) for c in (0.1, 0.2, 0.5)}, "at most 0": ("clamped above", 0.0),
        "half": ("times", 0.5), "twice": ("times", 2.0), "base 2": ("times", 1.4426950408889634), "base 10": ("times", 0.4342944819032518),
        "less its mean": "centred", "ratios divided by their mean over the trajectories at each step": "padded",
        "ratios divided by their mean over the trajectories that still run": "each step", "ratios divided by their mean over the task's batch": "task",
        "ratios divided by their mean over the trajectory": "trajectory",
    },
    "denominators": {
        "held at theta_sampled": "held", "replaced by theta, detached": "follow", "left out": "left out", "left out, and the constant of a Gaussian, too": "left out with the constant", "upside down": "upside down", "the even policy": "even",
    },
    "evaluated at": {"theta": "theta", "theta_sampled": "theta_sampled", "theta_sampled, the denominators at theta": "exchanged"},
    "log pi": {
        "as it is": "own", "mean over the coordinates": "mean", "squares as a mean over the coordinates": "mean of squares",
        "log sigma as a mean over the coordinates": "log sigma once", "log sigma of the first coordinate alone": "log sigma of the first", "log sigma read as log variance": "log variance", "sigma by softplus": "softplus",
        "log sigma read as sigma": "sigma itself", "log sigma read as the logarithm of 1/sigma": "log precision",
        "log sigma read as the logarithm of the precision": "log precision root", "sigma = 1": "sigma 1",
        "without -log sigma": "no log sigma", "with + log sigma": "plus log sigma", "without the 1/2 of the square": "whole square",
        "the square divided by sigma": "sigma once", "the square not divided by sigma": "no sigma", "-log sigma twice": "log variance whole",
        "sigma held": "sigma held", "the gain held": "gain held",
        "softmax over states": "over states", "softmax over states, of tables alone": "over states, tables",
        "softmax over all states and actions": "over all", "the logits themselves": "logits", "log sigmoid": "sigmoid", "softmax of the softmax": "twice",
        "pi itself": "probability", "temperature 2": ("temperature", 2.0), "temperature 1/2": ("temperature", 0.5),
        "mixed with 0.1 of the even policy": ("mixed", 0.1), "mixed with 0.01 of the even policy": ("mixed", 0.01),
    },
    "a step is read with": {
        "its state and action": "own", "the next state": "next state", "the state before": "state before", "the next action": "next action",
        "the action before": "action before", "actions in the other order": "actions reversed", "states in the other order": "states reversed",
        "actions one further": "actions one further", "states one further": "states one further", "the first state": "first state",
        "states and actions of the first trajectory": "first trajectory", "states and actions of the first task": "first task",
    },
    "lam": {
        "lam": "lam", "1 - lam": "1 - lam", "1": "1", "0": "0", "lam^2": "squared", "gamma lam": "gamma lam", "gamma": "gamma", "the root of lam": "root",
    },
    "order of theta": {"state by state": "own", "action by action, (A, S)": "(A, S)", "log sigma first": "sigma first", "the last first": "reversed"},
    "product": {
        "of the Hessian": "exact", "outer products only (Gauss-Newton)": "outer", "second derivatives of log pi only": "inner",
        "of Fisher's matrix": "fisher", "gradient times its product with v": "gradients", "outer products of the scores, weighted": "scores",
        "outer products of the scores, by absolute weights": "absolute scores", "second derivatives less outer products": "difference",
        "outer products twice": "outer twice", "v divided by its norm": "unit", "the gradient": "gradient", "the gradient times v, entry by entry": "gradient times v",
        **{f"by {kind} differences with {h:g}": (kind, h) for kind in ("forward", "central") for h in (1e-2, 1e-3, 1e-4)},
    },
    "after differentiation": {
        "as it is": "own",
        **{f"norm clipped at {c}{words}": ("norm", c, e) for c in (0.1, 0.5, 1.0) for words, e in (("", 0.0), (" (+ 1e-6)", 1e-6))},
        "norm over all tasks clipped at 0.5 (+ 1e-6)": ("norm of all", 0.5, 1e-6), "norm over all tasks clipped at 1": ("norm of all", 1.0),
        "norm over all tasks clipped at 1 (+ 1e-6)": ("norm of all", 1.0, 1e-6),
        **{f"entries clipped at ± {c}": ("entries", c) for c in (0.1, 0.5, 1.0)}, "divided by its norm": ("unit", 0.0), **{f"divided by its norm (+ {e:g})": ("unit", e) for e in (1e-12, 1e-8, 1e-6)},
        "divided by the norm over all tasks": ("unit of all", 0.0), "its signs": "signs", "divided by its largest entry": "largest",
        "each entry divided by its magnitude + 1e-8 (Adam's first step)": ("adam", 1e-8), "less the mean over its entries": "centred",
        "less the mean over the tasks": "less the mean", "its magnitudes": "magnitude", "in the other order": "reversed",
        "by the inverse of Fisher's matrix + 0.001": ("natural", 1e-3), "by the inverse of Fisher's matrix + 0.1": ("natural", 0.1),
    },
    "penalty": {"none": ("", "", 0.0)} | {
        f"{c:+g} times the {name} ({over})": (name, over, c)
        for name, c in (
            (OF_POLICIES[0], -0.01), (OF_POLICIES[0], -0.1), ("log ratios", 0.1), ("log ratios", -0.1), (OF_POLICIES[1], 0.1), (OF_POLICIES[1], 0.01)
        )
        for over in ("sum over time", "discounted sum over time", "mean over the steps taken")
    },
    "sign": {"of the loss": "of the loss", "of the return": "of the return"},
    **KL_CHOICES,
}  # fmt: skip
