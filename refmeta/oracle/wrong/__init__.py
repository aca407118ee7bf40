"""Known-wrong formulas: each is what a real implementation has computed by mistake, or a mutant that checks miss.

`WRONG[chapter]` is a tuple of rows; `row.function(case)` evaluates the row on a case.
"""

from refmeta.oracle.wrong import estimators, implicit, lq, maml, meta_lstm, model, pearl, policy, reptile, surrogates
from refmeta.oracle.wrong.row import Wrong

FALSE_ALARMS = {
    "reptile-sign": "θ + ε(φ − θ) and an optimiser step on (θ − φ)/α agree: under plain SGD no sign is missing",
    "reptile-one-step": "with K = 1 and one inner step size Reptile is gradient descent on the mean loss: a reduction, not a bug",
    "first-step-is-last-step": "with K = 1 first-step-only and last-step-only are the right formula; with K = 2 and a constant "
    "Hessian they are one formula: a tie",
    "joint-tie": "on linear regression with inputs independent of the task MAML ends where joint training ends, for every α "
    "and K: thm:joint-tie, derivations/maml.md",
    "kl-always-zero": "in TRPO the KL and its gradient vanish at the old policy, and must; its Hessian product is the Fisher "
    "product: derivations/policy-geometry.md",
    "whole-return-for-reward-to-go": "REINFORCE with the whole return and with the reward to go have one expectation, and so one "
    "gradient; only the variance differs: derivations/sampled-policy-gradients.md",
    "naive-curvature-is-first-order": "with exact advantages, a softmax policy and a batch of its own the naive curvature has mean "
    "zero: in expectation it ties with first-order MAML: thm:naive-curvature, derivations/sampled-meta-gradients.md",
    "start-of-meta-lstm-learned": "c0 of Meta-LSTM receives a gradient under the independence assumption, too: "
    "derivations/meta-lstm.md",
    "query-is-support-on-returns": "an exact return has no sample to split: the query may be the support",
}

WRONG: dict[str, tuple[Wrong, ...]] = {
    "maml": maml.ROWS,
    "reptile": reptile.ROWS,
    "policy": policy.ROWS,
    "implicit": implicit.ROWS,
    "lq": lq.ROWS,
    "surrogates": surrogates.ROWS,
    "estimators": estimators.ROWS,
    "meta-lstm": meta_lstm.ROWS,
    "pearl": pearl.ROWS,
    "model": model.ROWS,
}
