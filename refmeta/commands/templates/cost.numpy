def loss(theta, A, B, Q, R, start, noise, gamma, horizon):
    """L of one task: the exact cost, from the second moments S of x."""
    p, m = B.shape
    G, variance = theta[: m * p].reshape(m, p), np.exp(2 * theta[m * p :])
    M, added, C = A + B @ G, B @ np.diag(variance) @ B.T + noise, Q + G.T @ R @ G
    if horizon is None:
        source = start + gamma / (1 - gamma) * added
        S = np.linalg.solve(np.eye(p * p) - gamma * np.kron(M, M), source.ravel()).reshape(p, p)
        return np.trace(C @ S) + np.diag(R) @ variance / (1 - gamma)
    S, total = start, 0.0
    for t in range(horizon):
        total = total + gamma**t * (np.trace(C @ S) + np.diag(R) @ variance)
        S = M @ S @ M.T + added
    return total
