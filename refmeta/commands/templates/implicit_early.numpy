def hypergradients(theta, support, query, strength, eta, terms, cg_steps, steps, kept, delta):
    """One task: a dict of the parts that you compute, (d,) each, for loss(phi, *support) and loss(phi, *query).

    All but truncated are taken at the phi that minimises loss(phi, *support) + strength / 2 * |phi - theta|^2.
    """
    # ==== YOUR CODE: your answers instead of the next line, for example {"cg": x} ====
    raise NotImplementedError("<<unfilled>>")
    # ==== THE END OF YOUR CODE ====


def <<function>>(<<arguments>>):
    """The answer: a dict of the parts that you compute, one row per task in each."""
    theta, rows = np.asarray(theta), []
    for i in range(len(X if A is None else A)):
        support = [None if each is None else each[i] for each in (<<support>>)]
        query = [None if each is None else each[i] for each in (<<query>>)]
        rows.append(hypergradients(theta, support, query, strength, eta, terms, cg_steps, steps, kept, delta))
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}
