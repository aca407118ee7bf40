"""Mistakes in the exact return of a process that ends: linear solves, sweeps, gymnasium's tables, hand-written derivatives."""

from tests.oracle.field import base_episode_tables, base_episodes
from tests.oracle.field.mistake import Mistake
from tests.oracle.field.patched import patched

__all__ = ["MISTAKES"]

SOLVES = [
    (
        'ends-ignored', "terminal is not read: the ends' own rows of P and R are followed",
        [('    r = r * alive[:, None]\n    P = P * alive[:, None, None]\n    rho = rho * alive\n', '    alive = np.ones_like(alive)\n')],
        ('end',),
    ),
    (
        'ends-pay-once', "the episode stops in an end, but the end's own reward is still paid (R is not cleared)",
        [('    r = r * alive[:, None]\n', '')],
        ('end', 'reward'),
    ),
    (
        'entering-not-paid', 'the reward is masked with 1 - done, so the step that enters an end is not paid',
        [('r = (P * R).sum(-1) if R.ndim == 3 else R', 'r = (P * alive * (R if R.ndim == 3 else R[:, :, None])).sum(-1)')],
        ('enter', 'end', 'paid'),
    ),
    (
        'bootstrap-mask-inverted', 'the next value is multiplied with done instead of with 1 - done',
        [('    P = P * alive[:, None, None]\n', '    P = P * done\n')],
        ('end', 'next'),
    ),
    (
        'auto-reset', "ends lead to a fresh start, as a vector environment's auto-reset does: the return runs into the next episode",
        [('    P = P * alive[:, None, None]\n', '    P = P * alive[:, None, None]\n    P = P * alive + (P * done).sum(-1, keepdims=True) * (rho * alive)\n')],
        ('end', 'start', 'episode'),
    ),
    (
        'visits-of-ends-kept', 'occupancy counts the arrivals at ends and the starts in them',
        [('    rho = rho * alive\n', ''), ('gamma * P_pi.T, rho) * alive', 'gamma * P_pi.T, rho)'), ('d[t] = x * alive', 'd[t] = x')],
        ('end', 'occupancy'),
    ),
    (
        'start-renormalised', 'what rho has in ends is divided among the other states',
        [('    rho = rho * alive\n', '    rho = rho * alive / (rho * alive).sum()\n')],
        ('rho', 'start'),
    ),
    (
        'rewards-mean-over-next-states', 'R(s, a, s\') is averaged over s\' without its probabilities',
        [('r = (P * R).sum(-1) if', 'r = R.mean(-1) if')],
        ('reward', "s'"),
    ),
    (
        'rewards-of-policy-in-q', 'Q is r_pi + gamma P V: the reward is that of the policy, not that of the action',
        [('        Q[t] = r + gamma * P @ V[t + 1]', '        Q[t] = (pi * r).sum(1)[:, None] + gamma * P @ V[t + 1]'), ('    Q = r + gamma * P @ V\n    d =', '    Q = r_pi[:, None] + gamma * P @ V\n    d =')],
        ('action_value', 'reward'),
    ),
    (
        'q-without-gamma', 'Q = r + P V: the discount is forgotten at the bootstrap of Q (V is right)',
        [('    Q = r + gamma * P @ V\n    d =', '    Q = r + P @ V\n    d ='), ('    V, Q, d = np.zeros((H + 1, S)), np.zeros((H, S, A)), np.zeros((H, S))\n    P_pi', '    V, Q, d = np.zeros((H + 1, S)), np.zeros((H, S, A)), np.zeros((H, S))\n    undiscounted = Q.copy()\n    P_pi'), ('        V[t] = (pi * Q[t]).sum(1)\n    x = rho', '        V[t] = (pi * Q[t]).sum(1)\n        undiscounted[t] = r + P @ V[t + 1]\n    Q = undiscounted\n    x = rho')],
        ('gamma', 'discount'),
    ),
    (
        'first-reward-discounted', 'the return is the sum of gamma^(t+1) r_t',
        [('prepare(P, R, rho, terminal)\n    if', 'prepare(P, R, rho, terminal)\n    r = gamma * r\n    if')],
        ('gamma', 'discount'),
    ),
    (
        'advantage-of-the-best', 'the advantage is Q minus the largest Q',
        [('"advantage": adv', '"advantage": Q - Q.max(-1, keepdims=True)')],
        ('advantage', 'max'),
    ),
    (
        'occupancy-normalised', 'visits are multiplied with 1 - gamma, and so is the gradient',
        [('    d = np.linalg.solve(eye - gamma * P_pi.T, rho) * alive', '    d = (1 - gamma) * np.linalg.solve(eye - gamma * P_pi.T, rho) * alive')],
        ('occupancy', 'normal'),
    ),
    (
        'visits-not-discounted', "gamma^t is dropped from the visits of a horizon, as in an actor-critic's code",
        [('        x = gamma * (x @ P_pi)', '        x = x @ P_pi')],
        ('gamma', 'visits', 'discount'),
    ),
    (
        'visits-not-transposed', 'the solve for the visits has P_pi where its transpose belongs',
        [('np.linalg.solve(eye - gamma * P_pi.T, rho)', 'np.linalg.solve(eye - gamma * P_pi, rho)'), ('gamma * (x @ P_pi)', 'gamma * (P_pi @ x)')],
        ('occupancy', 'transpose'),
    ),
    (
        'visits-normalised-in-gradient', 'the gradient is an average over visits: divided by their sum',
        [('g = (d[:, :, None] * pi * adv).sum(0)', 'g = (d[:, :, None] * pi * adv).sum(0) / d.sum()')],
        ('grad', 'visits'),
    ),
    (
        'horizon-one-less', 'the loop runs to H - 1: the last reward is lost',
        [('    for t in range(H - 1, -1, -1):\n        Q[t] = r', '    for t in range(H - 2, -1, -1):\n        Q[t] = r')],
        ('horizon',),
    ),
    (
        'values-by-time-to-go', 'V and Q are stored by the number of rewards that are left, the time axis the wrong way round',
        [('"value": V, "action_value": Q', '"value": V[::-1], "action_value": Q[::-1]')],
        ('time', 'revers', 'order'),
    ),
    (
        'stationary-values-in-gradient', "with a horizon every time's advantage is the one of time 0",
        [('g = (d[:, :, None] * pi * adv).sum(0)', 'g = (d[:, :, None] * pi * adv[:1]).sum(0)')],
        ('time', 'horizon', 'grad'),
    ),
    (
        'gradient-without-baseline', 'the gradient in the logits is d pi Q, the softmax Jacobian without its mean',
        [('g = (d[:, :, None] * pi * adv).sum(0)', 'g = (d[:, :, None] * pi * Q).sum(0)')],
        ('grad', 'baseline', 'advantage'),
    ),
    (
        'gradient-without-pi', 'the gradient lacks the probability of the action: d A',
        [('g = (d[:, :, None] * pi * adv).sum(0)', 'g = (d[:, :, None] * adv).sum(0)')],
        ('grad', 'pi', 'probab'),
    ),
    (
        'gradient-of-the-first-step', 'only the first action is differentiated: rho instead of the visits',
        [('g = (d[:, :, None] * pi * adv).sum(0)', 'g = rho[:, None] * pi * (adv[0] if len(adv) else 0.0)')],
        ('grad', 'visits', 'first'),
    ),
    (
        'gradient-of-rewards-alone', "the future is detached: d pi (r - r_pi), the bandit's gradient at every visit",
        [('g = (d[:, :, None] * pi * adv).sum(0)', 'g = (d[:, :, None] * pi * (r - (pi * r).sum(1, keepdims=True))).sum(0)')],
        ('grad', 'reward', 'gamma'),
    ),
    (
        'hessian-without-visits', "the visits' own derivative is left out of the Hessian product",
        [('        dg += dd[t][:, None] * pi * adv[t]\n', '')],
        ('hvp', 'visits'),
    ),
    (
        'hessian-without-values', 'the advantages are constants in the Hessian product',
        [('        dg += d[t][:, None] * pi * dadv\n', '')],
        ('hvp', 'advantage', 'value'),
    ),
    (
        'hessian-tangent-not-centred', 'the tangent of the policy is pi v, without its mean',
        [('dpi = pi * (dl - (pi * dl).sum(1, keepdims=True))', 'dpi = pi * dl')],
        ('hvp', 'softmax', 'mean'),
    ),
    (
        'hessian-is-fisher', 'hvp is the Fisher matrix of the visits times v',
        [('    dg = hessian_times(P, rho, alive, pi, dpi, Q, adv, d, gamma, horizon)\n', '    dg = -(d[:, :, None] * dpi).sum(0)\n')],
        ('hvp', 'Fisher'),
    ),
    (
        'hessian-ends-forgotten', "the Hessian product's own solves keep the true P: its tangent of the visits runs through the ends",
        [('    P, r, rho, alive = prepare(P, R, rho, terminal)', '    P_given = P\n    P, r, rho, alive = prepare(P, R, rho, terminal)'), ('dg = hessian_times(P, rho', 'dg = hessian_times(P_given if gamma < 1 or horizon else P, rho')],
        ('hvp', 'end'),
    ),
    (
        'logits-action-major', "theta is read as PyTorch's weight (A, S)",
        [('return theta.reshape(S, A)', 'return theta.reshape(A, S).T'), ('return g.ravel()', 'return g.T.ravel()')],
        ('transpose', 'theta', 'A, S'),
    ),
    (
        'softmax-over-states', 'the softmax runs over states',
        [('z.max(axis=-1, keepdims=True)', 'z.max(axis=0, keepdims=True)'), ('e.sum(axis=-1, keepdims=True)', 'e.sum(axis=0, keepdims=True)')],
        ('softmax', 'axis', 'probab'),
    ),
    (
        'ends-of-the-first-task', 'every task has the ends of task 0 (terminal broadcast)',
        [('terminal[i], gamma', 'terminal[0], gamma')],
        ('task', 'end'),
    ),
    (
        'starts-of-the-first-task', 'every task starts as task 0',
        [('rho[i]', 'rho[0]')],
        ('task', 'rho'),
    ),
    (
        'mean-of-tasks', 'loss, grad and hvp are averaged over the tasks and repeated',
        [('    return {name: np.array([row[name] for row in rows]) for name in rows[0]}', '    out = {name: np.array([row[name] for row in rows]) for name in rows[0]}\n    for name in ("loss", "grad", "hvp"):\n        out[name] = np.broadcast_to(out[name].mean(0), out[name].shape)\n    return out')],
        ('task', 'mean'),
    ),
    (
        'mean-of-starts', 'the loss is the mean of V over all states that are no ends: rho is not used',
        [('-(rho @ V[0])', '-(alive @ V[0]) / alive.sum()')],
        ('rho', 'start', 'uniform'),
    ),
    (
        'best-is-one-improvement', 'optimal_value is the value after a single greedy improvement',
        [('range(1000)', 'range(2)')],
        ('optimal', 'improve'),
    ),
    (
        'best-is-greedy-backup', 'optimal_value is max Q of the given policy',
        [('    out["optimal_value"] = best(P, r, alive, pi, gamma, horizon)', '    out["optimal_value"] = Q[0].max(1) if horizon is None else np.concatenate([Q.max(2), V[-1:]])')],
        ('optimal', 'max'),
    ),
    (
        'two-visits-and-entering', 'two: gamma^t is dropped from the visits of a horizon, and the step into an end is not paid',
        [('r = (P * R).sum(-1) if R.ndim == 3 else R', 'r = (P * alive * (R if R.ndim == 3 else R[:, :, None])).sum(-1)'), ('        x = gamma * (x @ P_pi)', '        x = x @ P_pi')],
        ('end', 'visits'),
    ),
]  # fmt: skip

TABLES = [
    (
        'table-end-holds-its-reward', "an end's value is the largest reward of its own rows, and next values are not masked (Russell & Norvig's U)",
        [('gamma * V[s2] * (not done)', 'gamma * V[s2]'), ('        if terminal[s]:\n            continue\n', '        if terminal[s]:\n            V[s] = max(sum(p * r for p, _, r, _ in table[s][a]) for a in table[s])\n            continue\n'), ('            if not terminal[s]:\n', '            if terminal[s]:\n                V[t, s] = max(sum(p * r for p, _, r, _ in table[s][a]) for a in table[s])\n            else:\n')],
        ('end',),
    ),
    (
        'table-done-drops-reward', "the whole backup of a done transition is skipped (if done: continue), its reward, too",
        [('        q += prob', '        if done:\n            continue\n        q += prob')],
        ('end', 'paid', 'enter'),
    ),
    (
        'table-first-outcome', 'only the first entry of table[s][a] is read, as if the world were deterministic',
        [('        q += prob * (reward + gamma * V[s2] * (not done))', '        return reward + gamma * V[s2] * (not done)')],
        ('probab', 'next', 'determin'),
    ),
    (
        'table-probability-of-reward', 'the probability multiplies the next value only: q += r + p gamma V',
        [('prob * (reward + gamma * V[s2] * (not done))', 'reward + prob * gamma * V[s2] * (not done)')],
        ('reward', 'probab'),
    ),
    (
        'table-loose-threshold', 'sweeps end when the largest change is below 1e-4',
        [('1e-15', '1e-4')],
        ('sweep', 'iterat', 'converge', 'toler'),
    ),
    (
        'table-hundred-sweeps', 'a hundred sweeps at most',
        [('20_000', '100')],
        ('sweep', 'iterat', 'converge'),
    ),
    (
        'table-optimal-from-zero', 'value iteration for the optimum starts from 0: at gamma = 1 a loop without pay looks best',
        [('gamma, greedy, V.copy())', 'gamma, greedy, np.zeros(S))')],
        ('optimal', 'loop', 'zero', 'reach'),
    ),
    (
        'table-float32', 'values are held in float32',
        [('follow, np.zeros(S))', 'follow, np.zeros(S, np.float32))'), ('V = np.zeros((horizon + 1, S))', 'V = np.zeros((horizon + 1, S), np.float32)'), ('1e-15', '1e-7')],
        ('float32', 'single'),
    ),
    (
        'table-stationary-with-horizon', 'H sweeps in place (Gauss-Seidel) stand for H backward steps',
        [('                V[t, s] = combine(s, [backup(table, V[t + 1], s,', '                V[t, s] = combine(s, [backup(table, np.where(np.arange(S) < s, V[t], V[t + 1]), s,')],
        ('horizon', 'time'),
    ),
]  # fmt: skip
MISTAKES = [Mistake("episodic-return", name, patched(base_episodes, "answer", patches), planted, words) for name, planted, patches, words in SOLVES]
MISTAKES += [Mistake("episodic-return", name, patched(base_episode_tables, "answer", patches), planted, words) for name, planted, patches, words in TABLES]
