"""The return with entropy in JAX, as one would write it, and some mistakes.

Suite: soft-return.
"""

import jax
import jax.numpy as jnp

jax.config.update("jax_enable_x64", True)


def soft_returns(theta, P, R, rho, gamma, horizon, features, temperature, v, bonus=False, sign=1.0, mean=jnp.sum):
    """Everything that the suite takes: the loss is a sum of rewards and entropies, and JAX differentiates it.

    bonus : the entropy of the visited states is added to the loss, and the visits are held in it.
    sign, mean : with which the entropy enters, and how it is summed over the actions.
    """
    S, A = R.shape[1:]
    features = jnp.eye(S * A).reshape(S, A, S * A) if features is None else features

    def one(P, R, rho):
        def policy(theta):
            logs = jax.nn.log_softmax(features @ theta)
            return jnp.exp(logs), logs, sign * -mean(jnp.exp(logs) * logs, axis=1)

        def values(theta, paid):
            pi, T = policy(theta)[0], jnp.einsum("sa,sat->st", policy(theta)[0], P)
            r = jnp.sum(pi * R, axis=1) + paid
            if horizon is None:
                return jnp.linalg.solve(jnp.eye(S) - gamma * T, r)
            V = [jnp.zeros(S)]
            for _ in range(horizon):
                V.insert(0, r + gamma * T @ V[0])
            return jnp.stack(V)

        def first(V):
            return V if horizon is None else V[0]

        def loss(theta):
            entropy = temperature * policy(theta)[2]
            if bonus:
                visits = jax.lax.stop_gradient(jax.grad(lambda paid: rho @ first(values(theta, paid)))(jnp.zeros(S)))
                return -rho @ first(values(theta, jnp.zeros(S))) - visits @ entropy
            return -rho @ first(values(theta, entropy))

        logs, V = policy(theta)[1], values(theta, temperature * policy(theta)[2])
        Q = R + gamma * (P @ V if horizon is None else jnp.einsum("sat,ht->hsa", P, V[1:]))
        return {
            "value": V, "action_value": Q, "advantage": Q - sign * temperature * logs - (V if horizon is None else V[:-1])[..., None],
            "loss": loss(theta), "grad": jax.grad(loss)(theta), "hvp": jax.jvp(jax.grad(loss), (theta,), (v,))[1],
        }  # fmt: skip

    return jax.jit(jax.vmap(one))(P, R, rho)


def turned(**inputs):
    return soft_returns(**inputs, sign=-1.0)


def averaged(**inputs):
    """The loss and its derivatives with (p log p).mean()."""
    parts = soft_returns(**inputs, mean=jnp.mean)
    return {name: parts[name] for name in ("loss", "grad", "hvp")}


def with_bonus(**inputs):
    """The gradient of an actor-critic whose entropy is a term of the loss."""
    return {"grad": soft_returns(**inputs, bonus=True)["grad"]}
