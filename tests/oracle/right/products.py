"""Implicit MAML that stops early, by Hessian products: one task after another."""
import numpy as np


def slope(phi, task):
    """∇L of one task."""
    A, c, X, y = task
    if A is not None:
        return A @ (phi - c)
    return X.T @ (X @ phi - y) / len(y)


def hessian(task):
    """∇²L of one task."""
    A, c, X, y = task
    return A if A is not None else X.T @ X / len(y)


def product(v, phi, support, lam):
    """(I + ∇²L/λ)v."""
    return v + hessian(support) @ v / lam


def difference(v, phi, support, lam, delta):
    """The same by a difference of gradients."""
    up, down = slope(phi + delta * v, support), slope(phi - delta * v, support)
    return v + (up - down) / (2 * delta * lam)


def minimiser(theta, support, lam):
    """One Newton step from theta, and one more for the last digits."""
    phi = theta
    for _ in range(2):
        H = hessian(support) + lam * np.eye(len(theta))
        phi = phi - np.linalg.solve(H, slope(phi, support) + lam * (phi - theta))
    return phi


def series(g, Hv, eta, terms):
    """Neumann's series."""
    v = g
    p = g
    for _ in range(terms - 1):
        v = v - eta * Hv(v)
        p = p + v
    return eta * p


def conjugate(g, Hv, count):
    """So many steps of conjugate gradients from 0."""
    x = np.zeros_like(g)
    r = g - Hv(x)
    p = r
    rs = r @ r
    for _ in range(count):
        if rs <= 1e-30 * (g @ g):
            break
        Hp = Hv(p)
        a = rs / (p @ Hp)
        x = x + a * p
        r = r - a * Hp
        new = r @ r
        p = r + new / rs * p
        rs = new
    return x


def unrolled(theta, support, query, lam, eta, steps, kept):
    """The slope by θ through the last steps."""
    phi = theta
    for _ in range(steps):
        phi = phi - eta / lam * (slope(phi, support) + lam * (phi - theta))
    back = slope(phi, query)
    total = np.zeros_like(theta)
    for _ in range(kept):
        total = total + eta * back
        back = back - eta * product(back, phi, support, lam)
    return total


def task_answer(theta, support, query, lam, eta, terms, cg_steps, steps, kept, delta):
    """Every part of one task."""
    phi = minimiser(theta, support, lam)
    g = slope(phi, query)
    Hv = lambda v: product(v, phi, support, lam)
    Dv = lambda v: difference(v, phi, support, lam, delta)
    return {
        "neumann": series(g, Hv, eta, terms),
        "one_step": eta * g,
        "cg": conjugate(g, Hv, cg_steps),
        "finite_difference": series(g, Dv, eta, terms),
        "truncated": unrolled(theta, support, query, lam, eta, steps, kept),
    }


def answer(theta, A, c, X, y, query_A, query_c, query_X, query_y, strength, eta, terms, cg_steps, steps, kept, delta):
    """Every part, one row for each task."""
    theta, rows = np.asarray(theta, float), []
    for i in range(len(X if A is None else A)):
        support = [None if each is None else np.asarray(each[i]) for each in (A, c, X, y)]
        query = [None if each is None else np.asarray(each[i]) for each in (query_A, query_c, query_X, query_y)]
        rows.append(task_answer(theta, support, query, strength, eta, terms, cg_steps, steps, kept, delta))
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


RIGHT = [("implicit-early", "Hessian products", answer, {}, False)]
