"""Linear-quadratic MAML, implicit MAML, and the values and geometry of policies in JAX, as one would write them, and some mistakes.

Suites: maml-lq, implicit, implicit-early, policy-gradient.
"""

import jax
import jax.numpy as jnp
from jax_maml import detached_meta_gradient, meta_gradient

SYSTEM = ("A", "B", "Q", "R", "start", "noise")


def cost(gamma, horizon):
    """The expected cost of a = Kx + σε, by the recursion of second moments or its discounted sum."""

    def loss(theta, A, B, Q, R, start, noise):
        n, m = B.shape
        K, variance = theta[: m * n].reshape(m, n), jnp.exp(2 * theta[m * n :])
        M, added = A + B @ K, B @ jnp.diag(variance) @ B.T + noise

        def stage(S, weight):
            return jnp.trace((Q + K.T @ R @ K) @ S) + weight * jnp.trace(R @ jnp.diag(variance))

        if horizon is None:
            source = start + gamma / (1 - gamma) * added
            system = jnp.eye(n * n) - gamma * jnp.kron(M, M)
            return stage(jnp.linalg.solve(system, source.ravel()).reshape(n, n), 1 / (1 - gamma))
        S, total = start, 0.0
        for t in range(horizon):
            total, S = total + gamma**t * stage(S, 1.0), M @ S @ M.T + added
        return total

    return loss


def lq(theta, gamma, horizon, alpha, steps, **system):
    support, query = (tuple(system[prefix + name] for name in SYSTEM) for prefix in ("", "query_"))
    return meta_gradient(cost(gamma, horizon), theta, support, query, alpha, steps)


def lq_first_order(theta, gamma, horizon, alpha, steps, **system):
    support, query = (tuple(system[prefix + name] for name in SYSTEM) for prefix in ("", "query_"))
    return detached_meta_gradient(cost(gamma, horizon), theta, support, query, alpha, steps, cut=lambda k: True)


def quadratic(theta, A, c):
    return (theta - c) @ A @ (theta - c) / 2


def squared(theta, X, y):
    return jnp.mean((X @ theta - y) ** 2) / 2


def implicit(theta, strength, proximal=True, **data):
    """One Newton step solves a quadratic inner problem; the system is solved densely."""
    kinds = [(squared, ("X", "y")) if data[prefix + "A"] is None else (quadratic, ("A", "c")) for prefix in ("", "query_")]
    (loss, _), (query_loss, _) = kinds
    support, query = (tuple(data[prefix + name] for name in names) for prefix, (_, names) in zip(("", "query_"), kinds, strict=True))

    def one(support, query):
        H = jax.hessian(loss)(theta, *support)
        weight = strength if proximal else 1e-9
        phi = theta - jnp.linalg.solve(H + weight * jnp.eye(len(theta)), jax.grad(loss)(theta, *support))
        return jnp.linalg.solve(jnp.eye(len(theta)) + H / strength, jax.grad(query_loss)(phi, *query))

    return jax.vmap(one)(support, query)


def early(theta, strength, eta, terms, cg_steps, steps, kept, delta, held=True, **data):
    """Series and conjugate gradients with products by `jvp`; unrolled steps by reverse mode, the first ones behind `stop_gradient`."""
    kinds = [(squared, ("X", "y")) if data[prefix + "A"] is None else (quadratic, ("A", "c")) for prefix in ("", "query_")]
    (loss, _), (query_loss, _) = kinds
    support, query = (tuple(data[prefix + name] for name in names) for prefix, (_, names) in zip(("", "query_"), kinds, strict=True))

    def one(support, query):
        slope = jax.grad(lambda phi: loss(phi, *support))
        product = lambda v: v + jax.jvp(slope, (phi,), (v,))[1] / strength
        difference = lambda v: v + (slope(phi + delta * v) - slope(phi - delta * v)) / (2 * delta * strength)
        phi = theta - jnp.linalg.solve(jax.jacobian(slope)(theta) + strength * jnp.eye(len(theta)), slope(theta))
        g = jax.grad(query_loss)(phi, *query)

        def series(H):
            v = eta * g
            for _ in range(terms - 1):
                v = v + eta * (g - H(v))
            return v

        def unrolled(centre):
            at = theta
            for t in range(steps):
                at = jax.lax.stop_gradient(at) if t == steps - kept and held else at
                at = at - eta / strength * (slope(at) + strength * (at - centre))
            return query_loss(at, *query)

        def whole(start):
            at = start
            for _ in range(steps):
                at = at - eta / strength * (slope(at) + strength * (at - start))
            return query_loss(at, *query)

        return {
            "neumann": series(product), "one_step": eta * g, "finite_difference": series(difference),
            "cg": jax.scipy.sparse.linalg.cg(product, g, tol=1e-13, maxiter=cg_steps)[0],
            "truncated": jax.grad(unrolled if held else whole)(theta),
        }  # fmt: skip

    return jax.vmap(one)(support, query)


def early_by_the_whole_path(**inputs):
    """Only the unrolled answer, with every step and the start differentiated."""
    return {"truncated": early(**{**inputs, "kept": inputs["steps"]}, held=False)["truncated"]}


def implicit_doubled(theta, strength, **data):
    return implicit(theta, 2 * strength, **data)


def geometry(theta, P, R, rho, gamma, horizon, features, v, swapped=False):
    """Everything that the suite policy-gradient takes, by automatic differentiation of J and of the divergence."""
    R = jnp.einsum("nsat,nsat->nsa", P, R) if R.ndim == 4 else R
    S, A = R.shape[1:]
    features = jnp.eye(S * A).reshape(S, A, S * A) if features is None else features

    def one(P, R, rho):
        def visits(theta):
            pi = jax.nn.softmax(features @ theta)
            T = jnp.einsum("sa,sat->st", pi, P)
            if horizon is None:
                return jnp.linalg.solve(jnp.eye(S) - gamma * T.T, rho)
            d, now = 0.0, rho
            for t in range(horizon):
                d, now = d + gamma**t * now, T.T @ now
            return d

        def loss(theta):
            return -visits(theta) @ jnp.sum(jax.nn.softmax(features @ theta) * R, axis=1)

        d = visits(theta)

        def kl(new):
            old, now = (jax.nn.log_softmax(features @ x) for x in ((new, theta) if swapped else (theta, new)))
            return d @ jnp.sum(jnp.exp(old) * (old - now), axis=1)

        hvp = lambda f, x: jax.jvp(jax.grad(f), (x,), (v,))[1]
        F = jax.hessian(kl)(theta)
        return {
            "loss": loss(theta), "grad": jax.grad(loss)(theta), "hvp": hvp(loss, theta), "fisher": F @ v,
            "natural_gradient": jnp.linalg.pinv(F, rtol=1e-11, hermitian=True) @ -jax.grad(loss)(theta),
            "kl": kl(theta + v), "kl_grad": jax.grad(kl)(theta + v), "kl_hvp": hvp(kl, theta + v),
        }  # fmt: skip

    return jax.vmap(one)(P, R, rho)


def divergence_swapped(**inputs):
    return {"kl": geometry(**inputs, swapped=True)["kl"]}


def values(theta, P, R, rho, gamma, horizon, features, v):
    """Values by linear systems or backwards in time, visits as the slopes of J in the rewards, best values by policy iteration."""
    R = jnp.einsum("nsat,nsat->nsa", P, R) if R.ndim == 4 else R
    S, A = R.shape[1:]
    logits = theta.reshape(S, A) if features is None else features @ theta
    pi = jax.nn.softmax(logits)
    of_policy, best = lambda Q: jnp.sum(pi * Q, axis=1), lambda Q: jnp.max(Q, axis=1)
    soft = lambda Q: 0.375 * jax.nn.logsumexp(Q / 0.375, axis=1)

    def greedy(Q):
        return jax.nn.one_hot(jnp.argmax(Q, axis=1), A), 0.0

    def softest_of(Q):
        logs = jax.nn.log_softmax(Q / 0.375, axis=1)
        return jnp.exp(logs), -jnp.sum(jnp.exp(logs) * logs, axis=1)

    def one(P, R, rho):
        def in_time(rewards, value):
            V = [jnp.zeros(S)]
            for r in rewards[::-1]:
                V.insert(0, value(r + gamma * P @ V[0]))
            return jnp.stack(V)

        def of_rewards(r):
            return jnp.linalg.solve(jnp.eye(S) - gamma * jnp.einsum("sa,sat->st", pi, P), of_policy(r))

        def improved(policy):
            def step(_, Q):
                w, entropy = policy(Q)
                T = jnp.einsum("sa,sat->st", w, P)
                return R + gamma * P @ jnp.linalg.solve(jnp.eye(S) - gamma * T, jnp.sum(w * R, axis=1) + 0.375 * entropy)

            return jax.lax.fori_loop(0, 25, step, R)

        if horizon is None:
            V, d = of_rewards(R), jax.grad(lambda r: rho @ of_rewards(r))(R).sum(1)
            Q, highest, softest = R + gamma * P @ V, best(improved(greedy)), soft(improved(softest_of))
        else:
            every = jnp.stack([R] * horizon)
            V, d = in_time(every, of_policy), jax.grad(lambda r: rho @ in_time(r, of_policy)[0])(every).sum(2)
            Q, highest, softest = R + gamma * jnp.einsum("sat,ht->hsa", P, V[1:]), in_time(every, best), in_time(every, soft)
        advantage = Q - jnp.sum(pi * Q, axis=-1, keepdims=True)
        return {"value": V, "action_value": Q, "advantage": advantage, "occupancy": d, "optimal_value": highest, "soft_value": softest}

    return jax.jit(jax.vmap(one))(P, R, rho)


def values_without_baseline(**inputs):
    parts = values(**inputs)
    return parts | {"advantage": parts["action_value"]}
