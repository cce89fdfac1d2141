"""Lines of text from an argument, a file or standard input."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from ddstructs.errors import InputError, printable

__all__ = ["place_of", "printable", "read_lines"]

BYTE_ORDER_MARK = "\ufeff"


def read_lines(text: str | None, file: str | None) -> list[str]:
    """The lines of a text or of a file; `-` is standard input. A leading byte-order mark is removed.

    Raises:
        InputError: If both are given, or if the file cannot be read, is not UTF-8 text, or has no lines.
    """
    if text is not None and file is not None:
        raise InputError("both a text and a file were given: give only one of them")
    if text is not None:
        return _split(text)
    assert file is not None
    if file == "-" and sys.stdin is None:
        raise InputError("standard input is closed")
    name = place_of(file)
    try:
        content = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is not UTF-8 text (byte {error.start})") from error
    except (OSError, ValueError) as error:  # a name with a null byte is a ValueError
        raise InputError(f"cannot read {name}: {getattr(error, 'strerror', None) or error}") from error
    if not content:
        raise InputError(f"{name} is empty, but one line or more was expected")
    return _split(content.removeprefix(BYTE_ORDER_MARK))


def place_of(file: str | None) -> str:
    """The origin of lines for error messages: the file, or the text if there is no file."""
    return "the text" if file is None else "standard input" if file == "-" else printable(file)


def _split(text: str) -> list[str]:
    """The lines of a text. Unlike `splitlines`, this keeps form feeds and similar characters as symbols."""
    lines = re.split(r"\r\n|\r|\n", text)
    return lines[:-1] if len(lines) > 1 and not lines[-1] else lines
