"""Meta-learning: adaptation, its exact gradient, and the algorithms on top of it."""

__all__: list[str] = []
