"""Type annotations read from source: their structure, and their description in words."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ddstructs.registry.ranges import LIMITS, Ascending, Range

__all__ = ["described", "is_ellipsis", "limits", "order", "rank", "read", "settable"]

ALIASES = {"_PATH": "str", "List": "list", "Dict": "dict", "Tuple": "tuple"}
"""Type names in Lightning's signatures, and the types they stand for."""

SEQUENCES = ("list", "Sequence", "Iterable", "Collection")

ORDER = ("None", "Literal", "bool", "int", "float", "object", "list", "tuple", "dict", "Path", "str")
"""The order in which the members of a union are tried: those that accept the fewest values first."""

FEW = {1: "one", 2: "two", 3: "three", 4: "four"}


def read(annotation: ast.expr | None) -> tuple[str, list[Any]]:
    """The name of an annotation's type, and its arguments."""
    if annotation is None:
        return "any", []
    if isinstance(annotation, ast.Constant):
        if isinstance(annotation.value, str):
            try:
                return read(ast.parse(annotation.value, mode="eval").body)
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
        name, _ = read(annotation.value)
        inner = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
        if name == "Optional":
            return "union", [*_members(inner[0]), ast.Constant(None)]
        if name == "Union":
            return "union", [member for part in inner for member in _members(part)]
        return name, list(inner)
    return ast.unparse(annotation), []


def _members(annotation: ast.expr) -> list[ast.expr]:
    kind, parts = read(annotation)
    return parts if kind == "union" else [annotation]


def limits(notes: list[ast.expr]) -> Iterator[Range | Ascending]:
    """The limits in the metadata of `Annotated`, such as `Range(1)`."""
    for note in notes:
        if isinstance(note, ast.Call) and isinstance(note.func, ast.Name) and note.func.id in LIMITS:
            named = {each.arg: ast.literal_eval(each.value) for each in note.keywords if each.arg}
            yield LIMITS[note.func.id](*map(ast.literal_eval, note.args), **named)


def _plural(word: str) -> str:
    """The plural of a description: "whole numbers of 1 or more" for "a whole number of 1 or more"."""
    if not word.startswith("a "):
        return "texts" if word == "text" else word
    return re.sub(r"^a ((?:whole |finite )?\w+?)(y?)\b", lambda found: f"{found[1]}{'ies' if found[2] else 's'}", word)


def rank(annotation: ast.expr, objects: Mapping[str, str]) -> int | None:
    """The position of a type in `ORDER`; None if plain data has no values of this type."""
    kind, parts = read(annotation)
    if kind == "Annotated":
        return rank(parts[0], objects)
    kind = "object" if kind in objects else kind
    return ORDER.index(kind) if kind in ORDER else None


def order(annotation: ast.expr, objects: Mapping[str, str]) -> int:
    """The position of a type in `ORDER`, or its length for other types."""
    place = rank(annotation, objects)
    return len(ORDER) if place is None else place


def is_ellipsis(part: ast.expr) -> bool:
    """Whether a part is the ellipsis of `tuple[int, ...]`."""
    return isinstance(part, ast.Constant) and part.value is ...


def settable(annotation: ast.expr | None, objects: Mapping[str, str]) -> bool:
    """Whether plain data has a value of this type other than None."""
    return described(annotation, objects) not in (None, "null")


def described(annotation: ast.expr | None, objects: Mapping[str, str]) -> str | None:
    """A type in words; None if plain data has no values of this type."""
    kind, parts = read(annotation)
    if kind == "union":
        members = sorted((part for part in parts if rank(part, objects) is not None), key=lambda p: order(p, objects))
        words = [word for part in members if (word := described(part, objects)) is not None]
        return " or ".join(dict.fromkeys([word for word in words if word != "null"] + words)) or None
    if kind == "Annotated":
        word, within = described(parts[0], objects), [*map(str, limits(parts[1:]))]
        word = "a finite number" if word == "a number" and within else word
        return word and " ".join([word, *filter(None, within)])
    if kind == "Literal":
        return " or ".join(str(part.value) for part in parts if isinstance(part, ast.Constant))
    if kind in ("list", "tuple"):
        inner = [described(part, objects) for part in parts if not is_ellipsis(part)]
        if None in inner:
            return None
        few = FEW.get(len(parts)) if kind == "tuple" and not any(map(is_ellipsis, parts)) else None
        several = (
            inner[0] if parts and read(parts[0])[0] == "Literal" else _plural(inner[0] or "") if inner else "values"
        )
        return f"a list of {f'{few} ' if few else ''}{several}"
    if kind == "dict" and parts and read(parts[0])[0] == "int":
        return "whole numbers with values"
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
