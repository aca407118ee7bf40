"""Wrong MAML on regression, classification and quadratic losses."""

import numpy as np

from tests.oracle.field.held_out.base_maml import Classification, Quadratic, Regression, softmax
from tests.oracle.field.held_out.calculus import planter

MISTAKES = []
regression, classification = planter(MISTAKES, "maml-regression"), planter(MISTAKES, "maml-classification")
quadratic = planter(MISTAKES, "maml-quadratic")


@regression("batch", "data point", "one row", "single row", "stochastic", "subset")
class OneRowAtATime(Regression):
    """Inner step k sees only data point k modulo n, as stochastic gradient descent does."""

    def inner_grad(self, phi, data, k):
        j = k % len(data[1])
        return self.grad(phi, [data[0][j : j + 1], data[1][j : j + 1]])


@regression("standardi", "centred", "normali", "mean of x", "columns of x")
class InputsStandardised(Regression):
    """X is standardised column by column, the support with its own mean and deviation and the query with its own."""

    def errors(self, phi, data):
        X = data[0]
        return super().errors(phi, [(X - X.mean(0)) / (X.std(0) + 1e-8), data[1]])

    def grad(self, phi, data):
        X, y = data
        Z = (X - X.mean(0)) / (X.std(0) + 1e-8)
        return (phi @ Z.T - y) @ Z / len(y)


@regression("query data", "both sets", "concat", "leak", "query in the inner", "support and query", "query")
class AdaptedOnEverything(Regression):
    """The inner steps see the query's data beside the support's."""

    def path(self, theta, alpha, i):
        self.extra = self.data("query_", i)
        return super().path(theta, alpha, i)

    def inner_grad(self, phi, data, k):
        return self.grad(phi, [np.concatenate(pair) for pair in zip(data, self.extra, strict=True)])


@regression("huber", "clip", "clamp", "residual")
class HuberInside(Regression):
    """Residuals of the inner steps are clipped to [-1, 1], the gradient of Huber's loss."""

    def inner_grad(self, phi, data, k):
        e = self.errors(phi, data)
        return np.where(np.abs(e.real) > 1, np.sign(e.real), e) @ data[0] / len(data[1])


@regression("1/n", "divided by", "number of parameters", "factor", "scale")
class DividedByTheWidth(Regression):
    """The inner gradient is divided by the number of parameters, not of data points."""

    def inner_grad(self, phi, data, k):
        return self.errors(phi, data) @ data[0] / self.d


@regression("alpha", "step size", "momentum")
class OneRateForAll(Regression):
    """An array of step sizes is replaced by its mean, and every step adds 0.2 of the last move."""

    def rows(self, alpha):
        rows = super().rows(alpha)
        return np.zeros_like(rows) + (rows.mean((1, 2), keepdims=True) if self.K else 0)

    def step(self, phi, g, a, k):
        self.move = (0.2 * self.move if k else 0) - a * g
        return phi + self.move


@regression("centred", "intercept", "mean of y", "bias")
class OutputsCentred(Regression):
    """The support's y are centred by their mean, as if there were an intercept; the query's are not."""

    def inner_grad(self, phi, data, k):
        return self.grad(phi, [data[0], data[1] - data[1].mean()])


@regression("prediction", "tanh", "nonlinear", "query loss", "loss of the query")
class SquashedPrediction(Regression):
    """The query's predictions go through tanh with 20 % of its strength."""

    def outer_loss(self, phi, data):
        z = phi @ data[0].T
        return ((0.8 * z + 0.2 * np.tanh(z) - data[1]) ** 2).sum(-1) / (2 * len(data[1]))


@classification("smooth", "label")
class SmoothedLabels(Classification):
    """Labels of the support and of the query are smoothed by 0.1."""

    def targets(self, labels, data):
        return 0.9 * super().targets(labels, data) + 0.1 / self.x["classes"]


@classification("balance", "count of", "weight", "labels.max", "number of classes", "missing class", "raised")
class BalancedClasses(Classification):
    """Classes are counted from labels, which fails where one is missing; and data weigh by 1/count of their class."""

    def weights(self, data):
        counts = np.bincount(data[1])
        if len(counts) < self.x["classes"] or (counts == 0).any():
            raise ValueError("a class is missing")
        return 1 / (len(counts) * counts[data[1]])


@classification("ridge", "bias")
class FirstColumnNotDecayed(Classification):
    """The ridge leaves out every class's first feature, taken for a bias, in the inner gradient only."""

    def inner_grad(self, phi, data, k):
        return self.grad(phi, data) - self.x["ridge"] * phi * (np.arange(self.d) % (self.d // self.x["classes"]) == 0)


@classification("sigmoid", "binary", "cross-entropy", "one-vs")
class SigmoidInside(Classification):
    """The inner loss is a binary cross-entropy for each class: sigmoids in the place of the softmax."""

    def inner_grad(self, phi, data, k):
        off = 1 / (1 + np.exp(-self.logits(phi, data))) - self.targets(data[1], data)
        g = np.einsum("...nc,nf,n->...cf", off, data[0], self.weights(data))
        return g.reshape(phi.shape) + self.x["ridge"] * phi


@classification("label", "ridge", "weight decay", "decay")
class QueryLabelsRelabelled(Classification):
    """In tasks with an odd index the query's labels are shifted by one; the inner ridge is left to AdamW's decay."""

    def objective(self, theta, alpha, i):
        X, labels = self.data("query_", i)
        return self.loss(self.adapt(theta, alpha, i), [X, (labels + i % 2) % self.x["classes"]])

    def step(self, phi, g, a, k):
        return phi - a * (g - self.x["ridge"] * phi) - 0.1 * self.x["ridge"] * phi


@classification("centred", "batch norm", "mean of x", "standardi")
class CentredFeatures(Classification):
    """X is centred by the mean of its own set before the logits, but not where the inner gradient multiplies by it."""

    def logits(self, phi, data):
        return super().logits(phi, [data[0] - data[0].mean(0), data[1]])


@classification("diagonal", "hessian", "softmax", "gauss", "curvature")
class DiagonalCurvature(Classification):
    """The inner Hessian has diag(p - p^2) for the derivative of softmax, without products of two classes."""

    def grad(self, phi, data):
        real = softmax(self.logits(phi.real, data))
        slope = real * (1 - real) * (self.logits(phi, data) - self.logits(phi.real, data))
        off = real + slope - self.targets(data[1], data)
        return (
            np.einsum("...nc,nf,n->...cf", off, data[0], self.weights(data)).reshape(phi.shape) + self.x["ridge"] * phi
        )


@quadratic("centre", "inner gradient", "times c", "a c")
class LinearTermNotMultiplied(Quadratic):
    """The inner gradient is A phi - c, that of another quadratic."""

    def inner_grad(self, phi, data, k):
        return phi @ data[0] - data[1]


@quadratic("power", "elementwise", "entry by entry", "entrywise", "closed form", "matrix product")
class PowerByEntries(Quadratic):
    """The closed form c + (I - alpha A)^K (theta - c) raises every entry to the power K, with the mean of alpha."""

    def adapt(self, theta, alpha, i):
        A, c = self.data("", i)
        rate = np.mean(self.x["alpha"]) if self.K else 0
        return c + (theta - c) @ (np.eye(self.d) - rate * A) ** self.K


@quadratic("backward", "implicit", "proximal", "new point", "euler")
class BackwardSteps(Quadratic):
    """Every inner step is a backward one: phi' = phi - alpha * gradient at phi'."""

    def step(self, phi, g, a, k):
        A, c = self.now
        M = np.eye(self.d) + a[..., :, None] * A
        return np.linalg.solve(M, (phi + a * (A @ c))[..., None])[..., 0]

    def inner_grad(self, phi, data, k):
        self.now = data
        return 0


@quadratic("average", "mean of the", "iterates", "polyak")
class AveragedIterates(Quadratic):
    """The query judges the mean of theta and all inner iterates."""

    def adapt(self, theta, alpha, i):
        phis = self.path(theta, alpha, i)
        return sum(phis) / len(phis)


@quadratic("mean of a", "mean over tasks", "hessian", "jacobian", "curvature", "other task")
class CurvatureOfTheMeanTask(Quadratic):
    """The Jacobian uses the mean of A over the tasks; the path itself uses each task's own."""

    def grad(self, phi, data):
        mean = self.x["A"].mean(0)
        return (phi.real - data[1]) @ data[0] + (phi - phi.real) @ mean


@quadratic("line search", "step size", "steepest", "normali", "scaled")
class SteepestDescent(Quadratic):
    """Each step is scaled by the exact line search's g'g / g'Ag, damped by 0.1, with alpha as its relaxation."""

    def step(self, phi, g, a, k):
        A, _ = self.now
        length = (g**2).sum(-1, keepdims=True) / (np.abs((g.real * (g.real @ A)).sum(-1, keepdims=True)) + 0.1)
        return phi - a * length * g

    def inner_grad(self, phi, data, k):
        self.now = data
        return self.grad(phi, data)


@quadratic("number of tasks", "n - 1", "one task", "alpha", "rounded", "factor")
class DividedByOtherTasks(Quadratic):
    """Rows are divided by the number of other tasks, which for one task is 0; and alpha is rounded to two decimals."""

    def __init__(self, inputs):
        super().__init__({**inputs, "alpha": np.round(inputs["alpha"], 2)})

    def answer(self):
        with np.errstate(divide="ignore", invalid="ignore"):
            return super().answer() / np.float64(self.N - 1)


@quadratic("query_c", "centre")
class QueryCentreOfSupport(Quadratic):
    """The query has its own A but the support's centre."""

    def objective(self, theta, alpha, i):
        return self.loss(self.adapt(theta, alpha, i), [self.x["query_A"][i], self.x["c"][i]])


@regression("cache", "kept", "state", "earlier call", "earlier case", "x'x", "hessian")
class GramCachedByShape(Regression):
    """X'X/n is cached by the shape of X and the task's index, so that later calls get an earlier call's."""

    cache = {}  # noqa: RUF012

    def path(self, theta, alpha, i):
        self.key = (i, *self.x["X"].shape)
        return super().path(theta, alpha, i)

    def inner_grad(self, phi, data, k):
        X, y = data
        gram = self.cache.setdefault(self.key, X.T @ X / len(y))
        return phi @ gram - X.T @ y / len(y)
