"""Plain data from a file: how large and how deep it may be."""

from __future__ import annotations

from ddstructs.errors import InputError

__all__ = ["check_plain"]

PARTS = 10_000
"""Most parts of plain data, shared ones counted as often as they are met."""

DEPTH = 100
"""How deep plain data may nest."""


def check_plain(value: object, what: str) -> None:
    """Refuse data from a file that is not plain, or that is larger or deeper than settings ever are.

    Shared parts are counted as often as they are met, and visited once: a few hundred lists of two can stand for 2^100.

    Args:
        value: The data: numbers, strings and None, in lists and dictionaries.
        what: What an error calls it.

    Raises:
        InputError: If it is something else, or too much of it.
    """
    _measure(value, what, {}, DEPTH)


def _measure(part: object, what: str, known: dict[int, tuple[int, int]], depth: int) -> tuple[int, int]:
    """How many parts a part has, and how many levels."""
    if part is None or isinstance(part, bool | int | float | str):
        return 1, 0
    if not isinstance(part, dict | list | tuple):
        raise InputError(f"{what} holds a {type(part).__name__}, but numbers, strings, lists and names were expected")
    parts, levels = known.get(id(part), (1, 0))
    if levels > depth or not depth:
        raise InputError(f"{what} is refused: the data nests deeper than {DEPTH} levels")
    if levels:
        return parts, levels
    for each in [*part.keys(), *part.values()] if isinstance(part, dict) else part:
        more, below = _measure(each, what, known, depth - 1)
        parts, levels = parts + more, max(levels, below)
        if parts > PARTS:
            raise InputError(f"{what} is refused: written out it has more than {PARTS} parts")
    known[id(part)] = parts, levels + 1
    return parts, levels + 1
