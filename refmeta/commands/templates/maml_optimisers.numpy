def meta_gradient(theta, support, query, alphas, rule):
    """One task: the gradient of loss(phi, *query) in theta, (d,).

    phi is theta after one step of the optimiser on loss(phi, *support) for each row a, (d,), of alphas.  The words and
    numbers of the optimiser are rule["optimiser"], rule["momentum"], and so on.
    """
    # ==== YOUR CODE: your meta-gradient instead of the next line ====
    raise NotImplementedError("<<unfilled>>")
    # ==== THE END OF YOUR CODE ====


def <<function>>(<<arguments>>):
    """The answer: one meta-gradient per task."""
    theta, alphas, rows = np.asarray(theta), np.broadcast_to(np.asarray(alpha), (steps, len(theta))), []
    rule = {
        "optimiser": optimiser, "momentum": momentum, "beta1": beta1, "beta2": beta2, "epsilon": epsilon,
        "decay": decay, "weight_decay": weight_decay, "clip": clip,
    }
    for i in range(len(X if A is None else A)):
        support = *(x if x is None else x[i] for x in (<<support>>)), classes, ridge
        query = *(x if x is None else x[i] for x in (<<query>>)), classes, ridge
        rows.append(meta_gradient(theta, support, query, alphas, rule))
    return np.stack(rows)
