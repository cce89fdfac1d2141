"""Lookup of names and class paths in the closed list of classes that plain data may refer to."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from ddstructs.errors import InputError
from ddstructs.registry.catalog import KINDS
from ddstructs.registry.data import shown
from ddstructs.registry.plugins import load_plugins, names, plugins
from ddstructs.registry.source import Parameter, parameters

__all__ = ["find", "hint", "look_up", "signature"]

NETWORK = ("device", "dtype")
"""Arguments of a cell that the network around it provides."""


def look_up(value: object, kinds: tuple[str, ...], place: str) -> tuple[str, str, dict[str, Any]]:
    """The kind, the name and the arguments of an object described by plain data."""
    where, lead = place or "the data", f"{place}: " if place else ""
    if isinstance(value, str):
        value = {"class_path": value}
    if not (isinstance(value, dict) and "class_path" in value):
        raise InputError(f"{where} is {shown(value)}, but a name, or a class_path with init_args, was expected")
    for key in value.keys() - {"class_path", "init_args"}:
        if isinstance(key, str) and get_close_matches(key, ["init_args"], 1):
            raise InputError(f"{where} has the key {shown(key)}; did you mean init_args?")
        raise InputError(f"{where} has the key {shown(key)} next to class_path: arguments go under init_args")
    path = value["class_path"]
    found = find(path, kinds) if isinstance(path, str) else None
    if found is None:
        if place and path == "":
            known = [name for kind in kinds for name in names(kind)]
            raise InputError(f"{place} needs a name; choose from {', '.join(known)}")
        if place and isinstance(path, str) and path.isidentifier():
            known = [name for kind in kinds for name in names(kind)]
            raise InputError(f"{place} {path}: unknown name{hint(path, known)}")
        if "memory" in kinds and isinstance(path, str) and "+" in path and {*path.split("+")} <= {*names("memory")}:
            members = ", ".join(path.split("+"))
            options = f": {place} Bank {place}.memories '[{members}]'" if place.startswith("--") else ""
            raise InputError(f"{lead}{path} is a bank: give Bank, and [{members}] as its memories{options}")
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


def find(path: str, kinds: tuple[str, ...]) -> tuple[str, str] | None:
    """The kind and the name of the class that a name or a class path refers to; None if it is not on the list."""
    for kind in kinds:
        for name, target in KINDS[kind].table.items():
            if path == name or path in _paths(target):
                return kind, name
        for name, plugin in plugins(kind).items():
            if path == name or path == plugin.path:
                return (kind, name) if name in load_plugins(kind) else None
    for kind in kinds:  # the module that defines the class, if the plugin's target only re-exports it
        for name, each in load_plugins(kind).items() if "." in path and plugins(kind) else ():
            if path == f"{each.__module__}.{each.__qualname__}":
                return kind, name
    return None


def signature(kind: str, name: str) -> dict[str, Parameter]:
    """The parameters of a named class."""
    target = KINDS[kind].table.get(name) or plugins(kind)[name].target
    try:
        found = parameters(target)
    except LookupError as error:
        raise InputError(f"{name} cannot be used by name: {error}") from error
    return {key: each for key, each in found.items() if kind != "cell" or key not in NETWORK}


def hint(name: str, known: Any) -> str:
    """The end of the error for an unknown name: the closest known name, or all of them."""
    names = [str(each) for each in known]
    lower = {each.lower(): each for each in names}
    close = get_close_matches(name, names, 1, 0.7) or get_close_matches(name.lower(), lower, 1, 0.8)
    if close:
        return f"; did you mean {close[0] if close[0] in names else lower[close[0]]}?"
    return f"; choose from {', '.join(names)}" if names else "; it takes none"


def _allowed(kinds: tuple[str, ...], place: str) -> str:
    """What may be used instead of a class that is refused."""
    groups = [group for kind in kinds if (group := KINDS[kind].group) is not None]
    if not groups:
        return f"choose from {', '.join(name for kind in kinds for name in names(kind))}"
    register = f"use a name from ddstructs list, or register your class as an entry point ({', '.join(groups)})"
    return (
        register
        if place.startswith("--")
        else f"{register}, or pass it to load_from_checkpoint: cell=MyCell() or layers=[...]"
    )


def _paths(target: str) -> Iterator[str]:
    """The class path in its module, and in the packages above, which may re-export it."""
    module, _, name = target.partition(":")
    while module:
        yield f"{module}.{name}"
        module = module.rpartition(".")[0]
