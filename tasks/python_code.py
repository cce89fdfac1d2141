"""Where Python code depends on what is open: the brackets and the blocks that it closes."""

from __future__ import annotations

import io
import token as kinds
import tokenize
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

__all__ = ["Closing", "Dedent", "closings", "dedents"]


STRINGS = ("FSTRING", "TSTRING")
"""Kinds of strings that `tokenize` takes apart from Python 3.12 and 3.14 on: into tokens between a start and an end."""


class Closing(NamedTuple):
    """A bracket that closes.

    Attributes:
        position: Its byte in the source.
        symbol: `)`, `]` or `}`.
        depth: Number of open brackets, including the one that it closes.
        distance: Bytes from that one.
    """

    position: int
    symbol: str
    depth: int
    distance: int


class Dedent(NamedTuple):
    """A line that closes one block or more.

    Attributes:
        position: Its first byte.
        columns: The indentations that it may have, from 0 to that of the block around the innermost one.
        level: Which of them it has.
        distance: Bytes from the start of the last line with this indentation.
    """

    position: int
    columns: tuple[int, ...]
    level: int
    distance: int


def closings(source: bytes) -> list[Closing]:
    """The brackets that close, outside strings and comments.

    Example:
        >>> closings(b"f(x[0], ')')")
        [Closing(position=5, symbol=']', depth=2, distance=2), Closing(position=11, symbol=')', depth=1, distance=10)]
    """
    found, opened = [], list[int]()
    for token, position in _tokens(source):
        if token.type == kinds.OP and token.string in "([{":
            opened.append(position)
        elif token.type == kinds.OP and token.string in ")]}":
            found.append(Closing(position, token.string, len(opened), position - opened.pop()))
    return found


def dedents(source: bytes) -> list[Dedent]:
    r"""The lines that close blocks, in code that is indented by spaces.

    Example:
        >>> dedents(b"if a:\n  if b:\n    c\nd\n")
        [Dedent(position=20, columns=(0, 2), level=0, distance=20)]
    """
    found, closed, begins = [], 0, True
    columns, starts = [0], [0]  # of the open blocks: their indentation, and their last line so far
    for token, position in _tokens(source):
        if token.type == kinds.INDENT:
            columns.append(len(token.string))
            starts.append(position)
        elif token.type == kinds.DEDENT:
            closed += 1
        elif token.type == kinds.ENDMARKER:
            break
        elif token.type not in (kinds.COMMENT, kinds.NL, tokenize.ENCODING):
            if begins:
                line, outer = position - token.start[1], tuple(columns[:-1])
                if closed:
                    del columns[-closed:], starts[-closed:]
                    found.append(Dedent(line, outer, len(columns) - 1, line - starts[-1]))
                starts[-1], closed = line, 0
            begins = token.type == kinds.NEWLINE
    return found


def _tokens(source: bytes) -> Iterator[tuple[tokenize.TokenInfo, int]]:
    """The tokens of a file of UTF-8, without those inside strings, and the byte at which each starts."""
    lines = io.BytesIO(source).readlines()
    starts = np.cumsum([0, *map(len, lines)]).tolist()
    begins = {getattr(kinds, f"{name}_START", None) for name in STRINGS}
    ends = {getattr(kinds, f"{name}_END", None) for name in STRINGS}
    strings = 0  # that are open
    for token in tokenize.tokenize(io.BytesIO(source).readline):
        row, column = token.start
        inside = strings > 0
        strings += (token.type in begins) - (token.type in ends)
        if inside:
            continue
        if row and not (line := lines[row - 1] if row <= len(lines) else b"").isascii():
            column = len(line.decode()[:column].encode())
        yield token, starts[max(row - 1, 0)] + column
