"""Objects as plain data: a class path and the arguments of the constructor, as in a Lightning config.

What a file names is looked up in a closed list of classes, and never imported because the file says so.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from ddstructs.errors import InputError, one_line
from ddstructs.registry.catalog import KINDS
from ddstructs.registry.data import PARTS, check_plain, load_yaml, shown
from ddstructs.registry.plugins import load_plugins, named, names, plugins
from ddstructs.registry.source import Parameter, parameters
from ddstructs.registry.types import Text, convert

__all__ = [
    "OBJECTS",
    "STANDING",
    "Spec",
    "argument",
    "build",
    "check",
    "complete",
    "construct",
    "describe",
    "draft",
    "find",
    "hint",
    "resolve",
    "resolve_object",
    "signature",
]

OBJECTS = {
    "Memory": "a memory",
    "Cell": "a cell",
    "Module": "a cell or memory",
    "Task": "a task",
    "Callback": "a callback",
    "Logger": "a logger",
}
"""The types that stand for objects in a signature, and what they are called in errors."""

STANDING = {
    "Memory": ("memory",),
    "Cell": ("cell",),
    "Module": ("cell", "memory"),
    "Task": ("task",),
    "Callback": ("callback",),
    "Logger": ("logger",),
}
"""Which kinds of things may stand where a signature asks for these types."""

MODELS = ("memory", "cell", "task")
"""What a checkpoint may name."""

NETWORK = ("device", "dtype")
"""Arguments of a cell that come from the network around it."""


@dataclass(frozen=True)
class Spec:
    """An object that is not built yet: its kind, its name, and its arguments, in which there may be others."""

    kind: str
    name: str
    arguments: dict[str, Any]


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
    return _describe(thing, [PARTS])


def _describe(thing: object, left: list[int]) -> dict[str, Any]:
    """As `describe`, with so many parts left."""
    kind = type(thing)
    arguments = {}
    for parameter in _parameters(kind):
        if hasattr(thing, parameter.name):
            value, place = getattr(thing, parameter.name), f"{kind.__name__}.{parameter.name}"
            arguments[parameter.name] = _plain(value, place, left)
        elif parameter.default is parameter.empty:
            raise TypeError(
                f"{kind.__name__} takes {parameter.name}, but has no attribute of that name: store each argument of "
                "the constructor under its own name, so that a checkpoint can say it"
            )
    return {"class_path": f"{kind.__module__}.{kind.__qualname__}", "init_args": arguments}


def check(value: object, what: str = "") -> None:
    """Refuse plain data that names a class which is not on the list. Nothing is imported for what it names.

    Args:
        value: The data.
        what: What an error calls it, such as the file that it comes from.

    Raises:
        InputError: If it is not plain, or too large; if a class path is not that of a memory, a cell or a task that is
            registered; or if arguments have no names.
    """
    check_plain(value, what or "the data")
    _check(value, what)


def _check(value: object, what: str) -> None:
    if isinstance(value, dict):
        if "class_path" in value:
            _named(value, MODELS, what)
        for part in value.values():
            _check(part, what)
    elif isinstance(value, list | tuple):
        for part in value:
            _check(part, what)


def build(value: Any, kind: str | None = None) -> Any:
    """Build what plain data describes; whatever is no class path with arguments stays as it is.

    Args:
        value: The data.
        kind: What it must be: `"memory"`, `"cell"` or `"task"`; any of these, or other data, if not given.

    Raises:
        InputError: If a class is not on the list, or does not take the arguments.
    """
    if not isinstance(value, dict | list | tuple) and kind is None:
        return value
    check(value)
    if isinstance(value, list | tuple) and kind is None:
        return [build(part) for part in value]
    if not (isinstance(value, dict) and "class_path" in value):
        if kind is not None:
            raise InputError(f"{shown(value)} is no {kind}: a class path with arguments was expected")
        return value
    return construct(resolve(value, (kind,) if kind else MODELS))


def resolve(value: object, kinds: tuple[str, ...], place: str = "") -> Spec:
    """Look up what plain data describes, and fit its arguments to the signature. Nothing is imported but plugins.

    Args:
        value: A name, or a class path with arguments.
        kinds: What it may be.
        place: What an error calls it.

    Raises:
        InputError: If there is no such thing, or if it does not take the arguments.
    """
    return complete(draft(value, kinds, place), place)


def draft(value: object, kinds: tuple[str, ...], place: str) -> Spec:
    """As `resolve`, but arguments may still be missing."""
    if isinstance(value, Text) and value[:1] == "{":
        value = load_yaml(str(value), place)
    spec = Spec(*_named(value, kinds, place))
    return Spec(spec.kind, spec.name, {key: argument(spec, key, part, place) for key, part in spec.arguments.items()})


def argument(spec: Spec, key: str, value: object, place: str) -> Any:
    """The value of an argument, fitted to the signature of what takes it."""
    known = signature(spec.kind, spec.name)
    where = f"{place}.{key}" if place else f"cannot build {spec.name}: {key}"
    if key not in known:
        raise InputError(f"{one_line(where)} is no argument of {spec.name}{hint(key, known)}")
    return convert(known[key].annotation, value, where, OBJECTS, resolve_object)


def complete(spec: Spec, place: str) -> Spec:
    """Refuse a draft in which an argument is missing."""
    for key, each in signature(spec.kind, spec.name).items():
        if each.default is None and key not in spec.arguments:
            raise InputError(f"{place or 'cannot build'} {spec.name} needs {key}: give it among its arguments")
    return spec


def construct(spec: Any) -> Any:
    """Build the object of a spec, and those in its arguments.

    Raises:
        InputError: If it does not take the arguments.
    """
    if isinstance(spec, list | tuple):
        return type(spec)(construct(part) for part in spec)
    if isinstance(spec, dict):
        return {key: construct(part) for key, part in spec.items()}
    if not isinstance(spec, Spec):
        return spec
    arguments = construct(spec.arguments)
    kind = named(spec.kind, spec.name)
    try:
        return kind(**arguments)
    except InputError:
        raise
    except Exception as error:  # the arguments are the user's, and torch fails in as many ways
        raise InputError(f"cannot build {spec.name}: {one_line(error)[:200]}") from error


def signature(kind: str, name: str) -> dict[str, Parameter]:
    """The parameters of a class that has a name."""
    target = KINDS[kind].table.get(name) or plugins(kind)[name].target
    try:
        found = parameters(target)
    except LookupError as error:
        raise InputError(f"{name} cannot be used by name: {error}") from error
    return {key: each for key, each in found.items() if kind != "cell" or key not in NETWORK}


def find(path: str, kinds: tuple[str, ...]) -> tuple[str, str] | None:
    """The kind and the name of what a name or a class path stands for, if it is on the list."""
    for kind in kinds:
        for name, target in KINDS[kind].table.items():
            if path == name or path in _paths(target):
                return kind, name
        for name, plugin in plugins(kind).items():
            if path == name or path == plugin.path:
                return (kind, name) if name in load_plugins(kind) else None
    for kind in kinds:  # where a class really stands, should its package only pass it on
        for name, each in load_plugins(kind).items() if "." in path and plugins(kind) else ():
            if path == f"{each.__module__}.{each.__qualname__}":
                return kind, name
    return None


def hint(name: str, known: Any) -> str:
    """The end of an error for an unknown name: the nearest that there is, or all of them."""
    names = [str(each) for each in known]
    close = get_close_matches(name, names, 1) or get_close_matches(
        name.lower(), lower := {each.lower(): each for each in names}, 1
    )
    if close:
        return f"; did you mean {close[0] if close[0] in names else lower[close[0]]}?"
    return f"; choose from {', '.join(names)}" if names else "; it takes none"


def _named(value: object, kinds: tuple[str, ...], place: str) -> tuple[str, str, dict[str, Any]]:
    """The kind, the name and the arguments of what plain data describes."""
    where, lead = place or "the data", f"{place}: " if place else ""
    if isinstance(value, str):
        value = {"class_path": value}
    if not (isinstance(value, dict) and "class_path" in value):
        raise InputError(f"{where} is {shown(value)}, but a name, or a class_path with init_args, was expected")
    for key in value.keys() - {"class_path", "init_args"}:
        if isinstance(key, str) and get_close_matches(key, ["init_args"], 1):
            raise InputError(f"{where} has the key {shown(key)}; did you mean init_args?")
        raise InputError(f"{where} has the key {shown(key)} beside class_path: arguments go under init_args")
    path = value["class_path"]
    found = find(path, kinds) if isinstance(path, str) else None
    if found is None:
        if place and isinstance(path, str) and path.isidentifier():
            known = [name for kind in kinds for name in names(kind)]
            raise InputError(f"{place} {path}: there is no such name{hint(path, known)}")
        raise InputError(f"{lead}the class {shown(path)} is refused: {_allowed(kinds, place)}")
    arguments = value.get("init_args")
    if arguments is None and (place or "init_args" not in value):  # an empty `init_args:` in a config
        arguments = {}
    if not (isinstance(arguments, dict) and all(isinstance(name, str) for name in arguments)):
        raise InputError(
            f"{lead}the init_args of {path} are {shown(arguments)}, but names with values such as "
            "{'width': 16} were expected"
        )
    return *found, arguments


def _allowed(kinds: tuple[str, ...], place: str) -> str:
    """What may be named instead of a class that is refused."""
    groups = [group for kind in kinds if (group := KINDS[kind].group) is not None]
    if not groups:
        return f"choose from {', '.join(name for kind in kinds for name in names(kind))}"
    register = f"only what ddstructs list shows may be named; register your own as an entry point ({', '.join(groups)})"
    return (
        register if place.startswith("--") else f"{register}, or give it to load_from_checkpoint, as in cell=MyCell()"
    )


def resolve_object(wanted: str, value: object, place: str) -> Spec:
    """What a signature asks for by one of the types in `OBJECTS`; see `resolve`."""
    return resolve(value, STANDING[wanted], place)


def _paths(target: str) -> Iterator[str]:
    """A class under its module, and under the packages above, which may pass it on."""
    module, _, name = target.partition(":")
    while module:
        yield f"{module}.{name}"
        module = module.rpartition(".")[0]


def _parameters(kind: type) -> Iterator[inspect.Parameter]:
    """The parameters of a constructor, and, where it hands `**settings` on, those of the base class."""
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
        raise TypeError(f"{name} has more than {PARTS} parts, written out: more than a checkpoint takes")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, nn.ModuleList | list | tuple):
        return [_plain(part, name, left) for part in value]
    if isinstance(value, nn.Module):
        return _describe(value, left)
    raise TypeError(f"{name} is a {type(value).__name__}, but a checkpoint holds numbers, strings, lists and modules")
