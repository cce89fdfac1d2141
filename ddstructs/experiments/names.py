"""What can be named in an experiment: tasks, memories and cells."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ddstructs.registry import catalog

__all__ = ["TABLES", "class_of", "known"]

TABLES = {"task": catalog.TASKS, "memory": catalog.MEMORIES, "cell": catalog.CELLS}
"""What has a name without any other package, by kind."""


def known(kind: str, wanted: Collection[str]) -> list[str]:
    """The names of a kind. Other packages are imported only if one of theirs is wanted.

    Args:
        kind: `task`, `memory` or `cell`.
        wanted: The names that somebody looks for.
    """
    names = [name for name in TABLES[kind] if name != "Bank"]  # a bank has no default: its members must be given
    if kind == "memory" and not {*wanted} <= {*names}:
        from ddstructs.registry.plugins import load_memories

        names += load_memories()
    return names


def class_of(kind: str, name: str) -> type[Any]:
    """The class of a task or a memory that is known."""
    import ddstructs
    import ddstructs.tasks
    from ddstructs.registry.plugins import load_memories

    if name in TABLES[kind]:
        found: type[Any] = getattr(ddstructs.tasks if kind == "task" else ddstructs, name)
        return found
    return load_memories()[name]
