"""Mistakes in the meta-gradient of sampled batches."""

from tests.oracle.field.mistake import Mistake
from tests.oracle.field.patches import patched
from tests.oracle.right import second_order

__all__ = ["MISTAKES"]

ROWS = [
    (
        'no-create-graph', 'create_graph=False in the inner gradient: first order',
        [('return loss.g, loss.h', 'return loss.g, 0.0 * loss.h')],
        ('likelihood_ratio_adapted', 'likelihood_ratio_objective', 'likelihood_ratio_gradient'),
    ),
    (
        'magic-box-on-policy', "log_ratio = logp - logp.detach(): the batch's own parameters are never used (right on policy)",
        [('logp_old = log_prob(Jet.variable(sampled_at), states, actions, mask, *sizes).detach()', 'logp_old = logp.detach()')],
        ('dice_adapted', 'dice_objective', 'dice_gradient'),
    ),
    (
        'old-is-initial', 'the old log-probabilities of every support batch are those of the initial theta (the data of step 2 was drawn at phi_1)',
        [('loss = batch_loss(name, Jet.variable(phi), *batch, sizes, gamma, lam)', 'batch[0] = theta\n        loss = batch_loss(name, Jet.variable(phi), *batch, sizes, gamma, lam)')],
        ('likelihood_ratio_adapted', 'likelihood_ratio_objective', 'likelihood_ratio_gradient'),
    ),
    (
        'query-old-is-theta', "the query's old log-probabilities are those of theta instead of the parameters that drew it",
        [('outer = batch_loss(name, Jet.variable(phi), *query, sizes, gamma, lam)', 'query[0] = theta\n            outer = batch_loss(name, Jet.variable(phi), *query, sizes, gamma, lam)')],
        ('likelihood_ratio_adapted', 'likelihood_ratio_objective', 'likelihood_ratio_gradient'),
    ),
    (
        'no-state-discount', 'gamma^t in front of the score is left out (as most codebases do): only the return is discounted',
        [('return where(mask, x * discount, 0.0).sum(1).mean(0)', 'return where(mask, x, 0.0).sum(1).mean(0)')],
        ('likelihood_ratio_adapted', 'likelihood_ratio_objective', 'likelihood_ratio_gradient', 'reinforce_adapted', 'reinforce_objective', 'reinforce_gradient'),
    ),
    (
        'mean-over-steps', 'loss.mean() over all valid steps instead of the sum over time',
        [('return where(mask, x * discount, 0.0).sum(1).mean(0)', 'return where(mask, x * discount, 0.0).sum(1).sum(0) / mask.sum()')],
        ('likelihood_ratio_adapted', 'likelihood_ratio_objective', 'likelihood_ratio_gradient'),
    ),
    (
        'mean-over-padded', 'mean over M*H entries, padding included',
        [('return where(mask, x * discount, 0.0).sum(1).mean(0)', 'return where(mask, x * discount, 0.0).mean(1).mean(0)')],
        ('dice_adapted', 'dice_objective', 'dice_gradient'),
    ),
    (
        'no-baseline', 'the baseline is not subtracted',
        [('advantages = np.where(mask, returns - baseline, 0.0)', 'advantages = np.where(mask, returns, 0.0)')],
        ('reinforce_adapted', 'reinforce_objective', 'reinforce_gradient', 'likelihood_ratio_adapted', 'likelihood_ratio_objective', 'likelihood_ratio_gradient'),
    ),
    (
        'dice-no-baseline-term', 'DiCE without its baseline term',
        [('        return -total(magic * rewards) - total((1 - ratio) * baseline)', '        return -total(magic * rewards)')],
        ('dice_adapted', 'dice_objective', 'dice_gradient'),
    ),
    (
        'dice-exclusive-cumsum', "DiCE's cumulative sum leaves out the current action",
        [('magic = log_ratio.cumsum(1).exp()', 'magic = (log_ratio.cumsum(1) - log_ratio).exp()')],
        ('dice_adapted', 'dice_objective', 'dice_gradient'),
    ),
    (
        'dice-whole-trajectory', "DiCE's magic box over the log-probability of the whole trajectory: not causal",
        [('magic = log_ratio.cumsum(1).exp()', 'magic = (log_ratio * 0.0 + log_ratio.sum(1, keepdims=True)).exp()')],
        ('dice_adapted', 'dice_objective', 'dice_gradient'),
    ),
    (
        'dice-baseline-cumulative', "DiCE's baseline term with the cumulative magic box instead of the step's own",
        [('total((1 - ratio) * baseline)', 'total((1 - magic) * baseline)')],
        ('dice_adapted', 'dice_objective', 'dice_gradient'),
    ),
    (
        'loaded-undecayed-exclusive', 'Loaded DiCE: the exclusive sum is the one of the step before, not times lambda',
        [('deps_exclusive = deps - log_ratio', 'deps_exclusive = stack([log_ratio[:, 0] * 0.0] + [deps[:, t] for t in range(H - 1)], 1)')],
        ('loaded_dice_adapted', 'loaded_dice_objective', 'loaded_dice_gradient'),
    ),
    (
        'loaded-no-lambda', 'Loaded DiCE with a plain cumulative sum: lambda left out',
        [('weighted_cumsum(log_ratio, lam)', 'log_ratio.cumsum(1)')],
        ('loaded_dice_adapted', 'loaded_dice_objective', 'loaded_dice_gradient'),
    ),
    (
        'tmaml-is-dice', "T-MAML's second baseline term is missing",
        [('total(((1 - ratio) - (1 - before) * (1 - ratio)) * baseline)', 'total((1 - ratio) * baseline)')],
        ('tmaml_adapted', 'tmaml_objective', 'tmaml_gradient'),
    ),
    (
        'tmaml-sign', "T-MAML's second baseline term is added",
        [('((1 - ratio) - (1 - before) * (1 - ratio))', '((1 - ratio) + (1 - before) * (1 - ratio))')],
        ('tmaml_adapted', 'tmaml_objective', 'tmaml_gradient'),
    ),
    (
        'normalised-advantages', 'advantages are normalised to mean 0 and deviation 1 over the batch',
        [('advantages = np.where(mask, returns - baseline, 0.0)', 'advantages = np.where(mask, returns - baseline, 0.0)\n    n = mask.sum()\n    mu = advantages[mask].mean()\n    advantages = np.where(mask, (advantages - mu) / (advantages[mask].std() + 1e-8), 0.0)')],
        ('likelihood_ratio_adapted', 'likelihood_ratio_objective', 'likelihood_ratio_gradient', 'reinforce_adapted', 'reinforce_objective', 'reinforce_gradient'),
    ),
    (
        'whole-return', 'the whole return of the trajectory instead of the reward to go',
        [('returns = reward_to_go(rewards, gamma)', 'returns = np.repeat((rewards * discount).sum(axis=1)[:, None], H, axis=1)')],
        ('reinforce_adapted', 'reinforce_objective', 'reinforce_gradient'),
    ),
    (
        'rewards-discounted-twice', 'rewards are discounted from the start before the reward to go is summed, then gamma^t once more',
        [('returns = reward_to_go(rewards, gamma)', 'returns = reward_to_go(rewards * discount, gamma)')],
        ('likelihood_ratio_adapted', 'likelihood_ratio_objective', 'likelihood_ratio_gradient'),
    ),
    (
        'first-step-size-always', 'the step size of the first step is used in all steps',
        [('lr = alphas[k]', 'lr = alphas[0]')],
        ('reinforce_adapted', 'reinforce_objective', 'reinforce_gradient'),
    ),
    (
        'alpha-wrong-side', 'hand-made Jacobian: the step sizes multiply the columns of the Hessian instead of the rows',
        [('lr[:, None] * (hessian @ jacobian)', '(hessian * lr[None, :]) @ jacobian')],
        ('likelihood_ratio_adapted', 'likelihood_ratio_objective', 'likelihood_ratio_gradient'),
    ),
    (
        'inner-ascent-sign', 'the inner loop steps uphill on the loss',
        [('phi = phi - lr * g', 'phi = phi + lr * g'), ('jacobian = jacobian - lr', 'jacobian = jacobian + lr')],
        ('reinforce_adapted', 'reinforce_objective', 'reinforce_gradient'),
    ),
    (
        'first-batch-always', 'all inner steps use the first support batch',
        [('batch = [x[k] for x in support]', 'batch = [x[0] for x in support]')],
        ('likelihood_ratio_adapted', 'likelihood_ratio_objective', 'likelihood_ratio_gradient'),
    ),
    (
        'outer-on-support', 'the outer loss is computed on the last support batch instead of the query batch',
        [('outer = batch_loss(name, Jet.variable(phi), *query, sizes, gamma, lam)', 'last = [x[-1] for x in support] if len(alphas) else query\n            outer = batch_loss(name, Jet.variable(phi), *last, sizes, gamma, lam)')],
        ('likelihood_ratio_adapted', 'likelihood_ratio_objective', 'likelihood_ratio_gradient'),
    ),
    (
        'query-at-theta', "the query's loss is taken at theta instead of phi (the fast weights never loaded)",
        [('outer = batch_loss(name, Jet.variable(phi), *query, sizes, gamma, lam)', 'outer = batch_loss(name, Jet.variable(theta), *query, sizes, gamma, lam)')],
        ('likelihood_ratio_adapted', 'likelihood_ratio_objective', 'likelihood_ratio_gradient'),
    ),
    (
        'jacobian-order', 'the Jacobians of the steps are multiplied in the wrong order',
        [('jacobian = jacobian - lr[:, None] * (hessian @ jacobian)', 'jacobian = jacobian @ (np.eye(d) - lr[:, None] * hessian)')],
        ('likelihood_ratio_adapted', 'likelihood_ratio_objective', 'likelihood_ratio_gradient'),
    ),
    (
        'jacobian-untransposed', 'J g instead of J^T g',
        [('gradient.append(jacobian.T @ outer.g)', 'gradient.append(jacobian @ outer.g)')],
        ('likelihood_ratio_adapted', 'likelihood_ratio_objective', 'likelihood_ratio_gradient'),
    ),
    (
        'ppo-clip-outer', "PPO's clipped objective in the outer loss (ProMP's code), asked for the plain ratio",
        [('outer = batch_loss(name, Jet.variable(phi), *query, sizes, gamma, lam)', 'outer = batch_loss(name + ("+clip" if name == "likelihood_ratio" else ""), Jet.variable(phi), *query, sizes, gamma, lam)'),
 ('    if name == "dice":\n', '    if name == "likelihood_ratio+clip":\n        ratio = log_ratio.exp()\n        a, b = ratio * advantages, clip(ratio, 0.8, 1.2) * advantages\n        return -total(where(a.v <= b.v, a, b))\n    if name == "dice":\n')],
        ('likelihood_ratio_adapted', 'likelihood_ratio_objective', 'likelihood_ratio_gradient'),
    ),
    (
        'summed-over-tasks', 'the gradients of all tasks are averaged, each row is the mean',
        [('out[f"{name}_gradient"] = np.array(gradient)', 'out[f"{name}_gradient"] = np.array(gradient) * 0 + np.mean(gradient, axis=0)')],
        ('likelihood_ratio_adapted', 'likelihood_ratio_objective', 'likelihood_ratio_gradient'),
    ),
    (
        'objective-logp', "REINFORCE's objective is -mean(A log pi) without the old log-probability",
        [('        return -total(log_ratio * advantages)', '        return -total(logp * advantages)')],
        ('reinforce_adapted', 'reinforce_objective', 'reinforce_gradient'),
    ),
    (
        'inner-no-query-baseline', 'the inner loop has the baseline, the query has none',
        [('outer = batch_loss(name, Jet.variable(phi), *query, sizes, gamma, lam)', 'query[5] = query[5] * 0\n            outer = batch_loss(name, Jet.variable(phi), *query, sizes, gamma, lam)')],
        ('likelihood_ratio_adapted', 'likelihood_ratio_objective', 'likelihood_ratio_gradient'),
    ),
    (
        'gaussian-variance', 'log sigma is read as the logarithm of the variance',
        [('z = (actions - means) * (-log_std).exp()', 'z = (actions - means) * (log_std * -0.5).exp()'), ('each = -((z * z) / 2 + log_std).sum(-1)', 'each = -((z * z) / 2 + log_std * 0.5).sum(-1)')],
        ('likelihood_ratio_adapted', 'likelihood_ratio_objective', 'likelihood_ratio_gradient'),
    ),
    (
        'query-ratio-undetached', 'the old log-probabilities of the support are taken at theta with a slope: the graph runs through pi_old as well (no detach), wrong even where they were drawn at theta',
        [('logp_old = log_prob(Jet.variable(sampled_at), states, actions, mask, *sizes).detach()', 'logp_old = log_prob(theta, states, actions, mask, *sizes) * 0.5 + log_prob(Jet.variable(sampled_at), states, actions, mask, *sizes).detach() * 0.5')],
        ('likelihood_ratio_adapted', 'likelihood_ratio_objective', 'likelihood_ratio_gradient'),
    ),
    (
        'undiscounted', 'gamma is left out altogether',
        [('discount = gamma ** np.arange(H)', 'gamma = 1.0\n    discount = gamma ** np.arange(H)')],
        ('likelihood_ratio_adapted', 'likelihood_ratio_objective', 'likelihood_ratio_gradient', 'dice_adapted', 'dice_objective', 'dice_gradient'),
    ),
    (
        'pair-first-order-no-baseline', 'two: first order, and no baseline',
        [('return loss.g, loss.h', 'return loss.g, 0.0 * loss.h'), ('advantages = np.where(mask, returns - baseline, 0.0)', 'advantages = np.where(mask, returns, 0.0)')],
        ('likelihood_ratio_adapted', 'likelihood_ratio_objective', 'likelihood_ratio_gradient'),
    ),
    (
        'pair-no-state-discount-mean', 'two: gamma^t left out, and the mean over valid steps',
        [('return where(mask, x * discount, 0.0).sum(1).mean(0)', 'return where(mask, x, 0.0).sum(1).sum(0) / mask.sum()')],
        ('likelihood_ratio_adapted', 'likelihood_ratio_objective', 'likelihood_ratio_gradient'),
    ),
    (
        'pair-magic-box-no-baseline', 'two: magic box on logp.detach(), and DiCE without its baseline',
        [('logp_old = log_prob(Jet.variable(sampled_at), states, actions, mask, *sizes).detach()', 'logp_old = logp.detach()'), ('        return -total(magic * rewards) - total((1 - ratio) * baseline)', '        return -total(magic * rewards)')],
        ('dice_adapted', 'dice_objective', 'dice_gradient'),
    ),
    (
        'pair-normalised-first-order', 'two: normalised advantages, and first order',
        [('return loss.g, loss.h', 'return loss.g, 0.0 * loss.h'), ('advantages = np.where(mask, returns - baseline, 0.0)', 'advantages = np.where(mask, returns - baseline, 0.0)\n    n = mask.sum()\n    mu = advantages[mask].mean()\n    advantages = np.where(mask, (advantages - mu) / (advantages[mask].std() + 1e-8), 0.0)')],
        ('likelihood_ratio_adapted', 'likelihood_ratio_objective', 'likelihood_ratio_gradient'),
    ),
    (
        'exotic-inner-grad-clip', 'exotic: the inner gradient is clipped to norm 1 (the clip has no slope)',
        [('        g, hessian = grad(loss)\n', '        g, hessian = grad(loss)\n        scale = min(1.0, 1.0 / (np.linalg.norm(g) + 1e-12))\n        g, hessian = g * scale, hessian * scale\n')],
        ('likelihood_ratio_adapted', 'likelihood_ratio_objective', 'likelihood_ratio_gradient'),
    ),
    (
        'exotic-entropy', 'exotic: a term 0.01 mean(log pi) as entropy bonus in every loss',
        [('        return -total(ratio * advantages)', '        return -total(ratio * advantages) + total(logp) * 0.01')],
        ('likelihood_ratio_adapted', 'likelihood_ratio_objective', 'likelihood_ratio_gradient'),
    ),
]  # fmt: skip
MISTAKES = [Mistake("maml-sampled", name, patched(second_order, "maml_sampled", patches, only), planted, ()) for name, planted, patches, only in ROWS]
