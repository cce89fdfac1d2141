"""Memories of other packages, found by the entry points they register."""

from __future__ import annotations

import warnings
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from ddstructs.memory import Memory
from ddstructs.registry.catalog import GROUP, MEMORIES

__all__ = ["load_memories", "registered"]


def registered() -> list[EntryPoint]:
    """What other packages registered, by name; nothing of theirs is imported."""
    return sorted(entry_points(group=GROUP), key=lambda entry: entry.name)


@cache
def load_memories() -> dict[str, type[Memory]]:
    """Import the memories of other packages, by class name. A broken one is left out, with a warning that names it."""
    memories: dict[str, type[Memory]] = {}
    for entry in registered():
        try:
            loaded = entry.load()
            if not (isinstance(loaded, type) and issubclass(loaded, Memory)):
                raise TypeError("it is not a subclass of ddstructs.Memory")
            if loaded.__name__ in {*MEMORIES, *memories}:
                raise ValueError(f"there is a {loaded.__name__} already")
        except (Exception, SystemExit) as error:  # a plugin may fail in any way, and must not take the others along
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            warnings.warn(f"the plugin {entry.name!r} ({entry.value}) is left out: {reason}", stacklevel=2)
        else:
            memories[loaded.__name__] = loaded
    return memories
