"""What every input and every answer of a suite is: its shape and its meaning, one table for each suite.

In a shape, names are sizes and `*` multiplies.  Derivation: derivations/using-the-oracle.md
"""

from typing import NamedTuple


class Entry(NamedTuple):
    """A shape, or several that may occur, and a meaning."""

    shape: str
    meaning: str


Entries = dict[str, Entry]


class Table(NamedTuple):
    """What a suite judges, its sizes, its inputs in their order, what is answered, and the losses that are meant."""

    title: str
    sizes: str
    inputs: Entries
    answers: Entries
    losses: str


def _both(support: Entries) -> Entries:
    """The inputs of the support, and those of the query: like them, but with q data points."""
    return support | {
        f"query_{name}": Entry(
            entry.shape.replace(" n", " q"), f"{name} of the query, on which the adapted parameters are judged"
        )
        for name, entry in support.items()
    }


_LOGITS = (
    "logits, state after state: those of state s and action a are entry s*A + a. PyTorch's Linear(S, A).weight is "
    "(A, S), the transpose"
)
_PROCESS = {
    "P": Entry("(N, S, A, S)", "P[i, s, a, s'], the probability of the next state s'"),
    "R": Entry("(N, S, A)", "the expected reward of action a in state s"),
    "rho": Entry("(N, S)", "the probabilities of the first state"),
}
_PAID_BY_NEXT = {"R": Entry("(N, S, A) or (N, S, A, S)", "the expected reward of s and a, or that of s, a and s'")}
_TIME = {
    "gamma": Entry("number", "the discount; below 1 where there is no horizon"),
    "horizon": Entry("integer or None", "the number of rewards; None is the infinite discounted horizon"),
}
_FEATURES = Entry("(S, A, d) or None", "the logit of state s and action a is features[s, a] times theta; None: tabular")
_ADAPTED = {
    "alpha": Entry(
        "number or (d,) or (K, 1) or (K, d)",
        "inner step size: one for all, one for each parameter, one for each step, or one for each of both",
    ),
    "steps": Entry("integer", "K, the number of inner gradient steps; 0 is allowed"),
}
_RETURN = (
    "L = -J, J = E[sum of gamma^t r_t] of the policy softmax(logits), exact: no trajectory is sampled. Support and "
    "query are processes of their own, with one gamma and one horizon."
)
_MAML = {
    "gradient": Entry("(N, d)", "dF_i/dtheta, F_i = L_query(phi_i), phi_i after K steps phi - alpha * dL_support/dphi"),
    "objective": Entry("(N,)", "F_i"),
    "first_order": Entry("(N, d)", "the gradient of L_query at phi_i: first-order MAML on purpose"),
    "step_size_gradient": Entry("(N,) or (N, d) or (N, K, 1) or (N, K, d)", "dF_i/dalpha: N and the shape of alpha"),
}
_POINTS = {"X": Entry("(N, n, d)", "inputs, one row for each data point"), "y": Entry("(N, n)", "outputs")}
_LABELLED = {"X": Entry("(N, n, f)", "inputs, a row for each data point"), "labels": Entry("(N, n)", "classes from 0")}
_CLASSES = {
    "classes": Entry("integer", "C, the number of classes, also of those that no label names"),
    "ridge": Entry("number", "weight of |theta|^2 / 2 in support and query; 0 is allowed"),
}
_CROSS_ENTROPY = "L = -(1/n) sum_j log softmax(W x_j)[label_j] + ridge/2 * |theta|^2, W theta as (C, f)."
_QUADRATIC = {"A": Entry("(N, d, d)", "symmetric matrices"), "c": Entry("(N, d)", "centres")}
_SYSTEM = {
    "A": Entry("(N, p, p)", "dynamics of x = [s; 1] as x' = A x + B a + w; the last row is 0 ... 0 1"),
    "B": Entry("(N, p, m)", "effect of the action a; the last row is 0"),
    "Q": Entry("(N, p, p)", "cost of the state, symmetric"),
    "R": Entry("(N, m, m)", "cost of the action, symmetric"),
    "start": Entry("(N, p, p)", "E[x_0 x_0^T], the second moments of the start; the last entry is 1"),
    "noise": Entry("(N, p, p)", "covariance of w; its last row and column are 0"),
}
_CONTEXT = {
    "context_states": Entry("(N, c)", "s of the transitions from which the task is inferred, integers"),
    "context_actions": Entry("(N, c)", "their actions, integers"),
    "context_rewards": Entry("(N, c)", "their rewards"),
    "context_following": Entry("(N, c)", "their next states, integers"),
    "context_mask": Entry("(N, c)", "1 where there is a transition; what stands elsewhere must not be read"),
}
_LEAVES = {
    "W": ("(4*H, 4+H)", "rows: input, forget and output gate, candidate; columns: the gradient (2), the loss (2), h"),
    "b": ("(4*H,)", "rows as in W"),
    "W_I": ("(H+2,)", "of the input gate i = sigmoid(W_I [h, theta, i before] + b_I), the same for every parameter"),
    "b_I": ("number", "of the input gate"),
    "W_F": ("(H+2,)", "of the forget gate f = sigmoid(W_F [h, theta, f before] + b_F)"),
    "b_F": ("number", "of the forget gate"),
    "c0": ("(d,)", "the learner's first parameters, class after class"),
}  # fmt: skip


def _slopes(kind: str, meaning: str) -> Entries:
    """One gradient of Meta-LSTM, a leaf after the other, with the axis of the tasks in front."""
    shapes = {leaf: shape.strip("(,)").replace("number", "") for leaf, (shape, _) in _LEAVES.items()}
    return {
        f"{kind}_{leaf}": Entry(f"(N, {shape})" if shape else "(N,)", meaning.format(leaf))
        for leaf, shape in shapes.items()
    }


def _surrogate(name: str, meaning: str) -> Entries:
    """The three answers of a surrogate."""
    return {
        f"{name}_loss": Entry("(N,)", meaning),
        f"{name}_grad": Entry("(N, d)", "its gradient in theta"),
        f"{name}_hvp": Entry("(N, d)", "its Hessian in theta times v"),
    }


def _tabular(title: str, theta: Entry, sizes: str, features: Entries) -> Table:
    """A MAML suite of exact returns."""
    inputs = {"theta": theta} | _both(_PROCESS) | _TIME | features | _ADAPTED
    return Table(title, f"N tasks, S states, A actions, K steps, {sizes}", inputs, _MAML, _RETURN)


INPUTS_OF: dict[str, Table] = {
    "policy-gradient": Table(
        "the return of a softmax policy, its derivatives, and the geometry of the policy",
        "N tasks, S states, A actions, d parameters (S*A of them where features is None)",
        {
            "theta": Entry("(d,)", f"parameters; without features: {_LOGITS}"), **_PROCESS, **_PAID_BY_NEXT,
            **_TIME, "features": _FEATURES,
            "v": Entry("(d,)", "a direction, for the products"),
        },
        {
            "loss": Entry("(N,)", "L = -J"), "grad": Entry("(N, d)", "dL/dtheta"),
            "hvp": Entry("(N, d)", "the Hessian of L times v"),
            "fisher": Entry("(N, d)", "F v, F = sum_s d(s) E[score score^T], d the discounted visits, not normalised"),
            "natural_gradient": Entry("(N, d)", "the solution x of F x = dJ/dtheta of least norm"),
            "kl": Entry("(N,)", "sum_s d(s) KL(policy at theta || policy at theta + v), d the visits at theta"),
            "kl_grad": Entry("(N, d)", "its gradient at theta + v"),
            "kl_hvp": Entry("(N, d)", "its Hessian at theta + v, times v"),
        },
        "L = -J, J = E[sum of gamma^t r_t] of the policy softmax(logits), exact. --ascent turns loss, grad and hvp "
        "only.",
    ),
    "maml-tabular": _tabular(
        "MAML on exact returns of tabular softmax policies", Entry("(d,)", _LOGITS), "d = S*A parameters", {}
    ),
    "maml-linear-features": _tabular(
        "MAML on exact returns of softmax policies with features", Entry("(d,)", "weights of features"), "d parameters",
        {"features": Entry("(S, A, d)", "the logit of state s and action a is features[s, a] times theta")},
    ),
    "maml-regression": Table(
        "MAML on linear regression", "N tasks, n data points (query: q), d parameters, K steps",
        {"theta": Entry("(d,)", "weights; there is no bias"), **_both(_POINTS), **_ADAPTED}, _MAML,
        "L = 1/(2n) * sum_j (x_j . theta - y_j)^2.",
    ),
    "maml-classification": Table(
        "MAML on softmax regression", "N tasks, n data points (query: q), f features, C classes, K steps, d = C*f parameters",
        {
            "theta": Entry("(d,)", "weights, class after class: class c, feature j is entry c*f + j; no bias"),
            **_both(_LABELLED), **_CLASSES, **_ADAPTED,
        },
        _MAML, _CROSS_ENTROPY,
    ),
    "maml-quadratic": Table(
        "MAML on quadratic losses", "N tasks, d parameters, K steps",
        {"theta": Entry("(d,)", "parameters"), **_both(_QUADRATIC), **_ADAPTED}, _MAML,
        "L = 1/2 * (theta - c)^T A (theta - c).",
    ),
    "maml-lq": Table(
        "MAML on the exact cost of linear-Gaussian policies in linear-quadratic control",
        "N tasks, p entries of [s; 1], m entries of the action, K steps, d = m*p+m parameters",
        {
            "theta": Entry("(d,)", "the gain G (m, p) row by row, then log sigma (m,), of a = G x + sigma * N(0, I)"),
            **_both(_SYSTEM), **_TIME, **_ADAPTED,
        },
        _MAML, "L = E[sum_t gamma^t (x_t^T Q x_t + a_t^T R a_t)], a cost, exact.",
    ),
    "reptile": Table(
        "Reptile's outer step", "N tasks, d parameters",
        {
            "theta": Entry("(d,)", "the initialisation"), "adapted": Entry("(N, d)", "phi_i, one row for each task"),
            "epsilon": Entry("number", "outer step size"),
        },
        {"update": Entry("(d,)", "theta + epsilon * mean_i(phi_i - theta)")},
        "none enters; the adapted parameters are inputs. --ascent turns nothing.",
    ),
    "implicit": Table(
        "implicit MAML", "N tasks, d parameters, n data points (query: q)",
        {
            "theta": Entry("(d,)", "the initialisation"),
            **_both({name: Entry(entry.shape + " or None", entry.meaning + "; None where the loss is the other one")
                     for name, entry in (_QUADRATIC | _POINTS).items()}),
            "strength": Entry("number", "lambda, the weight of the proximal term"),
        },
        {
            "gradient": Entry("(N, d)", "dF_i/dtheta of F_i = L_query(phi_i): (I + H_i/lambda)^-1 dL_query(phi_i)"),
            "objective": Entry("(N,)", "F_i"), "first_order": Entry("(N, d)", "the gradient of L_query at phi_i"),
        },
        "phi_i = argmin_phi L_support(phi) + lambda/2 * |phi - theta|^2. L = 1/2 * (theta - c)^T A (theta - c) where "
        "A and c are arrays, L = 1/(2n) * sum_j (x_j . theta - y_j)^2 where X and y are. To a residual of 1e-10.",
    ),
    "surrogates": Table(
        "surrogates of the return on batches of trajectories",
        "N tasks, M trajectories, H steps, S states, A actions, d parameters",
        {
            "theta": Entry("(d,)", f"where the surrogates are evaluated; without features: {_LOGITS}"),
            "theta_sampled": Entry("(d,)", "where the trajectories were drawn; the ratios' denominators stay there"),
            "state_count": Entry("integer", "S; for a linear-Gaussian policy the entries of a state"),
            "action_count": Entry("integer", "A; for a linear-Gaussian policy the entries of an action"),
            "features": _FEATURES,
            "states": Entry("(N, M, H) or (N, M, H, S)", "integers; or rows of numbers: a linear-Gaussian policy"),
            "actions": Entry("(N, M, H) or (N, M, H, A)", "integers; or rows: theta is the gain row by row, then log sigma"),
            "rewards": Entry("(N, M, H)", "r_t"),
            "mask": Entry("(N, M, H)", "1 where a step was taken; what stands after the end must not be read"),
            "baseline": Entry("(N, M, H)", "b_t, subtracted from the discounted reward to go G_t"),
            "gamma": Entry("number", "the discount"), "lam": Entry("number", "the lambda of Loaded DiCE"),
            "v": Entry("(d,)", "a direction, for the products"),
        },
        _surrogate("reinforce", "-(1/M) sum gamma^t (G_t - b_t) x_t")
        | _surrogate("likelihood_ratio", "-(1/M) sum gamma^t (G_t - b_t) exp(x_t)")
        | _surrogate("dice", "DiCE with its baseline, minus the return")
        | _surrogate("tmaml", "DiCE with T-MAML's baseline, minus the return")
        | _surrogate("loaded_dice", "Loaded DiCE with lam, minus the return"),
        "x_t = log pi_theta(a_t|s_t) - log pi_theta_sampled(a_t|s_t). Means over trajectories, sums over time; "
        "losses: minus the return.",
    ),
    "expected-estimators": Table(
        "exact expectations over every trajectory: the two objectives of sampled MAML, and estimators of the Hessian",
        "N tasks, S states, A actions, d = S*A parameters",
        {
            "theta": Entry("(d,)", _LOGITS), **_PROCESS, **_PAID_BY_NEXT,
            "gamma": Entry("number", "the discount; 1 is allowed"),
            "horizon": Entry("integer", "the number of rewards"), "alpha": Entry("number", "inner step size"),
            "episodes": Entry("integer", "M, trajectories for each inner step"),
            "steps": Entry("integer", "K, inner steps"),
            "v": Entry("(d,)", "a direction, for the products"),
        },
        {
            "formulation_exact": Entry("(N, d)", "the gradient of L(phi), phi adapted by exact gradients"),
            "formulation_sampled": Entry("(N, d)", "the gradient of E[L(phi)], phi adapted on M trajectories (GPOMDP)"),
            "naive_hessian": Entry("(N, d)", "E[Hessian of REINFORCE's surrogate] v"),
            "lvc_hessian": Entry("(N, d)", "E[Hessian of the likelihood-ratio surrogate] v"),
            "dice_hessian": Entry("(N, d)", "E[Hessian of DiCE] v"),
        },
        "L = -J, J = E[sum of gamma^t r_t]; the surrogates are those of the suite surrogates, at theta = "
        "theta_sampled, without a baseline.",
    ),
    "meta-lstm": Table(
        "Meta-LSTM on softmax regression",
        "N tasks, n data points (query: q), f features, C classes, H hidden units, K steps, d = C*f parameters",
        {leaf: Entry(*entry) for leaf, entry in _LEAVES.items()} | _both(_LABELLED) | _CLASSES
        | {"steps": Entry("integer", "K, the number of steps; 0 is allowed")},
        {"objective": Entry("(N,)", "L_query(theta_K)"), **_slopes("exact", "its gradient in {}"),
         **_slopes("independent", "the same in {}, with the learner's gradients and losses held constant")},
        f"{_CROSS_ENTROPY} One step is theta <- f * theta - i * dL_support/dtheta, parameter by parameter; first "
        "gates 0. The first layer, an LSTM, reads the preprocessed gradient and loss: x becomes (log|x|/p, sign x) "
        "where |x| >= e^-p, else (-1, e^p x), p = 10.",
    ),
    "pearl": Table(
        "one training step of PEARL with a linear encoder and soft actor-critic over finite states and actions",
        "N tasks, c transitions in a context, b in a batch, S states, A actions, Z latent variables, F = 1+2*S*A+2*S "
        "features",
        {
            **_CONTEXT,
            "prior_factors": Entry("integer", "1 if N(0, I) is one of the factors of the belief, else 0"),
            "encoder_mean": Entry("(Z, F)", "mean of a transition's factor: these weights times its features 1, e_sa (entry "
                                  "s*A + a), e_s', r e_sa, r e_s'"),
            "encoder_log_variance": Entry("(Z, F)", "log variance of the factor, likewise"),
            "noise": Entry("(N, Z)", "epsilon: z = mean + sqrt(variance) * epsilon"),
            "states": Entry("(N, b)", "s of the batch, integers"),
            "actions": Entry("(N, b)", "a of the batch, integers"),
            "rewards": Entry("(N, b)", "r of the batch"), "following": Entry("(N, b)", "s' of the batch, integers"),
            "terminal": Entry("(N, b)", "1 where s' is an end, whose value is 0"),
            "mask": Entry("(N, b)", "1 where there is a transition; what stands elsewhere must not be read"),
            "critic": Entry("(S, A, 1+Z)", "Q(s, a, z) = critic[s, a] . [1, z]"),
            "target_critic": Entry("(S, A, 1+Z)", "the same of the target"),
            "policy": Entry("(S, A, 1+Z)", "logits policy[s, a] . [1, z]"),
            "log_temperature": Entry("number", "log tau"),
            "target_entropy": Entry("number", "of the policy, in nats"), "gamma": Entry("number", "the discount"),
            "beta": Entry("number", "weight of kl in the encoder's loss"),
        },
        {
            "mean": Entry("(N, Z)", "of the belief"), "variance": Entry("(N, Z)", "of the belief"),
            "kl": Entry("(N,)", "KL(belief || N(0, I))"), "z": Entry("(N, Z)", "the draw of the belief"),
            "critic_loss": Entry("(N,)", "1/2 * mean (Q - y)^2"),
            "critic_grad": Entry("(N, S, A, 1+Z)", "its gradient in critic, y held fixed"),
            "actor_loss": Entry("(N,)", "mean_s sum_a pi (tau log pi - Q), z held fixed"),
            "actor_grad": Entry("(N, S, A, 1+Z)", "its gradient in policy"),
            "temperature_loss": Entry("(N,)", "tau (mean_s entropy of pi - target_entropy)"),
            "temperature_grad": Entry("(N,)", "its slope in log_temperature"),
            "encoder_mean_grad": Entry("(N, Z, F)", "gradient of critic_loss + beta * kl in encoder_mean, y fixed"),
            "encoder_log_variance_grad": Entry("(N, Z, F)", "the same in encoder_log_variance"),
        },
        "y = r + gamma (1 - terminal) sum_a pi(a|s', z) (Q_target(s', a, z) - tau log pi(a|s', z)). Means are over the "
        "batch's transitions of a task. --ascent turns nothing.",
    ),
    "model": Table(
        "adaptation through a learned model of the process",
        "N tasks, c transitions in a context, S states, A actions, K steps, d = S*A parameters",
        {
            "theta": Entry("(d,)", _LOGITS), **_CONTEXT,
            "concentration": Entry("(S, A, S)", "of the Dirichlet prior of P"),
            "reward_mean": Entry("(S, A)", "mean of the Gaussian prior of the mean rewards"),
            "reward_variance": Entry("number", "variance of that prior"),
            "noise_variance": Entry("number", "variance of a reward about its mean"),
            **_PROCESS, **_TIME, **_ADAPTED,
            "alpha": Entry("number or (d,) or (K, 1)", "inner step size: for all, for each parameter, or for each step"),
        },
        {
            "transition": Entry("(N, S, A, S)", "posterior mean of P"),
            "reward": Entry("(N, S, A)", "posterior mean of R"),
            "log_marginal": Entry("(N,)", "log probability of the context's next states and rewards, in their order"),
            "concentration_grad": Entry("(N, S, A, S)", "its slopes in the logarithms of concentration"),
            "reward_mean_grad": Entry("(N, S, A)", "its slopes in reward_mean"),
            "reward_variance_grad": Entry("(N,)", "its slope in the logarithm of reward_variance"),
            "objective": Entry("(N,)", "L(phi) of the true task, phi adapted by K steps on the model"),
            "gradient": Entry("(N, d)", "its gradient in theta"),
        },
        "L = -J, J = E[sum of gamma^t r_t] of the policy softmax(logits), exact: of the model for the inner steps, "
        "of P, R and rho for the judgement. No state is an end. --ascent turns objective and gradient only.",
    ),
}  # fmt: skip
