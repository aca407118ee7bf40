def every_path(P, R, rho, gamma, horizon):
    """All trajectories: weights (T,) without the policy, states, actions and gamma^t G_t, (T, H) each."""
    S, A = P.shape[:2]
    paths = np.stack([i.ravel() for i in np.indices((S,) + (A, S) * horizon)], axis=1)
    s, a, after = paths[:, 0:-1:2], paths[:, 1::2], paths[:, 2::2]
    weight = rho[s[:, 0]] * np.prod(P[s, a, after], axis=1)
    rewards = (R[s, a, after] if R.ndim == 3 else R[s, a]) * gamma ** np.arange(horizon)
    return weight, s, a, np.cumsum(rewards[:, ::-1], axis=1)[:, ::-1]


def expectations(theta, loss, log_policy, weight, to_go, alpha, episodes, steps, v):
    """One task: a dict of vectors (d,), named as the parts of the answer; it may hold some of them only.

    loss(phi) is L = -J, exact.  log_policy(phi), (T, H), is log pi(a_t|s_t) of every step of every trajectory.  A
    trajectory has the probability weight * exp(log_policy(phi).sum(axis=1)).  to_go, (T, H), is gamma^t G_t, G_t the
    discounted rewards from step t on.
    """
    # ==== YOUR CODE: your expectations instead of the next line ====
    raise NotImplementedError("<<unfilled>>")
    # ==== THE END OF YOUR CODE ====


def <<function>>(<<arguments>>):
    """The answer: a dict with one row per task in every part."""
    rows, shape = [], P.shape[1:3]
    for P, R, rho in zip(P, R, rho):
        weight, s, a, to_go = every_path(P, R, rho, gamma, horizon)
        mean = np.sum(P * R, axis=-1) if R.ndim == 3 else R

        def task_loss(phi, process=(P, mean, rho)):
            return loss(phi, *process, gamma, horizon)

        def log_policy(phi, s=s, a=a):
            return log_softmax(phi.reshape(shape))[s, a]

        data = weight, to_go, alpha, episodes, steps, np.asarray(v)
        rows.append(expectations(np.asarray(theta), task_loss, log_policy, *data))
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}
