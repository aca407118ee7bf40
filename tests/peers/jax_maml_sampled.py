"""The meta-gradient of sampled MAML on batches, in JAX: inner steps by jax.grad, differentiated by jax.grad.

Suite: maml-sampled.
"""

import jax
import numpy as np
from jax_sampled import loss

NAMES = ("reinforce", "likelihood_ratio", "dice", "tmaml", "loaded_dice")
BATCH = ("theta_sampled", "states", "actions", "rewards", "mask", "baseline")


def meta_gradients(theta, alpha, gamma, lam, state_count, action_count, features, frozen=True, held=False, **x):
    """φ and the meta-gradient with every surrogate, task after task."""
    sizes = (state_count, action_count, features)
    alphas = np.broadcast_to(alpha, (x["rewards"].shape[1], len(theta)))

    def surrogate(name, phi, sampled, states, actions, rewards, mask, baseline):
        return loss(name, phi, sampled, (states, actions, mask.astype(bool)), rewards, baseline, gamma, lam, sizes, frozen)

    parts = {}
    for i in range(len(x["rewards"])):
        steps = list(zip(*(x[name][i] for name in BATCH), strict=True))
        own = [x[f"query_{name}"][i] for name in BATCH]
        for name in NAMES:

            def adapted(phi, name=name, steps=steps):
                for step, a in zip(steps, alphas, strict=True):
                    g = jax.grad(lambda p, step=step: surrogate(name, p, *step))(phi)
                    phi = phi - a * (jax.lax.stop_gradient(g) if held else g)
                return phi

            objective = lambda t, name=name, own=own, adapted=adapted: surrogate(name, adapted(t), *own)
            parts.setdefault(f"{name}_adapted", []).append(adapted(theta))
            parts.setdefault(f"{name}_objective", []).append(objective(theta))
            gradient = jax.grad(objective)(theta)
            parts.setdefault(f"{name}_gradient", []).append(gradient)
    return {name: np.stack(rows) for name, rows in parts.items()}


def meta_gradients_following(**inputs):
    """The magic box as it is printed: exp(log p − stop_gradient(log p))."""
    return meta_gradients(**inputs, frozen=False)


def meta_gradients_detached(**inputs):
    """The inner gradients held constant."""
    return meta_gradients(**inputs, held=True)
