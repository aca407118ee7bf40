"""The estimators of `bias` as a user would write them, in NumPy with explicit Jacobians; it imports nothing of refmeta.

Every function takes one tuple of batches, arrays (K, M, H); `vectorised_…` take n of them.
"""

from functools import partial

import numpy as np

# the process two-state, for V
P = np.array([[[0.75, 0.25], [0.25, 0.75]], [[0.5, 0.5], [0.125, 0.875]]])
R = np.array([[0.0, 1.0], [2.0, -1.0]])


def softmax(theta, state_count, action_count):
    logits = theta.reshape(state_count, action_count)
    e = np.exp(logits - logits.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def exact_values(pi, gamma, horizon):
    """V_t(s), by recursion from the end."""
    V = [np.zeros(len(pi))]
    for _ in range(horizon):
        V.insert(0, np.sum(pi * (R + gamma * P @ V[0]), axis=1))
    return np.array(V)


def to_go(rewards, gamma):
    G = np.array(rewards)
    for t in reversed(range(G.shape[1] - 1)):
        G[:, t] += gamma * G[:, t + 1]
    return G


def log_policy_slopes(pi, s, a):
    """∇ log π(a|s) and ∇² log π(a|s)."""
    S, A = pi.shape
    score, bend = np.zeros((S, A)), np.zeros((S * A, S * A))
    score[s] = -pi[s]
    score[s, a] += 1
    bend[s * A : s * A + A, s * A : s * A + A] = np.outer(pi[s], pi[s]) - np.diag(pi[s])
    return score.ravel(), bend


def inner(pi, states, actions, rewards, mask, gamma, curvature, baseline, credit):
    """ĝ, its curvature, and the sum of all scores, of one batch (M, H); after the end of a trajectory there is no step."""
    d, (M, H) = pi.size, rewards.shape
    g, h, scores, G = np.zeros(d), np.zeros((d, d)), np.zeros(d), to_go(rewards, gamma)
    b = exact_values(pi, gamma, H)[np.arange(H), states] if baseline else np.zeros((M, H))
    w = {
        "normalised": lambda: (G - G.mean()) / (G.std() + 1e-8), "to go": lambda: G - b, "over time": lambda: G / H,
        "ddof 1": lambda: (G - G.mean()) / (G.std(ddof=1) + 1e-8), "undiscounted": lambda: G / gamma ** np.arange(H),
    }[credit]() * gamma ** np.arange(H)  # fmt: skip
    for m in range(M):
        past, past_bend = np.zeros(d), np.zeros((d, d))
        for t in np.flatnonzero(mask[m]):
            score, bend = log_policy_slopes(pi, states[m, t], actions[m, t])
            now, now_bend = past + score, past_bend + bend
            g, scores = g + w[m, t] * score, scores + score
            dice = gamma**t * rewards[m, t] * (np.outer(now, now) + now_bend)
            dice += gamma**t * b[m, t] * (np.outer(past, past) + past_bend - np.outer(now, now) - now_bend)
            h += {
                "none": 0.0,
                "naive": w[m, t] * bend,
                "lvc": w[m, t] * (bend + np.outer(score, score)),
                "dice": dice,
            }[curvature]
            past, past_bend = now, now_bend
    return g / M, h / M, scores


def meta_gradient(
    theta, states, actions, rewards, mask, gamma, alpha, query, state_count, action_count,
    curvature="naive", score=lambda alpha, M: 0.0, baseline=False, credit="to go",
):  # fmt: skip
    phi, J, terms = np.array(theta), np.eye(len(theta)), np.zeros(len(theta))
    for s, a, r, of_steps in zip(states, actions, rewards, mask, strict=True):
        pi = softmax(phi, state_count, action_count)
        g, h, scores = inner(pi, s, a, r, of_steps, gamma, curvature, baseline, credit)
        terms = terms + J.T @ scores
        phi, J = phi + alpha * g, (np.eye(len(phi)) + alpha * h) @ J
    loss, gradient = query(phi)
    return J.T @ gradient + score(alpha, states.shape[1]) * loss * terms


one = lambda alpha, M: 1.0
e_maml = partial(meta_gradient, score=one)
score_term_dropped = partial(meta_gradient)
score_term_alpha = partial(meta_gradient, score=lambda alpha, M: alpha)
score_term_mean = partial(meta_gradient, score=lambda alpha, M: 1 / M)
first_order = partial(meta_gradient, curvature="none")
lvc = partial(meta_gradient, curvature="lvc")
dice = partial(meta_gradient, curvature="dice")
naive_exact_v = partial(meta_gradient, baseline=True)
tmaml_exact_v = partial(meta_gradient, curvature="dice", baseline=True)
advantages_normalised = partial(meta_gradient, score=one, credit="normalised")
normalised_ddof_1 = partial(meta_gradient, score=one, credit="ddof 1")
mean_over_time = partial(meta_gradient, score=one, credit="over time")
undiscounted_visits = partial(meta_gradient, score=one, credit="undiscounted")

nine_tenths = partial(meta_gradient, score=lambda alpha, M: 0.9)


def twice(**inputs):
    return 2 * e_maml(**{k: v for k, v in inputs.items() if k != "v"})


def turned(**inputs):
    return -0.5 * twice(**inputs)


def single_precision(**inputs):
    return (twice(**inputs) / 2).astype(np.float32)


def ignores_the_mask(**inputs):
    return twice(**{**inputs, "mask": np.ones(inputs["mask"].shape)}) / 2


def vectorised_first_order(theta, states, actions, rewards, gamma, alpha, query):
    """For n tuples at once: theta (n, d), arrays (n, K, M, H)."""
    n, phi = len(theta), theta
    for k in range(states.shape[1]):
        e = np.exp(phi.reshape(n, 2, 2))
        pi, G, (M, H) = e / e.sum(2, keepdims=True), rewards[:, k].copy(), rewards.shape[2:]
        for t in reversed(range(H - 1)):
            G[..., t] += gamma * G[..., t + 1]
        w = G * gamma ** np.arange(H) / M
        visits, taken = np.eye(2)[states[:, k]], np.eye(2)[actions[:, k]]
        at = np.einsum("nmhs,nsa->nmha", visits, pi)
        phi = phi + alpha * np.einsum("nmh,nmhs,nmha->nsa", w, visits, taken - at).reshape(n, 4)
    return query(phi)[1]


def vectorised_mixing(theta, states, actions, rewards, gamma, alpha, query):
    """With a baseline that is the mean over all tuples, too."""
    return vectorised_first_order(theta, states, actions, rewards - rewards.mean(), gamma, alpha, query)


def one_first_order(theta, states, actions, rewards, gamma, alpha, query):
    """The same for one tuple."""
    alone = lambda phi: tuple(np.asarray(x)[None] for x in query(phi[0]))
    return vectorised_first_order(theta[None], states[None], actions[None], rewards[None], gamma, alpha, alone)[0]


def policy_gradient(theta, states, actions, rewards, gamma, state_count, action_count, whole=True):
    """−ĝ of one batch, with the whole return or the reward to go without γᵗ."""
    pi, G, (M, H), g = softmax(theta, state_count, action_count), to_go(rewards, gamma), rewards.shape, 0.0
    for m in range(M):
        for t in range(H):
            g = g + G[m, 0 if whole else t] * log_policy_slopes(pi, states[m, t], actions[m, t])[0]
    return -g / M


undiscounted = partial(policy_gradient, whole=False)


def policy_gradient_in_single_precision(theta, states, actions, rewards, gamma, state_count, action_count):
    return undiscounted(theta, states, actions, rewards, gamma, state_count, action_count).astype(np.float32)


def hessian_products(theta, states, actions, rewards, mask, gamma, v, state_count, action_count):
    pi = softmax(theta, state_count, action_count)
    of = lambda kind: -inner(pi, states, actions, rewards, mask, gamma, kind, False, "to go")[1] @ v
    return {"naive_hessian": of("naive"), "lvc_hessian": of("lvc"), "dice_hessian": of("dice")}


# mistakes of a user


def wrong_shape(theta, query):
    return theta[:3]


def gives_nan(theta, actions, query):
    return theta * (np.nan if actions.sum() == 2 else 1.0)


def gives_nothing(theta, query):
    query(theta)


def crashes(theta, actions, query):
    if actions.sum() == 2:
        raise ZeroDivisionError("two ones")
    return query(theta)[1]


def leaves(theta, query):
    raise SystemExit(3)


def is_random(theta, query):
    return query(theta)[1] + 1e-3 * np.random.default_rng().normal(size=len(theta))


def remembers(theta, query, kept=[]):  # noqa: B006
    kept.append(1)
    return query(theta)[1] * (1 + 1e-3 * len(kept))


def moves_theta(theta, query):
    theta += 1.0
    return query(theta)[1]


def moves_rewards(theta, rewards, query):
    rewards *= 0.5
    return query(theta)[1]


def prints(theta, query):
    print("noise")
    return query(theta)[1]


def asks_too_much(theta, entropy, query):
    return theta


def asks_for_v(theta, v):
    return theta


def never_asks(theta, query):
    return theta


def asks_at_two_points(theta, query):
    return query(theta)[1] + query(theta + 1.0)[1]


def asks_at_a_wrong_shape(theta, query):
    return query(theta[:2])[1]


def is_huge(theta, query):
    return 1e200 * query(theta)[1]


def is_far(theta, query):
    return -123456.0 * query(theta)[1] + 1e5 * np.arange(4)


def is_zero(theta, query):
    return 0.0 * theta


not_a_function = 3
