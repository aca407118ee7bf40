def meta_gradient(theta, support, query, alphas):
    """One task: the gradient of loss(phi, *query) in theta, (d,).

    phi is theta after one step phi - a * dloss(phi, *support)/dphi for each row a, (d,), of alphas.
    """
    # ==== YOUR CODE: your meta-gradient instead of the next line ====
    raise NotImplementedError("<<unfilled>>")
    # ==== THE END OF YOUR CODE ====


def <<function>>(<<arguments>>):
    """The answer: one meta-gradient per task."""
    theta, alphas, rows = np.asarray(theta), np.broadcast_to(np.asarray(alpha), (steps, len(theta))), []
    for i in range(len(<<first>>)):
        support = (<<support[i]>><<constants>>)
        query = (<<query[i]>><<constants>>)
        rows.append(meta_gradient(theta, support, query, alphas))
    return np.stack(rows)
