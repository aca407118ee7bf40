<<include log_softmax>>
def loss(theta, P, R, rho, gamma, horizon, temperature, features=None):
    """L of one task: minus the exact return of the softmax policy, which is paid its entropy, too."""
    logs = log_softmax(theta.reshape(R.shape) if features is None else features @ theta)
    pi = np.exp(logs)
    r, M = np.sum(pi * (R - temperature * logs), axis=1), np.einsum("sa,sat->st", pi, P)
    if horizon is None:
        return -rho @ np.linalg.solve(np.eye(len(r)) - gamma * M, r)
    V = np.zeros(len(r))
    for _ in range(horizon):
        V = r + gamma * M @ V
    return -rho @ V


def derivatives(theta, loss, v):
    """One task: a dict of grad and hvp, or of one of them, each (d,); loss(phi) is L.

    The parts value, action_value and advantage may stand in it, too.
    """
    # ==== YOUR CODE: your derivatives instead of the next line ====
    raise NotImplementedError("<<unfilled>>")
    # ==== THE END OF YOUR CODE ====


def <<function>>(<<arguments>>):
    """The answer: a dict with one row per task in every part."""
    theta, v = np.asarray(theta), np.asarray(v)
    rows = []
    for process in zip(P, R, rho):

        def task_loss(phi, process=process):
            return loss(phi, *process, gamma, horizon, temperature, features)

        rows.append({"loss": task_loss(theta)} | derivatives(theta, task_loss, v))
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}
