"""What a class or a function says of itself, read from its source: nothing is imported, for that takes seconds."""

from __future__ import annotations

import ast
import copy
import re
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import find_spec
from inspect import cleandoc
from pathlib import Path
from typing import NamedTuple

__all__ = ["Parameter", "help_of", "parameters", "summary"]

ROOTS = ("abc", "builtins", "typing", "torch", "pytorch_lightning")
"""Packages whose base classes add no parameters."""

Definition = ast.ClassDef | ast.FunctionDef


class Parameter(NamedTuple):
    """A parameter of a function or a constructor.

    Attributes:
        annotation: Its type, as an expression; None if there is none.
        default: Its default, as an expression; None if it must be given.
    """

    annotation: ast.expr | None
    default: ast.expr | None


def summary(target: str) -> str:
    """The first sentence of the docstring.

    Args:
        target: `package.module:Name`.

    Raises:
        LookupError: If there is no such thing in the source.
    """
    text = " ".join(_docstring(target).partition("\n\n")[0].split())
    sentence = re.match(r".+?[.!?](?=\s|$)", text)
    return sentence[0] if sentence else text


def help_of(target: str) -> dict[str, str]:
    """What the docstrings say of each parameter, those of base classes included."""
    found: dict[str, str] = {}
    for definition, _ in reversed(list(_lineage(target))):
        found |= _arguments(cleandoc(ast.get_docstring(definition) or ""))
        for part in definition.body if isinstance(definition, ast.ClassDef) else ():
            if isinstance(part, ast.FunctionDef) and part.name == "__init__":
                found |= _arguments(cleandoc(ast.get_docstring(part) or ""))
    return found


def parameters(target: str) -> dict[str, Parameter]:
    """The parameters of a function or a constructor, and, where it hands `**settings` on, those of its base classes.

    Those of a dataclass are its fields, after the fields of dataclasses it derives from.

    Args:
        target: `package.module:Name`.

    Raises:
        LookupError: If there is no such thing in the source.
    """
    found: dict[str, Parameter] = {}
    generated = False
    for definition, module in _lineage(target):
        function = definition
        if isinstance(definition, ast.ClassDef):
            if _is_dataclass(definition):
                generated = True
                found = dict(_spelled_out(_fields(definition), module)) | found
                continue
            if generated:  # the constructor of a dataclass takes its fields alone
                break
            own = [part for part in definition.body if isinstance(part, ast.FunctionDef) and part.name == "__init__"]
            if not own:
                continue
            function = own[-1]
        assert isinstance(function, ast.FunctionDef)
        found |= {name: each for name, each in _spelled_out(_signature(function), module) if name not in found}
        if function.args.kwarg is None:
            break
    found.pop("self", None)
    return found


def _spelled_out(parameters: Iterable[tuple[str, Parameter]], module: str) -> Iterator[tuple[str, Parameter]]:
    """The same parameters, with what the names of types in a module stand for: `Size` is `Annotated[int, Range(1)]`."""
    for name, each in parameters:
        if each.annotation is not None:
            each = each._replace(annotation=_Aliases(module).visit(copy.deepcopy(each.annotation)))
        yield name, each


class _Aliases(ast.NodeTransformer):
    """Puts what a name stands for in its place, if that is a type that is written out in the source."""

    def __init__(self, module: str, below: tuple[ast.expr, ...] = ()) -> None:
        self.module = module
        self.below = below

    def visit_Name(self, node: ast.Name) -> ast.expr:
        found = _alias(self.module, node.id) if self.module.partition(".")[0] not in ROOTS else None
        if found is None or found[0] in self.below:
            return node
        value, module = found
        spelled: ast.expr = _Aliases(module, (*self.below, value)).visit(copy.deepcopy(value))
        return spelled


@cache
def _alias(module: str, name: str, hops: int = 10) -> tuple[ast.expr, str] | None:
    """What a name that is assigned to in a module stands for, wherever the module has it from, and that module."""
    try:
        body = _tree(module).body
    except LookupError:
        return None
    for part in body:
        if isinstance(part, ast.Assign | ast.AnnAssign) and isinstance(
            part.value, ast.Subscript | ast.BinOp | ast.Call
        ):
            targets = part.targets if isinstance(part, ast.Assign) else [part.target]
            if any(isinstance(each, ast.Name) and each.id == name for each in targets):
                return part.value, module
        if isinstance(part, ast.ImportFrom) and hops:
            for alias in part.names:
                if (alias.asname or alias.name) == name:
                    origin = _origin(module, part)
                    first = origin.partition(".")[0]
                    known = first in ROOTS or first in sys.stdlib_module_names
                    return None if known else _alias(origin, alias.name, hops - 1)
    return None


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
    """The fields of a dataclass; `field(default=1)` has the default 1, and a factory is a default, too."""
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
    definition, _ = _find(target)
    return cleandoc(ast.get_docstring(definition) or "")


def _arguments(docstring: str) -> dict[str, str]:
    """The first paragraph of each entry under `Args:`."""
    section = re.search(r"^Args:\n((?:[ \t]+.*\n?|\s*\n)*)", docstring, re.MULTILINE)
    entries = re.split(r"^ {2,4}(\w+)(?: \([^)\n]*\))?: ?", section[1] if section else "", flags=re.MULTILINE)
    return {
        name: " ".join(text.partition("\n\n")[0].split())
        for name, text in zip(entries[1::2], entries[2::2], strict=True)
    }


def _lineage(target: str, below: tuple[Definition, ...] = ()) -> Iterator[tuple[Definition, str]]:
    """The definition, and then those of its base classes, with the module of each."""
    definition, module = _find(target)
    if definition in below:
        raise LookupError(f"{target} is its own base")
    yield definition, module
    for base in definition.bases if isinstance(definition, ast.ClassDef) else ():
        name = base.value if isinstance(base, ast.Subscript) else base
        if isinstance(name, ast.Name):
            try:
                yield from _lineage(f"{module}:{name.id}", (*below, definition))
            except LookupError:  # from a package that need not be read
                continue


def _find(target: str, hops: int = 10) -> tuple[Definition, str]:
    """A definition, wherever the module has it from, and the module where it stands."""
    module, _, name = target.partition(":")
    if not hops:
        raise LookupError(f"{target} is imported in a circle")
    for part in reversed(_tree(module).body):
        if isinstance(part, Definition) and part.name == name:
            return part, module
        if isinstance(part, ast.ImportFrom):
            for alias in part.names:
                if (alias.asname or alias.name) == name:
                    origin = _origin(module, part)
                    if origin.partition(".")[0] in ROOTS and module.partition(".")[0] not in ROOTS:
                        raise LookupError(f"{origin} is not read")
                    return _find(f"{origin}:{alias.name}", hops - 1)
    raise LookupError(f"{module} has no {name}")


def _origin(module: str, statement: ast.ImportFrom) -> str:
    if not statement.level:
        return statement.module or ""
    parts = module.split(".") + (["__init__"] if _locate(module).name == "__init__.py" else [])
    return ".".join([*parts[: -statement.level], *filter(None, [statement.module])])


@cache
def _tree(module: str) -> ast.Module:
    path = _locate(module)
    try:
        return ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError) as error:
        raise LookupError(f"{path} cannot be read as Python") from error


def _locate(module: str) -> Path:
    """The file of a module. No package is imported, not even those above it."""
    first, *rest = module.split(".")
    if not all(part.isidentifier() for part in (first, *rest)):
        raise LookupError(f"{module!r} is not the name of a module")
    try:
        spec = find_spec(first)
    except (ImportError, ValueError) as error:
        raise LookupError(f"there is no module {module}") from error
    if spec is not None and not rest and spec.origin is not None and spec.origin.endswith(".py"):
        return Path(spec.origin)
    for folder in (spec and spec.submodule_search_locations) or () if rest else ():
        for path in (Path(folder, *rest[:-1], f"{rest[-1]}.py"), Path(folder, *rest, "__init__.py")):
            if path.is_file():
                return path
    raise LookupError(f"there is no module {module}")
