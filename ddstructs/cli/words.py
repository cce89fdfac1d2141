"""The words of a command line, as options with values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ddstructs.errors import InputError, one_line
from ddstructs.registry.types import Text

__all__ = ["Word", "read", "wants_help"]


class Word(NamedTuple):
    """An option as it was given.

    Attributes:
        name: Without the dashes in front; those within are underscores.
        value: None if none was given.
        append: Whether it adds to a list: `--name+=value`.
    """

    name: str
    value: Text | None
    append: bool = False


def read(arguments: Sequence[str]) -> list[Word]:
    """Options and their values: `--name value`, `--name=value`, `--name+=value`, or `--name` alone.

    Raises:
        InputError: If there is something else among them.
    """
    words, left = [], list(arguments)
    while left:
        word = left.pop(0)
        word = SHORT.get(word, word)
        if not word.startswith("--") or len(word) < 3:
            raise InputError(f"{one_line(repr(word))} is no option: options are written --name value")
        name, equals, value = word[2:].partition("=")
        if not equals and left and not left[0].startswith("--") and left[0] not in SHORT:
            equals, value = "=", left.pop(0)
        plus = name.endswith("+")
        words.append(Word(name.removesuffix("+").replace("-", "_"), Text(value) if equals else None, plus))
    return words


SHORT = {"-h": "--help", "-c": "--config"}


def wants_help(words: Sequence[Word]) -> str | None:
    """Which help is asked for: of everything (an empty string), of a part of the options (its name), or none."""
    for word in words:
        if word.name == "help" or word.name.startswith("help."):
            return word.name.removeprefix("help").removeprefix(".") or str(word.value or "")
    return None
