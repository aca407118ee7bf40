"""MAML through an inner optimiser in JAX, with optax's transformations where it has them.

Chapter: derivations/inner-optimisers.md
"""

import jax
import jax.numpy as jnp
import optax

jax.config.update("jax_enable_x64", True)


def loss(theta, A, c, X, labels, classes, ridge):
    """A quadratic, or a cross-entropy with a ridge."""
    if A is not None:
        return (theta - c) @ A @ (theta - c) / 2
    log_p = jax.nn.log_softmax(X @ theta.reshape(classes, -1).T)
    return -jnp.mean(log_p[jnp.arange(len(labels)), labels]) + ridge / 2 * theta @ theta


def epsilon_hat(beta1, beta2, epsilon):
    """TensorFlow's form, which optax has not: its epsilon outside the root is epsilon hat over the root of 1 - beta2^t."""
    root = optax.scale_by_adam(beta1, beta2, eps=0.0)

    def update(g, state, params=None):
        _, after = root.update(g, state)
        one, two = 1 - beta1**after.count, 1 - beta2**after.count
        return jnp.sqrt(two) / one * after.mu / (jnp.sqrt(after.nu) + epsilon), after

    return optax.GradientTransformation(root.init, update)


def transformation(optimiser, momentum, beta1, beta2, epsilon):
    """What α multiplies."""
    return {
        "gradient_descent": lambda: optax.identity(),
        "heavy_ball": lambda: optax.trace(momentum),
        "nesterov": lambda: optax.trace(momentum, nesterov=True),
        "rmsprop": lambda: optax.scale_by_rms(beta2, epsilon, eps_in_sqrt=False),
        "adam": lambda: optax.scale_by_adam(beta1, beta2, eps=epsilon),
        "adam_epsilon_hat": lambda: epsilon_hat(beta1, beta2, epsilon),
        "adam_epsilon_root": lambda: optax.scale_by_adam(beta1, beta2, eps=0.0, eps_root=epsilon),
    }[optimiser]()


def gradient(
    theta, A, c, X, labels, query_A, query_c, query_X, query_labels, classes, ridge, alpha, steps, optimiser, momentum, beta1, beta2, epsilon,
    decay, weight_decay, clip, carry=lambda state: state,
):  # fmt: skip
    """One row per task; `carry` is what is done to the optimiser's state between steps."""
    alphas = jnp.broadcast_to(alpha, (steps, len(theta)))
    parts = [optax.identity() if clip is None else optax.clip_by_global_norm(clip)]
    parts += [optax.add_decayed_weights(weight_decay)] if decay == "coupled" else []
    chain = optax.chain(*parts, transformation(optimiser, momentum, beta1, beta2, epsilon))

    def objective(start, support, query):
        theta, state = start, chain.init(start)
        for a in alphas:
            move, state = chain.update(jax.grad(loss)(theta, *support), carry(state), theta)
            shrink = {"decoupled": a * weight_decay, "decoupled_paper": weight_decay}.get(decay, 0.0)
            theta = theta - a * move - shrink * theta
        return loss(theta, *query)

    rows = []
    for i in range(len(X if A is None else A)):
        pairs = ([None if x is None else jnp.asarray(x[i]) for x in each] for each in ((A, c, X, labels), (query_A, query_c, query_X, query_labels)))
        rows.append(jax.grad(objective)(jnp.asarray(theta), *((*pair, classes, ridge) for pair in pairs)))
    return jnp.stack(rows)


# The mistakes.


def detached(**inputs):
    """The state is held constant between the steps."""
    return gradient(**inputs, carry=jax.lax.stop_gradient)


def default_rmsprop(**inputs):
    """optax's default, with epsilon inside the root."""
    original = optax.scale_by_rms
    try:
        optax.scale_by_rms = lambda *args, **_: original(*args)
        return gradient(**inputs)
    finally:
        optax.scale_by_rms = original
