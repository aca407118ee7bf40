"""A right program in which some lines are replaced by wrong ones."""

import inspect

__all__ = ["patched"]


def patched(module, name, pairs):
    """A function of a module, after each first text of the pairs is replaced by the second one."""
    source = inspect.getsource(module)
    for old, new in pairs:
        if old not in source:
            raise ValueError(f"{module.__name__} has no {old!r}")
        source = source.replace(old, new)
    made = {"__name__": f"{module.__name__} for {name}"}
    exec(compile(source, module.__name__, "exec"), made)
    return made[name]
