"""Constructor arguments from plain data, checked against the signature."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ddstructs.errors import InputError, one_line
from ddstructs.registry.data import check_plain, shown
from ddstructs.registry.lookup import hint
from ddstructs.registry.source import parameters
from ddstructs.registry.types import convert

__all__ = ["fit_arguments"]


def fit_arguments(
    kind: type, arguments: object, skip: Collection[str] = (), nested: Collection[str] = ()
) -> dict[str, Any]:
    """Convert constructor arguments to the types in the signature.

    Args:
        kind: The class.
        arguments: Plain data by name.
        skip: Parameters that may not be given.
        nested: Parameters that the caller converts.

    Raises:
        InputError: If a name is unknown, a value has another type, or a required value is missing.

    Example:
        >>> from ddstructs import Stack
        >>> fit_arguments(Stack, {"width": 16})
        {'width': 16}
    """
    check_plain(arguments, "the data")
    if not (isinstance(arguments, dict) and all(isinstance(name, str) for name in arguments)):
        raise InputError(f"names with values were expected, not {shown(arguments)}")
    try:
        found = parameters(f"{kind.__module__}:{kind.__qualname__}")
    except LookupError as error:
        raise InputError(f"the settings of {kind.__name__} cannot be read: {error}") from error
    known = {name: each for name, each in found.items() if name not in skip}
    fitted = {}
    for name, value in arguments.items():
        if name not in known:
            raise InputError(f"unknown setting {shown(name)}{hint(name, known)}")
        fitted[name] = value if name in nested else convert(known[name].annotation, value, one_line(name))
    for name, each in known.items():
        if each.default is None and name not in fitted and name not in nested:
            raise InputError(f"{name} is missing")
    return fitted
