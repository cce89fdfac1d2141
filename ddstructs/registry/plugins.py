"""What other packages register, by entry points: a memory, a task or a cell is then used by its name.

A plugin that is broken is left out, with one warning that names it, and what was left out can be named by nothing.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, distributions, entry_points
from typing import Any

from ddstructs.errors import InputError, one_line
from ddstructs.registry.catalog import KINDS
from ddstructs.registry.source import summary

__all__ = ["Plugin", "load", "load_plugins", "named", "names", "plugins", "warn_of_broken"]


class Plugin:
    """An entry point that is well formed, of a name that nothing of ours has.

    Attributes:
        name: What it is called.
        target: `package.module:Class`.
        package: The package that registers it.
    """

    def __init__(self, name: str, target: str, package: str) -> None:
        self.name = name
        self.target = target
        self.package = package

    @property
    def path(self) -> str:
        """The class path in a checkpoint."""
        return self.target.replace(":", ".")


def names(kind: str) -> list[str]:
    """What of a kind can be named, plugins included. Nothing is imported."""
    return [*KINDS[kind].table, *plugins(kind)]


def named(kind: str, name: str) -> type[Any]:
    """Import what has a name.

    Raises:
        InputError: If nothing of this kind has it.
    """
    if name in KINDS[kind].table:
        found: type[Any] = load(KINDS[kind].table[name])
        return found
    if name not in load_plugins(kind):
        raise InputError(
            f"there is no {kind} {name!r}: choose from {', '.join([*KINDS[kind].table, *load_plugins(kind)])}"
        )
    return load_plugins(kind)[name]


def plugins(kind: str) -> dict[str, Plugin]:
    """The plugins of a kind that may be sound, by name. Nothing of theirs is imported."""
    return _survey(kind)[0]


def warn_of_broken(kind: str) -> None:
    """Name the plugins whose source cannot be found or read, without importing them."""
    found, broken = _survey(kind)
    for plugin in found.values():
        try:
            summary(plugin.target)
        except LookupError as error:
            broken = [*broken, _left_out(plugin.name, plugin.target, error)]
    for message in broken:
        warnings.warn(message, stacklevel=2)


@cache
def load_plugins(kind: str) -> dict[str, type[Any]]:
    """Import the plugins of a kind, by name. A broken one is left out, with a warning that names it."""
    found, broken = _survey(kind)
    base, own = load(KINDS[kind].base), [load(target) for target in KINDS[kind].table.values()] if found else []
    loaded: dict[str, type[Any]] = {}
    for plugin in found.values():
        try:
            each = load(plugin.target)
            if not (isinstance(each, type) and issubclass(each, base)):
                raise TypeError(f"it is not a subclass of {base.__module__.partition('.')[0]}'s {base.__name__}")
            if each in own or each in loaded.values():
                raise ValueError(f"{each.__name__} has a name already")
        except (Exception, SystemExit) as error:  # a plugin may fail in any way, and must not take the others along
            broken = [*broken, _left_out(plugin.name, plugin.target, error)]
        else:
            loaded[plugin.name] = each
    for message in broken:
        warnings.warn(message, stacklevel=2)
    return loaded


def load(target: str) -> Any:
    """Import `package.module:Name`, which must come from the catalog or a plugin, and never from a file."""
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)


@cache
def _survey(kind: str) -> tuple[dict[str, Plugin], list[str]]:
    """The plugins of a kind that may be sound, and what to say of the others."""
    group, table = KINDS[kind].group, KINDS[kind].table
    found: dict[str, Plugin] = {}
    broken: list[str] = []
    for name, value, package in sorted(_registered(group)) if group else ():
        module, _, attribute = value.partition(":")
        if not (name.isascii() and name.isidentifier()):
            reason = "its name is no identifier"
        elif not all(part.isidentifier() for part in [*module.split("."), attribute]):
            reason = "it does not say package.module:Class"
        elif name in table or name.lower() in {each.lower() for each in (*table, *found)}:
            reason = f"there is a {kind} of this name already"
        elif value in table.values():
            reason = "it is one of ours, which has a name already"
        else:
            found[name] = Plugin(name, value, package)
            continue
        broken.append(_left_out(name, value, ValueError(reason)))
    return found, broken


def _registered(group: str) -> Iterator[tuple[str, str, str]]:
    """The name, the value and the package of each entry point of a group, whatever its form."""
    try:
        entries = list(entry_points(group=group))
    except Exception:  # one malformed line anywhere takes all entry points along
        entries = [entry for each in distributions() for entry in _entries(each) if entry.group == group]
    for entry in entries:
        yield entry.name, entry.value, (entry.dist.name if entry.dist else "") or ""


def _entries(distribution: Any) -> list[EntryPoint]:
    try:
        return list(distribution.entry_points)
    except Exception as error:
        name = one_line(getattr(distribution, "name", None))
        warnings.warn(f"the entry points of the package {name} are left out: {one_line(error)[:100]}", stacklevel=2)
        return []


def _left_out(name: str, value: str, error: BaseException) -> str:
    reason = one_line(error)[:200] if isinstance(error, ValueError | LookupError) else _told(error)
    return f"the plugin {one_line(repr(name))} ({one_line(value)}) is left out: {reason}"


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {one_line(error)[:200]}"
