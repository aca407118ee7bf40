"""Mistakes of MAML through an inner optimiser: state, rules and decay."""

from tests.oracle.field.mistake import Mistake
from tests.oracle.field.patched import patched
from tests.oracle.right import jets


def of(name, quantity, planted, words, pairs):
    """A mistake of a patched program."""
    settings = {} if quantity == "gradient" else {"quantity": quantity}
    return Mistake("maml-optimisers", name, patched(jets, quantity, pairs), planted, tuple(words.split()), settings)


MISTAKES = [
    of("momentum-detached", 'gradient', 'Momentum buffers (m of every rule) are detached after each step.', 'moment detach constant',
       [('        phi, m, v = inner_step(k, phi, g, m, v, alpha, o)\n', '        phi, m, v = inner_step(k, phi, g, m, v, alpha, o)\n        m = m.detach()\n')]),
    of("state-detached", 'gradient', 'Both moments are detached between the steps (optimiser state is not part of the graph).', 'detach constant state',
       [('        phi, m, v = inner_step(k, phi, g, m, v, alpha, o)\n', '        phi, m, v = inner_step(k, phi, g, m, v, alpha, o)\n        m, v = m.detach(), v.detach()\n')]),
    of("denominator-detached", 'gradient', "Adam's and RMSProp's denominator is detached: the preconditioner is a constant.", 'detach constant v held',
       [('v.sqrt() + o[', 'v.sqrt().detach() + o['), ('vhat.sqrt() + o[', 'vhat.sqrt().detach() + o['), ('(vhat + o["epsilon"]).sqrt()', '(vhat + o["epsilon"]).sqrt().detach()')]),
    of("inner-gradients-detached-all", 'gradient', 'First order: inner gradients are detached.', 'first order create_graph',
       [('        g = slope_of_loss(phi, *support)\n', '        g = slope_of_loss(phi, *support).detach()\n')]),
    of("adam-not-corrected", 'gradient', 'Adam without bias correction.', 'bias correct',
       [('m / (1 - o["beta1"] ** t)', 'm'), ('v / (1 - o["beta2"] ** t)', 'v'), ('np.sqrt(1 - o["beta2"] ** t) / (1 - o["beta1"] ** t) * m /', 'm /')]),
    of("count-begins-at-two", 'gradient', 'The step counter is incremented before and after: t begins with 2.', 'bias correct step',
       [('t = o["optimiser"], k + 1', 't = o["optimiser"], k + 2')]),
    of("correction-of-the-first-step", 'gradient', 'The bias correction always uses t = 1.', 'bias correct',
       [('t = o["optimiser"], k + 1', 't = o["optimiser"], 1')]),
    of("optimiser-in-every-step", 'gradient', 'The optimiser is made anew at every inner step: the state is always zero.', 'anew every step fresh',
       [('        g = slope_of_loss(phi, *support)\n', '        g = slope_of_loss(phi, *support)\n        m, v, state_k = 0.0 * phi, 0.0 * phi, 0\n'), ('phi, m, v = inner_step(k, phi', 'phi, m, v = inner_step(state_k, phi')]),
    of("one-optimiser-for-all-tasks", 'gradient', 'One optimiser for all tasks: its state (m, v, t) is carried over from task to task, detached.', 'task reset carried',
       [('def adapted(**kw):\n', 'def gradient(**kw):\n    """One task after another, one optimiser."""\n    theta, alphas, support, query, N = read(kw)\n    rows, m, v, t = [], None, None, 0\n    for i in range(N):\n        one = [x[i : i + 1] if isinstance(x, np.ndarray) and x.ndim else x for x in support]\n        ask = [x[i : i + 1] if isinstance(x, np.ndarray) and x.ndim else x for x in query]\n        phi = start(theta, 1, len(theta))\n        phi.dx = phi.dx + np.eye(len(theta))\n        m, v = (0.0 * phi, 0.0 * phi) if m is None else (m.detach(), v.detach())\n        for k in range(len(alphas)):\n            g = slope_of_loss(phi, *one)\n            phi, m, v = inner_step(t, phi, g, m, v, alphas[k], kw)\n            t += 1\n        rows.append(np.einsum("ni,niz->nz", slope_of_loss(phi, *ask).x, phi.dx)[0])\n    return np.stack(rows)\n\n\ndef adapted(**kw):\n')]),
    of("momentum-averaged", 'gradient', 'Heavy ball and Nesterov as an average: m = beta m + (1 - beta) g.', '1 - beta factor mean average',
       [('m = o["momentum"] * m + g', 'm = o["momentum"] * m + (1 - o["momentum"]) * g')]),
    of("nesterov-forgotten", 'gradient', 'Nesterov=True was forgotten: heavy ball.', 'nesterov heavy',
       [('u = g + o["momentum"] * m', 'u = m')]),
    of("nesterov-twice", 'gradient', 'Nesterov adds momentum twice: m + beta m instead of g + beta m.', 'nesterov',
       [('u = g + o["momentum"] * m', 'u = m + o["momentum"] * m')]),
    of("epsilon-inside-both", 'gradient', 'Epsilon inside the root of Adam and of RMSProp.', 'epsilon root',
       [('(v.sqrt() + o["epsilon"])\n    else', '(v + o["epsilon"]).sqrt()\n    else'), ('(vhat.sqrt() + o["epsilon"])', '(vhat + o["epsilon"]).sqrt()')]),
    of("epsilon-of-tensorflow", 'gradient', "Adam's epsilon is added to the uncorrected root, as TensorFlow's.", 'epsilon',
       [('u = mhat / (vhat.sqrt() + o["epsilon"])', 'u = np.sqrt(1 - o["beta2"] ** t) / (1 - o["beta1"] ** t) * m / (v.sqrt() + o["epsilon"])')]),
    of("betas-exchanged", 'gradient', 'Beta1 and beta2 are exchanged.', 'beta exchanged',
       [('        m = o["beta1"] * m + (1 - o["beta1"]) * g', '        o = dict(o, beta1=o["beta2"], beta2=o["beta1"])\n        m = o["beta1"] * m + (1 - o["beta1"]) * g')]),
    of("adamw-for-adam", 'gradient', 'Decoupled decay where coupled was asked (AdamW instead of Adam with weight_decay).', 'decoupled decay',
       [('    if o["decay"] == "coupled":\n        g = g + o["weight_decay"] * phi\n', ''), ('if o["decay"] == "decoupled":', 'if o["decay"] in ("decoupled", "coupled"):')]),
    of("adam-for-adamw", 'gradient', "Coupled decay where decoupled was asked (Adam's weight_decay instead of AdamW).", 'coupled decay',
       [('if o["decay"] == "coupled"', 'if o["decay"] in ("decoupled", "coupled")'), ('if o["decay"] == "decoupled":', 'if False:')]),
    of("decay-after-the-step", 'gradient', 'Decoupled decay is applied to the parameters after the step.', 'decay after',
       [('alpha * o["weight_decay"] * phi', 'alpha * o["weight_decay"] * new'), ('new - o["weight_decay"] * phi', 'new - o["weight_decay"] * new')]),
    of("decay-of-data", 'gradient', 'Weight decay works on detached parameters (param.data).', 'decay differentiat',
       [('g + o["weight_decay"] * phi', 'g + o["weight_decay"] * phi.detach()'), ('alpha * o["weight_decay"] * phi', 'alpha * o["weight_decay"] * phi.detach()'), ('new - o["weight_decay"] * phi', 'new - o["weight_decay"] * phi.detach()')]),
    of("clip-factor-detached", 'gradient', 'The clipping factor is detached.', 'clip held constant',
       [('np.where(small[..., None], 0.0, factor.dx)', '0 * factor.dx')]),
    of("clip-over-tasks", 'gradient', 'The gradient is clipped by the norm over all tasks together.', 'clip tasks',
       [('norm = (g * g).sum().sqrt()', 'norm = (g * g).sum(); norm = Jet(0 * norm.x + norm.x.sum(0), 0 * norm.dx + norm.dx.sum(0)).sqrt()')]),
]  # fmt: skip
