"""Plain data made into what a signature asks for. The types are read from the source; nothing is ever imported."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from ddstructs.errors import InputError
from ddstructs.registry.data import LARGEST, load_yaml, shown

__all__ = ["Text", "convert", "described", "settable"]


class Text(str):
    """A word from the command line. It alone may spell out lists and names, as YAML; strings in files stay strings."""

    __slots__ = ()


Build = Callable[[str, object, str], object]
"""What to do with a value where an object is expected: called with the name of the type, the value and its place."""

ALIASES = {"_PATH": "str", "List": "list", "Dict": "dict", "Tuple": "tuple"}
"""Other names of types in the signatures of Lightning."""

SEQUENCES = ("list", "Sequence", "Iterable", "Collection")

ORDER = ("None", "Literal", "bool", "int", "float", "object", "list", "tuple", "dict", "Path", "str")
"""Which member of a union is tried first: the one that takes the fewest values."""

TEXTS = ("str", "Path")

FEW = {1: "one", 2: "two", 3: "three", 4: "four"}


class _Misfit(Exception):
    """The value is not of the type."""


def convert(annotation: ast.expr | None, value: object, place: str, objects: dict[str, str], build: Build) -> Any:
    """A value of the type that an annotation tells.

    Args:
        annotation: The type; None if there is none, and then any plain data will do, as for `Any`: it stays data.
        value: Plain data.
        place: What an error calls the value.
        objects: The names of types that stand for objects, and what they are called.
        build: Makes such an object, or what stands for it.

    Raises:
        InputError: If the value is of another type.
    """
    try:
        return _fit(annotation, value, place, objects, build)
    except _Misfit:
        expected = described(annotation, objects)
        if expected in (None, "null"):
            raise InputError(f"{place} can only be set in Python") from None
        raise InputError(f"{place} is {shown(value)}, but {expected} was expected") from None


def settable(annotation: ast.expr | None, objects: dict[str, str]) -> bool:
    """Whether plain data can say any value of this type but None."""
    return described(annotation, objects) not in (None, "null")


def described(annotation: ast.expr | None, objects: dict[str, str]) -> str | None:
    """A type in words; None if plain data has no values of it."""
    kind, parts = _read(annotation)
    if kind == "union":
        members = sorted((part for part in parts if _rank(part, objects) is not None), key=lambda p: _key(p, objects))
        words = [word for part in members if (word := described(part, objects)) is not None]
        return " or ".join(dict.fromkeys([word for word in words if word != "null"] + words)) or None
    if kind == "Literal":
        return " or ".join(str(part.value) for part in parts if isinstance(part, ast.Constant))
    if kind in ("list", "tuple"):
        inner = [described(part, objects) for part in parts if not _is_ellipsis(part)]
        if None in inner:
            return None
        one = (inner[0] or "").removeprefix("a whole ").removeprefix("a ") if inner else "value"
        few = FEW.get(len(parts)) if kind == "tuple" and not any(map(_is_ellipsis, parts)) else None
        return f"a list of {f'{few} ' if few else ''}{'whole ' if inner and inner[0] == 'a whole number' else ''}{one}s"
    names = {
        "any": "plain data",
        "None": "null",
        "bool": "true or false",
        "int": "a whole number",
        "float": "a number",
        "str": "text",
        "Path": "a path",
        "dict": "names with values",
    }
    return names.get(kind) or objects.get(kind)


def _fit(annotation: ast.expr | None, value: object, place: str, objects: dict[str, str], build: Build) -> Any:
    kind, parts = _read(annotation)
    if kind == "union":
        return _fit_union(parts, value, place, objects, build)
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
        value = _spelled(value, place)
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


def _fit_union(parts: list[ast.expr], value: object, place: str, objects: dict[str, str], build: Build) -> Any:
    members = sorted((part for part in parts if _rank(part, objects) is not None), key=lambda part: _key(part, objects))
    if isinstance(value, Text) and any(_read(part)[0] in TEXTS for part in members):  # the word null is a text, too
        members = [part for part in members if _read(part)[0] != "None"]
    elif isinstance(value, str):  # a string in a file is one before it is a number
        members.sort(key=lambda part: _read(part)[0] not in (*TEXTS, "Literal"))
    for member in members:
        try:
            return _fit(member, value, place, objects, build)
        except _Misfit:
            continue
    raise _Misfit


def _fit_list(
    kind: str, parts: list[ast.expr], value: object, place: str, objects: dict[str, str], build: Build
) -> Any:
    value = _spelled(value, place)
    if not isinstance(value, list | tuple):
        raise _Misfit
    if kind == "list" or any(map(_is_ellipsis, parts)):
        fitted = [_fit(parts[0] if parts else None, each, place, objects, build) for each in value]
    elif len(parts) != len(value):
        raise _Misfit
    else:
        fitted = [_fit(part, each, place, objects, build) for part, each in zip(parts, value, strict=True)]
    return fitted if kind == "list" else tuple(fitted)


def _read(annotation: ast.expr | None) -> tuple[str, list[Any]]:
    """What an annotation is, and its parts."""
    if annotation is None:
        return "any", []
    if isinstance(annotation, ast.Constant):
        if isinstance(annotation.value, str):
            try:
                return _read(ast.parse(annotation.value, mode="eval").body)
            except SyntaxError:
                return annotation.value, []
        return ("None" if annotation.value is None else str(annotation.value)), []
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        return "union", [*_members(annotation.left), *_members(annotation.right)]
    if isinstance(annotation, ast.Name | ast.Attribute):
        name = annotation.id if isinstance(annotation, ast.Name) else annotation.attr
        name = ALIASES.get(name, name)
        return ("any" if name in ("Any", "object") else "list" if name in SEQUENCES else name), []
    if isinstance(annotation, ast.Subscript):
        name, _ = _read(annotation.value)
        inner = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
        if name == "Optional":
            return "union", [*_members(inner[0]), ast.Constant(None)]
        if name == "Union":
            return "union", [member for part in inner for member in _members(part)]
        return name, list(inner)
    return ast.unparse(annotation), []


def _members(annotation: ast.expr) -> list[ast.expr]:
    kind, parts = _read(annotation)
    return parts if kind == "union" else [annotation]


def _rank(annotation: ast.expr, objects: dict[str, str]) -> int | None:
    kind, _ = _read(annotation)
    kind = "object" if kind in objects else kind
    return ORDER.index(kind) if kind in ORDER else None


def _key(annotation: ast.expr, objects: dict[str, str]) -> int:
    rank = _rank(annotation, objects)
    return len(ORDER) if rank is None else rank


def _is_ellipsis(part: ast.expr) -> bool:
    return isinstance(part, ast.Constant) and part.value is ...


def _spelled(value: object, place: str) -> object:
    """What a word of the command line spells out, if it is a list or names."""
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
