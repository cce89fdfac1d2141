"""How a symbol looks where it is shown."""

from __future__ import annotations

__all__ = ["shown"]


def shown(symbol: str) -> str:
    r"""A symbol as something to look at: a space is a ␣, and what does not print is escaped.

    Example:
        >>> shown(" "), shown("\n"), shown("a b")
        ('␣', '\\n', 'a b')
    """
    if symbol == " ":
        return "␣"
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in symbol)
