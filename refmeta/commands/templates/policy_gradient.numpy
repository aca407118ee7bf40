def visits(theta, P, R, rho, gamma, horizon, features=None):
    """The discounted visits of every state, not normalised."""
    pi = np.exp(log_softmax(theta.reshape(R.shape) if features is None else features @ theta))
    M = np.einsum("sa,sat->st", pi, P)
    if horizon is None:
        return np.linalg.solve(np.eye(len(M)) - gamma * M.T, rho)
    d, now = np.zeros(len(M)), rho
    for t in range(horizon):
        d, now = d + gamma**t * now, M.T @ now
    return d


def divergence(theta, new, d, shape, features=None):
    """sum_s d(s) KL(policy at theta || policy at new)."""
    old, now = (log_softmax(x.reshape(shape) if features is None else features @ x) for x in (theta, new))
    return d @ np.sum(np.exp(old) * (old - now), axis=1)


def derivatives(theta, loss, kl, v):
    """One task: a dict of grad, hvp, fisher, natural_gradient, kl_grad and kl_hvp, or of some of them, each (d,).

    loss(phi) is L; kl(phi) is the divergence of the policy at phi from that at theta, its weights held at theta.
    """
    # ==== YOUR CODE: your derivatives instead of the next line ====
    raise NotImplementedError("<<unfilled>>")
    # ==== THE END OF YOUR CODE ====


def <<function>>(<<arguments>>):
    """The answer: a dict with one row per task in every part."""
    theta, v = np.asarray(theta), np.asarray(v)
    R = np.einsum("nsat,nsat->nsa", P, R) if R.ndim == 4 else R
    rows = []
    for process in zip(P, R, rho):
        d = visits(theta, *process, gamma, horizon, features)

        def task_loss(phi, process=process):
            return loss(phi, *process, gamma, horizon, features)

        def kl(phi, d=d):
            return divergence(theta, phi, d, R.shape[1:], features)

        rows.append({"loss": task_loss(theta), "kl": kl(theta + v)} | derivatives(theta, task_loss, kl, v))
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}
