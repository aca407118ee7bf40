LEAVES = ("W", "b", "W_I", "b_I", "W_F", "b_F", "c0")


def slope(theta, X, labels, classes, ridge):
    """The gradient of the loss."""
    p = np.exp(log_softmax(X @ theta.reshape(classes, -1).T))
    return ((p - np.eye(classes)[labels]).T @ X / len(X)).ravel() + ridge * theta


def sigmoid(x):
    """1 / (1 + exp(-x)), without an overflow."""
    size = np.where(x.real < 0, -1.0, 1.0) * x
    of_size = 1 / (1 + np.exp(-size))
    return np.where(x.real < 0, np.exp(-size) * of_size, of_size)


def preprocess(x):
    """(log|x|/10, sign x), or (-1, e^10 x) where |x| < e^-10, on a new last axis."""
    sign = np.where(x.real < 0, -1.0, 1.0)
    large = (sign * x).real >= np.exp(-10.0)
    logs = np.log(np.where(large, sign * x, 1.0)) / 10
    return np.stack([np.where(large, logs, -1.0), np.where(large, sign, np.exp(10.0) * x)], axis=-1)


def adapt(weights, signals):
    """theta_K, and the gradient and loss of every step: signals[k](theta) gives those of step k."""
    W, b, W_I, b_I, W_F, b_F, theta = (weights[name] for name in LEAVES)
    d, H, met = len(theta), len(W_I) - 2, []
    h = c = np.zeros((d, H))
    i = f = np.zeros(d)
    for signal in signals:
        g, value = signal(theta)
        met.append((g, value))
        of_loss = np.broadcast_to(preprocess(value), (d, 2))
        gates = np.concatenate([preprocess(g), of_loss, h], axis=1) @ W.T + b
        c = sigmoid(gates[:, H : 2 * H]) * c + sigmoid(gates[:, :H]) * np.tanh(gates[:, 3 * H :])
        h = sigmoid(gates[:, 2 * H : 3 * H]) * np.tanh(c)
        i = sigmoid(np.concatenate([h, theta[:, None], i[:, None]], axis=1) @ W_I + b_I)
        f = sigmoid(np.concatenate([h, theta[:, None], f[:, None]], axis=1) @ W_F + b_F)
        theta = f * theta - i * g
    return theta, met


def meta_gradient(objective, weights):
    """The gradients of objective(weights) in W, b, W_I, b_I, W_F, b_F and c0: a dict like weights."""
    # ==== YOUR CODE: your meta-gradient instead of the next line ====
    raise NotImplementedError("<<unfilled>>")
    # ==== THE END OF YOUR CODE ====


def <<function>>(<<arguments>>):
    """The answer: a dict with one row per task in every part."""
    leaves = (W, b, W_I, b_I, W_F, b_F, c0)
    weights, parts = {name: np.asarray(leaf) for name, leaf in zip(LEAVES, leaves)}, {}
    for support, query in zip(zip(X, labels), zip(query_X, query_labels)):

        def signal(theta, support=support):
            return slope(theta, *support, classes, ridge), loss(theta, *support, classes, ridge)

        held = [lambda theta, pair=pair: pair for pair in adapt(weights, [signal] * steps)[1]]
        for kind, signals in (("exact", [signal] * steps), ("independent", held)):

            def objective(weights, signals=signals, query=query):
                return loss(adapt(weights, signals)[0], *query, classes, ridge)

            for name, leaf in meta_gradient(objective, weights).items():
                parts.setdefault(f"{kind}_{name}", []).append(leaf)
        parts.setdefault("objective", []).append(objective(weights))
    return {name: np.stack(rows) for name, rows in parts.items()}
