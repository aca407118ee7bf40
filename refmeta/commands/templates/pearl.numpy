<<include log_softmax>>
def features(s, a, r, after, S, A):
    """[1, e_sa, e_s', r e_sa, r e_s'] of every transition."""
    pair, after, r = np.eye(S * A)[s * A + a], np.eye(S)[after], r[:, None]
    return np.concatenate([np.ones_like(r), pair, after, r * pair, r * after], axis=1)


def belief(encoder, psi, prior_factors):
    """Mean and variance of the belief: densities multiplied, so that precisions add."""
    means, log_variances = psi @ encoder["mean"].T, psi @ encoder["log_variance"].T
    precisions = np.exp(-log_variances)
    variance = 1 / (np.sum(precisions, axis=0) + prior_factors)
    return variance * np.sum(precisions * means, axis=0), variance


def divergence(mean, variance):
    """KL(belief || N(0, I))."""
    return np.sum(variance + mean**2 - 1 - np.log(variance)) / 2


def values(table, s, z):
    """table[s, a] . [1, z] of every action, one row per state of s."""
    return table[s][..., 0] + table[s][..., 1:] @ z


def gradients(losses, at):
    """A dict of the gradients of losses[name](x) at x = at[name].

    The names are critic, actor, temperature (x is log_temperature) and encoder.  The x of the encoder is a dict of two
    arrays, mean and log_variance, and so is its gradient.
    """
    # ==== YOUR CODE: your gradients instead of the next line ====
    raise NotImplementedError("<<unfilled>>")
    # ==== THE END OF YOUR CODE ====


def task(noise, psi, batch, at, target_critic, prior_factors, target_entropy, gamma, beta):
    """The losses of one task as functions of what they train, all else held, and the values of all parts."""
    s, a, r, after, terminal = batch
    mean, variance = belief(at["encoder"], psi, prior_factors)
    z, tau = mean + np.sqrt(variance) * noise, np.exp(at["temperature"])
    log_pi = log_softmax(values(at["actor"], after, z))
    V = np.sum(np.exp(log_pi) * (values(target_critic, after, z) - tau * log_pi), axis=1)
    y = r + gamma * (1 - terminal) * V

    def critic_loss(critic, z=z):
        return np.mean((values(critic, s, z)[np.arange(len(s)), a] - y) ** 2) / 2

    def actor_loss(policy):
        log_pi = log_softmax(values(policy, s, z))
        return np.mean(np.sum(np.exp(log_pi) * (tau * log_pi - values(at["critic"], s, z)), axis=1))

    def temperature_loss(log_temperature):
        log_pi = log_softmax(values(at["actor"], s, z))
        return np.exp(log_temperature) * (np.mean(-np.sum(np.exp(log_pi) * log_pi, axis=1)) - target_entropy)

    def encoder_loss(encoder):
        mean, variance = belief(encoder, psi, prior_factors)
        return critic_loss(at["critic"], mean + np.sqrt(variance) * noise) + beta * divergence(mean, variance)

    losses = {"critic": critic_loss, "actor": actor_loss, "temperature": temperature_loss, "encoder": encoder_loss}
    parts = {"mean": mean, "variance": variance, "kl": divergence(mean, variance), "z": z}
    return losses, parts | {f"{name}_loss": losses[name](at[name]) for name in ("critic", "actor", "temperature")}


def <<function>>(<<arguments>>):
    """The answer: a dict with one row per task in every part."""
    encoder = {"mean": np.asarray(encoder_mean), "log_variance": np.asarray(encoder_log_variance)}
    at = {"critic": np.asarray(critic), "actor": np.asarray(policy), "temperature": np.asarray(log_temperature)}
    at["encoder"], (S, A, _), rows = encoder, critic.shape, []
    for i in range(len(noise)):
        seen = context_states, context_actions, context_rewards, context_following
        psi = features(*(each[i][context_mask[i] != 0] for each in seen), S, A)
        batch = [each[i][mask[i] != 0] for each in (states, actions, rewards, following, terminal)]
        held = at, np.asarray(target_critic), prior_factors, target_entropy, gamma, beta
        losses, parts = task(noise[i], psi, batch, *held)
        slopes = gradients(losses, at)
        slopes |= {f"encoder_{name}": slope for name, slope in slopes.pop("encoder").items()}
        rows.append(parts | {f"{name}_grad": slope for name, slope in slopes.items()})
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}
