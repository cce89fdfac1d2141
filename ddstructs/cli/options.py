"""The options of a command that is a function: its parameters, read from its source."""

from __future__ import annotations

import ast
import json
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ddstructs.cli.words import Word, read, wants_help
from ddstructs.errors import InputError, one_line
from ddstructs.registry.annotations import described
from ddstructs.registry.lookup import hint
from ddstructs.registry.source import Parameter, help_of, parameters, summary
from ddstructs.registry.spec import OBJECTS, resolve_object
from ddstructs.registry.types import convert

__all__ = ["lines_of_help", "options", "value_of"]


def options(target: str, command: str, arguments: Sequence[str]) -> dict[str, Any] | None:
    """The arguments of a function, from a command line.

    Args:
        target: The function, as `package.module:name`.
        command: What the command is called.
        arguments: What follows the command.

    Returns:
        The arguments, or None if help was asked for, and given.

    Raises:
        InputError: If there is no such option, or if a value does not fit, or one is missing.
    """
    known, words = parameters(target), read(arguments)
    if wants_help(words) is not None:
        print(f"usage: ddstructs {command} [options]\n\n{summary(target)}\n\noptions:")
        print("\n".join(lines_of_help(known, help_of(target))))
        return None
    given: dict[str, Any] = {}
    for word in words:
        if word.name not in known or word.append:
            raise InputError(f"--{one_line(word.name)}: there is no such option{hint(word.name, known)}")
        if word.name in given:
            raise InputError(f"--{word.name} was given twice: once was expected")
        given[word.name] = value_of(word, known[word.name])
    for name, each in known.items():
        if each.default is None and name not in given:
            raise InputError(f"--{name} is needed: see ddstructs {command} --help")
    return given


def value_of(word: Word, parameter: Parameter) -> Any:
    """The value of an option; one that is true or false needs none."""
    place = f"--{word.name}"
    if word.value is None:
        if _is_flag(parameter):
            return True
        raise InputError(f"{place} needs a value: {described(parameter.annotation, OBJECTS) or 'none can be given'}")
    return convert(parameter.annotation, word.value, place, OBJECTS, resolve_object)


def _is_flag(parameter: Parameter) -> bool:
    return isinstance(parameter.annotation, ast.Name) and parameter.annotation.id == "bool"


def lines_of_help(
    known: Mapping[str, Parameter], texts: Mapping[str, str], prefix: str = "", short: bool = False
) -> Iterable[str]:
    """A description of options: name, default, what it is.

    Args:
        known: The options.
        texts: What each is.
        prefix: What their names begin with.
        short: Whether each has one line.
    """
    for name, each in known.items():
        default = "" if each.default is None else _written(each.default)
        text = texts.get(name, "").replace("``", "").replace("`", "")
        label = f"  --{prefix}{name}"
        if short:
            first = text.partition(". ")[0].partition("; ")[0].rstrip(".")
            yield f"{label:30} {textwrap.shorten(first, 70, placeholder=' ...')}{f' [{default}]' if default else ''}"
            continue
        kind = described(each.annotation, OBJECTS) or "in Python only"
        yield f"{label}  {kind}{f'; {default}' if default else ''}"
        yield from textwrap.wrap(text, 100, initial_indent="      ", subsequent_indent="      ")


def _written(default: ast.expr) -> str:
    """A default as it is written on the command line."""
    if isinstance(default, ast.Call) and len(default.args) == 1:  # Path("runs")
        default = default.args[0]
    try:
        value = ast.literal_eval(default)
    except ValueError:
        return ""
    return value if isinstance(value, str) else json.dumps(value)
