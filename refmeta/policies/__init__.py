"""Policies: a softmax over actions of a table or of features, and a Gaussian about a linear function of the state."""

from refmeta.policies.linear_gaussian import LinearGaussian
from refmeta.policies.softmax import LinearSoftmax, Softmax, TabularSoftmax

__all__ = ["LinearGaussian", "LinearSoftmax", "Softmax", "TabularSoftmax"]
