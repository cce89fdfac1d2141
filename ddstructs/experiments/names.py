"""The names available in an experiment: tasks, memories and cells, including plugins."""

from __future__ import annotations

from ddstructs.registry.plugins import names

__all__ = ["LAYERS", "is_known", "known", "members", "model_of"]

LAYERS = "layers"
"""In the place of a cell: a network without one, the `SequenceModel` whose layers the recipe lists."""


def known(kind: str) -> list[str]:
    """The names of a kind, `task`, `memory` or `cell`."""
    more = [LAYERS] if kind == "cell" else []
    return [*(name for name in names(kind) if name != "Bank"), *more]  # a bank is named by its members


def is_known(kind: str, name: str) -> bool:
    """Whether a name is that of a task, cell or memory, or of a bank by its members."""
    there = known(kind)
    return all(part in there for part in (members(name) if kind == "memory" else [name]))


def model_of(cell: str) -> str:
    """The name of the model of a run with a cell, or with `LAYERS`."""
    return "SequenceModel" if cell == LAYERS else "Controller"


def members(memory: str) -> list[str]:
    """The names of the members of a bank, which its own name joins; a memory that is no bank is its only member.

    Example:
        >>> from ddstructs.experiments.names import members
        >>> members("Queue+Stack"), members("Stack")
        (['Queue', 'Stack'], ['Stack'])
    """
    return memory.split("+")
