"""Text from an argument, a file or standard input, a line each."""

from __future__ import annotations

import sys
from pathlib import Path

from ddstructs.errors import InputError

__all__ = ["printable", "read_lines"]


def read_lines(text: str | None, file: str | None) -> list[str]:
    """The lines of a text or of a file; `-` is standard input.

    Raises:
        InputError: If both are given, or if the file cannot be read, is not text, or has no line.
    """
    if text is not None and file is not None:
        raise InputError("both a text and a file were given: leave one of them out")
    if text is not None:
        return text.splitlines() or [""]
    assert file is not None
    try:
        content = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not text in UTF-8 (byte {error.start})") from error
    lines = content.splitlines()
    if not lines:
        raise InputError(f"{'standard input' if file == '-' else file} is empty, but one line or more was expected")
    return lines


def printable(text: str) -> str:
    """The text on one line that no terminal takes for a command: what does not print is escaped."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
