"""Implicit MAML by linear algebra, and Reptile's outer step."""

import numpy as np


class Implicit:
    """(I + H/lambda)^-1 times the query's gradient at the proximal point."""

    quantity = "gradient"

    def __init__(self, inputs):
        self.x, self.theta, self.strength = inputs, inputs["theta"], inputs["strength"]
        self.d, self.I = len(self.theta), np.eye(len(self.theta))
        self.N = len(inputs["A"] if inputs["A"] is not None else inputs["X"])

    def quadratic(self, prefix, i):
        """H and g0 of a loss with the gradient H phi - g0, and its constant."""
        x = self.x
        if x[prefix + "A"] is not None:
            A, c = x[prefix + "A"][i], x[prefix + "c"][i]
            return A, A @ c, c @ A @ c / 2
        X, y = x[prefix + "X"][i], x[prefix + "y"][i]
        return X.T @ X / len(y), X.T @ y / len(y), y @ y / (2 * len(y))

    def solve_phi(self, H, g0):
        return np.linalg.solve(H + self.strength * self.I, g0 + self.strength * self.theta)

    def solve_adjoint(self, H, g, query_H):
        return np.linalg.solve(self.I + H / self.strength, g)

    def one(self, i):
        H, g0, _ = self.quadratic("", i)
        query_H, query_g0, rest = self.quadratic("query_", i)
        phi = self.solve_phi(H, g0)
        g = query_H @ phi - query_g0
        if self.quantity == "objective":
            return phi @ query_H @ phi / 2 - phi @ query_g0 + rest
        return g if self.quantity == "first_order" else self.solve_adjoint(H, g, query_H)

    def answer(self):
        return np.stack([np.asarray(self.one(i)) for i in range(self.N)])


class Reptile:
    """theta + epsilon * mean(phi - theta)."""

    def __init__(self, inputs):
        self.theta, self.adapted, self.epsilon = inputs["theta"], inputs["adapted"], inputs["epsilon"]

    def direction(self):
        return np.mean(self.adapted - self.theta, axis=0)

    def answer(self):
        return self.theta + self.epsilon * self.direction()
