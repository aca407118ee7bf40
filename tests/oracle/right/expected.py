"""Exact expectations: trajectories by recursion, closed forms by time, score terms written out."""

# ruff: noqa: B023  (a function of a loop is called in its round)

import itertools

import numpy as np

from tests.oracle.right.complex_step import slopes, softmax


def walks(P, R, rho, gamma, horizon):
    """(p of the process, (s, a) of every step, γᵗĜ_t of every step), by recursion from the end."""

    def after(s, t):
        if t == horizon:
            return [(1.0, [], [])]
        found = []
        for a in range(P.shape[1]):
            for s2 in np.flatnonzero(P[s, a]):
                last = t == horizon - 1 and R.ndim == 2
                if last and s2 != np.flatnonzero(P[s, a])[0]:
                    continue
                r = gamma**t * (R[s, a, s2] if R.ndim == 3 else R[s, a])
                for p, pairs, to_go in after(s2, t + 1):
                    here = r + (to_go[0] if to_go else 0.0)
                    found.append((p * (1.0 if last else P[s, a, s2]), [(s, a), *pairs], [here, *to_go]))
        return found

    return [(rho[s] * p, *rest) for s in np.flatnonzero(rho) for p, *rest in after(s, 0)]


def score(pi, pairs, weights):
    """Σ w ∇log π(a|s), by the table."""
    g = np.zeros(pi.shape, dtype=pi.dtype)
    for (s, a), w in zip(pairs, weights, strict=True):
        g[s] -= w * pi[s]
        g[s, a] += w
    return g.ravel()


def probability(pi, walk):
    return walk[0] * np.prod([pi[pair] for pair in walk[1]])


def loss(theta, all_walks, shape):
    """−E[Σ γᵗ r_t] as a sum over the trajectories."""
    pi = softmax(theta.reshape(shape))
    return -sum(probability(pi, walk) * walk[2][0] for walk in all_walks)


def loss_gradient(theta, all_walks, shape):
    pi = softmax(theta.reshape(shape))
    return -sum(probability(pi, walk) * score(pi, walk[1], walk[2]) for walk in all_walks)


def by_recursion(theta, P, R, rho, gamma, horizon, alpha, episodes, steps, v):
    """Both objectives by the complex step, and Hessians as the complex step of expected scores."""
    out, shape = [], P.shape[1:3]
    for task in zip(P, R, rho, strict=True):
        seen = walks(*task, gamma, horizon)

        def sampled(theta, left):
            if not left:
                return loss(theta, seen, shape)
            pi = softmax(theta.reshape(shape))
            moves = [(probability(pi, walk), score(pi, walk[1], walk[2])) for walk in seen]
            every = itertools.product(moves, repeat=episodes)
            return sum(
                np.prod([p for p, _ in batch]) * sampled(theta + alpha / episodes * sum(g for _, g in batch), left - 1)
                for batch in every
            )

        def exact(theta):
            for _ in range(steps):
                theta = theta - alpha * loss_gradient(theta, seen, shape)
            return loss(theta, seen, shape)

        fixed = softmax(theta.reshape(shape))
        weights = [probability(fixed, walk) for walk in seen]

        def naive(at):
            return -sum(p * score(softmax(at.reshape(shape)), *walk[1:]) for p, walk in zip(weights, seen, strict=True))

        def ratio(at):
            pi, total = softmax(at.reshape(shape)), 0
            for p, (_, pairs, to_go) in zip(weights, seen, strict=True):
                total = total - p * score(
                    pi, pairs, [w * pi[pair] / fixed[pair] for w, pair in zip(to_go, pairs, strict=True)]
                )
            return total

        along = lambda f: np.imag(f(theta + 1e-30j * v)) / 1e-30
        many = len(seen) ** (episodes * steps) > 100
        row = {} if many else {"formulation_sampled": slopes(lambda t: sampled(t, steps), theta)}
        out.append(row | {
            "formulation_exact": slopes(exact, theta), "naive_hessian": along(naive), "lvc_hessian": along(ratio),
            "dice_hessian": along(lambda t: loss_gradient(t, seen, shape)),
        })  # fmt: skip
    return {name: np.array([row[name] for row in out]) for name in out[0]}


def closed(theta, P, R, rho, gamma, horizon, alpha, episodes, steps, v):
    """Without trajectories: E[Ĝ_t | s, a] is Q with t steps gone, and the three Hessians are sums over s and a."""
    N, S, A = P.shape[:3]
    R = (P * R).sum(-1) if R.ndim == 4 else R
    pi = softmax(theta.reshape(S, A))
    M, r = np.einsum("sa,nsat->nst", pi, P), np.einsum("sa,nsa->ns", pi, R)
    w = v.reshape(S, A) - (pi * v.reshape(S, A)).sum(1, keepdims=True)
    spread = pi * w  # of the scores: −∇²log π v, the same for every action
    values, turned = [np.zeros((N, S))], [np.zeros((N, S))]
    naive, lvc, dice = (np.zeros((N, S, A)) for _ in range(3))
    dM, dr = np.einsum("sa,nsat->nst", spread, P), np.einsum("sa,nsa->ns", spread, R)
    for _ in range(horizon):
        turned.append(
            dr + gamma * np.einsum("nst,nt->ns", dM, values[-1]) + gamma * np.einsum("nst,nt->ns", M, turned[-1])
        )
        values.append(r + gamma * np.einsum("nst,nt->ns", M, values[-1]))
    d, moved = rho, np.zeros_like(rho)
    for t in range(horizon):
        left = horizon - t
        Q = R + gamma * np.einsum("nsat,nt->nsa", P, values[left - 1])
        dQ = gamma * np.einsum("nsat,nt->nsa", P, turned[left - 1])
        V, dV = values[left][..., None], turned[left][..., None]
        naive += d[..., None] * V * spread
        second = spread * (Q - V) - pi * (spread * Q).sum(-1, keepdims=True)
        lvc -= d[..., None] * second
        dice -= d[..., None] * (spread * (Q - V) + pi * (dQ - dV)) + moved[..., None] * pi * (Q - V)
        moved = gamma * (np.einsum("ns,nst->nt", moved, M) + np.einsum("ns,nst->nt", d, dM))
        d = gamma * np.einsum("ns,nst->nt", d, M)
    flat = lambda x: x.reshape(N, S * A)
    return {"naive_hessian": flat(naive), "lvc_hessian": flat(lvc), "dice_hessian": flat(dice)}


def with_score_terms(theta, P, R, rho, gamma, horizon, alpha, episodes, steps, v):
    """∇E[L(φ)] = E[(I + α ∇²…) ∇L(φ) + L(φ) Σ ∇log p], backwards through the steps; and exact MAML by products."""
    out, (S, A) = [], P.shape[1:3]
    for task in zip(P, R, rho, strict=True):
        seen = walks(*task, gamma, horizon)
        weights, pairs, to_go = (np.array(x) for x in zip(*seen, strict=True))
        s, a = np.moveaxis(pairs, -1, 0)

        def curvature(pi, walk):
            H = np.zeros((S, A, S, A))
            for (s, _), w in zip(walk[1], walk[2], strict=True):
                H[s, :, s] -= w * (np.diag(pi[s]) - np.outer(pi[s], pi[s]))
            return H.reshape(S * A, S * A)

        def expected(theta, left):
            """E[L] and its gradient, over every batch in turn."""
            pi, F, g = softmax(theta.reshape(S, A)), 0.0, np.zeros(S * A)
            if not left:
                p = weights * pi[s, a].prod(1)
                table = np.zeros((S, A))
                np.add.at(table, (s, a), p[:, None] * to_go)
                return -p @ to_go[:, 0], (pi * table.sum(1, keepdims=True) - table).ravel()
            facts = [
                (probability(pi, walk), score(pi, walk[1], [1.0] * horizon), score(pi, *walk[1:]), curvature(pi, walk))
                for walk in seen
            ]
            for batch in itertools.combinations_with_replacement(facts, episodes):
                same = [sum(x is y for y in batch) for x in batch]
                number = np.prod(np.arange(1, episodes + 1)) / np.prod(
                    [np.prod(range(1, n + 1)) ** (1 / n) for n in same]
                )
                p = number * np.prod([fact[0] for fact in batch])
                phi = theta + alpha / episodes * sum(fact[2] for fact in batch)
                value, slope = expected(phi, left - 1)
                J = np.eye(S * A) + alpha / episodes * sum(fact[3] for fact in batch)
                F, g = F + p * value, g + p * (J @ slope + value * sum(fact[1] for fact in batch))
            return F, g

        out.append(expected(theta, steps)[1])
    return {"formulation_sampled": out}


RIGHT = [
    ("expected-estimators", "trajectories by recursion, complex step", by_recursion, {}, False),
    ("expected-estimators", "closed forms by time", closed, {}, False),
    ("expected-estimators", "score terms written out", with_score_terms, {}, False),
]
