"""Sampling: trajectories, returns, surrogates, and exact expectations over all trajectories."""

__all__: list[str] = []
