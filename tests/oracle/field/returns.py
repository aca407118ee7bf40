"""Mistakes in returns, advantages and targets of batches with cuts and ends."""

from tests.oracle.field.mistake import Mistake
from tests.oracle.field.patches import patched
from tests.oracle.right import buffers

__all__ = ["MISTAKES"]

ROWS = [
    (
        'cut-no-bootstrap', "gym's old done: a truncated step is treated as terminated, no bootstrap (the last row still bootstraps)",
        [('    nv = np.where(valid & ~term, next_values, 0.0)', '    nv = np.where(valid & ~term & ~trunc, next_values, 0.0)')],
        ('gae', 'lambda_return', 'discounted', 'n_step'),
    ),
    (
        'gae-not-cut-at-truncation', 'the trace of GAE is cut at terminated steps alone: it runs over truncations into the next episode',
        [('nextnonterminal = 1.0 - done[:, t]', 'nextnonterminal = 1.0 - (term[:, t] | (t == r.shape[1] - 1))'), ('def gae(r, v, nv, done,', 'def gae(r, v, nv, term, done,'), ('gae(r, v, nv, done, gamma, lam)', 'gae(r, v, nv, term, done, gamma, lam)')],
        ('gae',),
    ),
    (
        'cleanrl-done-shift', "CleanRL's dones belong to the step before: nextnonterminal reads done[t+1] while done[t] is what the buffer holds",
        [('nextnonterminal = 1.0 - done[:, t]', 'nextnonterminal = 1.0 - done[:, t + 1] if t + 1 < r.shape[1] else np.zeros(len(r))')],
        ('gae',),
    ),
    (
        'values-shifted', "next value is values[t+1] also where an episode was cut (auto-reset's first state), the last of the batch is right",
        [('    out = {}\n', '    inside = np.zeros_like(valid)\n    inside[:, :-1] = valid[:, 1:]\n    shifted = np.zeros_like(v)\n    shifted[:, :-1] = v[:, 1:]\n    nv = np.where(term, 0.0, np.where(inside, shifted, nv))\n    out = {}\n')],
        ('gae', 'lambda_return'),
    ),
    (
        'no-bootstrap-at-rollout-end', "the rollout's last step has the value 0 behind it (next_value never passed in)",
        [('    out = {}\n', '    tail = valid.sum(axis=1) - 1\n    for i, t in enumerate(tail):\n        if not trunc[i, t]:\n            nv[i, t] = 0.0\n    out = {}\n')],
        ('gae', 'lambda_return', 'discounted', 'n_step'),
    ),
    (
        'gae-plus-no-values', "returns = advantages + values forgotten: the critic's target is the advantage",
        [('out["lambda_return"] = lambda_returns(r, nv, done, gamma, lam)', 'out["lambda_return"] = out["gae"]')],
        ('gae', 'lambda_return'),
    ),
    (
        'gae-without-lambda', "lambda missing from GAE's recursion",
        [('advantages[:, t] = lastgaelam = delta + gamma * lam * nextnonterminal * lastgaelam', 'advantages[:, t] = lastgaelam = delta + gamma * nextnonterminal * lastgaelam')],
        ('gae',),
    ),
    (
        'gae-without-gamma-in-trace', "gamma missing from GAE's recursion: lam alone",
        [('advantages[:, t] = lastgaelam = delta + gamma * lam * nextnonterminal * lastgaelam', 'advantages[:, t] = lastgaelam = delta + lam * nextnonterminal * lastgaelam')],
        ('gae',),
    ),
    (
        'gamma-missing-in-delta', "delta = r + V' - V, without gamma",
        [('delta = r[:, t] + gamma * nv[:, t] - v[:, t]', 'delta = r[:, t] + nv[:, t] - v[:, t]')],
        ('gae',),
    ),
    (
        'nstep-bootstrap-power', 'the bootstrap of the n-step return is discounted with gamma^(n-1)',
        [('out[i, t] = total + scale * nv[i, k]', 'out[i, t] = total + scale / (gamma or 1.0) * nv[i, k]')],
        ('n_step',),
    ),
    (
        'nstep-across-episodes', 'n-step returns run over terminations and cuts into the next episode (no check of done)',
        [('                if done[i, k]:\n                    break\n', '                if k + 1 < H and not valid_next[i, k]:\n                    break\n'), ('    N, H = r.shape\n', '    N, H = r.shape\n    valid_next = np.ones_like(done)\n    for i in range(N):\n        last = np.flatnonzero(np.any([r[i] != 0, nv[i] != 0], axis=0))\n        valid_next[i, last.max() if len(last) else 0] = False\n')],
        ('n_step',),
    ),
    (
        'nstep-one-more', 'the n-step return sums n + 1 rewards',
        [('range(t, min(t + n, H))', 'range(t, min(t + n + 1, H))')],
        ('n_step',),
    ),
    (
        'nstep-only-full-windows-bootstrap', 'n-step: an episode that ends by a cut within n steps gets no bootstrap (only full windows do)',
        [('out[i, t] = total + scale * nv[i, k]', 'out[i, t] = total + (scale * nv[i, k] if k == t + n - 1 else 0.0)')],
        ('n_step',),
    ),
    (
        'vtrace-without-lambda', "V-trace's trace lacks lambda",
        [('c = lam * np.minimum(c_bar, ratios)', 'c = np.minimum(c_bar, ratios)')],
        ('v_trace', 'v_trace_advantage'),
    ),
    (
        'vtrace-c-from-rho', "V-trace's trace is clipped with rho_bar instead of c_bar",
        [('c = lam * np.minimum(c_bar, ratios)', 'c = lam * rho')],
        ('v_trace', 'v_trace_advantage'),
    ),
    (
        'vtrace-rho-unclipped', 'rho is not clipped',
        [('rho = np.minimum(rho_bar, ratios)', 'rho = ratios')],
        ('v_trace', 'v_trace_advantage'),
    ),
    (
        'vtrace-advantage-of-values', "the advantage of V-trace uses V(s') instead of the target v_{t+1}",
        [('rho * (r + gamma * next_vs - v)', 'rho * (r + gamma * nv - v)')],
        ('v_trace', 'v_trace_advantage'),
    ),
    (
        'vtrace-no-rho-in-advantage', "the policy gradient's advantage lacks rho",
        [('rho * (r + gamma * next_vs - v)', 'r + gamma * next_vs - v')],
        ('v_trace', 'v_trace_advantage'),
    ),
    (
        'retrace-own-step', 'the trace of Retrace is that of step t instead of t+1',
        [('c_next * acc)', 'c_own * acc)'), ('        c_next = trace[:, t + 1] if t + 1 < H else np.zeros(len(r))', '        c_own = trace[:, t]')],
        ('retrace',),
    ),
    (
        'retrace-unclipped', 'the ratio in Retrace is not clipped at 1',
        [('lam * np.minimum(1.0, ratios)', 'lam * ratios')],
        ('retrace',),
    ),
    (
        'retrace-sarsa', "Retrace's error has Q(s', a') of the next step instead of the expectation (inside an episode)",
        [('    out["retrace"]', '    sarsa = nq.copy()\n    sarsa[:, :-1] = np.where(done[:, :-1], nq[:, :-1], q[:, 1:])\n    out["retrace"]'), ('off_policy_q(r, q, nq, done, lam * np.minimum', 'off_policy_q(r, q, sarsa, done, lam * np.minimum')],
        ('retrace',),
    ),
    (
        'tree-backup-ratio', "tree backup with min(1, ratio) instead of the policy's probability",
        [('lam * pi, gamma', 'lam * np.minimum(1.0, ratios), gamma')],
        ('tree_backup',),
    ),
    (
        'q-lambda-watkins', 'Q(lambda) cuts the trace where the ratio is below 1 (as if such an action were not greedy)',
        [('lam * np.ones_like(r)', 'lam * (ratios >= 1)')],
        ('q_lambda',),
    ),
    (
        'is-first-ratio', 'importance sampling multiplies the ratio of the first action, too',
        [('out["importance_sampling"] = off_policy_q(r, q, nq, done, ratios, gamma)', 'out["importance_sampling"] = q + ratios * (off_policy_q(r, q, nq, done, ratios, gamma) - q)')],
        ('importance_sampling',),
    ),
    (
        'lambda-return-own-value', 'the lambda-return mixes V(s_t) instead of V(s_{t+1})',
        [('def lambda_returns(r, nv, done, gamma, lam)', 'def lambda_returns(r, v, nv, done, gamma, lam)'), ('= lambda_returns(r, nv, done, gamma, lam)', '= lambda_returns(r, v, nv, done, gamma, lam)'), ('(1 - lam) * nv[:, t] + lam * g', '(1 - lam) * v[:, t] + lam * g')],
        ('lambda_return',),
    ),
    (
        'gae-normalised', 'advantages normalised over the batch',
        [('out["gae"] = gae(r, v, nv, done, gamma, lam)', 'out["gae"] = gae(r, v, nv, done, gamma, lam)\n    sample = out["gae"][valid]\n    out["gae"] = (out["gae"] - sample.mean()) / (sample.std() + 1e-8)')],
        ('gae',),
    ),
    (
        'sb3-double-bootstrap', 'gamma V of the cut state is added to the reward (as Stable-Baselines3 does), and the bootstrap stays in delta too',
        [('    out["gae"]', '    r = r + gamma * np.where(trunc, nv, 0.0)\n    out["gae"]')],
        ('gae', 'lambda_return'),
    ),
    (
        'rewards-clipped', "rewards are clipped to [-1, 1] (Atari's wrapper left on)",
        [('r = np.where(valid, rewards, 0.0)', 'r = np.clip(np.where(valid, rewards, 0.0), -1, 1)')],
        ('gae', 'lambda_return', 'discounted', 'n_step'),
    ),
    (
        'truncation-wins', 'where both flags are set the step counts as a cut: it bootstraps',
        [('trunc = np.asarray(truncated).astype(bool) & valid & ~term', 'trunc = np.asarray(truncated).astype(bool) & valid\n    term = term & ~trunc')],
        ('gae', 'lambda_return', 'discounted', 'n_step'),
    ),
    (
        'padding-as-steps', "the mask is not used in the recursion: the padding's rewards and values flow into the last true step (only results are masked)",
        [('valid = np.asarray(mask).astype(bool)', 'valid = np.ones(np.shape(mask), bool)'), ('    return {name: np.where(valid, x, 0.0)', '    valid = np.asarray(mask) != 0\n    return {name: np.where(valid, x, 0.0)')],
        ('gae', 'lambda_return', 'discounted'),
    ),
    (
        'pair-no-lambda-no-cut', 'two: lambda missing in GAE, and a cut does not bootstrap',
        [('advantages[:, t] = lastgaelam = delta + gamma * lam * nextnonterminal * lastgaelam', 'advantages[:, t] = lastgaelam = delta + gamma * nextnonterminal * lastgaelam'), ('    nv = np.where(valid & ~term, next_values, 0.0)', '    nv = np.where(valid & ~term & ~trunc, next_values, 0.0)')],
        ('gae',),
    ),
    (
        'pair-vtrace-no-lambda-advantage-values', "two: V-trace without lambda, and its advantage with V(s')",
        [('c = lam * np.minimum(c_bar, ratios)', 'c = np.minimum(c_bar, ratios)'), ('rho * (r + gamma * next_vs - v)', 'rho * (r + gamma * nv - v)')],
        ('v_trace', 'v_trace_advantage'),
    ),
    (
        'pair-retrace-own-step-unclipped', "two: Retrace with the own step's trace, not clipped",
        [('c_next * acc)', 'c_own * acc)'), ('        c_next = trace[:, t + 1] if t + 1 < H else np.zeros(len(r))', '        c_own = trace[:, t]'), ('lam * np.minimum(1.0, ratios)', 'lam * ratios')],
        ('retrace',),
    ),
    (
        'pair-shifted-values-and-done', 'two: values[t+1] at cuts, and done one step late',
        [('nextnonterminal = 1.0 - done[:, t]', 'nextnonterminal = 1.0 - done[:, t + 1] if t + 1 < r.shape[1] else np.zeros(len(r))'), ('    out = {}\n', '    inside = np.zeros_like(valid)\n    inside[:, :-1] = valid[:, 1:]\n    shifted = np.zeros_like(v)\n    shifted[:, :-1] = v[:, 1:]\n    nv = np.where(term, 0.0, np.where(inside, shifted, nv))\n    out = {}\n')],
        ('gae',),
    ),
    (
        'exotic-bootstrap-max', 'exotic: bootstrap with the larger of V and next V (a twin critic the wrong way round)',
        [('delta = r[:, t] + gamma * nv[:, t] - v[:, t]', 'delta = r[:, t] + gamma * np.maximum(nv[:, t], v[:, t]) - v[:, t]')],
        ('gae',),
    ),
    (
        'exotic-reward-scaled', 'exotic: rewards divided by the standard deviation of the returns',
        [('r = np.where(valid, rewards, 0.0)', 'r = np.where(valid, rewards, 0.0)\n    r = r / (r.std() + 1e-8)')],
        ('gae', 'lambda_return'),
    ),
]  # fmt: skip
MISTAKES = [Mistake("returns", name, patched(buffers, "answer", patches, only), planted, ()) for name, planted, patches, only in ROWS]
