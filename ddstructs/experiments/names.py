"""The names available in an experiment: tasks, memories and cells, including plugins."""

from __future__ import annotations

from ddstructs.registry.plugins import names

__all__ = ["is_known", "known", "members"]


def known(kind: str) -> list[str]:
    """The names of a kind, `task`, `memory` or `cell`."""
    return [name for name in names(kind) if name != "Bank"]  # a bank is named by its members


def is_known(kind: str, name: str) -> bool:
    """Whether a name is that of a task, cell or memory, or of a bank by its members."""
    there = known(kind)
    return all(part in there for part in (members(name) if kind == "memory" else [name]))


def members(memory: str) -> list[str]:
    """The names of the members of a bank, which its own name joins; a memory that is no bank is its only member.

    Example:
        >>> from ddstructs.experiments.names import members
        >>> members("Queue+Stack"), members("Stack")
        (['Queue', 'Stack'], ['Stack'])
    """
    return memory.split("+")
