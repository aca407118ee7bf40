"""A right program with some of its text replaced, as a mistake in it is written."""

import inspect
from types import ModuleType
from typing import Any

__all__ = ["patched"]


def patched(module: ModuleType, name: str, patches: Any, only: Any = None) -> Any:
    """A function of the module in which texts are replaced by others; of its parts those that are named."""
    text = inspect.getsource(module)
    for old, new in patches:
        assert old in text, old
        text = text.replace(old, new)
    space: dict[str, Any] = {}
    exec(compile(text, f"{module.__name__}, patched", "exec"), space)
    if only is not None and "NAMES" in space:  # the surrogates that are asked for: the others would take most of the time
        space["NAMES"] = tuple(each for each in space["NAMES"] if any(part.startswith(f"{each}_") for part in only))
    function = space[name]
    return function if only is None else lambda **inputs: {part: x for part, x in function(**inputs).items() if part in only}
