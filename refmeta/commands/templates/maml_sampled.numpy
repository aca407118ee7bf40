<<include batch_losses>>
def meta_gradient(theta, support, query, alphas):
    """One task: phi and the gradient of query(phi) in theta, a tuple of two arrays (d,).

    phi is theta after one step phi - a * dloss(phi)/dphi for each loss of the list support, with its
    row a, (d,), of alphas.
    """
    # ==== YOUR CODE: your meta-gradient instead of the next line ====
    raise NotImplementedError("<<unfilled>>")
    # ==== THE END OF YOUR CODE ====


def <<function>>(<<arguments>>):
    """The answer: a dict with one row per task in every part."""
    theta, sizes, parts = np.asarray(theta), (state_count, action_count, features), {}
    alphas = np.broadcast_to(np.asarray(alpha), (rewards.shape[1], len(theta)))

    def task_loss(name, sampled_at, states, actions, rewards, mask, baseline):
        """The surrogate of one batch; the parameters at which the batch was drawn are numbers."""
        batch = states, actions, mask != 0, *sizes
        sampled = log_probabilities(np.asarray(sampled_at), *batch)
        x = lambda phi: log_probabilities(phi, *batch) - sampled
        return lambda phi: loss(name, x(phi), rewards, mask != 0, baseline, gamma, lam)

    for i in range(len(rewards)):
        batches = list(zip(theta_sampled[i], states[i], actions[i], rewards[i], mask[i], baseline[i]))
        query = query_theta_sampled, query_states, query_actions, query_rewards, query_mask, query_baseline
        own = [each[i] for each in query]
        for name in ("reinforce", "likelihood_ratio", "dice", "tmaml", "loaded_dice"):
            support = [task_loss(name, *batch) for batch in batches]
            query_loss = task_loss(name, *own)
            phi, gradient = meta_gradient(theta, support, query_loss, alphas)
            parts.setdefault(f"{name}_adapted", []).append(phi)
            parts.setdefault(f"{name}_objective", []).append(query_loss(phi))
            parts.setdefault(f"{name}_gradient", []).append(gradient)
    return {name: np.stack(rows) for name, rows in parts.items()}
