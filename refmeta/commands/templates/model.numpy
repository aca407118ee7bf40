def seen(mean, variance, counts, sums, noise_variance):
    """Mean and variance of the belief about mean rewards, from the sums of so many rewards."""
    posterior = 1 / (1 / variance + counts / noise_variance)
    return mean + posterior / noise_variance * (sums - counts * mean), posterior


def belief(prior, noise_variance, context):
    """The log probability of a context's next states and rewards, and the posterior means of P and R.

    prior is (log concentration, mean of the rewards, log of their variance).  Each transition is predicted from those
    before it.
    """
    c, mean, variance, total = np.exp(prior[0]), prior[1], np.exp(prior[2]), 0.0
    (S, A), sums = mean.shape, 0.0 * mean
    counts = np.zeros((S, A, S))
    for s, a, r, after in context:
        n = np.sum(counts[s, a])
        R, spread = seen(mean[s, a], variance, n, sums[s, a], noise_variance)
        total = total + np.log((c[s, a, after] + counts[s, a, after]) / (np.sum(c[s, a]) + n))
        spread = spread + noise_variance
        total = total - (np.log(2 * np.pi * spread) + (r - R) ** 2 / spread) / 2
        here = np.eye(S * A)[s * A + a].reshape(S, A)
        counts, sums = counts + here[:, :, None] * np.eye(S)[after], sums + here * r
    P = (c + counts) / np.sum(c + counts, axis=-1, keepdims=True)
    return total, (P, seen(mean, variance, np.sum(counts, axis=-1), sums, noise_variance)[0])


def derivatives(theta, support, query, alphas, log_marginal, prior):
    """One task: a dict of objective, gradient, concentration_grad, reward_mean_grad and reward_variance_grad.

    It may hold some of them only.  objective is loss(phi, *query), that of the true task, and gradient its
    gradient in theta, (d,).  phi is theta after one step phi - a * dloss(phi, *support)/dphi for each row a,
    (d,), of alphas, on the learned model.  The others are the gradients of log_marginal(prior) in the three
    entries of prior, which are log concentration, the mean of the rewards, and the logarithm of their variance.
    """
    # ==== YOUR CODE: your derivatives instead of the next line ====
    raise NotImplementedError("<<unfilled>>")
    # ==== THE END OF YOUR CODE ====


def <<function>>(<<arguments>>):
    """The answer: a dict with one row per task in every part."""
    alphas, rows = np.broadcast_to(np.asarray(alpha), (steps, len(theta))), []
    prior = np.log(np.asarray(concentration)), np.asarray(reward_mean), np.log(reward_variance)
    for i in range(len(P)):
        columns = context_states[i], context_actions[i], context_rewards[i], context_following[i]
        context = [row for row, there in zip(zip(*columns), context_mask[i]) if there]

        def log_marginal(prior, context=context):
            return belief(prior, noise_variance, context)[0]

        value, learned = belief(prior, noise_variance, context)
        support, query = (*learned, rho[i], gamma, horizon), (P[i], R[i], rho[i], gamma, horizon)
        row = {"transition": learned[0], "reward": learned[1], "log_marginal": value}
        rows.append(row | derivatives(np.asarray(theta), support, query, alphas, log_marginal, prior))
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}
