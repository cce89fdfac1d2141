"""The display form of symbols."""

from __future__ import annotations

__all__ = ["shown"]


def shown(symbol: str) -> str:
    r"""The display form of a symbol: a space becomes ␣, and unprintable characters are escaped.

    Example:
        >>> shown(" "), shown("\n"), shown("a b")
        ('␣', '\\n', 'a b')
    """
    if symbol == " ":
        return "␣"
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in symbol)
