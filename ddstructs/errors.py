"""Errors caused by user input, not by bugs, and how they are shown."""

__all__ = ["InputError", "one_line", "printable"]


class InputError(ValueError):
    """Invalid input. The message is one line: what was given, what was expected, and what to do."""


def printable(text: str) -> str:
    """Escape every unprintable character except tabs, so that a terminal does not interpret the text."""
    return "".join(
        char if char.isprintable() or char == "\t" else char.encode("unicode_escape").decode() for char in text
    )


def one_line(message: object) -> str:
    """A message on one line, for the terminal: line breaks become spaces, unprintable characters are escaped."""
    return printable(" ".join(str(message).split()))
