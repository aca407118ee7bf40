"""Mistakes of implicit MAML and of Reptile."""

from functools import partial

import numpy as np

from tests.oracle.field.base_implicit import adapt, data_of, implicit, pull
from tests.oracle.field.mistake import Mistake


def conjugate_gradients(M, b, steps):
    """So many steps of conjugate gradients."""
    x, r = np.zeros_like(b), b.copy()
    p = r.copy()
    for _ in range(steps):
        if r @ r < 1e-28:
            break
        a = (r @ r) / (p @ M @ p)
        x, new = x + a * p, r - a * (M @ p)
        p, r = new + (new @ new) / (r @ r) * p, new
    return x


def two_steps(H, g, strength):
    """Two steps of conjugate gradients."""
    return conjugate_gradients(np.eye(len(g)) + H / strength, g, 2)


def gradient_steps(H, b, theta, strength):
    """Sixteen gradient steps of 1/(λ + tr H)."""
    phi = theta
    for _ in range(16):
        phi = phi - (H @ phi - b + strength * (phi - theta)) / (strength + np.trace(H))
    return phi


def loose(H, b, theta, strength):
    """Gradient steps until the loss falls by less than 1e-4."""

    def loss(phi):
        return (
            phi @ H @ phi / 2 - b @ phi + strength / 2 * (phi - theta) @ (phi - theta)
        )

    phi, rate = theta, 1 / (strength + np.abs(H).sum(1).max())
    while True:
        new = phi - rate * (H @ phi - b + strength * (phi - theta))
        if loss(phi) - loss(new) < 1e-4:
            return new
        phi = new


def neumann(H, g, strength):
    """Six terms of the Neumann series."""
    total, term = g, g
    for _ in range(5):
        term = -H @ term / strength
        total = total + term
    return total


def damped(H, g, strength):
    """The damping of 1 that the released code adds to the matrix."""
    return np.linalg.solve(2 * np.eye(len(g)) + H / strength, g)


def strength_squared(H, g, strength):
    """λ where 1/λ belongs."""
    return np.linalg.solve(np.eye(len(g)) + strength * H, g)


def doubled(H, b, theta, strength):
    """λ|φ − θ|², without its ½."""
    return adapt(H, b, theta, 2 * strength)


def decay(H, b, theta, strength):
    """λ/2 |φ|²: a ridge towards zero, and θ only a start that is forgotten."""
    return np.linalg.solve(H + strength * np.eye(len(b)), b)


def maml_step(H, g, strength):
    """I − H/λ, one explicit step's matrix."""
    return g - H @ g / strength


def jacobi(H, g, strength):
    """The inverse of the diagonal."""
    return g / (1 + np.diag(H) / strength)


def positive(H, g, strength):
    """The matrix's eigenvalues by their magnitude, as an SVD has them."""
    U, s, Vt = np.linalg.svd(H)
    return Vt.T @ ((U.T @ g) / (1 + s / strength))


def summed(i, A, c, X, y):
    """The sum over data points, not the mean."""
    H, b = data_of(i, A, c, X, y)
    return (H, b) if A is not None else (H * len(y[i]), b * len(y[i]))


def unhalved(i, A, c, X, y):
    """The support's loss without its ½ in regression; quadratics are right."""
    H, b = data_of(i, A, c, X, y)
    return (H, b) if A is not None else (2 * H, 2 * b)


def summed_hessian(theta, A, c, X, y, query_A, query_c, query_X, query_y, strength):
    """The linear system's Hessian is divided by the number of query points."""
    n = 1 if X is None else X.shape[1] / query_X.shape[1]
    return implicit(pull=lambda H, g, s: pull(n * H, g, s))(
        theta, A, c, X, y, query_A, query_c, query_X, query_y, strength)  # fmt: skip


def query_hessian(theta, A, c, X, y, query_A, query_c, query_X, query_y, strength):
    """The linear system has the query's Hessian, and the query gradient is that at θ."""
    rows = []
    for i in range(len(A if A is not None else X)):
        Hq, bq = data_of(i, query_A, query_c, query_X, query_y)
        rows.append(pull(Hq, Hq @ theta - bq, strength))
    return np.array(rows)


def warm(theta, A, c, X, y, query_A, query_c, query_X, query_y, strength):
    """Each task's proximal term is centred at the φ of the task before."""
    rows, centre = [], theta
    for i in range(len(A if A is not None else X)):
        (H, b), (Hq, bq) = (
            data_of(i, A, c, X, y),
            data_of(i, query_A, query_c, query_X, query_y),
        )
        centre = adapt(H, b, centre, strength)
        rows.append(pull(H, Hq @ centre - bq, strength))
    return np.array(rows)


def needs_matrices(theta, A, c, X, y, query_A, query_c, query_X, query_y, strength):
    """Handles quadratics only, and mixes all tasks' curvatures."""
    H = A.mean(0)
    return np.array([pull(H, qA @ (adapt(a, a @ b, theta, strength) - qb), strength)
                     for a, b, qA, qb in zip(A, c, query_A, query_c, strict=False)])  # fmt: skip


def dropped_theta(theta, A, c, X, y, query_A, query_c, query_X, query_y, strength):
    """The gradient of the proximal objective at φ, λ(θ − φ), as for a Moreau envelope."""
    rows = []
    for i in range(len(A if A is not None else X)):
        H, b = data_of(i, A, c, X, y)
        rows.append(strength * (theta - adapt(H, b, theta, strength)))
    return np.array(rows)


im = partial(Mistake, "implicit")

MISTAKES = [
    im("two-conjugate-gradients", implicit(pull=two_steps), "Conjugate gradients stop after two steps.",
       ("conjugate", "cg", "iteration", "stop", "solve")),
    im("sixteen-gradient-steps", implicit(adapt=gradient_steps), "The inner problem is solved by 16 gradient steps.",
       ("solve", "converge", "iteration", "steps", "residual", "stop")),
    im("stops-when-the-loss-stalls", implicit(adapt=loose),
       "The inner problem is solved until the loss falls by less than 1e-4.",
       ("converge", "tolerance", "stop", "residual", "early")),
    im("neumann-six", implicit(pull=neumann), "The inverse is six terms of its Neumann series.",
       ("neumann", "series", "inverse", "truncat")),
    im("damped-by-one", implicit(pull=damped), "The linear system has a damping of 1 more on its diagonal.",
       ("damp", "diagonal", "2 i", "2i", "identity")),
    im("strength-inverted", implicit(pull=strength_squared), "The linear system is I + lambda H.",
       ("lambda", "strength", "1/lambda")),
    im("proximal-term-not-halved", implicit(adapt=doubled),
       "The inner problem has lambda |phi - theta|^2 without its 1/2.",
       ("half", "1/2", "lambda", "strength", "factor", "twice", "2 lambda")),
    im("ridge-instead-of-proximal", implicit(adapt=decay), "The proximal term pulls to zero, not to theta.",
       ("zero", "origin", "theta", "ridge", "decay")),
    im("explicit-step-for-the-inverse", implicit(pull=maml_step),
       "I - H/lambda stands for the inverse of I + H/lambda.",
       ("inverse", "i - h", "maml", "explicit", "neumann", "first order", "step")),
    im("jacobi-inverse", implicit(pull=jacobi), "The inverse is that of the matrix's diagonal.",
       ("diagonal", "jacobi")),
    im("singular-values", implicit(pull=positive),
       "The linear system takes singular values, so no curvature is negative.",
       ("negative", "indefinite", "eigenvalue", "singular", "positive", "magnitude")),
    im("support-summed", implicit(data=summed), "The support's regression loss is a sum over data points.",
       ("sum", "1/n", "mean", "reduction")),
    im("support-not-halved-query-summed", implicit(data=unhalved, query=summed),
       "In regression the support loss lacks its 1/2 and the query loss is a sum.",
       ("half", "1/2", "sum", "1/n", "mean", "factor", "reduction")),
    im("hessian-over-query-count", summed_hessian,
       "The linear system's Hessian is divided by the number of query points.",
       ("query", "1/n", "number of", "hessian", "factor")),
    im("query-hessian-at-theta", query_hessian, "Query's Hessian in the linear system, query's gradient at theta.",
       ("query", "theta", "hessian")),
    im("centred-at-the-task-before", warm, "Each task's proximal centre is the adapted parameters of the task before.",
       ("task", "centre", "carried", "state", "before", "previous")),
    im("quadratics-only-and-mean-curvature", needs_matrices,
       "Regression crashes; quadratics solve with the mean Hessian of all tasks.",
       ("mean", "task", "hessian", "average")),
    im("moreau-envelope", dropped_theta, "The answer is lambda (theta - phi): the query never enters.",
       ("query", "moreau", "lambda (theta", "support", "proximal")),
]  # fmt: skip


def mixed_up(theta, adapted, epsilon):
    return epsilon * theta + (1 - epsilon) * adapted.mean(0)


def parentheses(theta, adapted, epsilon):
    return theta + epsilon * adapted.mean(0) - theta


def median(theta, adapted, epsilon):
    return theta + epsilon * (np.median(adapted, axis=0) - theta)


def no_first(theta, adapted, epsilon):
    return theta + epsilon * (adapted[1:].mean(0) - theta)


def one_scalar(theta, adapted, epsilon):
    return theta + epsilon * (adapted.mean() - theta)


def serial_share(theta, adapted, epsilon):
    for phi in adapted:
        theta = theta + epsilon / len(adapted) * (phi - theta)
    return theta


def annealed(theta, adapted, epsilon):
    n = len(adapted)
    return (
        theta
        + sum(epsilon * (1 - i / n) * (phi - theta) for i, phi in enumerate(adapted))
        / n
    )


def running(theta, adapted, epsilon):
    mean = theta
    for phi in adapted:
        mean = (mean + phi) / 2
    return theta + epsilon * (mean - theta)


def clamped(theta, adapted, epsilon):
    return theta + min(max(epsilon, 0.0), 0.5) * (adapted - theta).mean(0)


def unit(theta, adapted, epsilon):
    step = (adapted - theta).mean(0)
    return theta + epsilon * step / max(1.0, np.linalg.norm(step))


def adam(theta, adapted, epsilon):
    g = (theta - adapted).mean(0)
    return theta - epsilon * g / (np.abs(g) + 1e-8)


def unbiased(theta, adapted, epsilon):
    return theta + epsilon * (adapted - theta).sum(0) / (len(adapted) - 1)


def weighted(theta, adapted, epsilon):
    distance = np.linalg.norm(adapted - theta, axis=1)
    return theta + epsilon * (distance / distance.sum()) @ (adapted - theta)


def in_place(theta, adapted, epsilon):
    theta = theta.copy()
    deltas = np.empty_like(adapted)
    for i, phi in enumerate(adapted):
        deltas[i] = phi - theta
        theta += epsilon * deltas[i] * (i == 0)
    return theta + epsilon * deltas[1:].sum(0) / len(adapted)


def drifting(theta, adapted, epsilon):
    return theta + epsilon * ((adapted - theta).mean(0) - 0.01 * theta)


def step_only(theta, adapted, epsilon):
    return epsilon * np.sum(adapted - theta, axis=0)


rp = partial(Mistake, "reptile")

MISTAKES += [
    rp("epsilon-and-its-rest-swapped", mixed_up, "The weights epsilon and 1 - epsilon are swapped.",
       ("epsilon", "swap", "1 - epsilon")),
    rp("parentheses-lost", parentheses, "theta + epsilon mean(phi) - theta: parentheses are missing.",
       ("theta", "epsilon", "parenthes")),
    rp("median-over-tasks", median, "The median over tasks in place of the mean.", ("median", "mean", "task")),
    rp("first-task-left-out", no_first, "The mean leaves the first task out; one task gives NaN.",
       ("first", "task", "left out")),
    rp("mean-over-everything", one_scalar, "The mean runs over tasks and parameters.",
       ("axis", "mean", "over parameters")),
    rp("serial-with-a-share", serial_share, "Tasks in turn, each with epsilon / N.",
       ("serial", "in turn", "task", "sequential")),
    rp("annealed-over-tasks", annealed, "epsilon falls linearly over the tasks of a batch.",
       ("anneal", "decay", "weight", "epsilon", "task")),
    rp("running-mean", running, "The mean is a running one that starts at theta and halves.",
       ("running", "mean", "weight", "moving", "task", "order")),
    rp("epsilon-clamped", clamped, "epsilon is clamped to [0, 1/2].", ("clamp", "clip", "negative", "epsilon", "sign")),
    rp("step-clipped", unit, "The step before epsilon is clipped to length 1.", ("clip", "norm", "length")),
    rp("adam-outside", adam, "The outer optimiser is Adam: its first step is the sign.",
       ("sign", "adam", "optimis", "normalis")),
    rp("divided-by-n-minus-one", unbiased, "The sum over tasks is divided by N - 1.",
       ("n - 1", "n-1", "factor", "mean")),
    rp("weighted-by-distance", weighted, "Tasks weigh as far as they moved.", ("weight", "distance", "task", "norm")),
    rp("first-task-applied-at-once", in_place,
       "The first task's step is taken whole and at once; the others, from there, share 1/N.",
       ("first", "task", "serial", "order", "in place", "weight")),
    rp("outer-weight-decay", drifting, "The outer step has a weight decay of 0.01.", ("decay", "theta", "shrink")),
    rp("summed-step-without-theta", step_only, "The step alone is returned, and it is a sum over tasks.",
       ("sum", "theta", "step", "n times")),
]  # fmt: skip
