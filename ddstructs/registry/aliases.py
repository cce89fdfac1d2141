"""Type aliases in annotations, such as `Size`, replaced by their definitions, which are found in source."""

from __future__ import annotations

import ast
import copy
import sys
from functools import cache

from ddstructs.registry.definitions import is_root, origin_of, statements

__all__ = ["without_aliases"]


def without_aliases(annotation: ast.expr, module: str) -> ast.expr:
    """Replace the type aliases in an annotation by their definitions: `Size` becomes `Annotated[int, Range(1)]`.

    Args:
        annotation: The annotation; it is not modified.
        module: The module that contains it.
    """
    replaced: ast.expr = _Aliases(module).visit(copy.deepcopy(annotation))
    return replaced


class _Aliases(ast.NodeTransformer):
    """Replaces the names of type aliases by their definitions."""

    def __init__(self, module: str, below: tuple[ast.expr, ...] = ()) -> None:
        self.module = module
        self.below = below

    def visit_Name(self, node: ast.Name) -> ast.expr:
        found = None if is_root(self.module) else _alias(self.module, node.id)
        if found is None or found[0] in self.below:
            return node
        value, module = found
        definition: ast.expr = _Aliases(module, (*self.below, value)).visit(copy.deepcopy(value))
        return definition


@cache
def _alias(module: str, name: str, hops: int = 10) -> tuple[ast.expr, str] | None:
    """The definition of a type alias, followed through imports, and the module that contains it."""
    try:
        body = statements(module)
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
                    origin = origin_of(module, part)
                    known = is_root(origin) or origin.partition(".")[0] in sys.stdlib_module_names
                    return None if known else _alias(origin, alias.name, hops - 1)
    return None
