"""Hypergradients of implicit MAML that stop early, as one would write them: loops task by task, and matrix functions."""

import numpy as np


def tasks(theta, data):
    """Of every task: gradient and Hessian of the support, gradient of the query, at any point."""
    support, query = ([data[prefix + name] for name in ("A", "c", "X", "y")] for prefix in ("", "query_"))
    for i in range(len(support[0] if support[0] is not None else support[2])):
        yield one(*(None if x is None else x[i] for x in support)), one(*(None if x is None else x[i] for x in query))


def one(A, c, X, y):
    """The gradient, and the Hessian, of one loss."""
    if A is not None:
        return lambda phi: A @ (phi - c), A
    return lambda phi: X.T @ (X @ phi - y) / len(y), X.T @ X / len(y)


def by_loops(theta, A, c, X, y, query_A, query_c, query_X, query_y, strength, eta, terms, cg_steps, steps, kept, delta):
    """Recursions: a vector that is multiplied again and again."""
    data = {"A": A, "c": c, "X": X, "y": y, "query_A": query_A, "query_c": query_c, "query_X": query_X, "query_y": query_y}
    rows = []
    for (slope, H), (query, _) in tasks(theta, data):
        one = np.eye(len(theta))
        phi = np.linalg.solve(H + strength * one, H @ theta - slope(theta) + strength * theta)
        g = query(phi)
        p = total = g
        for _ in range(terms - 1):
            p = p - eta * (p + H @ p / strength)
            total = total + p
        v = eta * g
        for _ in range(terms - 1):
            v = v + eta * (g - v - (slope(phi + delta * v) - slope(phi - delta * v)) / (2 * delta * strength))
        x, r, q = 0 * g, g, g
        for _ in range(cg_steps):
            if np.linalg.norm(r) <= 1e-13 * np.linalg.norm(g):
                break
            Mq = q + H @ q / strength
            length = (r @ q) / (q @ Mq)
            x, r = x + length * q, r - length * Mq
            q = r - (r @ Mq) / (q @ Mq) * q
        at, jacobian = np.array(theta), 0 * one
        for t in range(steps):
            at = at - eta / strength * (slope(at) + strength * (at - theta))
            jacobian = jacobian - eta * (jacobian + H @ jacobian / strength) + eta * one if t >= steps - kept else jacobian
        rows.append({"neumann": eta * total, "one_step": eta * g, "finite_difference": v, "cg": x, "truncated": jacobian.T @ query(at)})
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def by_functions(theta, A, c, X, y, query_A, query_c, query_X, query_y, strength, eta, terms, cg_steps, steps, kept, delta):
    """Closed forms in the eigenvectors of the Hessian; conjugate gradients as a projection on an orthogonal basis."""
    data = {"A": A, "c": c, "X": X, "y": y, "query_A": query_A, "query_c": query_c, "query_X": query_X, "query_y": query_y}
    out = {name: [] for name in ("neumann", "one_step", "cg", "truncated")}
    for (slope, H), (query, _) in tasks(theta, data):
        w, V = np.linalg.eigh(np.eye(len(theta)) + H / strength)
        of = lambda f, x, w=w, V=V: V @ (f(w) * (V.T @ x))
        series = lambda k: lambda h: (1 - (1 - eta * h) ** k) / h
        move = of(lambda w: 1 / w, slope(theta) / strength)  # θ − φ*
        g = query(theta - move)
        out["neumann"].append(of(series(terms), g))
        out["one_step"].append(eta * g)
        end = query(theta - of(lambda w: 1 - (1 - eta * w) ** steps, move))
        out["truncated"].append(of(series(kept), end))
        basis = np.zeros((len(theta), 0))
        b = g
        for _ in range(cg_steps):
            for _ in range(2):
                b = b - basis @ (basis.T @ b)
            if np.linalg.norm(b) <= 1e-11 * max(np.linalg.norm(g), 1e-300):
                break
            basis = np.column_stack([basis, b / np.linalg.norm(b)])
            b = of(lambda w: w, basis[:, -1])
        M = basis.T @ (V * w) @ V.T @ basis
        out["cg"].append(basis @ np.linalg.solve(M, basis.T @ g) if basis.size else 0 * g)
    return {name: np.array(rows) for name, rows in out.items()}


RIGHT = [
    ("implicit-early", "recursions task by task", by_loops, {}, False),
    ("implicit-early", "eigenvectors and a projection", by_functions, {}, False),
]
