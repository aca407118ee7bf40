"""`make bench`: every gradient of a training step of PEARL as tasks, transitions and features grow, beside PyTorch's.

PyTorch, where it is installed, backs the summed losses of `tests/peers/torch_pearl.py` up once for all tasks.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

import refmeta as rm
from refmeta.sampling.transitions import Transitions

ACTIONS, LATENT = 4, 5
GIVEN = {"gamma": 0.95, "beta": 0.01, "target_entropy": 0.5}


def transitions(rng, tasks, n, states):
    """Generic ones, nine of ten there."""
    shape = (tasks, n)
    mask = rng.random(shape) < 0.9
    mask[:, 0] = True
    ids = (rng.integers(0, size, shape) for size in (states, ACTIONS, states))
    s, a, following = ids
    return Transitions(s, a, rng.normal(size=shape), following, rng.random(shape) < 0.1, mask)


def problem(tasks, n, states):
    rng = np.random.default_rng(0)
    agent = rm.pearl.init(states, ACTIONS, latent=LATENT, rng=rng)
    context, batch = transitions(rng, tasks, n // 2, states), transitions(rng, tasks, n, states)
    return agent, context, batch, rng.normal(size=(tasks, LATENT))


def ours(agent, context, batch, noise):
    settings = rm.pearl.Settings(**GIVEN)

    def step():
        seen = rm.pearl.context_of(context, agent.states, agent.actions)
        return rm.pearl.gradient(agent, seen, batch, noise, settings)

    return step


def theirs(agent, context, batch, noise):
    """The same in PyTorch, or None where it is not installed."""
    try:
        import torch
    except ImportError:
        return None
    sys.path.insert(0, str(Path(__file__).parents[1] / "peers"))
    import torch_pearl

    torch.set_num_threads(1)
    as_given = lambda x: torch.as_tensor(np.array(x))
    encoder = [as_given(w).requires_grad_() for w in agent.encoder]
    leaves = [as_given(w).requires_grad_() for w in (agent.critic, agent.policy, agent.log_temperature)]
    seen, met = ([as_given(x) for x in (t.states, t.actions, t.rewards, t.following)] for t in (context, batch))
    rest = [as_given(x) for x in (context.mask, batch.terminal, batch.mask.astype(float))]
    target, drawn = as_given(agent.target_critic), as_given(noise)

    def step():
        psi = torch_pearl.features(*seen, agent.states, agent.actions)
        losses, of_encoder = torch_pearl.losses(
            encoder, leaves[0], target, leaves[1], leaves[2], drawn, psi, rest[0], met, rest[1], rest[2], prior_factors=1, **GIVEN
        )  # fmt: skip
        total = of_encoder.sum() + sum(losses[name].sum() for name in ("critic_loss", "actor_loss", "temperature_loss"))
        return torch.autograd.grad(total, [*encoder, *leaves])

    return step


def best_of(functions, seconds):
    """The best time of each, the functions taking turns; after one call each."""
    for function in functions:
        function()
    best, stop = [np.inf] * len(functions), time.perf_counter() + seconds
    while time.perf_counter() < stop:
        for i, function in enumerate(functions):
            start = time.perf_counter()
            function()
            best[i] = min(best[i], time.perf_counter() - start)
    return best


def growth(seconds):
    print(f"PEARL, all gradients of a training step, {ACTIONS} actions, {LATENT} latent variables: milliseconds\n")
    print(f"{'tasks':>6}{'transitions':>13}{'states':>8}{'refmeta':>10}{'':>8}{'PyTorch':>12}{'of refmeta':>12}")
    sizes, first = [(12, 128, 25), (24, 128, 25), (48, 128, 25), (12, 256, 25), (12, 512, 25), (12, 128, 100)], None
    for tasks, n, states in sizes:
        arguments = problem(tasks, n, states)
        functions = [f for f in (ours(*arguments), theirs(*arguments)) if f]
        times = best_of(functions, seconds / len(sizes))
        first = first or times[0]
        beside = f"{times[1] * 1e3:12.2f}{times[1] / times[0]:11.2f}x" if len(times) > 1 else f"{'not installed':>24}"
        print(f"{tasks:6}{n:13}{states:8}{times[0] * 1e3:10.2f}{times[0] / first:7.2f}x{beside}")
    print()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0, help="seconds for the table")
    growth(parser.parse_args().seconds)
