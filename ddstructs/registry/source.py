"""Signatures and docstrings of classes and functions, read from source without importing it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from inspect import cleandoc
from types import MappingProxyType
from typing import NamedTuple

from ddstructs.registry.aliases import without_aliases
from ddstructs.registry.definitions import find, lineage

__all__ = ["Parameter", "help_of", "parameters", "summary"]


class Parameter(NamedTuple):
    """A parameter of a function or a constructor.

    Attributes:
        annotation: Its type as an expression; None if it has none.
        default: Its default as an expression; None if it is required.
    """

    annotation: ast.expr | None
    default: ast.expr | None


def summary(target: str) -> str:
    """The first sentence of the docstring.

    Args:
        target: `package.module:Name`.

    Raises:
        LookupError: If the source has no such definition.
    """
    text = " ".join(_docstring(target).partition("\n\n")[0].split())
    sentence = re.match(r".+?[.!?](?=\s|$)", text)
    return sentence[0] if sentence else text


def help_of(target: str) -> dict[str, str]:
    """The description of each parameter in the docstrings, including those of base classes."""
    found: dict[str, str] = {}
    for definition, _ in reversed(list(lineage(target))):
        found |= _arguments(cleandoc(ast.get_docstring(definition) or ""))
        for part in definition.body if isinstance(definition, ast.ClassDef) else ():
            if isinstance(part, ast.FunctionDef) and part.name == "__init__":
                found |= _arguments(cleandoc(ast.get_docstring(part) or ""))
    return found


@cache
def parameters(target: str) -> Mapping[str, Parameter]:
    """The parameters of a function or a constructor and, if it passes on `**settings`, those of its base classes.

    The parameters of a dataclass are its fields, after those of its base dataclasses.

    Args:
        target: `package.module:Name`.

    Raises:
        LookupError: If the source has no such definition.
    """
    found: dict[str, Parameter] = {}
    generated = False
    for definition, module in lineage(target):
        function = definition
        if isinstance(definition, ast.ClassDef):
            if _is_dataclass(definition):
                generated = True
                found = dict(_resolved(_fields(definition), module)) | found
                continue
            if generated:  # the constructor of a dataclass takes only its fields
                break
            own = [part for part in definition.body if isinstance(part, ast.FunctionDef) and part.name == "__init__"]
            if not own:
                continue
            function = own[-1]
        assert isinstance(function, ast.FunctionDef)
        found |= {name: each for name, each in _resolved(_signature(function), module) if name not in found}
        if function.args.kwarg is None:
            break
    found.pop("self", None)
    return MappingProxyType(found)


def _resolved(parameters: Iterable[tuple[str, Parameter]], module: str) -> Iterator[tuple[str, Parameter]]:
    """Parameters of a definition in a module, with the type aliases in their annotations replaced."""
    for name, each in parameters:
        yield name, each._replace(annotation=each.annotation and without_aliases(each.annotation, module))


def _signature(function: ast.FunctionDef) -> Iterator[tuple[str, Parameter]]:
    positional = [*function.args.posonlyargs, *function.args.args]
    defaults = [None] * (len(positional) - len(function.args.defaults)) + function.args.defaults
    for argument, default in [
        *zip(positional, defaults, strict=True),
        *zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True),
    ]:
        yield argument.arg, Parameter(argument.annotation, default)


def _is_dataclass(definition: ast.ClassDef) -> bool:
    decorators = [each.func if isinstance(each, ast.Call) else each for each in definition.decorator_list]
    return any(ast.unparse(each) in ("dataclass", "dataclasses.dataclass") for each in decorators)


def _fields(definition: ast.ClassDef) -> Iterator[tuple[str, Parameter]]:
    """The fields of a dataclass; the default of `field(default=1)` is 1, and a factory also counts as a default."""
    for part in definition.body:
        if not (isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name)):
            continue
        if ast.unparse(part.annotation).partition("[")[0] in ("ClassVar", "typing.ClassVar"):
            continue
        default = part.value
        if isinstance(default, ast.Call) and ast.unparse(default.func) in ("field", "dataclasses.field"):
            given = {each.arg: each.value for each in default.keywords}
            if "init" in given and ast.unparse(given["init"]) == "False":
                continue
            default = given.get("default", default if "default_factory" in given else None)
        yield part.target.id, Parameter(part.annotation, default)


def _docstring(target: str) -> str:
    definition, _ = find(target)
    return cleandoc(ast.get_docstring(definition) or "")


def _arguments(docstring: str) -> dict[str, str]:
    """The first paragraph of each entry under `Args:`."""
    section = re.search(r"^Args:\n((?:[ \t]+.*\n?|\s*\n)*)", docstring, re.MULTILINE)
    entries = re.split(r"^ {2,4}(\w+)(?: \([^)\n]*\))?: ?", section[1] if section else "", flags=re.MULTILINE)
    return {
        name: " ".join(text.partition("\n\n")[0].split())
        for name, text in zip(entries[1::2], entries[2::2], strict=True)
    }
