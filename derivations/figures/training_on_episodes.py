"""Training on episodes alone, beside MAML with exact gradients.  Derivation: derivations/sampled-meta-gradients.md"""

import numpy as np
import style

from refmeta.commands.experiments.two_bandits import learning_curves, trainings

__all__ = ["data", "draw"]

EVERY = 5
COLOURS = {
    "exact MAML": style.DARK, "E-MAML": style.RED, "DiCE": style.GREEN, "ProMP": style.PURPLE, "score term dropped": style.BLUE,
}  # fmt: skip


def data(seeds=range(6), iterations=100):
    """By rule: the return after one sampled step, before training and after every 5 iterations, (seeds, points)."""
    return {name: learning_curves(each, seeds=seeds, iterations=iterations, every=EVERY) for name, each in trainings().items()}


def draw(found):
    """The figure."""
    drawing, axes = style.figure(3.8)
    ends = []
    for name, colour in COLOURS.items():
        curves, mean = found[name], np.mean(found[name], axis=0)
        x = EVERY * np.arange(len(mean))
        axes.fill_between(x, curves.min(axis=0), curves.max(axis=0), color=colour, alpha=0.15, linewidth=0)
        axes.plot(x, mean, color=colour)
        ends.append((name, mean[-1], colour))
    seeds = len(found["E-MAML"])
    axes.set(xlabel="iterations, 20 tasks each", ylabel="mean return after one step on two episodes", xlim=(0, x[-1]))
    axes.set_title(f"Two bandits with three arms: mean and range of {seeds} seeds")
    style.beside(axes, ends)
    return drawing


if __name__ == "__main__":
    print(style.save(draw(data()), __file__))
