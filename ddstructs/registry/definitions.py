"""Definitions of classes and functions, found in source without importing it, which would take seconds."""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

__all__ = ["Definition", "derives", "find", "is_root", "lineage", "origin_of", "statements"]

ROOTS = ("abc", "builtins", "typing", "torch", "pytorch_lightning")
"""Packages that are not read; their base classes add no parameters."""

Definition = ast.ClassDef | ast.FunctionDef


def find(target: str, hops: int = 10) -> tuple[Definition, str]:
    """The definition of `package.module:Name`, followed through imports, and the module that contains it.

    Raises:
        LookupError: If the source has no such definition.
    """
    module, _, name = target.partition(":")
    if not hops:
        raise LookupError(f"{target} is imported in a circle")
    for part in reversed(statements(module)):
        if isinstance(part, Definition) and part.name == name:
            return part, module
        if isinstance(part, ast.ImportFrom):
            for alias in part.names:
                if (alias.asname or alias.name) == name:
                    origin = origin_of(module, part)
                    if is_root(origin) and not is_root(module):
                        raise LookupError(f"the source of {origin} is not read")
                    return find(f"{origin}:{alias.name}", hops - 1)
    raise LookupError(f"{module} has no {name}")


def lineage(target: str, below: tuple[Definition, ...] = ()) -> Iterator[tuple[Definition, str]]:
    """A definition, then those of its base classes, each with its module.

    Raises:
        LookupError: If the source has no such definition. Base classes that cannot be found are skipped.
    """
    definition, module = find(target)
    if definition in below:
        raise LookupError(f"{target} is its own base class")
    yield definition, module
    for base in definition.bases if isinstance(definition, ast.ClassDef) else ():
        parent = _resolved(base, module)
        if parent is not None and not (is_root(parent) and not is_root(module)):
            try:
                yield from lineage(parent, (*below, definition))
            except LookupError:
                continue


def derives(target: str, base: str) -> bool | None:
    """Whether a class is a subclass of another; None if the source does not tell.

    Args:
        target: The class, as `package.module:Name`.
        base: The other class, likewise.

    Raises:
        LookupError: If the source has no definition of `target`.
    """
    parents: list[str | None] = [target]
    for definition, module in lineage(target):
        if isinstance(definition, ast.FunctionDef):
            return False
        if f"{module}:{definition.name}" == base:
            return True
        parents += [_resolved(each, module) for each in definition.bases]
    if base in parents:
        return True
    root = base.partition(".")[0]
    unread = [each for each in parents if each is None or (each.startswith(f"{root}.") and is_root(each))]
    return None if unread or not all(map(_is_known, filter(None, parents))) else False


def _resolved(base: ast.expr, module: str) -> str | None:
    """The target `package.module:Name` of a base class named in a module; None if the expression is not a name."""
    base = base.value if isinstance(base, ast.Subscript) else base
    names: list[str] = []
    while isinstance(base, ast.Attribute):
        names.insert(0, base.attr)
        base = base.value
    if not isinstance(base, ast.Name):
        return None
    path = _imported(base.id, module)
    if path is None and not names:
        return f"builtins:{base.id}" if hasattr(builtins, base.id) else f"{module}:{base.id}"
    if path is None:
        return None
    package, _, name = ".".join([path, *names]).rpartition(".")
    return f"{package}:{name}" if package else None


def _imported(name: str, module: str) -> str | None:
    """The dotted path that a name is imported from in a module; None if it is not imported."""
    for part in reversed(statements(module)):
        if isinstance(part, ast.ClassDef) and part.name == name:
            return None
        for alias in part.names if isinstance(part, ast.Import | ast.ImportFrom) else ():
            if isinstance(part, ast.ImportFrom) and (alias.asname or alias.name) == name:
                return f"{origin_of(module, part)}.{alias.name}"
            if isinstance(part, ast.Import) and (alias.asname or alias.name.partition(".")[0]) == name:
                return alias.name if alias.asname else name
    return None


def origin_of(module: str, statement: ast.ImportFrom) -> str:
    """The module that a statement imports from."""
    if not statement.level:
        return statement.module or ""
    parts = module.split(".") + (["__init__"] if _locate(module).name == "__init__.py" else [])
    return ".".join([*parts[: -statement.level], *filter(None, [statement.module])])


def is_root(path: str) -> bool:
    """Whether a module or target is in a package that is not read."""
    return path.partition(":")[0].partition(".")[0] in ROOTS


def _is_known(target: str) -> bool:
    """Whether the definition of a class can be found, or need not be because its package is not read."""
    try:
        return is_root(target) or target.partition(".")[0] in sys.stdlib_module_names or find(target) is not None
    except LookupError:
        return False


@cache
def statements(module: str) -> tuple[ast.stmt, ...]:
    """The top-level statements of a module, including those in `if` and `try` blocks, such as imports for types."""
    path = _locate(module)
    try:
        return tuple(_flat(ast.parse(path.read_bytes()).body))
    except (OSError, SyntaxError, ValueError, RecursionError) as error:
        raise LookupError(f"{path} cannot be read as Python") from error


def _flat(statements: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    for part in statements:
        if isinstance(part, ast.If | ast.Try):
            yield from _flat([*part.body, *part.orelse])
        else:
            yield part


def _locate(module: str) -> Path:
    """The file of a module. Imports no package, not even the parents of the module."""
    first, *rest = module.split(".")
    if not all(part.isidentifier() for part in (first, *rest)):
        raise LookupError(f"{module!r} is not a module name")
    try:
        spec = find_spec(first)
    except (ImportError, ValueError) as error:
        raise LookupError(f"no module named {module}") from error
    origin = spec.origin if spec is not None else None
    if spec is not None and origin == "frozen":  # part of the interpreter, such as os
        origin = getattr(spec.loader_state, "filename", None)
    if not rest and origin is not None and origin.endswith(".py"):
        return Path(origin)
    for folder in (spec and spec.submodule_search_locations) or () if rest else ():
        for path in (Path(folder, *rest[:-1], f"{rest[-1]}.py"), Path(folder, *rest, "__init__.py")):
            if path.is_file():
                return path
    raise LookupError(f"the source of {module} cannot be found" if spec else f"no module named {module}")
