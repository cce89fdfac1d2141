"""Each layer imports only layers below it, and the registry imports no torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ddstructs

PACKAGE = Path(ddstructs.__file__).parent

FLOORS = (
    ("errors", "extras", "files", "registry"),
    ("actions", "signals", "state", "checks", "memory", "ops", "line", "stack", "queue", "deque", "bank"),
    ("superposition", "tape", "dry_run", "structure"),
    ("testing", "laws"),
    ("nn",),
    ("tasks",),
    ("training",),
    ("view",),
    ("export",),
    ("experiments",),
    ("cli",),
    ("__main__", "__init__"),
)
"""What lies on each floor, from the ground up. Within one floor modules may import each other, but not in a circle."""


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield ".".join(path.relative_to(PACKAGE).with_suffix("").parts), path


def imports(path: Path, *, everywhere: bool) -> set[str]:
    """The modules of this package that a file imports, at its top or anywhere, except for types."""
    found = set[str]()

    def look(nodes: list[ast.stmt], top: bool) -> None:
        for node in nodes:
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
                look(node.orelse, top)
            elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "ddstructs":
                if top or everywhere:
                    found.update(_resolved(node.module, alias.name) for alias in node.names)
            elif isinstance(node, ast.Import):
                if top or everywhere:
                    names = [alias.name for alias in node.names if alias.name.startswith("ddstructs.")]
                    found.update(name.removeprefix("ddstructs.") for name in names)
            else:
                inner = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                for part in ("body", "orelse", "finalbody"):
                    look(getattr(node, part, []), top and not inner)
                for handler in getattr(node, "handlers", []):
                    look(handler.body, top)

    look(ast.parse(path.read_text(encoding="utf-8")).body, True)
    return {name for name in found if name.split(".")[0] in {room for floor in FLOORS for room in floor}}


def _resolved(package: str, name: str) -> str:
    """The module that `from package import name` imports, without the name of the package."""
    home = package.removeprefix("ddstructs").removeprefix(".")
    inner = f"{home}.{name}".removeprefix(".")
    folder = PACKAGE / inner.replace(".", "/")
    return inner if folder.is_dir() or folder.with_suffix(".py").is_file() else home or inner


def floor(module: str) -> int:
    room = module.split(".")[0]
    return next(i for i, rooms in enumerate(FLOORS) if room in rooms)


@pytest.mark.parametrize(("module", "path"), list(modules()), ids=lambda part: part if isinstance(part, str) else "")
def test_imports_run_downward(module: str, path: Path) -> None:
    for other in imports(path, everywhere=True):
        assert floor(other) <= floor(module), f"{module} imports {other}, which lies above it"


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {module: imports(path, everywhere=False) for module, path in modules()}
    done, open_ = set[str](), list[str]()

    def visit(module: str) -> None:
        assert module not in open_, f"a circle: {' -> '.join([*open_[open_.index(module) :], module])}"
        if module in done or module not in graph:
            return
        open_.append(module)
        for other in graph[module]:
            visit(other if other in graph else f"{other}.__init__")
        done.add(open_.pop())

    for module in graph:
        visit(module)


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import ddstructs", "torch"),
        ("import ddstructs.registry.catalog, ddstructs.registry.plugins, ddstructs.registry.spec", "torch"),
        ("from ddstructs import Stack, SuperpositionStack, Tape, MemoryRNN", "pytorch_lightning"),
        ("from ddstructs import Stack, MemoryRNN", "numba"),
        ("import ddstructs.cli.main", "torch"),
    ],
)
def test_what_is_imported_brings_no_more_than_it_needs(statement: str, absent: str) -> None:
    code = f"{statement}\nimport sys\nsys.exit({absent!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0, f"{statement} imports {absent}"
