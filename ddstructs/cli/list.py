"""The command `ddstructs list`."""

from __future__ import annotations

from ddstructs.errors import one_line
from ddstructs.registry.catalog import KINDS
from ddstructs.registry.plugins import plugins, warn_of_broken
from ddstructs.registry.source import summary

__all__ = ["show"]

TITLES = {"memory": "Memories", "cell": "Cells", "model": "Models", "task": "Tasks"}


def show() -> None:
    """List the memories, cells, models and tasks, including those of plugins."""
    tables = {kind: _lines(kind) for kind in TITLES}
    width = max(len(name) for table in tables.values() for name in table)
    sections = []
    for kind, table in tables.items():
        lines = [f"  {name:{width}}  {line}" for name, line in table.items()]
        sections.append("\n".join([f"{TITLES[kind]} ({KINDS[kind].option})", *lines]))
    print("\n\n".join(sections))


def _lines(kind: str) -> dict[str, str]:
    """The description of everything of a kind, by name."""
    warn_of_broken(kind)
    own = {name: summary(target) for name, target in KINDS[kind].table.items()}
    others = {each.name: one_line(f"{summary(each.target)} ({each.package})") for each in plugins(kind).values()}
    return own | others
