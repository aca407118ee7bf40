"""The return with declared ends in JAX, as one would write it, and some mistakes.

Suite: episodic-return.
"""

import jax
import jax.numpy as jnp

jax.config.update("jax_enable_x64", True)


def episodes(theta, P, R, rho, terminal, gamma, horizon, features, v, into=0.0, own=0.0, paid_inside=False, goes_on=False):
    """Everything that the suite takes but the best values: the loss is ρ·V, and JAX differentiates it.

    into, own : what weighs the value of an end as the next state, and what its own reward counts; both are 0.
    paid_inside : the reward of a step into an end is cut together with what follows.
    goes_on : what follows an end by its own row counts in it.
    """
    S, A = P.shape[1:3]
    features = jnp.eye(S * A).reshape(S, A, S * A) if features is None else features
    R = jnp.asarray(R) if R.ndim == 4 else jnp.broadcast_to(jnp.asarray(R)[..., None], P.shape)

    def one(P, R, rho, done):
        going, counts = 1.0 - done, jnp.where(done == 1, into, 1.0)
        r = jnp.einsum("sat,sat->sa", P, R * going if paid_inside else R) * jnp.where(done == 1, own, 1.0)[:, None]
        ahead = P * counts * (jnp.ones(S) if goes_on else going)[:, None, None]

        def policy(theta):
            return jax.nn.softmax(features @ theta)

        def values(theta, r):
            T, mean = jnp.einsum("sa,sat->st", policy(theta), ahead), jnp.sum(policy(theta) * r, axis=1)
            if horizon is None:
                return jnp.linalg.solve(jnp.eye(S) - gamma * T, mean)
            V = [jnp.zeros(S)]
            for _ in range(horizon):
                V.insert(0, mean + gamma * T @ V[0])
            return jnp.stack(V)

        def J(theta, r):
            V = values(theta, r)
            return rho @ (V if horizon is None else V[0])

        def loss(theta):
            return -J(theta, r)

        def visits_of_each_time(theta):
            """The slope of a reward that each state pays at one time, for whatever it does."""

            def paid(extra):
                V, T = jnp.zeros(S), jnp.einsum("sa,sat->st", policy(theta), ahead)
                for t in reversed(range(horizon)):
                    V = extra[t] + gamma * T @ V
                return rho @ V

            return jax.grad(paid)(jnp.zeros((horizon, S))) * going

        V = values(theta, r)
        Q = r + gamma * (ahead @ V if horizon is None else jnp.einsum("sat,ht->hsa", ahead, V[1:]))
        if horizon is None:
            d = jnp.sum(jax.grad(lambda more: J(theta, r + more))(jnp.zeros((S, A))), axis=1) * going
        else:
            d = visits_of_each_time(theta)
        return {
            "value": V, "action_value": Q, "advantage": Q - (V if horizon is None else V[:-1])[..., None], "occupancy": d,
            "loss": loss(theta), "grad": jax.grad(loss)(theta), "hvp": jax.jvp(jax.grad(loss), (theta,), (v,))[1],
        }  # fmt: skip

    return jax.jit(jax.vmap(one))(P, R, rho, terminal)


def _returns(parts):
    """The parts that a mistake in the ends changes first."""
    return {name: parts[name] for name in ("value", "loss", "grad")}


def done_ignored(**inputs):
    """r + γ V(s'), whatever done says, and the ends go on."""
    return _returns(episodes(**inputs | {"terminal": 0 * inputs["terminal"]}))


def done_late(**inputs):
    """An end pays its own reward before all is over."""
    return _returns(episodes(**inputs, into=1.0, own=1.0))


def done_early(**inputs):
    """(1 − done) (r + γ V(s'))."""
    return _returns(episodes(**inputs, paid_inside=True))


def done_of_transitions(**inputs):
    """(1 − done) V(s'), and the rows of the ends as those of all states."""
    return _returns(episodes(**inputs, own=1.0, goes_on=True))


def one_mask(**inputs):
    """The ends of the first task in all tasks."""
    return _returns(episodes(**inputs | {"terminal": 0 * inputs["terminal"] + inputs["terminal"][:1]}))
