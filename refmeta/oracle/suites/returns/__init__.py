"""The suite `returns`: returns, advantages and targets of a batch of steps."""

__all__: list[str] = []
