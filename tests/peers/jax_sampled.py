"""Surrogates on a batch, and both objectives of sampled MAML, in JAX: the definitions, differentiated by jax.grad.

Suites: surrogates, expected-estimators.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)


def log_probabilities(theta, states, actions, mask, state_count, action_count, features):
    """log π(a|s) of every step, (M, H), 0 after the end; softmax, or Gaussian up to its constant."""
    if states.ndim == 3:
        n, m = state_count, action_count
        K, log_deviation = theta[: m * n].reshape(m, n), theta[m * n :]
        z = (actions - states @ K.T) * jnp.exp(-log_deviation)
        each = -jnp.sum(z**2 / 2 + log_deviation, axis=-1)
    else:
        logits = theta.reshape(state_count, action_count) if features is None else features @ theta
        each = jax.nn.log_softmax(logits)[jnp.where(mask, states, 0), jnp.where(mask, actions, 0)]
    return jnp.where(mask, each, 0.0)


def discounted(x, factor):
    """Σ_{k≥t} factorᵏ⁻ᵗ x_k."""
    total, out = 0.0, []
    for t in reversed(range(x.shape[-1])):
        total = x[..., t] + factor * total
        out.insert(0, total)
    return jnp.stack(out, axis=-1)


def loss(name, theta, theta_sampled, batch, rewards, baseline, gamma, lam, sizes, frozen=True):
    states, actions, mask = batch
    denominator = theta_sampled if frozen else jax.lax.stop_gradient(theta)
    x = log_probabilities(theta, *batch, *sizes) - log_probabilities(denominator, *batch, *sizes)
    weight = gamma ** jnp.arange(mask.shape[1]) * mask
    advantage = discounted(rewards * mask, gamma) - baseline
    now, upto = jnp.exp(x), jnp.exp(jnp.cumsum(x, axis=1))
    before = upto / now
    fading = discounted(x[:, ::-1], lam)[:, ::-1]
    each = {
        "reinforce": advantage * x,
        "likelihood_ratio": advantage * now,
        "dice": rewards * upto + baseline * (1 - now),
        "tmaml": rewards * upto + baseline * ((1 - now) - (1 - before) * (1 - now)),
        "loaded_dice": advantage * (jnp.exp(fading) - jnp.exp(fading - x)),
    }[name]
    return -jnp.mean(jnp.sum(jnp.where(mask, weight * each, 0.0), axis=1))


def penalty(k, theta, theta_sampled, batch, gamma, sizes, frozen=True, ratio=True):
    """γᵗ k(l) times the ratio; the reference policy has half the parameters that drew the batch."""
    mask, here = batch[2], log_probabilities(theta, *batch, *sizes)
    y = here - log_probabilities(theta_sampled / 2, *batch, *sizes)
    denominator = log_probabilities(theta_sampled, *batch, *sizes) if frozen else jax.lax.stop_gradient(here)
    each = {"kl_k1": y, "kl_k2": y**2 / 2, "kl_k3": jnp.exp(-y) + y - 1}[k] * (jnp.exp(here - denominator) if ratio else 1.0)
    return jnp.mean(jnp.sum(jnp.where(mask, gamma ** jnp.arange(mask.shape[1]) * each, 0.0), axis=1))


def surrogates(theta, theta_sampled, states, actions, rewards, mask, baseline, gamma, lam, v, frozen=True, ratio=True, **sizes):
    sizes, results = (sizes["state_count"], sizes["action_count"], sizes["features"]), {}
    mask = mask.astype(bool)
    for name in ("reinforce", "likelihood_ratio", "dice", "tmaml", "loaded_dice"):
        parts = []
        for n in range(len(rewards)):
            batch = states[n], actions[n], mask[n]

            def f(t, n=n, batch=batch, name=name):
                return loss(name, t, theta_sampled, batch, rewards[n], baseline[n], gamma, lam, sizes, frozen)

            parts.append((f(theta), jax.grad(f)(theta), jax.jvp(jax.grad(f), (theta,), (v,))[1]))
        results |= {
            f"{name}_{part}": np.stack([row[i] for row in parts]) for i, part in enumerate(("loss", "grad", "hvp"))
        }
    for k in ("kl_k1", "kl_k2", "kl_k3"):
        of = [(k, theta, theta_sampled, (states[n], actions[n], mask[n]), gamma, sizes, frozen, ratio) for n in range(len(rewards))]
        results[k] = np.stack([jax.grad(penalty, argnums=1)(*each) for each in of])
    return results


def surrogates_following(**inputs):
    """The magic box as it is printed: exp(log p − stop_gradient(log p))."""
    return surrogates(**inputs, frozen=False)


def penalties_in_the_loss(**inputs):
    """The penalties alone, differentiated without the ratio."""
    return {name: part for name, part in surrogates(**inputs, ratio=False).items() if name.startswith("kl")}


def third_penalty_in_the_loss(**inputs):
    """k3 alone, differentiated without the ratio, as for GRPO."""
    return {"kl_k3": penalties_in_the_loss(**inputs)["kl_k3"]}


def every_path(P, R, rho, horizon):
    """Weights (T,), states and actions (T, H), rewards (T, H), next states included to the last."""
    S, A, rows = len(P), P.shape[1], []
    for path in itertools.product(range(S), *[range(A), range(S)] * horizon):
        s, a = path[::2], path[1::2]
        weight = rho[s[0]] * np.prod([P[i, j, k] for i, j, k in zip(s, a, s[1:], strict=False)])
        reward = [R[i, j, k] if R.ndim == 3 else R[i, j] for i, j, k in zip(s, a, s[1:], strict=False)]
        rows.append((weight, s[:-1], a, reward))
    return tuple(np.array(column) for column in zip(*rows, strict=True))


def expected_estimators(theta, P, R, rho, gamma, horizon, alpha, episodes, steps, v, score=True):
    parts = {name: [] for name in ("formulation_exact", "formulation_sampled", "dice_hessian")}
    for task in range(len(P)):
        weight, s, a, r = every_path(P[task], R[task], rho[task], horizon)
        discount = gamma ** jnp.arange(horizon)
        to_go = jnp.cumsum((discount * r)[:, ::-1], axis=1)[:, ::-1]
        shape = P.shape[1], P.shape[2]

        def log_policy(t, s=s, a=a, shape=shape):
            return jax.nn.log_softmax(t.reshape(shape))[s, a]

        def J(t, weight=weight, r=r, log_policy=log_policy, discount=discount):
            return jnp.sum(weight * jnp.exp(jnp.sum(log_policy(t), axis=1)) * jnp.sum(discount * r, axis=1))

        def exact(t, J=J):
            for _ in range(steps):
                t = t + alpha * jax.grad(J)(t)
            return -J(t)

        def mean(t, k, J=J, weight=weight, to_go=to_go, log_policy=log_policy):
            if k == 0:
                return -J(t)
            estimates = jax.jacrev(lambda u: jnp.sum(to_go * log_policy(u), axis=1))(t)
            p = weight * jnp.exp(jnp.sum(log_policy(t), axis=1))
            p = p if score else jax.lax.stop_gradient(p)
            tuples = np.stack([i.ravel() for i in np.meshgrid(*[np.arange(len(p))] * episodes, indexing="ij")], axis=1)
            phi = t + alpha * jnp.mean(estimates[tuples], axis=1)
            return jnp.sum(jnp.prod(p[tuples], axis=1) * jax.vmap(lambda u: mean(u, k - 1))(phi))

        parts["formulation_exact"].append(jax.grad(exact)(theta))
        parts["formulation_sampled"].append(jax.grad(lambda t, mean=mean: mean(t, steps))(theta))
        parts["dice_hessian"].append(-jax.jvp(jax.grad(J), (theta,), (v,))[1])
    return {name: np.stack(rows) for name, rows in parts.items()}


def score_dropped(**inputs):
    """What automatic differentiation gives when the batch is data."""
    return expected_estimators(**inputs, score=False)
