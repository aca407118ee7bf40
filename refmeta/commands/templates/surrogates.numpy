<<include batch_losses>>
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
        sampled = log_probabilities(np.asarray(theta_sampled), *batch)
        for name in ("reinforce", "likelihood_ratio", "dice", "tmaml", "loaded_dice"):

            def task_loss(phi, name=name, batch=batch, sampled=sampled, i=i):
                x = log_probabilities(phi, *batch) - sampled
                return loss(name, x, rewards[i], mask[i], baseline[i], gamma, lam)

            for part, value in ({"loss": task_loss(theta)} | derivatives(theta, task_loss, v)).items():
                parts.setdefault(f"{name}_{part}", []).append(value)
    return {name: np.stack(rows) for name, rows in parts.items()}
