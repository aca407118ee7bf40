<<include log_softmax>>
def loss(theta, P, R, rho, gamma, horizon, features=None):
    """L of one task: minus the exact return of the softmax policy."""
    pi = np.exp(log_softmax(theta.reshape(R.shape) if features is None else features @ theta))
    r, M = np.sum(pi * R, axis=1), np.einsum("sa,sat->st", pi, P)
    if horizon is None:
        return -rho @ np.linalg.solve(np.eye(len(r)) - gamma * M, r)
    V = np.zeros(len(r))
    for _ in range(horizon):
        V = r + gamma * M @ V
    return -rho @ V
