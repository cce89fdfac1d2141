"""Objects described by plain data: a class path and constructor arguments, as in a Lightning config.

Class paths are looked up in a closed list; a file can never cause the import of anything else.
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
    "ACCEPTED",
    "OBJECTS",
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
"""The types of a signature whose values are objects, and their names in errors."""

ACCEPTED = {
    "Memory": ("memory",),
    "Cell": ("cell",),
    "Module": ("cell", "memory"),
    "Task": ("task",),
    "Callback": ("callback",),
    "Logger": ("logger",),
}
"""The kinds that a parameter of each of these types accepts."""

MODELS = ("memory", "cell", "task")
"""The kinds that a checkpoint may refer to."""


@dataclass(frozen=True)
class Spec:
    """An object that is not built yet: its kind, its name, and its arguments, which may contain further specs."""

    kind: str
    name: str
    arguments: dict[str, Any]


def check(value: object, what: str = "") -> None:
    """Refuse plain data with a class path that is not on the list. Nothing is imported.

    Args:
        value: The data.
        what: Its name in errors, such as that of the file it comes from.

    Raises:
        InputError: If the data is not plain, or too large; if a class path is not that of a registered memory, cell or
            task; or if arguments are not given by name.
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
    """Build the objects in plain data; anything but a class path with arguments is returned unchanged.

    Args:
        value: The data.
        kind: The expected kind: `"memory"`, `"cell"` or `"task"`; if not given, any of these or other data.

    Raises:
        InputError: If a class is not on the list, or does not accept the arguments.
    """
    if not isinstance(value, dict | list | tuple) and kind is None:
        return value
    check(value)
    if isinstance(value, list | tuple) and kind is None:
        return [build(part) for part in value]
    if not (isinstance(value, dict) and "class_path" in value):
        if kind is not None:
            raise InputError(f"{shown(value)} is not a {kind}: a class path with arguments was expected")
        return value
    return construct(resolve(value, (kind,) if kind else MODELS))


def resolve(value: object, kinds: tuple[str, ...], place: str = "") -> Spec:
    """Look up the object that plain data describes, and convert its arguments. Imports nothing but plugins.

    Args:
        value: A name, or a class path with arguments.
        kinds: The accepted kinds.
        place: Its name in errors.

    Raises:
        InputError: If the name is unknown, or if the class does not accept the arguments.
    """
    return complete(draft(value, kinds, place), place)


def draft(value: object, kinds: tuple[str, ...], place: str) -> Spec:
    """Like `resolve`, but arguments may still be missing."""
    if isinstance(value, Text) and value[:1] == "{":
        value = load_yaml(str(value), place)
    spec = Spec(*look_up(value, kinds, place))
    return Spec(spec.kind, spec.name, {key: argument(spec, key, part, place) for key, part in spec.arguments.items()})


def argument(spec: Spec, key: str, value: object, place: str) -> Any:
    """Convert the value of an argument to the type in the signature."""
    known = signature(spec.kind, spec.name)
    where = f"{place}.{key}" if place else f"cannot build {spec.name}: {key}"
    if key not in known:
        raise InputError(f"{one_line(where)} is not an argument of {spec.name}{hint(key, known)}")
    return convert(known[key].annotation, value, where, OBJECTS, resolve_object)


def complete(spec: Spec, place: str) -> Spec:
    """Return a draft, or raise an error if a required argument is missing."""
    for key, each in signature(spec.kind, spec.name).items():
        if each.default is None and key not in spec.arguments:
            raise InputError(f"{place or 'cannot build'} {spec.name} needs {key}: add it to its arguments")
    return spec


def resolve_object(expected: str, value: object, place: str) -> Spec:
    """Resolve an object for a parameter of one of the types in `OBJECTS`; see `resolve`."""
    return resolve(value, ACCEPTED[expected], place)


def construct(spec: Any) -> Any:
    """Build the object of a spec, and those in its arguments.

    Raises:
        InputError: If a constructor does not accept the arguments.
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
    except Exception as error:  # the arguments are the user's, and torch may raise anything
        raise InputError(f"cannot build {spec.name}: {one_line(error)[:200]}") from error
