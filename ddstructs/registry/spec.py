"""Objects as plain data: a class path and the arguments of the constructor, as in a Lightning config."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from torch import nn

from ddstructs.errors import InputError
from ddstructs.registry.plugins import load_memories, registered

__all__ = ["allowed_modules", "build", "check", "describe"]

DEPTH = 100
"""How deep plain data may nest."""


DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", re.ASCII)
"""What a class path looks like."""


def describe(thing: object) -> dict[str, Any]:
    """The class path and arguments that build an equal object.

    Every argument of the constructor is read from the attribute of its name.

    Raises:
        TypeError: If there is no such attribute, or if it holds what plain data cannot say.

    Example:
        >>> from ddstructs import Stack
        >>> describe(Stack(16))
        {'class_path': 'ddstructs.stack.Stack', 'init_args': {'width': 16}}
    """
    kind = type(thing)
    arguments = {}
    for parameter in _parameters(kind):
        if hasattr(thing, parameter.name):
            arguments[parameter.name] = _plain(getattr(thing, parameter.name), f"{kind.__name__}.{parameter.name}")
        elif parameter.default is parameter.empty:
            raise TypeError(
                f"{kind.__name__} takes {parameter.name}, but has no attribute of that name: store each argument of "
                "the constructor under its own name, so that a checkpoint can say it"
            )
    return {"class_path": f"{kind.__module__}.{kind.__qualname__}", "init_args": arguments}


def check(spec: object, depth: int = DEPTH) -> None:
    """Refuse plain data that names a class outside of what may be imported. Nothing is imported here.

    Args:
        spec: The data.
        depth: How deep it may nest.

    Raises:
        InputError: If a class path is not one of ddstructs, torch.nn, or a registered plugin, if arguments have no
            names, or if the data nests deeper than any that describes a model.
    """
    if depth < 0:
        raise InputError(f"the data nests deeper than {DEPTH} levels, and so it describes no model")
    if isinstance(spec, dict):
        if "class_path" in spec:
            path, arguments = spec["class_path"], spec.get("init_args", {})
            if not (isinstance(path, str) and DOTTED.fullmatch(path) and _is_allowed(path)):
                raise InputError(f"the class {path!r} is refused: only ddstructs, torch.nn and plugins may be named")
            if not (isinstance(arguments, dict) and all(isinstance(name, str) for name in arguments)):
                raise InputError(f"the init_args of {path} are no names with values, as {{'width': 16}} is")
        for part in spec.values():
            check(part, depth - 1)
    elif isinstance(spec, list | tuple):
        for part in spec:
            check(part, depth - 1)


def build(spec: Any, base: type = nn.Module) -> Any:
    """Build what plain data describes; whatever is no class path with arguments stays as it is.

    Args:
        spec: The data.
        base: What its class must be a subclass of; those of its arguments must be modules.

    Raises:
        InputError: If a class may not be imported, does not exist, or does not take the arguments.
    """
    check(spec)
    if isinstance(spec, list | tuple):
        return [build(part) for part in spec]
    if not (isinstance(spec, dict) and "class_path" in spec):
        return spec
    path = spec["class_path"]
    arguments = {name: build(argument) for name, argument in spec.get("init_args", {}).items()}
    module, _, name = path.rpartition(".")
    try:
        kind = getattr(import_module(module), name)
        if not (isinstance(kind, type) and issubclass(kind, base)):
            raise TypeError(f"it is not a {base.__name__.lower()}")
        return kind(**arguments)
    except Exception as error:
        raise InputError(f"cannot build {path}: {' '.join(str(error).split())}") from error


def allowed_modules() -> list[str]:
    """The modules whose classes plain data may name: of a plugin, the one that it registered."""
    return ["ddstructs", "torch.nn", *sorted({entry.module for entry in registered()} | _plugin_homes())]


def _is_allowed(path: str) -> bool:
    if path.startswith(("ddstructs.", "torch.nn.")):
        return True
    module = path.rpartition(".")[0]
    return module in {entry.module for entry in registered()} or module in _plugin_homes()


def _plugin_homes() -> set[str]:
    """Where the registered classes really stand, should their package only pass them on."""
    return {kind.__module__ for kind in load_memories().values()}


def _parameters(kind: type) -> Iterator[inspect.Parameter]:
    """The parameters of a constructor, and, where it hands `**settings` on, those of the base class."""
    for base in kind.__mro__:
        if "__init__" in vars(base):
            parameters = list(inspect.signature(vars(base)["__init__"]).parameters.values())[1:]
            yield from (p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD))
            if not any(p.kind is p.VAR_KEYWORD for p in parameters):
                return


def _plain(value: object, name: str) -> object:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, nn.ModuleList | list | tuple):
        return [_plain(part, name) for part in value]
    if isinstance(value, nn.Module):
        return describe(value)
    raise TypeError(f"{name} is a {type(value).__name__}, but a checkpoint holds numbers, strings, lists and modules")
