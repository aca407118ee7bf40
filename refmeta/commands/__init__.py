"""The command line, one file or folder for each command."""

__all__: list[str] = []
