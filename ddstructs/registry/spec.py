"""Objects as plain data: a class path and the arguments of the constructor, as in a Lightning config.

What a file names is looked up in a closed list of classes, and never imported because the file says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ddstructs.errors import InputError, one_line
from ddstructs.registry.data import check_plain, load_yaml, shown
from ddstructs.registry.lookup import hint, look_up, signature
from ddstructs.registry.plugins import named
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
    "draft",
    "resolve",
    "resolve_object",
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


@dataclass(frozen=True)
class Spec:
    """An object that is not built yet: its kind, its name, and its arguments, in which there may be others."""

    kind: str
    name: str
    arguments: dict[str, Any]


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
            look_up(value, MODELS, what)
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
    spec = Spec(*look_up(value, kinds, place))
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


def resolve_object(wanted: str, value: object, place: str) -> Spec:
    """What a signature asks for by one of the types in `OBJECTS`; see `resolve`."""
    return resolve(value, STANDING[wanted], place)


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
