"""The gates of a trained Meta-LSTM, step by step, and the loss that they leave.  Derivation: derivations/meta-lstm.md"""

from typing import NamedTuple

import numpy as np
import style

import refmeta as rm

__all__ = ["Gates", "data", "draw"]

STEPS, HIDDEN = 5, 2


class Gates(NamedTuple):
    """The gates of held-out tasks, (K, tasks, 3) each, before and after training; the best step size of gradient descent;
    the mean query losses after 0 to K steps, by name, (K + 1,)."""

    input_before: np.ndarray
    input_after: np.ndarray
    forget_before: np.ndarray
    forget_after: np.ndarray
    alpha: float
    losses: dict


def data(iterations=60, tasks=1000, seed=0):
    """A Meta-LSTM trained on sinusoids with the exact gradient, and gradient descent with its best step size."""
    family = rm.Sinusoids()
    training, held_out = family.sample(tasks, rng=7), family.sample(tasks, rng=99)
    start = rm.meta_lstm.init(3, hidden=HIDDEN, rng=seed)
    rule = rm.MetaLSTM(3, HIDDEN, STEPS)
    flat = rm.meta_train(
        family, start.ravel(), rule=rule, outer=rm.Adam(0.05), iterations=iterations, batch=5, rng=seed
    ).theta
    learned = rm.meta_lstm.unravel(flat, dim=3, hidden=HIDDEN)
    before, after = (rm.meta_lstm.unroll(model, held_out.support, steps=STEPS) for model in (start, learned))
    descent = lambda split, alpha, steps: float(
        np.mean(rm.maml.objective(family.mean_parameters, *split, alpha=alpha, steps=steps))
    )
    alpha = min(np.linspace(0.5, 0.9, 9), key=lambda a: descent(training, a, STEPS))
    losses = {
        "Meta-LSTM": _losses(learned.c0, after, held_out.query),
        "gradient descent": np.array([descent(held_out, alpha, k) for k in range(STEPS + 1)]),
    }
    gates = [_gate(path, name) for name in ("input_gate", "forget_gate") for path in (before, after)]
    return Gates(*gates, float(alpha), losses)


def _gate(path, name):
    """The values of a gate, (K, tasks, 3)."""
    return np.stack([getattr(step, name).value for step in path.steps])


def _losses(start, path, query):
    """The mean loss of the query after each step, the start first."""
    return np.array([np.mean(query.at(theta).loss) for theta in (start, *(step.theta for step in path.steps))])


def draw(found):
    """The figure."""
    drawing, (left, right) = style.figure(3.4, columns=2)
    _draw_gates(left, found)
    _draw_losses(right, found.losses)
    return drawing


def _draw_gates(axes, found):
    """The input gates of the three coordinates, the forget gates, and what both were before training."""
    steps = np.arange(1, STEPS + 1)
    ends = [("forget gates", found.forget_after[-1].mean(), style.DARK)]
    axes.plot(steps, found.forget_after.mean((1, 2)), color=style.DARK, linewidth=1)
    for k, (name, colour) in enumerate((("constant", style.GREEN), ("sine", style.BLUE), ("cosine", style.RED))):
        gate = found.input_after[..., k]
        axes.fill_between(steps, *np.quantile(gate, [0.1, 0.9], axis=1), color=colour, alpha=0.2, linewidth=0)
        axes.plot(steps, gate.mean(1), "o-", color=colour, markersize=3.5)
        ends.append((f"input, {name}", gate[-1].mean(), colour))
    axes.plot(steps, found.input_before.mean((1, 2)), color=style.PURPLE, linewidth=1)
    axes.axhline(found.alpha, color=style.GREY, linewidth=1, linestyle="dashed")
    ends += [
        ("input, untrained", found.input_before[-1].mean(), style.PURPLE),
        (f"best α: {found.alpha:g}", found.alpha, style.GREY),
    ]
    axes.set(title="Gates: mean, and 80 % of 1,000 tasks", xlabel="inner step", xticks=steps, ylim=(-0.03, 1.05))
    style.beside(axes, ends)


def _draw_losses(axes, losses):
    """The mean loss of the query after each step."""
    for loss, colour in zip(losses.values(), (style.RED, style.GREY), strict=True):
        axes.semilogy(loss, "o-", color=colour, markersize=3.5)
    axes.set(title="Mean query loss on 1,000 held-out tasks", xlabel="inner steps done", xticks=range(STEPS + 1))
    colours = (style.RED, style.GREY)
    style.beside(
        axes,
        [(f"{name}:\n{loss[-1]:.4f}", loss[-1], c) for (name, loss), c in zip(losses.items(), colours, strict=True)],
        gap=22,
    )


if __name__ == "__main__":
    print(style.save(draw(data()), __file__))
