"""Probabilistic context-free grammars, from which sentences are drawn by their length."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ddstructs.tasks.inside import log_inside
from ddstructs.tasks.normal_form import Productions, normal_form

__all__ = ["Grammar"]


class Choices(NamedTuple):
    """Every way to expand a symbol to a given length. A cell is a pair of symbol and length; its choices are adjacent.

    Attributes:
        edges: Upper end of each choice on the cumulative scale of its cell, in [0, 1], plus the index of the cell, so
            that all edges are sorted.
        last: Index of the last choice of each cell.
        first_part, second_part: The symbols that replace the symbol of the cell; the second is -1 if there is only one.
        split: Length of the first part.
    """

    edges: NDArray[np.float64]
    last: NDArray[np.int64]
    first_part: NDArray[np.int64]
    second_part: NDArray[np.int64]
    split: NDArray[np.int64]


@final
class Grammar:
    r"""A probabilistic context-free grammar.

    Sentences are drawn from the distribution of the grammar conditioned on their length, without rejection. With
    $p_X(n)$ the probability that $X$ expands to $n$ words,

    $$ p_X(n) = \sum_{X \to Y Z} p(X \to Y Z) \sum_{k} p_Y(k) \, p_Z(n - k) $$

    and the terms of the sum are the probabilities of each production and split. This also works for grammars in which
    most derivations never end, or in which long sentences are rare.

    Args:
        kinds: The terminals: kinds of words.
        productions: The alternatives of each nonterminal: a probability, and the symbols that replace it, separated by
            blanks; none for the empty string. Sentences are not empty.
        start: The nonterminal of a sentence.

    Example:
        >>> import torch
        >>> from ddstructs.tasks.grammar import Grammar
        >>> brackets = Grammar("()", {"B": [(0.5, "( )"), (0.25, "( B )"), (0.25, "B B")]}, "B")
        >>> brackets.draw(torch.tensor([2, 2]), torch.Generator().manual_seed(0)).tolist()
        [[0, 1], [0, 1]]
        >>> brackets.accepts([0, 0, 1, 1, 0, 1]), brackets.accepts([0, 1, 1, 0])
        (True, False)
    """

    def __init__(self, kinds: Sequence[str], productions: Productions, start: str) -> None:
        rules = normal_form(productions)
        self.kinds = len(kinds)
        number = {symbol: i for i, symbol in enumerate([*kinds, *dict.fromkeys(symbol for symbol, _, _ in rules)])}
        self.start = number[start]
        self.rules = [
            (number[symbol], probability, [number[part] for part in parts]) for symbol, probability, parts in rules
        ]
        self.symbols = len(number)
        self._table, self._inside = cache(self._tabulate), cache(self._expand)

    def lengths(self, longest: int) -> list[int]:
        """The lengths up to `longest` at which there are sentences."""
        lengths: list[int] = np.flatnonzero(self._inside(longest)[self.start]).tolist()
        return lengths

    def draw_lengths(self, rows: int, lengths: tuple[int, int], generator: torch.Generator) -> Tensor:
        """Draw the lengths of sentences as the grammar has them, p(n), given that they are in a range.

        Args:
            rows: Number of lengths.
            lengths: Shortest and longest length; the grammar must have sentences of a length in this range.
            generator: Source of the random numbers.

        Returns:
            Shape `(rows,)`, int64.
        """
        low, high = lengths
        chances = self._inside(_table_size(high))[self.start, low : high + 1]
        edges = chances.cumsum() / chances.sum()
        point = torch.rand(rows, generator=generator, dtype=torch.float64).numpy()
        last = np.flatnonzero(chances)[-1]  # the last edge may be below 1 by rounding
        return torch.from_numpy(low + np.minimum(np.searchsorted(edges, point, side="right"), last))

    def draw(self, lengths: Tensor, generator: torch.Generator) -> Tensor:
        """Draw a sentence of each of these lengths.

        Args:
            lengths: Shape `(batch,)`, int64; the grammar must have sentences of each length.
            generator: Source of the random numbers.

        Returns:
            The kind of each word, shape `(batch, longest)`, int64, padded with 0.
        """
        longest = int(lengths.max())
        size = _table_size(longest)
        edges, last, first_part, second_part, split = self._table(size)
        words = np.zeros((len(lengths), longest), np.int64)
        length = lengths.numpy()
        row, begin = np.arange(len(length)), np.zeros(len(length), np.int64)
        symbol = np.full(len(length), self.start)
        while len(row):
            cell = symbol * (size + 1) + length
            point = cell + torch.rand(len(cell), generator=generator, dtype=torch.float64).numpy()
            choice = np.minimum(np.searchsorted(edges, point, side="right"), last[cell])
            one, two, k = first_part[choice], second_part[choice], split[choice]
            double = two >= 0
            row = np.concatenate([row, row[double]])
            begin = np.concatenate([begin, (begin + k)[double]])
            length = np.concatenate([k, (length - k)[double]])
            symbol = np.concatenate([one, two[double]])
            word = symbol < self.kinds
            words[row[word], begin[word]] = symbol[word]
            row, begin, length, symbol = (part[~word] for part in (row, begin, length, symbol))
        return torch.from_numpy(words)

    def accepts(self, kinds: Sequence[int]) -> bool:
        """Whether a sequence of kinds is a sentence (the algorithm of Cocke, Younger and Kasami)."""
        starts: list[list[int]] = []  # by end and symbol: the possible start positions, as a bit set
        pairs = [(symbol, *parts) for symbol, _, parts in self.rules if len(parts) == 2]
        single = [(symbol, parts[0]) for symbol, _, parts in self.rules if len(parts) == 1]
        ends = [[0] * self.symbols for _ in range(len(kinds) + 1)]  # by start and symbol: the possible end positions
        for end in range(1, len(kinds) + 1):
            starts.append([0] * self.symbols)
            for begin in reversed(range(end)):
                found = {kinds[begin]} if begin == end - 1 else set()
                found |= {symbol for symbol, part in single if part in found}
                found |= {symbol for symbol, one, two in pairs if ends[begin][one] & starts[-1][two]}
                for symbol in found:
                    starts[-1][symbol] |= 1 << begin
                    ends[begin][symbol] |= 1 << end
        return bool(starts and starts[-1][self.start] & 1)

    def nats(self, kinds: Tensor, lengths: Tensor) -> Tensor:
        """The surprisal of sentences among those of their length, -ln p(sentence | length), in nats.

        The time grows with the third power of the length.

        Args:
            kinds: The kind of each word, shape `(batch, time)`, int64; what follows in a shorter row is arbitrary.
            lengths: Length of each sentence, shape `(batch,)`.

        Returns:
            Shape `(batch,)`, float64; infinite for what is not a sentence.
        """
        words, n = kinds.numpy(), lengths.numpy()
        longest = int(n.max(initial=0))
        found = log_inside(self.rules, self.kinds, words[:, :longest], n)[self.start]
        with np.errstate(divide="ignore", invalid="ignore"):
            possible = np.log(self._inside(longest)[self.start, n])
            return torch.from_numpy(np.where(found > -np.inf, possible - found, np.inf))

    def _expand(self, longest: int) -> NDArray[np.float64]:
        """The probability that each symbol expands to each length, shape `(symbols, longest + 1)`."""
        inside = np.zeros((self.symbols, longest + 1))
        if longest:
            inside[: self.kinds, 1] = 1
        for n in range(1, longest + 1):
            for symbol, probability, parts in self.rules:
                inside[symbol, n] += _terms(inside, probability, parts, n).sum()
        return inside

    def _tabulate(self, longest: int) -> Choices:
        inside = self._inside(longest)
        cells: list[list[tuple[NDArray[np.float64], list[int]]]] = [[] for _ in range(inside.size)]
        for symbol, probability, parts in self.rules:
            for n in range(1, longest + 1):
                cells[symbol * (longest + 1) + n].append((_terms(inside, probability, parts, n), parts))
        columns: list[list[NDArray[np.int64]]] = [[], [], []]
        edges: list[NDArray[np.float64]] = []
        last = np.empty(len(cells), np.int64)
        count = 0
        for cell, rules in enumerate(cells):
            weights = []
            for terms, parts in rules:
                possible = np.flatnonzero(terms)  # the last choice of a cell must be possible
                weights.append(terms[possible])
                for column, value in zip(columns, (parts[0], parts[1] if len(parts) > 1 else -1), strict=False):
                    column.append(np.full(len(possible), value))
                columns[2].append(possible + 1)
            grown = np.concatenate([np.zeros(0), *weights]).cumsum()
            edges.append(cell + grown / grown[-1] if len(grown) else grown)
            count += len(grown)
            last[cell] = count - 1
        return Choices(np.concatenate(edges), last, *map(np.concatenate, columns))


def _table_size(longest: int) -> int:
    """The greatest length in a table: a power of two, for few tables, each determined by one call alone."""
    return 1 << (longest - 1).bit_length()


def _terms(inside: NDArray[np.float64], probability: float, parts: list[int], n: int) -> NDArray[np.float64]:
    """The probabilities of a production that expands to `n` words, split after 1, 2, ... words."""
    if len(parts) == 1:
        return np.full(1 if n == 1 else 0, probability)
    one, two = inside[parts]
    terms: NDArray[np.float64] = probability * one[1:n] * two[n - 1 : 0 : -1]
    return terms
