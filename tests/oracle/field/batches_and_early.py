"""Mistakes in returns, surrogates, sampled meta-gradients and implicit MAML that stops early."""

from tests.oracle.field.mistake import Mistake
from tests.oracle.field.patches import patched
from tests.oracle.right import buffers, products, second_order

__all__ = ["MISTAKES"]

RETURNS = [
    ("n-step-gamma-to-the-n", "The guess is discounted by gamma**n also where fewer than n rewards were left.", "gamma n power",
     [("total + scale * nv[i, k]", "total + gamma**n * nv[i, k]")], ("n_step",)),
    ("tree-backup-with-ratios", "The trace of tree backup is lambda times the ratio.", "ratio",
     [("lam * pi, gamma", "lam * ratios, gamma")], ("tree_backup", "q_lambda", "retrace")),
    ("no-guess-before-padding", "The guess is multiplied by the mask of the next column: a row that is shorter than the batch ends with 0.", "mask padding cut bootstrap terminated",
     [("    nv = np.where(valid & ~term, next_values, 0.0)\n", "    follow = np.concatenate([valid[:, 1:], valid[:, -1:]], axis=1)\n    nv = np.where(follow & ~term, next_values, 0.0)\n")],
     ("gae", "lambda_return", "discounted")),
    ("discounted-over-ends", "One backward sum over the whole row: no end stops it.", "end episode terminated",
     [("= discounted_returns(r, nv, term, done, gamma)", "= discounted_returns(r, nv, term, done & ~np.pad(valid[:, 1:], ((0, 0), (0, 1))), gamma)")], ("discounted",)),
    ("whitened-without-the-mean", "The advantage is divided by its deviation over the kept steps, and not centred.", "normal deviation",
     [('    out["lambda_return"] =', '    out["gae"] = out["gae"] / (out["gae"][valid].std() + 1e-8)\n    out["lambda_return"] =')], ("gae",)),
    ("lambda-inside-the-bound", "Retrace's trace is min(1, lambda * ratio).", "lambda bound min",
     [("lam * np.minimum(1.0, ratios), gamma", "np.minimum(1.0, lam * ratios), gamma")], ("retrace",)),
    ("traces-without-gamma", "The sums of errors fade with the trace alone, without gamma.", "gamma trace",
     [("+ gamma * np.where(done[:, t], 0.0, c_next * acc)", "+ np.where(done[:, t], 0.0, c_next * acc)")], ("retrace", "tree_backup", "q_lambda")),
    ("v-trace-as-an-error", "V-trace's targets lack the values: they are the errors, as one library returns them.", "value error minus",
     [("    return vs, advantage\n", "    return vs - v, advantage\n")], ("v_trace", "v_trace_advantage")),
    ("product-bounded-as-a-whole", "Retrace bounds the product of the ratios by 1, and not each ratio.", "product bound ratio",
     [("lam * np.minimum(1.0, ratios), gamma", "(lam, ratios), gamma"),
      ("def off_policy_q(r, q, nq, done, trace, gamma):\n    H = r.shape[1]\n    delta = r + gamma * nq - q\n", """def off_policy_q(r, q, nq, done, trace, gamma):
    H = r.shape[1]
    delta = r + gamma * nq - q
    if isinstance(trace, tuple):
        lam, ratios = trace
        out = q.copy()
        for i, t in np.ndindex(r.shape):
            product, weight = 1.0, 1.0
            for k in range(t, H):
                out[i, t] += weight * min(1.0, product) * delta[i, k]
                if done[i, k]:
                    break
                weight, product = weight * gamma * lam, product * ratios[i, min(k + 1, H - 1)]
        return out
""")], ("retrace",)),
    ("gae-plus-the-next-value", "The lambda-return is the advantage plus the next value.", "next value",
     [('out["lambda_return"] = lambda_returns(r, nv, done, gamma, lam)', 'out["lambda_return"] = out["gae"] + nv')], ("gae", "lambda_return")),
]  # fmt: skip

SURROGATES = [
    ("ratio-of-the-sequence", "Every step has the ratio of its whole trajectory, with the mean of the logarithms over time.", "ratio mean length trajectory",
     [('    if name == "likelihood_ratio":\n        ratio = log_ratio.exp()\n', '    if name == "likelihood_ratio":\n        ratio = (log_ratio.sum(1, keepdims=True) * (1 / mask.sum(1, keepdims=True))).exp()\n')],
     ("likelihood_ratio_loss", "likelihood_ratio_grad", "likelihood_ratio_hvp")),
    ("product-by-a-coarse-difference", "The Hessian product is a forward difference of gradients with the step 1e-3.", "difference step digits",
     [("            loss = surrogate(name, logp,", "            moved = surrogate(name, log_prob(Jet.variable(theta + 1e-3 * v), *batch), logp_old, rewards[i], m, baseline[i], gamma, lam)\n            loss = surrogate(name, logp,"),
      ("append(loss.h @ v)", "append((moved.g - loss.g) / 1e-3)")], ("dice_grad", "dice_hvp", "reinforce_grad", "reinforce_hvp")),
    ("past-of-the-box-held", "DiCE's products hold the ratios of earlier steps: only the step's own has a slope.", "past held detach earlier",
     [("        magic = log_ratio.cumsum(1).exp()\n        ratio = log_ratio.exp()\n        return -total(magic * rewards) - total((1 - ratio) * baseline)", "        magic = ((log_ratio.cumsum(1) - log_ratio).detach() + log_ratio).exp()\n        ratio = log_ratio.exp()\n        return -total(magic * rewards) - total((1 - ratio) * baseline)")],
     ("dice_loss", "dice_grad", "dice_hvp")),
    ("penalty-with-a-bounded-weight", "The penalty's ratio is at most 1, and has no slope where it is bounded.", "clip ratio bound",
     [("    ratio = (logp - logp_old).exp()\n    l = logp", "    ratio = clip((logp - logp_old).exp(), 0.0, 1.0)\n    l = logp")], ("kl_k1", "kl_k2", "kl_k3")),
    ("value-of-k3-slope-of-k2", "k3 has the slope of k2: a straight-through estimate.", "k2",
     [("        k = (-l).exp() + l - 1\n", "        k = ((-l).exp() + l - 1).detach() + (l * l) / 2 - ((l * l) / 2).detach()\n")], ("kl_k1", "kl_k2", "kl_k3")),
    ("ratio-less-one", "The objective is (ratio - 1) times the advantage: only losses differ.", "one 1 constant",
     [("        return -total(ratio * advantages)", "        return -total((ratio - 1.0) * advantages)")], ("likelihood_ratio_loss", "likelihood_ratio_grad", "likelihood_ratio_hvp")),
    ("product-of-a-unit-direction", "The direction is brought to length 1 and not scaled back.", "v direction norm length",
     [("append(loss.h @ v)", "append(loss.h @ (v / np.linalg.norm(v)))")], ("dice_grad", "dice_hvp", "tmaml_hvp", "reinforce_hvp")),
    ("products-damped-by-a-tenth", "Every Hessian product has 0.1 v added, as TRPO's.", "damping v identity",
     [("append(loss.h @ v)", "append(loss.h @ v + 0.1 * v)")], ("likelihood_ratio_grad", "likelihood_ratio_hvp", "loaded_dice_hvp")),
    ("control-with-the-own-ratio", "The past of T-MAML's baseline includes the step itself.", "past own step cumulative baseline",
     [("        before = (log_ratio.cumsum(1) - log_ratio).exp()\n", "        before = log_ratio.cumsum(1).exp()\n")], ("tmaml_loss", "tmaml_grad", "tmaml_hvp")),
    ("undiscounted-to-go", "The return to go is the plain sum of the rewards; gamma^t stands before it.", "gamma discount",
     [("returns = reward_to_go(rewards, gamma)", "returns = reward_to_go(rewards, 1.0)")], ("reinforce_loss", "reinforce_grad", "likelihood_ratio_grad", "loaded_dice_grad")),
]  # fmt: skip

PLAIN = ("reinforce_adapted", "reinforce_objective", "reinforce_gradient")
RATIO = ("likelihood_ratio_adapted", "likelihood_ratio_objective", "likelihood_ratio_gradient")
DICE = ("dice_adapted", "dice_objective", "dice_gradient")
SAMPLED = [
    ("query-of-the-next-task", "The query of the next task is used.", "task",
     [("            query = [x[i] for x in", "            query = [x[(i + 1) % N] for x in")], PLAIN),
    ("earlier-steps-detached", "The parameters before the last step are detached.", "last step detach first",
     [("    return phi, jacobian\n", "    return phi, np.eye(d) - lr[:, None] * hessian if len(alphas) else jacobian\n")], RATIO),
    ("one-pool-for-all-steps", "Every inner step takes the mean of the losses of all support batches.", "batch steps",
     [("        batch = [x[k] for x in support]\n        loss = batch_loss(name, Jet.variable(phi), *batch, sizes, gamma, lam)\n",
       "        losses = [batch_loss(name, Jet.variable(phi), *(x[j] for x in support), sizes, gamma, lam) for j in range(len(alphas))]\n        loss = sum(losses[1:], losses[0]) / len(losses)\n")], PLAIN),
    ("query-after-every-step", "The meta-loss is the mean of the query's losses after each of the K steps.", "step mean every query",
     [("            outer = batch_loss(name, Jet.variable(phi), *query, sizes, gamma, lam)\n",
       "            each = [adapt(name, theta, support, alphas[: k + 1], sizes, gamma, lam) for k in range(K)] or [(phi, jacobian)]\n"
       "            losses = [(batch_loss(name, Jet.variable(p), *query, sizes, gamma, lam), J) for p, J in each]\n"
       "            outer = sum((o for o, _ in losses[1:]), losses[0][0]) / len(losses)\n"
       "            pulled = sum(J.T @ o.g for o, J in losses) / len(losses)\n"),
      ("gradient.append(jacobian.T @ outer.g)", "gradient.append(pulled)")], RATIO),
    ("outer-products-for-the-hessian", "The Hessian of an inner step is the outer product of its gradient with itself.", "hessian outer product second",
     [("hessian @ jacobian", "np.outer(g, g) @ jacobian")], PLAIN),
    ("inner-gradients-at-the-start", "The gradient of every inner step is taken at theta.", "theta start step",
     [("loss = batch_loss(name, Jet.variable(phi), *batch, sizes, gamma, lam)", "loss = batch_loss(name, Jet.variable(theta), *batch, sizes, gamma, lam)"),
      ("jacobian = jacobian - lr[:, None] * (hessian @ jacobian)", "jacobian = jacobian - lr[:, None] * hessian")], RATIO),
    ("momentum-left-on", "The inner steps have momentum 0.9.", "momentum",
     [("    phi, jacobian = theta, np.eye(d)\n", "    phi, jacobian = theta, np.eye(d)\n    m, dm = np.zeros(d), np.zeros((d, d))\n"),
      ("        phi = phi - lr * g\n        jacobian = jacobian - lr[:, None] * (hessian @ jacobian)", "        m, dm = 0.9 * m + g, 0.9 * dm + hessian @ jacobian\n        phi = phi - lr * m\n        jacobian = jacobian - lr[:, None] * dm")], RATIO),
    ("step-size-over-the-steps", "The step size is divided by the number of steps.", "alpha step size number of steps K",
     [("        lr = alphas[k]\n", "        lr = alphas[k] / len(alphas)\n")], PLAIN),
    ("second-order-with-plus", "The Jacobian of a step is I + alpha times the Hessian.", "sign",
     [("jacobian - lr[:, None] * (hessian @ jacobian)", "jacobian + lr[:, None] * (hessian @ jacobian)")], PLAIN),
    ("improvement-for-the-objective", "The meta-loss is the query's loss at phi less that at theta.", "theta before improvement difference minus",
     [("            adapted.append(phi)\n", "            before = batch_loss(name, Jet.variable(theta), *query, sizes, gamma, lam)\n            adapted.append(phi)\n"),
      ("append(outer.v)", "append(outer.v - before.v)"), ("append(jacobian.T @ outer.g)", "append(jacobian.T @ outer.g - before.g)")], RATIO),
]  # fmt: skip

EARLY = [
    ("damped-by-a-tenth", "Conjugate gradients solve (H + 0.1) x = g.", "damping identity",
     [("    r = g - Hv(x)\n", "    undamped = Hv\n    Hv = lambda v: undamped(v) + 0.1 * v\n    r = g - Hv(x)\n")], ("cg",)),
    ("mean-of-the-terms", "The terms of the series are averaged.", "mean sum terms",
     [("    return eta * p\n", "    return eta * p / terms\n")], ("neumann",)),
    ("hessian-is-a-sum", "The Hessian of a regression is not divided by n, its slope is.", "mean sum n data",
     [("else X.T @ X / len(y)", "else X.T @ X")], ("neumann", "cg", "one_step")),
    ("terms-for-both", "Conjugate gradients take as many steps as the series has terms.", "terms cg_steps",
     [("conjugate(g, Hv, cg_steps)", "conjugate(g, Hv, terms)")], ("cg", "neumann")),
    ("hessian-mean-over-tasks", "All tasks share the mean of their Hessians.", "task mean",
     [("    theta, rows = np.asarray(theta, float), []\n", "    theta, rows = np.asarray(theta, float), []\n    some = [hessian([None if e is None else np.asarray(e[i]) for e in (A, c, X, y)]) for i in range(len(X if A is None else A))]\n    shared = np.mean(some, axis=0)\n"),
      ("strength, eta, terms, cg_steps, steps, kept, delta))\n    return", "strength, eta, terms, cg_steps, steps, kept, delta, shared))\n    return"),
      ("kept, delta):\n    \"\"\"Every part of one task.", "kept, delta, shared):\n    \"\"\"Every part of one task."),
      ("Hv = lambda v: product(v, phi, support, lam)", "Hv = lambda v: v + shared @ v / lam")], ("neumann",)),
    ("minimal-residuals", "The least residual on the Krylov space, and not conjugate gradients.", "residual conjugate",
     [("    x = np.zeros_like(g)\n", "    span = [g]\n    for _ in range(min(count, len(g)) - 1):\n        span.append(Hv(span[-1] / np.linalg.norm(span[-1])))\n    Q = np.linalg.qr(np.stack(span, 1))[0]\n    return Q @ np.linalg.lstsq(np.stack([Hv(q) for q in Q.T], 1), g, rcond=None)[0]\n    x = np.zeros_like(g)\n")], ("cg",)),
    ("eta-from-the-largest-eigenvalue", "The step of the series is one over the largest eigenvalue of H: eta is not read.", "eta step",
     [("    Hv = lambda v: product(v, phi, support, lam)\n", "    Hv = lambda v: product(v, phi, support, lam)\n    own = 1 / (1 + np.linalg.eigvalsh(hessian(support))[-1] / lam)\n"), ('"neumann": series(g, Hv, eta, terms)', '"neumann": series(g, Hv, own, terms)')], ("neumann",)),
    ("over-the-number-of-tasks", "The query's loss is a mean over the tasks.", "tasks mean number factor",
     [("    return {name: np.stack([row[name] for row in rows])", "    return {name: np.stack([row[name] for row in rows]) / len(rows)")], ("neumann", "cg", "truncated")),
    ("only-the-kept-steps-taken", "Only as many steps are taken as are differentiated.", "steps kept number",
     [("    for _ in range(steps):\n", "    for _ in range(kept):\n")], ("truncated",)),
]  # fmt: skip


def _listed(suite, module, function, rows):
    """The mistakes of a suite, planted in a right program."""
    return [Mistake(suite, name, patched(module, function, pairs, parts or None), planted, tuple(words.split())) for name, planted, words, pairs, parts in rows]


MISTAKES = [
    *_listed("returns", buffers, "answer", RETURNS),
    *_listed("surrogates", second_order, "surrogates", SURROGATES),
    *_listed("maml-sampled", second_order, "maml_sampled", SAMPLED),
    *_listed("implicit-early", products, "answer", EARLY),
]
