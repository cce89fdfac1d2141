"""The options of a command: the parameters of its function, read from source."""

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
    """Parse the command line of a command into the arguments of its function.

    Args:
        target: The function, as `package.module:name`.
        command: Name of the command.
        arguments: The command line after the name.

    Returns:
        The arguments; None if help was requested, and printed.

    Raises:
        InputError: If an option is unknown, a value does not have the type of its option, or an option is missing.
    """
    known, words = parameters(target), read(arguments)
    if wants_help(words) is not None:
        print(f"usage: ddstructs {command} [options]\n\n{summary(target)}\n\noptions:")
        print("\n".join(lines_of_help(known, help_of(target))))
        return None
    given: dict[str, Any] = {}
    for word in words:
        if word.name not in known or word.append:
            raise InputError(f"unknown option --{one_line(word.name)}{hint(f'--{word.name}', _dashed(known))}")
        if word.name in given:
            raise InputError(f"--{word.name} was given twice: give it once")
        given[word.name] = value_of(word, known[word.name])
    for name, each in known.items():
        if each.default is None and name not in given:
            raise InputError(f"--{name} is required: see ddstructs {command} --help")
    return given


def value_of(word: Word, parameter: Parameter) -> Any:
    """The value of an option, converted to its type; a flag without a value is true."""
    place = f"--{word.name}"
    if word.value is None:
        if _is_flag(parameter):
            return True
        raise InputError(f"{place} needs a value: {described(parameter.annotation, OBJECTS) or 'set it in Python'}")
    return convert(parameter.annotation, word.value, place, OBJECTS, resolve_object)


def _dashed(known: Iterable[str]) -> list[str]:
    return [f"--{name}" for name in known]


def _is_flag(parameter: Parameter) -> bool:
    return isinstance(parameter.annotation, ast.Name) and parameter.annotation.id == "bool"


def lines_of_help(
    known: Mapping[str, Parameter], texts: Mapping[str, str], prefix: str = "", short: bool = False
) -> Iterable[str]:
    """The lines of help about options: the name, the type, the default and the description of each.

    Args:
        known: The options.
        texts: Their descriptions.
        prefix: Prefix of their names.
        short: Whether to describe each in one line.
    """
    for name, each in known.items():
        default = "" if each.default is None else _written(each.default)
        shown = f" [{default}]" if default not in ("", "null") else ""
        text = texts.get(name, "").replace("``", "").replace("`", "")
        label = f"  --{prefix}{name}"
        if short:
            first = text.partition(". ")[0].partition("; ")[0].rstrip(".")
            yield f"{label:30} {textwrap.shorten(first, 70, placeholder=' ...')}{shown}"
            continue
        kind = described(each.annotation, OBJECTS) or "in Python only"
        yield f"{label}  {kind.removesuffix(' or null') if default == 'null' else kind}{shown}"
        yield from textwrap.wrap(text, 100, initial_indent="      ", subsequent_indent="      ")


def _written(default: ast.expr) -> str:
    """A default in the form in which it is written on the command line."""
    if isinstance(default, ast.Call) and len(default.args) == 1:  # Path("runs")
        default = default.args[0]
    try:
        value = ast.literal_eval(default)
    except ValueError:
        return ""
    return value if isinstance(value, str) else json.dumps(value)
