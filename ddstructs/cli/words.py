"""The command line as a list of options with values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ddstructs.errors import InputError, one_line
from ddstructs.registry.types import Text

__all__ = ["Word", "read", "wants_help"]


class Word(NamedTuple):
    """An option on the command line.

    Attributes:
        name: Its name without the leading dashes, with underscores for dashes inside.
        value: Its value; None if it has none.
        append: Whether it appends to a list: `--name+=value`.
    """

    name: str
    value: Text | None
    append: bool = False


def read(arguments: Sequence[str]) -> list[Word]:
    """Parse options of the forms `--name value`, `--name=value`, `--name+=value` and `--name`.

    Raises:
        InputError: If an argument is not an option.
    """
    words, left = [], list(arguments)
    while left:
        word = left.pop(0)
        word = SHORT.get(word, word)
        if not word.startswith("--") or len(word) < 3:
            raise InputError(f"{one_line(repr(word))} is not an option: write options as --name value")
        name, equals, value = word[2:].partition("=")
        if not equals and left and not left[0].startswith("--") and left[0] not in SHORT:
            equals, value = "=", left.pop(0)
        plus = name.endswith("+")
        words.append(Word(name.removesuffix("+").replace("-", "_"), Text(value) if equals else None, plus))
    return words


SHORT = {"-h": "--help", "-c": "--config"}


def wants_help(words: Sequence[Word]) -> str | None:
    """The requested part of the help: an empty string for the overview, or a name; None without `--help`."""
    for word in words:
        if word.name == "help" or word.name.startswith("help."):
            return word.name.removeprefix("help").removeprefix(".") or str(word.value or "")
    return None
