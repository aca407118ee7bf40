<<include log_softmax>>
def log_probabilities(theta, states, actions, mask, S, A, features):
    """The logarithm of pi(a|s) of every step, (M, H), 0 after the end; of a Gaussian up to its constant."""
    if states.ndim == 3:
        gain, log_sigma = theta[: A * S].reshape(A, S), theta[A * S :]
        z = (actions - states @ gain.T) * np.exp(-log_sigma)
        each = -np.sum(z**2 / 2 + log_sigma, axis=-1)
    else:
        logits = theta.reshape(S, A) if features is None else features @ theta
        each = log_softmax(logits)[np.where(mask, states, 0), np.where(mask, actions, 0)]
    return np.where(mask, each, 0.0)


def fading_sum(x, factor):
    """The sum over k <= t of factor^(t-k) x_k, at every step t."""
    total, sums = 0.0, []
    for t in range(x.shape[-1]):
        total = x[..., t] + factor * total
        sums.append(total)
    return np.stack(sums, axis=-1)


def loss(name, x, rewards, mask, baseline, gamma, lam):
    """A surrogate of one task, x the logarithms of the ratios of every step, (M, H)."""
    rewards, discount = np.where(mask, rewards, 0.0), gamma ** np.arange(mask.shape[1])
    advantage = fading_sum(rewards[:, ::-1], gamma)[:, ::-1] - baseline
    now, upto, before = np.exp(x), np.exp(np.cumsum(x, axis=1)), np.exp(np.cumsum(x, axis=1) - x)
    fading = fading_sum(x, lam)
    each = {
        "reinforce": advantage * x,
        "likelihood_ratio": advantage * now,
        "dice": rewards * upto + baseline * (1 - now),
        "tmaml": rewards * upto + baseline * ((1 - now) - (1 - before) * (1 - now)),
        "loaded_dice": advantage * (np.exp(fading) - np.exp(fading - x)),
    }[name]
    return -np.mean(np.sum(np.where(mask, discount * each, 0.0), axis=1))
