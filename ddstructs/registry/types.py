"""Conversion of plain data to the types in a signature. Never imports anything."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

from ddstructs.errors import InputError
from ddstructs.registry.annotations import described, is_ellipsis, limits, order, rank, read
from ddstructs.registry.data import LARGEST, load_yaml, shown

__all__ = ["Build", "Text", "convert", "refuse"]


class Text(str):
    """A value from the command line. It may hold a list or a dictionary as YAML; strings in files stay strings."""

    __slots__ = ()


Build = Callable[[str, object, str], object]
"""Converts a value where an object is expected: called with the name of the type, the value, and its name in errors."""

TEXTS = ("str", "Path")


class _Misfit(Exception):
    """The value does not have the type."""


def refuse(expected: str, value: object, place: str) -> NoReturn:
    """The `Build` for signatures without objects."""
    raise InputError(f"{place} does not take an object")


def convert(
    annotation: ast.expr | None,
    value: object,
    place: str,
    objects: Mapping[str, str] = MappingProxyType({}),
    build: Build = refuse,
) -> Any:
    """Convert plain data to the type of an annotation.

    Args:
        annotation: The type; None, like `Any`, accepts all plain data unchanged.
        value: Plain data.
        place: Name of the value in errors.
        objects: The types whose values are objects, and their names in errors.
        build: Converts a value to an object, or to a spec of one.

    Raises:
        InputError: If the value has another type.
    """
    try:
        return _fit(annotation, value, place, objects, build)
    except _Misfit:
        expected = described(annotation, objects)
        if expected in (None, "null"):
            raise InputError(f"{place} can only be set in Python") from None
        verb = "were" if expected.endswith(" with values") else "was"
        raise InputError(f"{place} is {_shown(value)}, but {expected} {verb} expected") from None


def _fit(annotation: ast.expr | None, value: object, place: str, objects: Mapping[str, str], build: Build) -> Any:
    kind, parts = read(annotation)
    if kind == "union":
        return _fit_union(parts, value, place, objects, build)
    if kind == "Annotated":
        fitted: Any = _fit(parts[0], value, place, objects, build)
        return fitted if all(fitted in limit for limit in limits(parts[1:])) else _misfit()
    if kind in objects:
        if not isinstance(value, str | dict) or (isinstance(value, Text) and value[:1] == "["):
            raise _Misfit
        return build(kind, value, place)
    if kind in ("list", "tuple"):
        return _fit_list(kind, parts, value, place, objects, build)
    if kind == "Literal":
        for part in parts:
            if isinstance(part, ast.Constant) and (value == part.value or value == Text(part.value)):
                return part.value
        raise _Misfit
    if kind == "dict":
        value = _parsed(value, place)
        if not isinstance(value, dict):
            raise _Misfit
        first, second = parts or (None, None)
        fitted = [
            tuple(_fit(each, part, place, objects, build) for each, part in zip((first, second), pair, strict=True))
            for pair in value.items()
        ]
        return dict(fitted)
    reader = _READERS.get(kind)
    if reader is None:
        raise _Misfit
    return reader(value, place)


def _fit_union(parts: list[ast.expr], value: object, place: str, objects: Mapping[str, str], build: Build) -> Any:
    members = sorted((part for part in parts if rank(part, objects) is not None), key=lambda part: order(part, objects))
    if isinstance(value, Text) and any(read(part)[0] in TEXTS for part in members):  # "null" is valid text
        members = [part for part in members if read(part)[0] != "None"]
    elif isinstance(value, str):  # a string in a file is text first, and a number only if it cannot be text
        members.sort(key=lambda part: read(part)[0] not in (*TEXTS, "Literal"))
    for member in members:
        try:
            return _fit(member, value, place, objects, build)
        except _Misfit:
            continue
    raise _Misfit


def _fit_list(
    kind: str, parts: list[ast.expr], value: object, place: str, objects: Mapping[str, str], build: Build
) -> Any:
    value = _parsed(value, place)
    if not isinstance(value, list | tuple):
        raise _Misfit
    if kind == "list" or any(map(is_ellipsis, parts)):
        fitted = [_fit(parts[0] if parts else None, each, place, objects, build) for each in value]
    elif len(parts) != len(value):
        raise _Misfit
    else:
        fitted = [_fit(part, each, place, objects, build) for part, each in zip(parts, value, strict=True)]
    return fitted if kind == "list" else tuple(fitted)


def _shown(value: object) -> str:
    """A value for an error message; a number or list from the command line is shown as typed, without quotes."""
    bare = isinstance(value, Text) and re.match(r"[-+.]?\d|[\[{]", value)
    return shown(value)[1:-1] if bare else shown(value)


def _parsed(value: object, place: str) -> object:
    """Parse a value from the command line if it is a list or a dictionary."""
    if isinstance(value, Text) and value[:1] in ("[", "{"):
        return load_yaml(str(value), place)
    return value


def _misfit() -> NoReturn:
    raise _Misfit


def _any(value: object, place: str) -> object:
    return load_yaml(str(value), place) if isinstance(value, Text) else value


def _none(value: object, place: str) -> None:
    return None if value is None or (isinstance(value, Text) and value == "null") else _misfit()


def _bool(value: object, place: str) -> bool:
    words = {"true": True, "false": False}
    return value if isinstance(value, bool) else words[value.lower()] if str(value).lower() in words else _misfit()  # type: ignore[attr-defined]


def _int(value: object, place: str) -> int:
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d{1,4000}", value, re.ASCII):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        _misfit()
    if abs(value) > LARGEST:
        raise InputError(f"{place} is {shown(value)}, which is too large")
    return value


def _float(value: object, place: str) -> float:
    try:
        return _misfit() if isinstance(value, bool) or not isinstance(value, int | float | str) else float(value)
    except (ValueError, OverflowError):
        _misfit()


def _str(value: object, place: str) -> str:
    return str(value) if isinstance(value, str) else _misfit()


def _path(value: object, place: str) -> Path:
    return Path(value) if isinstance(value, str) and value and "\0" not in value else _misfit()


_READERS: dict[str, Callable[[object, str], Any]] = {
    "any": _any,
    "None": _none,
    "bool": _bool,
    "int": _int,
    "float": _float,
    "str": _str,
    "Path": _path,
}
