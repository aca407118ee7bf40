def meta_gradient(theta, support, query, strength):
    """One task: the gradient of loss(phi, *query) in theta, (d,).

    phi minimises loss(phi, *support) + strength / 2 * |phi - theta|^2.
    """
    # ==== YOUR CODE: your meta-gradient instead of the next line ====
    raise NotImplementedError("<<unfilled>>")
    # ==== THE END OF YOUR CODE ====


def <<function>>(<<arguments>>):
    """The answer: one meta-gradient per task."""
    theta, rows = np.asarray(theta), []
    for i in range(len(X if A is None else A)):
        support = [None if each is None else each[i] for each in (<<support>>)]
        query = [None if each is None else each[i] for each in (<<query>>)]
        rows.append(meta_gradient(theta, support, query, strength))
    return np.stack(rows)
