"""Mistakes in penalties of a divergence, and in surrogates on batches that are drawn where they are used."""

from tests.oracle.field.mistake import Mistake
from tests.oracle.field.patches import patched
from tests.oracle.right import second_order

__all__ = ["MISTAKES"]

ROWS = [
    (
        'kl-no-ratio', "the penalty is differentiated without the ratio: loss = mean of k (GRPO's code on a k that needs the score)",
        [('per_step = k * ratio', 'per_step = k')],
        ('kl_k1', 'kl_k2', 'kl_k3'),
    ),
    (
        'kl-ratio-detached', 'the ratio is a detached weight',
        [('per_step = k * ratio', 'per_step = k * ratio.detach()')],
        ('kl_k1', 'kl_k2', 'kl_k3'),
    ),
    (
        'kl-in-reward', 'k is a number (KL in the reward): only the ratio has a slope',
        [('per_step = k * ratio', 'per_step = k.detach() * ratio')],
        ('kl_k1', 'kl_k2', 'kl_k3'),
    ),
    (
        'kl-log-ratio-reversed', 'l = log pi_ref - log pi',
        [('l = logp - logp_ref', 'l = logp_ref - logp')],
        ('kl_k1', 'kl_k2', 'kl_k3'),
    ),
    (
        'k3-sign-of-exponent', 'k3 with exp(+l) - l - 1',
        [('k = (-l).exp() + l - 1', 'k = l.exp() - l - 1')],
        ('kl_k3',),
    ),
    (
        'k2-no-half', 'k2 without the half',
        [('k = (l * l) / 2', 'k = l * l')],
        ('kl_k2',),
    ),
    (
        'k3-no-one', 'k3 without the - 1 (a constant, but the ratio multiplies it)',
        [('k = (-l).exp() + l - 1', 'k = (-l).exp() + l')],
        ('kl_k3',),
    ),
    (
        'kl-abs', "verl's abs penalty: |l| as k1",
        [('        k = l\n', '        k = l * np.sign(l.v)\n')],
        ('kl_k1',),
    ),
    (
        'kl-ref-is-old', 'the reference policy is the sampling policy (theta_sampled)',
        [('logp_ref = log_prob(Jet.variable(theta_sampled / 2), *batch).detach()', 'logp_ref = logp_old')],
        ('kl_k1', 'kl_k2', 'kl_k3'),
    ),
    (
        'kl-no-discount', 'gamma^t is left out (language-model code)',
        [('    return where(mask, per_step * discount, 0.0).sum(1).mean(0)', '    return where(mask, per_step, 0.0).sum(1).mean(0)')],
        ('kl_k1', 'kl_k2', 'kl_k3'),
    ),
    (
        'kl-masked-mean', 'masked mean over all tokens instead of the sum over time',
        [('    return where(mask, per_step * discount, 0.0).sum(1).mean(0)', '    return where(mask, per_step * discount, 0.0).sum(1).sum(0) / mask.sum()')],
        ('kl_k1', 'kl_k2', 'kl_k3'),
    ),
    (
        'kl-mean-per-sequence', "per sequence the mean over its valid tokens, then the mean over sequences (GRPO's length normalisation)",
        [('    return where(mask, per_step * discount, 0.0).sum(1).mean(0)', '    return (where(mask, per_step * discount, 0.0).sum(1) / mask.sum(axis=1)).mean(0)')],
        ('kl_k1', 'kl_k2', 'kl_k3'),
    ),
    (
        'kl-sum-over-trajectories', 'summed over the batch instead of its mean',
        [('    return where(mask, per_step * discount, 0.0).sum(1).mean(0)', '    return where(mask, per_step * discount, 0.0).sum(1).sum(0)')],
        ('kl_k1', 'kl_k2', 'kl_k3'),
    ),
    (
        'kl-bonus-sign', 'the penalty is subtracted from the loss',
        [('    return where(mask, per_step * discount, 0.0).sum(1).mean(0)', '    return -where(mask, per_step * discount, 0.0).sum(1).mean(0)')],
        ('kl_k1', 'kl_k2', 'kl_k3'),
    ),
    (
        'kl-exact-over-actions', 'kl_divergence of the two distributions at each state, differentiated (not the sampled estimator)',
        [('            out.setdefault(kind, []).append(kl_penalty(kind, logp, logp_old, logp_ref, m, gamma).g)', '            out.setdefault(kind, []).append(exact_kl(theta, theta_sampled / 2, states[i], m, state_count, action_count, features, gamma).g)'),
 ('def surrogates(',
  'def exact_kl(theta, ref, states, m, S, A, features, gamma):\n'
  '    p, ref = Jet.variable(theta), Jet.variable(ref).detach()\n'
  '    if states.ndim == 3:\n'
  '        split = lambda x: (x[: A * S].reshape(A, S), x[A * S :])\n'
  '        (gain, s), (rgain, rs) = split(p), split(ref)\n'
  '        gap = stack([((gain[i] - rgain[i]) * states).sum(-1) for i in range(A)], -1)\n'
  '        kl = ((rs - s) + ((s * 2).exp() + gap * gap) * (rs * -2).exp() / 2 - 0.5).sum(-1)\n'
  '    else:\n'
  '        table = lambda x: log_softmax(x.reshape(S, A) if features is None else x.left(features))\n'
  '        lp, lr = table(p), table(ref)\n'
  '        kl = (lp.exp() * (lp - lr)).sum(-1)[np.where(m, states, 0)]\n'
  '    return where(m, kl * gamma ** np.arange(m.shape[1]), 0.0).sum(1).mean(0)\n'
  '\n'
  '\n'
  'def surrogates(')],
        ('kl_k1',),
    ),
    (
        'kl-trajectory-ratio', "the cumulative ratio of the trajectory up to t instead of the step's",
        [('ratio = (logp - logp_old).exp()\n    l =', 'ratio = (logp - logp_old).cumsum(1).exp()\n    l =')],
        ('kl_k1', 'kl_k2', 'kl_k3'),
    ),
    (
        'kl-to-go', 'the KL is a reward: the score of a step is weighted with the discounted sum of the later penalties, k a number',
        [('per_step = k * ratio', 'per_step = ratio * reward_to_go(np.where(mask, k.detach().v, 0.0), gamma)')],
        ('kl_k1', 'kl_k2', 'kl_k3'),
    ),
    (
        'kl-weight-of-ref', 'the importance weight is against the reference policy: exp(l) k',
        [('per_step = k * ratio', 'per_step = k * l.exp()')],
        ('kl_k1', 'kl_k2', 'kl_k3'),
    ),
    (
        'kl-inverse-ratio', 'the ratio upside down',
        [('ratio = (logp - logp_old).exp()\n    l =', 'ratio = (logp_old - logp).exp()\n    l =')],
        ('kl_k1', 'kl_k2', 'kl_k3'),
    ),
    (
        'k3-clamped', 'k3 clamped at 10 as in verl, l clamped at 20',
        [('k = (-l).exp() + l - 1', 'l = clip(l, -20, 20)\n        k = clip((-l).exp() + l - 1, -10, 10)')],
        ('kl_k3',),
    ),
    (
        'kl-reference-moves', 'the reference follows theta: parameters theta/2, held',
        [('logp_ref = log_prob(Jet.variable(theta_sampled / 2), *batch).detach()', 'logp_ref = log_prob(Jet.variable(theta / 2), *batch).detach()')],
        ('kl_k1', 'kl_k2', 'kl_k3'),
    ),
    (
        'pair-no-ratio-reversed', 'two: no ratio, l reversed',
        [('per_step = k * ratio', 'per_step = k'), ('l = logp - logp_ref', 'l = logp_ref - logp')],
        ('kl_k1', 'kl_k2', 'kl_k3'),
    ),
    (
        'pair-no-discount-mean', 'two: no discount, masked mean',
        [('    return where(mask, per_step * discount, 0.0).sum(1).mean(0)', '    return where(mask, per_step, 0.0).sum(1).sum(0) / mask.sum()')],
        ('kl_k1', 'kl_k2', 'kl_k3'),
    ),
    (
        'pair-in-reward-no-half', 'two: k detached, k2 without the half',
        [('per_step = k * ratio', 'per_step = k.detach() * ratio'), ('k = (l * l) / 2', 'k = l * l')],
        ('kl_k2',),
    ),
    (
        'pair-k3-reversed-no-one', 'two: k3 = exp(l) - l, reversed and without the 1',
        [('k = (-l).exp() + l - 1', 'k = l.exp() - l')],
        ('kl_k3',),
    ),
    (
        'exotic-k2-of-means', 'exotic: k2 of the mean over trajectories of l per time',
        [('k = (l * l) / 2', 'm1 = l.sum(0, keepdims=True) / l.v.shape[0]\n        k = (m1 * m1) / 2')],
        ('kl_k2',),
    ),
    (
        's-dice-whole-trajectory', "DiCE's magic box over the whole trajectory",
        [('magic = log_ratio.cumsum(1).exp()\n        ratio = log_ratio.exp()\n        return', 'magic = (log_ratio * 0.0 + log_ratio.sum(1, keepdims=True)).exp()\n        ratio = log_ratio.exp()\n        return')],
        ('dice_loss', 'dice_grad', 'dice_hvp'),
    ),
    (
        's-dice-no-baseline', 'DiCE without its baseline term',
        [('        return -total(magic * rewards) - total((1 - ratio) * baseline)', '        return -total(magic * rewards)')],
        ('dice_loss', 'dice_grad', 'dice_hvp'),
    ),
    (
        's-dice-exclusive', "DiCE's cumulative sum leaves out the current action",
        [('magic = log_ratio.cumsum(1).exp()\n        ratio = log_ratio.exp()\n        return', 'magic = (log_ratio.cumsum(1) - log_ratio).exp()\n        ratio = log_ratio.exp()\n        return')],
        ('dice_loss', 'dice_grad', 'dice_hvp'),
    ),
    (
        's-tmaml-plus', "T-MAML's second baseline term is added",
        [('((1 - ratio) - (1 - before) * (1 - ratio))', '((1 - ratio) + (1 - before) * (1 - ratio))')],
        ('tmaml_loss', 'tmaml_grad', 'tmaml_hvp'),
    ),
    (
        's-loaded-no-exclusive', 'Loaded DiCE without the exclusive exponential',
        [('(deps.exp() - deps_exclusive.exp())', 'deps.exp()')],
        ('loaded_dice_loss', 'loaded_dice_grad', 'loaded_dice_hvp'),
    ),
    (
        's-reinforce-as-ratio', 'REINFORCE written with the ratio (same gradient on policy)',
        [('return -total(log_ratio * advantages)', 'return -total(log_ratio.exp() * advantages)')],
        ('reinforce_loss', 'reinforce_grad', 'reinforce_hvp'),
    ),
    (
        's-magic-box-detach', 'log_ratio = logp - logp.detach(): right on policy alone',
        [('logp_old = log_prob(Jet.variable(theta_sampled), *batch).detach()', 'logp_old = logp.detach()')],
        ('likelihood_ratio_loss', 'likelihood_ratio_grad', 'likelihood_ratio_hvp', 'dice_loss', 'dice_grad', 'dice_hvp'),
    ),
    (
        's-ppo-clip', "PPO's clip at 0.2 in the likelihood ratio's surrogate",
        [('        return -total(ratio * advantages)', '        a, b = ratio * advantages, clip(ratio, 0.8, 1.2) * advantages\n        return -total(where(a.v <= b.v, a, b))')],
        ('likelihood_ratio_loss', 'likelihood_ratio_grad', 'likelihood_ratio_hvp'),
    ),
    (
        's-normalised', 'normalised advantages',
        [('advantages = np.where(mask, returns - baseline, 0.0)', 'advantages = np.where(mask, returns - baseline, 0.0)\n    advantages = np.where(mask, (advantages - advantages[mask].mean()) / (advantages[mask].std() + 1e-8), 0.0)')],
        ('likelihood_ratio_loss', 'likelihood_ratio_grad', 'likelihood_ratio_hvp'),
    ),
    (
        's-gauss-newton-hvp', 'the Hessian product of the likelihood ratio with the outer product of scores left out (Hessian of log pi alone)',
        [('            out.setdefault(f"{name}_hvp", []).append(loss.h @ v)', '            held = surrogate("reinforce", logp, logp_old, rewards[i], m, baseline[i], gamma, lam)\n            out.setdefault(f"{name}_hvp", []).append((held if name == "likelihood_ratio" else loss).h @ v)')],
        ('likelihood_ratio_loss', 'likelihood_ratio_grad', 'likelihood_ratio_hvp'),
    ),
    (
        's-no-state-discount', 'gamma^t in front of the score left out',
        [('return where(mask, x * discount, 0.0).sum(1).mean(0)', 'return where(mask, x, 0.0).sum(1).mean(0)')],
        ('reinforce_loss', 'reinforce_grad', 'reinforce_hvp', 'likelihood_ratio_loss', 'likelihood_ratio_grad', 'likelihood_ratio_hvp'),
    ),
    (
        's-dice-baseline-sign', "DiCE's baseline term with the wrong sign: (ratio - 1) b",
        [('        return -total(magic * rewards) - total((1 - ratio) * baseline)', '        return -total(magic * rewards) - total((ratio - 1) * baseline)')],
        ('dice_loss', 'dice_grad', 'dice_hvp'),
    ),
]  # fmt: skip
MISTAKES = [Mistake("surrogates", name, patched(second_order, "surrogates", patches, only), planted, ()) for name, planted, patches, only in ROWS]
