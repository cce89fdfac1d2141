"""Arithmetic expressions with brackets, modulo 5: drawn by length, and evaluated."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["CLOSE", "DIGITS", "EXTRA", "MINUS", "MODULUS", "OPEN", "PLUS", "draw_expressions", "evaluate"]

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
    ended = np.full((len(symbols), symbols.shape[1] + 1), NOTHING)
    ended[:, :-1] = torch.where(torch.arange(symbols.shape[1]) < lengths[:, None], symbols, NOTHING).numpy()
    line = _negated(ended[np.arange(ended.shape[1]) <= lengths[:, None].numpy()])  # `NOTHING` ends each expression
    while True:
        shorter = _rewritten(line)
        if len(shorter) == len(line):
            break
        line = shorter
    ends = np.flatnonzero(line == NOTHING)
    single = np.diff(ends, prepend=-1) == 2
    value = np.where(single & _digits(line)[ends - 1], line[ends - 1], NOTHING)
    return torch.from_numpy(value)


def _digits(line: NDArray[np.int64]) -> NDArray[np.bool_]:
    return (line >= 0) & (line < MODULUS)


def _negated(line: NDArray[np.int64]) -> NDArray[np.int64]:
    """Replace each `-d` whose `-` is a sign by one digit."""
    digit = _digits(line)
    sign = np.flatnonzero((line[:-1] == MINUS) & digit[1:])
    sign = sign[~(digit | (line == CLOSE))[sign - 1]]  # index -1 is the end of the line, which is neither
    line[sign] = -line[sign + 1] % MODULUS
    return np.delete(line, sign + 1)


def _rewritten(line: NDArray[np.int64]) -> NDArray[np.int64]:
    """Replace each `(d)` and each `(d op d)` by one digit."""
    padded = np.concatenate([line, np.full(4, NOTHING)])
    here = np.flatnonzero(line == OPEN)
    a, operator, b, end = (padded[here + i] for i in range(1, 5))
    first = _digits(a)
    one = first & (operator == CLOSE)
    known = (operator == PLUS) | (operator == MINUS) | (operator == EXTRA)
    two = first & known & _digits(b) & (end == CLOSE)
    result = np.where(operator == PLUS, a + b, np.where(operator == MINUS, a - b, a * b)) % MODULUS
    done = one | two
    line[here[done]] = np.where(two, result, a)[done]
    short, long = here[done], here[two]
    return np.delete(line, np.concatenate([short + 1, short + 2, long + 3, long + 4]))
