"""Plugins: memories, tasks and cells that other packages register as entry points, to be used by name.

A broken plugin is ignored, with one warning that names it, and nothing can refer to it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, distributions, entry_points
from typing import Any, NamedTuple

from ddstructs.errors import InputError, one_line
from ddstructs.registry.catalog import KINDS
from ddstructs.registry.definitions import derives

__all__ = ["Plugin", "load", "load_plugins", "named", "names", "plugins", "warn_of_broken"]


class Plugin(NamedTuple):
    """An entry point whose name is free, and whose class is of the right kind as far as its source tells.

    Attributes:
        name: Name of the class in commands.
        target: The class, as `package.module:Class`.
        package: Name of the package that registers it.
    """

    name: str
    target: str
    package: str

    @property
    def path(self) -> str:
        """The class path in a checkpoint."""
        return self.target.replace(":", ".")


def names(kind: str) -> list[str]:
    """The names of a kind, including those of plugins. Imports nothing."""
    return [*KINDS[kind].table, *plugins(kind)]


def named(kind: str, name: str) -> type[Any]:
    """Import the class with a name.

    Raises:
        InputError: If the name is unknown.
    """
    if name in KINDS[kind].table:
        found: type[Any] = load(KINDS[kind].table[name])
        return found
    if name not in load_plugins(kind):
        raise InputError(f"unknown {kind} {name!r}: choose from {', '.join([*KINDS[kind].table, *load_plugins(kind)])}")
    return load_plugins(kind)[name]


def plugins(kind: str) -> dict[str, Plugin]:
    """The plugins of a kind by name, without those whose source shows that they are broken. Imports none of them."""
    return _survey(kind)[0]


def warn_of_broken(kind: str) -> None:
    """Warn about the plugins whose source shows that they are broken. Imports none of them."""
    for message in _survey(kind)[1]:
        warnings.warn(message, stacklevel=2)


@cache
def load_plugins(kind: str) -> dict[str, type[Any]]:
    """Import the plugins of a kind, by name, and warn about broken ones."""
    found, broken = _survey(kind)
    base, own = load(KINDS[kind].base), [load(target) for target in KINDS[kind].table.values()] if found else []
    loaded: dict[str, type[Any]] = {}
    for plugin in found.values():
        try:
            each = load(plugin.target)
        except (Exception, SystemExit) as error:  # a plugin may fail in any way, and the others must still load
            reason = f"{type(error).__name__}: {error}"
        else:
            if not (isinstance(each, type) and issubclass(each, base)):
                reason = _not_of(kind)
            elif each in own or each in loaded.values():
                reason = f"{each.__name__} is already registered under another name"
            else:
                loaded[plugin.name] = each
                continue
        broken = [*broken, _warning(plugin.name, plugin.target, reason)]
    for message in broken:
        warnings.warn(message, stacklevel=2)
    return loaded


def load(target: str) -> Any:
    """Import `package.module:Name`, a target of the catalog or of a plugin, never one from a file."""
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)


@cache
def _survey(kind: str) -> tuple[dict[str, Plugin], list[str]]:
    """The plugins of a kind that may be sound, and a warning for each of the others. Imports none of them."""
    found: dict[str, Plugin] = {}
    broken: list[str] = []
    group = KINDS[kind].group
    for name, value, package in sorted(_registered(group)) if group else ():
        try:
            reason = _fault(kind, name, value, found)
        except LookupError as error:
            reason = str(error)
        if reason is None:
            found[name] = Plugin(name, value, package)
        else:
            broken.append(_warning(name, value, reason))
    return found, broken


def _fault(kind: str, name: str, value: str, found: dict[str, Plugin]) -> str | None:
    """Why an entry point cannot be used, as far as its name and its source tell; None if they show no reason.

    Raises:
        LookupError: If its source cannot be found or read.
    """
    table, (module, _, attribute) = KINDS[kind].table, value.partition(":")
    if not (name.isascii() and name.isidentifier()):
        return "its name is not an identifier"
    if not all(part.isidentifier() for part in [*module.split("."), attribute]):
        return "it is not of the form package.module:Class"
    if name.lower() in {each.lower() for each in (*table, *found)}:
        return f"another {kind} has this name"
    if value in table.values():
        return "ddstructs registers this class itself"
    return _not_of(kind) if derives(value, KINDS[kind].base) is False else None


def _not_of(kind: str) -> str:
    return f"it is not a subclass of {KINDS[kind].base.replace(':', '.')}"


def _registered(group: str) -> Iterator[tuple[str, str, str]]:
    """The name, value and package of each entry point in a group, whatever its form."""
    try:
        entries = list(entry_points(group=group))
    except Exception:  # one malformed line in any package makes all entry points unreadable
        entries = [entry for each in distributions() for entry in _entries(each) if entry.group == group]
    for entry in entries:
        yield entry.name, entry.value, (entry.dist.name if entry.dist else "") or ""


def _entries(distribution: Any) -> list[EntryPoint]:
    try:
        return list(distribution.entry_points)
    except Exception as error:
        name = one_line(getattr(distribution, "name", None))
        warnings.warn(f"the entry points of the package {name} are ignored: {one_line(error)[:100]}", stacklevel=2)
        return []


def _warning(name: str, value: str, reason: str) -> str:
    return f"the plugin {one_line(repr(name))} ({one_line(value)}) is ignored: {one_line(reason)[:200]}"
