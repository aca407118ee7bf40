"""Wrong implicit MAML, and wrong outer steps of Reptile."""

import numpy as np

from tests.oracle.field.held_out.base_small import Implicit, Reptile
from tests.oracle.field.held_out.calculus import planter

MISTAKES = []
implicit, reptile = planter(MISTAKES, "implicit"), planter(MISTAKES, "reptile")


@implicit("lambda", "strength", "1/2", "half", "twice")
class StrengthTwiceInside(Implicit):
    """The proximal point minimises L + lambda |phi - theta|^2, without the half; the linear system has lambda."""

    def solve_phi(self, H, g0):
        return np.linalg.solve(H + 2 * self.strength * self.I, g0 + 2 * self.strength * self.theta)


@implicit("conjugate", "iteration", "solver", "early")
class OneConjugateStep(Implicit):
    """The linear system is solved by a single step of conjugate gradients."""

    def solve_adjoint(self, H, g, query_H):
        M = self.I + H / self.strength
        return (g @ g) / (g @ M @ g) * g if g.any() else g


@implicit("damp", "lambda", "strength")
class Damped(Implicit):
    """The linear system has a damping: I + H/(lambda + 1)."""

    def solve_adjoint(self, H, g, query_H):
        return np.linalg.solve(self.I + H / (self.strength + 1), g)


@implicit("query's hessian", "hessian of the query", "both", "hessian", "curvature")
class CurvatureOfBothSets(Implicit):
    """H in the linear system is the mean of the support's and the query's."""

    def solve_adjoint(self, H, g, query_H):
        return np.linalg.solve(self.I + (H + query_H) / (2 * self.strength), g)


@implicit("1/n", "sum", "mean over the data", "number of data", "factor n", "n lambda", "n * lambda")
class SumInTheDual(Implicit):
    """On regression the proximal point is solved with X X' + lambda I, which forgets the n of the mean."""

    def quadratic(self, prefix, i):
        self.i = i
        return super().quadratic(prefix, i)

    def solve_phi(self, H, g0):
        if self.x["X"] is None:
            return super().solve_phi(H, g0)
        X, y = self.x["X"][self.i], self.x["y"][self.i]
        return self.theta + X.T @ np.linalg.solve(X @ X.T + self.strength * np.eye(len(y)), y - X @ self.theta)


@implicit("gradient steps", "gradient descent", "converge", "iteration", "proximal point", "early")
class FewGradientSteps(Implicit):
    """The proximal point is what 5 gradient steps with a step size of 1/(4 + lambda) reach from theta."""

    def solve_phi(self, H, g0):
        phi = self.theta
        for _ in range(5):
            phi = phi - (H @ phi - g0 + self.strength * (phi - self.theta)) / (4 + self.strength)
        return phi


@implicit("diagonal", "lambda/(1 + lambda)")
class DiagonalSystem(Implicit):
    """The linear system keeps only H's diagonal, and the row is scaled by lambda/(1 + lambda)."""

    def solve_adjoint(self, H, g, query_H):
        return g / (1 + np.diag(H) / self.strength) * self.strength / (1 + self.strength)


@implicit("twice", "two proximal", "anchor", "proximal point")
class ProximalTwice(Implicit):
    """Two proximal steps, the second from the first's result; the linear system is that of one."""

    def solve_phi(self, H, g0):
        first = super().solve_phi(H, g0)
        return np.linalg.solve(H + self.strength * self.I, g0 + self.strength * first)


@implicit("proximal term", "penalty", "regulari", quantity="objective")
class PenaltyCounted(Implicit):
    """The objective has the proximal term lambda/2 |phi - theta|^2 beside the query's loss."""

    quantity = "objective"

    def one(self, i):
        H, g0, _ = self.quadratic("", i)
        return super().one(i) + self.strength / 2 * ((self.solve_phi(H, g0) - self.theta) ** 2).sum()


@reptile("median")
class MedianOfTasks(Reptile):
    """The median over tasks stands for their mean."""

    def direction(self):
        return np.median(self.adapted - self.theta, axis=0)


@reptile("sequential", "one after another", "in turn", "one task after")
class OneAfterAnother(Reptile):
    """Theta moves by epsilon/N towards each task in turn, from where the last one left it."""

    def answer(self):
        theta = self.theta
        for phi in self.adapted:
            theta = theta + self.epsilon / len(self.adapted) * (phi - theta)
        return theta


@reptile("previous task", "last task", "only the last", "telescop")
class FromThePreviousTask(Reptile):
    """Each difference is taken from the previous task's parameters, so that only the last task counts."""

    def direction(self):
        return np.mean(np.diff(np.vstack([self.theta, self.adapted]), axis=0), axis=0)


@reptile("negative", "epsilon", "clamp", "clip", "max(")
class StepNeverNegative(Reptile):
    """A negative epsilon is taken for 0."""

    def answer(self):
        return self.theta + max(self.epsilon, 0) * self.direction()


@reptile("clip", "norm", "epsilon")
class ClippedDirection(Reptile):
    """The mean difference is clipped to a norm of 1, and epsilon is divided by 1 + 0.1 N."""

    def direction(self):
        g = super().direction()
        return g * min(1, 1 / max(np.linalg.norm(g), 1e-12)) / (1 + 0.1 * len(self.adapted))


@reptile("weight", "distance")
class FarTasksLess(Reptile):
    """Tasks are weighted by 1/(1 + distance), and the weights are normalised."""

    def direction(self):
        w = 1 / (1 + np.linalg.norm(self.adapted - self.theta, axis=1))
        return (w / w.sum()) @ (self.adapted - self.theta)
