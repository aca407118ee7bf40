"""Tasks: twice-differentiable losses whose `at(theta)` gives loss, gradient and Hessian products."""

__all__: list[str] = []
