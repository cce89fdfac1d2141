"""The names available in an experiment: tasks, memories and cells, including plugins."""

from __future__ import annotations

from ddstructs.registry.plugins import names

__all__ = ["known"]


def known(kind: str) -> list[str]:
    """The names of a kind, `task`, `memory` or `cell`."""
    return [name for name in names(kind) if name != "Bank"]  # a bank needs members
