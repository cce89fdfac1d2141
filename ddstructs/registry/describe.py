"""Description of an object as plain data: its class path, and the arguments that build an equal one."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from ddstructs.registry.data import PARTS

__all__ = ["describe"]


def describe(thing: object) -> dict[str, Any]:
    """The class path and arguments that build an equal object.

    Each constructor argument is read from the attribute of the same name.

    Raises:
        TypeError: If that attribute is missing, or if its value is not plain data.

    Example:
        >>> from ddstructs import Stack
        >>> describe(Stack(16))
        {'class_path': 'ddstructs.stack.Stack', 'init_args': {'width': 16}}
    """
    return _describe(thing, [PARTS])


def _describe(thing: object, left: list[int]) -> dict[str, Any]:
    """Like `describe`, with a count of the parts that may still be added."""
    kind = type(thing)
    arguments = {}
    for parameter in _parameters(kind):
        if hasattr(thing, parameter.name):
            value, place = getattr(thing, parameter.name), f"{kind.__name__}.{parameter.name}"
            arguments[parameter.name] = _plain(value, place, left)
        elif parameter.default is parameter.empty:
            raise TypeError(
                f"{kind.__name__} takes {parameter.name}, but has no attribute of that name: store each constructor "
                "argument under its own name, so that a checkpoint can describe the object"
            )
    return {"class_path": f"{kind.__module__}.{kind.__qualname__}", "init_args": arguments}


def _parameters(kind: type) -> Iterator[inspect.Parameter]:
    """The parameters of a constructor and, if it passes on `**settings`, those of the base class."""
    for base in kind.__mro__:
        if "__init__" in vars(base):
            own = list(inspect.signature(vars(base)["__init__"]).parameters.values())[1:]
            yield from (p for p in own if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD))
            if not any(p.kind is p.VAR_KEYWORD for p in own):
                return


def _plain(value: object, name: str, left: list[int]) -> object:
    from torch import nn

    left[0] -= 1
    if left[0] < 0:
        raise TypeError(f"{name} has more than {PARTS} parts, the most that a checkpoint may have")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, nn.ModuleList | list | tuple):
        return [_plain(part, name, left) for part in value]
    if isinstance(value, nn.Module):
        return _describe(value, left)
    raise TypeError(f"{name} is a {type(value).__name__}, but a checkpoint holds numbers, strings, lists and modules")
