"""The command line, one file for each command."""

__all__: list[str] = []
