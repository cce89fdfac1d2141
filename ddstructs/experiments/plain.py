"""Plain data from files: read within limits, and fitted to the types that a signature declares."""

from __future__ import annotations

import re
from collections.abc import Collection
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

import yaml
from jsonargparse import ArgumentParser

from ddstructs.errors import InputError

__all__ = ["fit_arguments", "load_yaml", "one_line"]

LARGEST = 1_000_000
"""Bytes that a YAML file may have."""

MOST_VALUES = 10_000
"""Values that a YAML file may have, those behind an alias counted each time."""

DEEPEST = 20
"""How deep lists and mappings may nest."""


class _Loader(yaml.SafeLoader):
    """Refuses merge keys: a few nested ones expand to billions of entries while the file is read."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(None, None, "merge keys (<<) are not allowed", key.start_mark)


_Loader.add_implicit_resolver(  # YAML 1.1 reads 5e-3, without a point, as text
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$", re.ASCII), list("-+.0123456789")
)


def load_yaml(path: Path) -> Any:
    """Read a YAML file: mappings with strings or numbers as keys, lists, strings, numbers, booleans and null.

    Raises:
        InputError: If it cannot be read, is not YAML, holds anything else, or exceeds the limits.
    """
    try:
        content = path.read_bytes()
        if len(content) > LARGEST:
            raise InputError(f"it has {len(content)} bytes, but at most {LARGEST} were expected")
        data = yaml.load(content.decode("utf-8"), _Loader)  # a SafeLoader
        _count(data, MOST_VALUES, DEEPEST)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except RecursionError as error:
        raise InputError(f"{path} nests deeper than {DEEPEST} levels") from error
    except (yaml.YAMLError, ValueError) as error:  # UnicodeDecodeError, or a number or a date that Python refuses
        raise InputError(f"{path} is not YAML: {one_line(error)}") from error
    return data


def _count(value: Any, left: int, depth: int) -> int:
    """How many more values there may be after this one.

    Raises:
        InputError: If there are too many, or if they nest too deep.
    """
    if left <= 0:
        raise InputError(f"it has more than {MOST_VALUES} values, aliases expanded")
    if depth < 0:
        raise InputError(f"it nests deeper than {DEEPEST} levels")
    left -= 1
    if isinstance(value, dict):
        for key, part in value.items():
            if isinstance(key, bool) or not isinstance(key, str | int | float):
                raise InputError(f"a key is {one_line(key)[:40]!r}, but a string or a number was expected")
            left = _count(part, left, depth - 1)
    elif isinstance(value, list):
        for part in value:
            left = _count(part, left, depth - 1)
    elif not (value is None or isinstance(value, str | bool | int | float)):
        raise InputError(f"it has a {type(value).__name__}, but strings, numbers, booleans, lists and mappings only")
    return left


def fit_arguments(
    kind: type, arguments: object, skip: Collection[str] = (), nested: Collection[str] = ()
) -> dict[str, Any]:
    """Arguments for a constructor, each converted to the type that its signature declares.

    Args:
        kind: The class.
        arguments: Plain data by name.
        skip: Parameters that are not to be among them.
        nested: Parameters that the caller converts.

    Raises:
        InputError: If there is an unknown name, a value of another type, or no value where one is needed.
    """
    if not (isinstance(arguments, dict) and all(isinstance(name, str) for name in arguments)):
        raise InputError(f"names with values were expected, but it is {one_line(arguments)[:60]!r}")
    parser = _Parser(exit_on_error=False)
    parser.add_class_arguments(kind, skip={*skip, *nested}, fail_untyped=False)
    known = {*vars(parser.get_defaults()), *nested}
    for name in sorted(arguments.keys() - known):  # the parser itself passes over an unknown name whose value is empty
        close = get_close_matches(name, sorted(known), 1)
        hint = f"did you mean {close[0]}?" if close else f"the settings are {', '.join(sorted(known))}"
        raise InputError(f"unknown setting {name[:40]!r}: {hint}")
    given = {name: value for name, value in arguments.items() if name not in nested}
    parsed = dict(vars(parser.parse_object(given, defaults=False)))
    return parsed | {name: arguments[name] for name in nested if name in arguments}


class _Parser(ArgumentParser):
    """Raises an `InputError` of one line."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        raise InputError(re.sub(r'^Parser key "([\w.]+)": ', r"\1: ", one_line(message)))


def one_line(message: object) -> str:
    """A message without line breaks and terminal escapes."""
    return " ".join(re.sub(r"\x1b\[[0-9;]*m", "", str(message)).split())
