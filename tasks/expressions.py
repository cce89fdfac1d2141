"""Arithmetic expressions with brackets, modulo 5: drawn by length, and evaluated, in whole and in part."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = [
    "CLOSE",
    "DIGITS",
    "EXTRA",
    "MINUS",
    "MODULUS",
    "OPEN",
    "PLUS",
    "bracket_values",
    "draw_expressions",
    "evaluate",
    "left_values",
]

MODULUS = 5

DIGITS = "01234"

PLUS, MINUS, OPEN, CLOSE, EXTRA = range(MODULUS, MODULUS + 5)
"""The symbols after the digits; from `EXTRA` on, each task has its own. In `evaluate` it is `*`."""

NOTHING = -1


def draw_expressions(lengths: Tensor, operators: Sequence[int], generator: torch.Generator) -> Tensor:
    """Draw an expression E of each length.

    E of 1, 2, 3 or 4 symbols is `d`, `-d`, `(d)` or `(-d)`. A longer one is `(E op E)`, where the length of the first
    part is uniform among those that leave one symbol or more for the second.

    Args:
        lengths: Shape `(batch,)`, each 1 or more.
        operators: Symbols to draw `op` from.
        generator: Source of the random numbers.

    Returns:
        The symbols, shape `(batch, longest)`; symbols beyond a row's length are arbitrary.
    """
    symbols = torch.randint(MODULUS, (len(lengths), int(lengths.max())), generator=generator).numpy()
    choices, length = np.array(operators), lengths.numpy()
    row, begin = np.arange(len(length)), np.zeros(len(length), np.int64)
    while len(row):
        negative, longer = length == 2, length > 2
        symbols[row[negative], begin[negative]] = MINUS
        row, begin, length = row[longer], begin[longer], length[longer]
        symbols[row, begin], symbols[row, begin + length - 1] = OPEN, CLOSE
        begin, length = begin + 1, length - 2
        split = length > 2
        inner, start, size = row[split], begin[split], length[split]
        chance = torch.rand(2, len(size), generator=generator, dtype=torch.float64).numpy()
        left = 1 + (chance[0] * (size - 2)).astype(np.int64)
        symbols[inner, start + left] = choices[(chance[1] * len(choices)).astype(np.int64)]
        row = np.concatenate([row[~split], inner, inner])
        begin = np.concatenate([begin[~split], start, start + left + 1])
        length = np.concatenate([length[~split], left, size - left - 1])
    return torch.from_numpy(symbols)


def evaluate(symbols: Tensor, lengths: Tensor) -> Tensor:
    """The value of each expression modulo 5, computed by rewriting all innermost brackets until none is left.

    Args:
        symbols: Shape `(batch, time)`; symbols beyond a row's length are arbitrary.
        lengths: Length of each expression, shape `(batch,)`.

    Returns:
        The values, shape `(batch,)`, in 0..4; -1 for strings that are not expressions.
    """
    line, _, _ = _reduced(symbols, lengths)
    ends = np.flatnonzero(line == NOTHING)
    single = np.diff(ends, prepend=-1) == 2
    value = np.where(single & _digits(line)[ends - 1], line[ends - 1], NOTHING)
    return torch.from_numpy(value)


def bracket_values(symbols: Tensor, lengths: Tensor) -> Tensor:
    """The values of all parts in brackets modulo 5.

    Args:
        symbols: Shape `(batch, time)`; symbols beyond a row's length are arbitrary.
        lengths: Length of each expression, shape `(batch,)`.

    Returns:
        At each `)` the value of the part that it closes, in 0..4, shape `(batch, time)`; -1 elsewhere, and where that
        part is not an expression, as it has an unknown.

    Example:
        >>> import torch
        >>> text = "((2+4)*(3))"
        >>> symbols = torch.tensor([["01234+-()*".index(char) for char in text]])
        >>> bracket_values(symbols, torch.tensor([len(text)])).tolist()
        [[-1, -1, -1, -1, -1, 1, -1, -1, -1, 3, 3]]
    """
    _, values, _ = _reduced(symbols, lengths)
    return torch.from_numpy(values)


def left_values(symbols: Tensor, lengths: Tensor) -> Tensor:
    """The values modulo 5 of the left operands, where the right ones end.

    Args:
        symbols: Shape `(batch, time)`; symbols beyond a row's length are arbitrary.
        lengths: Length of each expression, shape `(batch,)`.

    Returns:
        At the last symbol of each right operand the value of the left one, in 0..4, shape `(batch, time)`; -1
        elsewhere, and where one of the two is not an expression.

    Example:
        >>> import torch
        >>> text = "((2+4)*(3))"
        >>> symbols = torch.tensor([["01234+-()*".index(char) for char in text]])
        >>> left_values(symbols, torch.tensor([len(text)])).tolist()
        [[-1, -1, -1, -1, 2, -1, -1, -1, -1, 1, -1]]
    """
    _, _, left = _reduced(symbols, lengths)
    return torch.from_numpy(left)


def _reduced(symbols: Tensor, lengths: Tensor) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Rewrite brackets until none is left that can be.

    Returns:
        What is left of the expressions, each followed by `NOTHING`; the values of parts in brackets; and those of left
        operands.
    """
    ended = np.full((len(symbols), symbols.shape[1] + 1), NOTHING)
    ended[:, :-1] = torch.where(torch.arange(symbols.shape[1]) < lengths[:, None], symbols, NOTHING).numpy()
    place = np.flatnonzero(np.arange(ended.shape[1]) <= lengths[:, None].numpy())
    line, (values, left) = ended.ravel()[place], np.full((2, ended.size), NOTHING)
    gone = _negate(line)
    while True:
        line, place = np.delete(line, gone), np.delete(place, gone)
        ends, results, operands, gone = _rewrite(line)
        if not len(gone):
            return line, values.reshape(ended.shape)[:, :-1], left.reshape(ended.shape)[:, :-1]
        values[place[ends]] = results
        left[place[ends[operands >= 0]] - 1] = operands[operands >= 0]


def _digits(line: NDArray[np.int64]) -> NDArray[np.bool_]:
    return (line >= 0) & (line < MODULUS)


def _negate(line: NDArray[np.int64]) -> NDArray[np.int64]:
    """Write a digit for each `-d` whose `-` is a sign, in its first place, and return the places to delete."""
    digit = _digits(line)
    sign = np.flatnonzero((line[:-1] == MINUS) & digit[1:])
    sign = sign[~(digit | (line == CLOSE))[sign - 1]]  # index -1 is the end of the line, which is neither
    negated: NDArray[np.int64] = sign + 1
    line[sign] = -line[negated] % MODULUS
    return negated


def _rewrite(line: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
    """Write a digit for each `(d)` and each `(d op d)`, in its first place.

    Returns:
        The places of their closing brackets, the digits, those of the left operands (`NOTHING` where there is one
        operand), and the places to delete.
    """
    padded = np.concatenate([line, np.full(4, NOTHING)])
    here = np.flatnonzero(line == OPEN)
    a, operator, b, end = (padded[here + i] for i in range(1, 5))
    first = _digits(a)
    one = first & (operator == CLOSE)
    known = (operator == PLUS) | (operator == MINUS) | (operator == EXTRA)
    two = first & known & _digits(b) & (end == CLOSE)
    result = np.where(operator == PLUS, a + b, np.where(operator == MINUS, a - b, a * b)) % MODULUS
    done = one | two
    short, long = here[done], here[two]
    line[short] = results = np.where(two, result, a)[done]
    gone = np.concatenate([short + 1, short + 2, long + 3, long + 4])
    return short + np.where(two[done], 4, 2), results, np.where(two, a, NOTHING)[done], gone
