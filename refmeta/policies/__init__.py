"""Policies: a softmax of a table or of linear features, and a Gaussian around a linear function of the state."""

from refmeta.policies.linear_gaussian import LinearGaussian
from refmeta.policies.softmax import LinearSoftmax, Softmax, TabularSoftmax

__all__ = ["LinearGaussian", "LinearSoftmax", "Softmax", "TabularSoftmax"]
