"""Mistakes of MAML on linear and softmax regression."""

from functools import partial

import numpy as np

from tests.oracle.field.base_maml import (
    Classification,
    Regression,
    by_hand,
    descend,
    detach,
    hessian,
    maml,
    softmax,
    tasks_of,
)  # fmt: skip
from tests.oracle.field.mistake import Mistake


def given(target, change):
    """The target on other inputs than it was given."""
    return lambda **x: target(**{**x, **change(x)})


class BroadcastResidual(Regression):
    """A column of outputs minus a row of predictions: a matrix of residuals, and its mean."""

    def value(self, theta):
        return np.mean((self.X @ theta - self.y[:, None]) ** 2) / 2

    def grad(self, theta):
        return self.X.T @ (self.X @ theta - self.y.mean()) / len(self.y)


class OverColumns(Regression):
    """Divides by the number of inputs' columns."""

    def grad(self, theta):
        return super().grad(theta) * len(self.y) / self.X.shape[1]


class Standardised(Regression):
    """Outputs are centred and scaled by their own mean and deviation."""

    def __init__(self, X, y):
        super().__init__(X, (y - y.mean()) / y.std())


class Whitened(Regression):
    """Inputs are centred and scaled by their own mean and deviation."""

    def __init__(self, X, y):
        super().__init__((X - X.mean(0)) / (X.std(0) + 1e-8), y)


class Huber(Regression):
    """Residuals beyond 1 count linearly."""

    def grad(self, theta):
        r = self.X @ theta - self.y
        return self.X.T @ np.where(np.abs(r.real) > 1, np.sign(r.real), r) / len(r)


class Decayed(Regression):
    """No ½, and a decay of 0.1 towards zero."""

    def grad(self, theta):
        return 2 * super().grad(theta) + 0.1 * theta


class LeastAbsolute(Regression):
    """The root of the mean squared error."""

    def value(self, theta):
        return np.sqrt(2 * super().value(theta))


class Intercept(Regression):
    """The first weight is a bias: its column is ones."""

    def __init__(self, X, y):
        super().__init__(np.column_stack([np.ones(len(X)), X[:, 1:]]), y)


def one_at_a_time(theta, alphas, tasks, i):
    """Step k sees data point k alone."""
    phi, (X, y) = theta, (tasks[i][0].X, tasks[i][0].y)
    for k, alpha in enumerate(alphas):
        x, target = X[k % len(y)], y[k % len(y)]
        phi = phi - alpha * x * (x @ phi - target)
    return phi


def epochs(theta, alphas, tasks, i):
    """A step is a pass over the data, one point after another."""
    phi = theta
    for alpha in alphas:
        for x, target in zip(tasks[i][0].X, tasks[i][0].y, strict=False):
            phi = phi - alpha * x * (x @ phi - target) / len(tasks[i][0].y)
    return phi


def coordinates(theta, alphas, tasks, i):
    """A step updates one parameter after another, each with the newest gradient."""
    phi = theta
    for alpha in alphas:
        for j in range(theta.size):
            phi = phi - np.eye(theta.size)[j] * alpha[j] * tasks[i][0].grad(phi)[j]
    return phi


def truncated(theta, alphas, tasks, i):
    """All steps but the last are constants, added to a theta that is not."""
    before = descend(detach(theta), alphas[:-1], tasks, i)
    phi = before + (theta - detach(theta))
    return descend(phi, alphas[-1:], tasks, i)


def multi_step(phi, theta, alphas, tasks, i):
    """The mean of the query losses after each step."""
    K = len(alphas)
    return (
        sum(
            tasks[i][1].value(descend(theta, alphas[:k], tasks, i))
            for k in range(1, K + 1)
        )
        / K
    )


def joined(data):
    """The query is the support and the query."""
    X, y = (np.concatenate([data[n], data["query_" + n]], 1) for n in ("X", "y"))
    return {"query_X": X, "query_y": y}


def forward(alphas, path, tasks, i, lam):
    """The Jacobian itself, not its transpose."""
    for k in range(len(alphas)):
        lam = lam - alphas[k] * (hessian(tasks[i][0], path[k]) @ lam)
    return lam


def log_step_sizes(theta, alpha, steps, **data):
    """The derivative by log α."""
    return (
        maml(tasks_of(Regression), quantity="step_size_gradient")(
            theta, alpha, steps, **data
        )
        * alpha
    )


def adam(theta, alphas, tasks, i):
    """Adam without bias correction, each task afresh, β 0.5 and 0.9."""
    phi, m, v = theta, 0.0, 0.0
    for alpha in alphas:
        g = tasks[i][0].grad(phi)
        m, v = 0.5 * m + 0.5 * g, 0.9 * v + 0.1 * g * g
        phi = phi - alpha * m / (np.sqrt(v) + 1e-3)
    return phi


def loo(rows):
    """Minus the mean of the other tasks."""
    n = len(rows)
    return rows - (rows.sum(0) - rows) / (n - 1)


def query_first(alphas, path, tasks, i, lam):
    """The recursion with the query's Hessians, and one more at the end of the path."""
    for k in reversed(range(len(alphas))):
        lam = lam - hessian(tasks[i][1], path[k + 1]) @ (alphas[k] * lam)
    return lam


def annealed(theta, alphas, tasks, i):
    """Step sizes decay to zero along half a cosine."""
    return descend(
        theta,
        [a * (1 + np.cos(np.pi * k / len(alphas))) / 2 for k, a in enumerate(alphas)],
        tasks,
        i,
    )


def last_alpha(x):
    """One number is taken from an array of step sizes."""
    return {"alpha": float(np.ravel(x["alpha"])[-1])}


reg, rt = partial(Mistake, "maml-regression"), tasks_of(Regression)

MISTAKES = [
    reg("residual-broadcast", maml(tasks_of(BroadcastResidual)),
        "Residuals are a matrix of every prediction minus every output, so each prediction meets the mean output.",
        ("broadcast", "residual", "mean of y", "outputs", "mean output")),
    reg("divided-by-columns", maml(tasks_of(OverColumns, Regression)), "The inner gradient is divided by d, not by n.",
        ("1/n", "factor", "d instead", "reduction", "mean", "scale", "number of")),
    reg("query-outputs-standardised", maml(tasks_of(Regression, Standardised)),
        "The query's outputs are standardised by their own mean and deviation.",
        ("standardis", "normalis", "query_y", "output")),
    reg("inputs-standardised", maml(tasks_of(Whitened)), "Inputs are standardised within support and query.",
        ("standardis", "normalis", "inputs")),
    reg("huber-inside", maml(tasks_of(Huber, Regression)), "The inner loss is Huber's: residuals clipped to 1.",
        ("huber", "clip", "residual")),
    reg("no-half-and-decay", maml(tasks_of(Decayed, Regression)),
        "The inner loss lacks its 1/2 and has a weight decay of 0.1.", ("1/2", "half", "factor", "decay", "ridge")),
    reg("root-of-the-query", maml(tasks_of(Regression, LeastAbsolute)),
        "The query loss is the root mean squared error.",
        ("root", "rmse", "square", "query")),
    reg("first-column-is-a-bias", maml(tasks_of(Intercept)), "The first weight is taken for a bias.",
        ("bias", "intercept", "first")),
    reg("one-example-per-step", maml(rt, inner=one_at_a_time), "Inner step k uses the k-th data point alone.",
        ("minibatch", "data point", "example", "batch", "one point")),
    reg("a-pass-per-step", maml(rt, inner=epochs),
        "An inner step is a pass over the data points, one update (over n) after another.",
        ("minibatch", "data point", "example", "pass", "epoch", "sequential", "stochastic")),
    reg("one-coordinate-after-another", maml(rt, inner=coordinates),
        "An inner step updates the parameters in turn, each at the newest point.",
        ("coordinate", "in turn", "gauss-seidel", "in place", "sequential")),
    reg("only-the-last-step-differentiated", maml(rt, inner=truncated),
        "Only the last inner step is differentiated.", ("last step", "detach", "truncat", "hessian")),
    reg("mean-of-multi-step-losses", maml(rt, outer=multi_step),
        "The outer loss is the mean of the query losses after every step; K = 0 divides by zero.",
        ("every step", "multi", "after each", "mean")),
    reg("query-holds-the-support", given(maml(rt), joined), "The query is support and query together.",
        ("support", "query")),
    reg("jacobian-not-transposed", by_hand(rt, back=forward),
        "The Jacobian multiplies the query gradient, not its transpose: alpha on the left, newest factor last.",
        ("transpos", "order", "side", "left", "alpha")),
    reg("by-the-log-of-alpha", log_step_sizes, "The derivative is by log alpha.",
        ("log alpha", "log(alpha", "alpha", "factor"), {"quantity": "step_size_gradient"}),
    reg("adam-without-correction", maml(rt, inner=adam),
        "The inner optimiser is Adam (0.5, 0.9) without bias correction.", ("adam", "optimis", "adaptive", "moment")),
    reg("leave-one-out-baseline", maml(rt, after=loo),
        "From each task's gradient the mean of the others is subtracted; one task gives NaN.",
        ("task", "mean", "subtract", "baseline", "other")),
    reg("query-hessians-after-the-step", by_hand(rt, back=query_first),
        "Hessians are the query's, at the points after each step.", ("query", "hessian")),
    reg("cosine-step-sizes", maml(rt, inner=annealed), "Step sizes decay along a cosine over the inner steps.",
        ("decay", "alpha", "schedule", "anneal", "step size")),
    reg("last-alpha-and-query-doubled", given(maml(rt, after=lambda rows: 2 * rows), last_alpha),
        "Of an array alpha the last entry serves all, and the query loss lacks its 1/2.",
        ("alpha", "1/2", "half", "factor", "twice")),
    reg("sum-divided-again", maml(rt, after=lambda rows: np.mean(rows, 0) / len(rows)),
        "The mean over tasks is divided by N again.", ("1/n", "mean", "n^2", "divided", "factor"),
        {"reduce": "mean"}),
]  # fmt: skip


class Smoothed(Classification):
    """Labels smoothed by 0.1."""

    def __init__(self, X, labels, classes, ridge):
        super().__init__(X, labels, classes, ridge)
        self.Y = 0.9 * self.Y + 0.1 / classes


class DoubleSoftmax(Classification):
    """Probabilities are handed to a cross-entropy that takes logits."""

    def value(self, theta):
        p = softmax(softmax(self.logits(theta)))
        return -np.sum(self.Y * np.log(p)) / len(self.X) + self.ridge / 2 * np.sum(
            theta**2
        )

    def grad(self, theta):
        p = softmax(self.logits(theta))
        g = softmax(p) - self.Y
        g = p * (g - np.sum(p * g, 1, keepdims=True))
        return (g.T @ self.X / len(self.X)).ravel() + self.ridge * theta


class DetachedRidge(Classification):
    """The ridge is the optimiser's weight decay: a step sees it, a derivative does not."""

    def grad(self, theta):
        return super().grad(theta) + self.ridge * (detach(theta) - theta)


class FeatureMajor(Classification):
    """Weights laid out as (f, C)."""

    def logits(self, theta):
        return self.X @ theta.reshape(-1, self.classes)

    def grad(self, theta):
        p = softmax(self.logits(theta))
        return (self.X.T @ (p - self.Y) / len(self.X)).ravel() + self.ridge * theta


class SeenClasses(Classification):
    """The number of classes is the largest label plus one."""

    def logits(self, theta):
        seen = np.max(np.nonzero(self.Y)[1]) + 1
        z = super().logits(theta)
        return np.where(np.arange(self.classes) < seen, z, -200.0)


class Sigmoids(Classification):
    """One sigmoid a class, and the mean over classes too."""

    def value(self, theta):
        z = self.logits(theta)
        return np.mean(np.log(1 + np.exp(z)) - self.Y * z) + self.ridge / 2 * np.sum(
            theta**2
        )

    def grad(self, theta):
        p = 1 / (1 + np.exp(-self.logits(theta)))
        return ((p - self.Y).T @ self.X / self.Y.size).ravel() + self.ridge * theta


class Balanced(Classification):
    """Data points weighted by one over the frequency of their class."""

    def grad(self, theta):
        w = 1 / self.Y.sum(0)[np.nonzero(self.Y)[1]]
        p = softmax(self.logits(theta))
        return (
            ((p - self.Y) * (w / w.sum())[:, None]).T @ self.X
        ).ravel() + self.ridge * theta


class SummedLoss(Classification):
    """The cross-entropy is summed, and the ridge is not halved."""

    def grad(self, theta):
        return (
            len(self.X) * (super().grad(theta) - self.ridge * theta)
            + 2 * self.ridge * theta
        )


class Focal(Classification):
    """The focal loss with exponent 1."""

    def value(self, theta):
        p = np.sum(self.Y * softmax(self.logits(theta)), 1)
        return -np.mean((1 - p) * np.log(p)) + self.ridge / 2 * np.sum(theta**2)


class Bits(Classification):
    """The logarithm has base 2, and the ridge has none of it."""

    def value(self, theta):
        ridge = self.ridge / 2 * np.sum(theta**2)
        return (super().value(theta) - ridge) / np.log(2) + ridge


class BiasColumn(Classification):
    """The last feature's weights are biases, without a ridge."""

    def _bias(self, theta):
        return self.ridge * (
            theta.reshape(self.classes, -1)
            * (np.arange(self.X.shape[1]) == self.X.shape[1] - 1)
        )

    def value(self, theta):
        return (
            super().value(theta)
            - np.sum(self._bias(theta) * theta.reshape(self.classes, -1)) / 2
        )

    def grad(self, theta):
        return super().grad(theta) - self._bias(theta).ravel()


class Confident(Classification):
    """A data point whose class has a probability above 0.6 has no gradient."""

    def grad(self, theta):
        p = softmax(self.logits(theta))
        hard = np.sum(self.Y * p, 1, keepdims=True).real < 0.6
        return (
            ((p - self.Y) * hard).T @ self.X / len(self.X)
        ).ravel() + self.ridge * theta


class Cosine(Classification):
    """Logits are cosines between weights and inputs, when it is judged."""

    def logits(self, theta):
        W = theta.reshape(self.classes, -1)
        z = self.X @ (W / np.sqrt(np.sum(W * W, 1, keepdims=True))).T
        return z / (np.linalg.norm(self.X, axis=1, keepdims=True) + 1e-12)


class OverPoints(Classification):
    """The softmax runs over the data points."""

    def value(self, theta):
        p = softmax(self.logits(theta), axis=0)
        return -np.sum(self.Y * np.log(p)) / len(self.X) + self.ridge / 2 * np.sum(
            theta**2
        )

    def grad(self, theta):
        p = softmax(self.logits(theta), axis=0)
        return (
            (p * self.Y.sum(0) - self.Y).T @ self.X / len(self.X)
        ).ravel() + self.ridge * theta


class Unridged(Classification):
    """The loss without its ridge."""

    def value(self, theta):
        return super().value(theta) - self.ridge / 2 * np.sum(theta**2)


def last_twice(theta, alphas, tasks, i):
    """The last step is taken twice."""
    return descend(theta, [*alphas, *alphas[-1:]], tasks, i)


def renumbered(data):
    """Classes numbered in the order in which support and query name them, each on its own."""

    def new(labels):
        order = {c: k for k, c in enumerate(dict.fromkeys(labels.tolist()))}
        return [order[c] for c in labels.tolist()]

    return {
        n: np.array([new(row) for row in data[n]]) for n in ("labels", "query_labels")
    }


def mean_row(theta, alphas, tasks, i):
    """Every class starts from the mean of all classes' weights."""
    C = tasks[i][0].classes
    return descend(np.tile(theta.reshape(C, -1).mean(0), C), alphas, tasks, i)


def empirical(alphas, path, tasks, i, lam):
    """The mean of outer products of the data points' gradients for the Hessian."""
    s = tasks[i][0]
    for k in reversed(range(len(alphas))):
        r = softmax(s.logits(path[k])) - s.Y
        G = np.einsum("nc,nf->ncf", r, s.X).reshape(len(r), -1)
        lam = lam - G.T @ (G @ (alphas[k] * lam)) / len(r) - s.ridge * alphas[k] * lam
    return lam


def diagonal(alphas, path, tasks, i, lam):
    """Only the Hessian's diagonal blocks, one a class."""
    s = tasks[i][0]
    same = np.kron(np.eye(s.classes), np.ones((s.X.shape[1],) * 2))
    for k in reversed(range(len(alphas))):
        lam = lam - (same * hessian(s, path[k])) @ (alphas[k] * lam)
    return lam


def prototypes(theta, alphas, tasks, i):
    """Class means of the support are added to the weights, as constants, before the first step."""
    s = tasks[i][0]
    means = s.Y.T @ s.X / np.maximum(s.Y.sum(0), 1)[:, None]
    return descend(theta + means.ravel(), alphas, tasks, i)


def skips_learned(theta, alphas, tasks, i):
    """No step once every support label is predicted."""
    phi, s = theta, tasks[i][0]
    for alpha in alphas:
        right = np.argmax(s.logits(phi).real, 1) == np.argmax(s.Y, 1)
        if right.all():
            break
        phi = phi - alpha * s.grad(phi)
    return phi


cls, ct = partial(Mistake, "maml-classification"), tasks_of(Classification)

MISTAKES += [
    cls("labels-smoothed-inside", maml(tasks_of(Smoothed, Classification)), "The inner loss smooths labels by 0.1.",
        ("smooth", "label")),
    cls("softmax-twice", maml(tasks_of(DoubleSoftmax)), "Probabilities go where logits belong: a softmax of a softmax.",
        ("softmax", "twice", "logit", "probabilit")),
    cls("ridge-as-optimiser-decay", maml(tasks_of(DetachedRidge, Classification)),
        "The inner step decays weights by the ridge, but the meta-gradient does not see it.", ("ridge", "decay")),
    cls("features-first", maml(tasks_of(FeatureMajor)), "Weights are laid out feature after feature (f, C).",
        ("layout", "transpos", "order", "feature")),
    cls("classes-from-labels", maml(tasks_of(SeenClasses)),
        "Classes above the largest label of support or query take no part in the softmax.",
        ("classes", "class", "label")),
    cls("one-sigmoid-a-class", maml(tasks_of(Sigmoids)), "Binary cross-entropies, averaged over the classes.",
        ("sigmoid", "binary", "one-vs", "softmax")),
    cls("classes-balanced-inside", maml(tasks_of(Balanced, Classification)),
        "The inner loss weighs data points by one over their class's frequency.",
        ("weight", "balance", "class", "label")),
    cls("summed-and-ridge-not-halved", maml(tasks_of(SummedLoss, Classification)),
        "The inner cross-entropy is a sum over data points, and the inner ridge lacks its 1/2.",
        ("sum", "1/n", "ridge", "mean", "half", "1/2")),
    cls("focal-query", maml(tasks_of(Classification, Focal)), "The query loss is the focal loss.",
        ("focal", "query", "weight")),
    cls("query-in-bits", maml(tasks_of(Classification, Bits)), "The query's logarithm has base 2.",
        ("log", "factor", "base", "query")),
    cls("last-feature-is-a-bias", maml(tasks_of(BiasColumn)), "The last feature's weights are spared the ridge.",
        ("ridge", "bias", "last")),
    cls("only-hard-examples", maml(tasks_of(Confident, Classification)),
        "In the inner loop data points with a probability above 0.6 have no gradient.",
        ("probab", "example", "data point", "hard", "mask", "clip")),
    cls("cosine-query", maml(tasks_of(Classification, Cosine)), "The query's logits are cosines.",
        ("cosine", "normalis", "logit", "query")),
    cls("softmax-over-points", maml(tasks_of(OverPoints)), "The softmax runs over the data points.",
        ("axis", "softmax", "data points", "over")),
    cls("labels-renumbered", given(maml(ct), renumbered),
        "Support and query each number their classes in the order of appearance.", ("label", "class", "order")),
    cls("classes-start-alike", maml(ct, inner=mean_row), "All classes start from the mean of their weights.",
        ("mean", "average", "class", "start", "theta")),
    cls("empirical-fisher", by_hand(ct, back=empirical), "Outer products of gradients stand for the Hessian.",
        ("fisher", "hessian", "outer product", "gauss")),
    cls("block-diagonal-hessian", by_hand(ct, back=diagonal), "Hessian blocks between different classes are dropped.",
        ("block", "diagonal", "hessian", "class")),
    cls("prototypes-added", maml(ct, inner=prototypes), "The support's class means are added to the weights first.",
        ("prototype", "mean", "start", "theta", "init")),
    cls("stops-when-all-right", maml(ct, inner=skips_learned),
        "The inner loop stops once all support labels are right.",
        ("stop", "fewer", "steps", "early")),
    cls("no-query-ridge-and-a-step-too-many", maml(tasks_of(Classification, Unridged), inner=last_twice),
        "The query has no ridge, and the inner loop takes a last step more.", ("ridge", "steps", "k + 1", "k+1")),
]  # fmt: skip
