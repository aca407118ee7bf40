<<include batch_losses>>
def penalty(kind, x, y, mask, gamma):
    """A KL penalty of one task: k of y, the log ratios to the reference policy, times the ratios, (M, H)."""
    k = {"kl_k1": y, "kl_k2": y * y / 2, "kl_k3": np.exp(-y) + y - 1}[kind]
    discount = gamma ** np.arange(mask.shape[1])
    return np.mean(np.sum(np.where(mask, discount * k * np.exp(x), 0.0), axis=1))


def derivatives(theta, loss, v):
    """A dict of grad and hvp, or of one of them, (d,) each: of loss(phi) at theta, hvp the Hessian times v."""
    # ==== YOUR CODE: your derivatives instead of the next line ====
    raise NotImplementedError("<<unfilled>>")
    # ==== THE END OF YOUR CODE ====


def <<function>>(<<arguments>>):
    """The answer: a dict with one row per task in every part."""
    theta, v, mask, parts = np.asarray(theta), np.asarray(v), mask != 0, {}
    for i in range(len(rewards)):
        batch = states[i], actions[i], mask[i], state_count, action_count, features
        sampled, ref = (log_probabilities(np.asarray(t), *batch) for t in (theta_sampled, theta_sampled / 2))
        for name in ("reinforce", "likelihood_ratio", "dice", "tmaml", "loaded_dice"):

            def task_loss(phi, name=name, batch=batch, sampled=sampled, i=i):
                x = log_probabilities(phi, *batch) - sampled
                return loss(name, x, rewards[i], mask[i], baseline[i], gamma, lam)

            for part, value in ({"loss": task_loss(theta)} | derivatives(theta, task_loss, v)).items():
                parts.setdefault(f"{name}_{part}", []).append(value)
        for name in ("kl_k1", "kl_k2", "kl_k3"):

            def task_penalty(phi, name=name, batch=batch, sampled=sampled, ref=ref, i=i):
                log_prob = log_probabilities(phi, *batch)
                return penalty(name, log_prob - sampled, log_prob - ref, mask[i], gamma)

            for value in [x for part, x in derivatives(theta, task_penalty, v).items() if part == "grad"]:
                parts.setdefault(name, []).append(value)
    return {name: np.stack(rows) for name, rows in parts.items()}
