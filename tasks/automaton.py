"""Regular languages, as the strings that a deterministic finite automaton accepts."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ddstructs.tasks.language import Language

__all__ = ["Automaton"]

BEYOND = 16
"""How much further than the lengths asked for the nearest length of a string is sought."""


@final
class Automaton(Language):
    """The strings that lead from the first state of an automaton to one that accepts; each is as likely as another.

    Args:
        alphabet: The symbols.
        arcs: For each state the state that each symbol leads to; a symbol that is left out leads nowhere. The first
            state is where a string begins.
        accepting: The states in which it may end.

    Example:
        >>> import torch
        >>> from ddstructs.tasks.automaton import Automaton
        >>> alternating = Automaton("01", {"end": {"0": "on"}, "on": {"1": "end"}}, {"end"})
        >>> alternating.sizes((1, 5)), alternating.draw(torch.tensor([4]), torch.Generator()).tolist()
        ([2, 4], [[0, 1, 0, 1]])
    """

    def __init__(self, alphabet: str, arcs: Mapping[str, Mapping[str, str]], accepting: set[str]) -> None:
        self.alphabet = alphabet
        number = {state: i for i, state in enumerate(arcs)}
        nowhere = len(number)
        to = [[number[to[char]] if char in to else nowhere for char in alphabet] for to in arcs.values()]
        self.to = np.array([*to, [nowhere] * len(alphabet)])
        self.accepting = np.array([*(state in accepting for state in arcs), False])
        self._counts, self._table = cache(self._count), cache(self._tabulate)

    def sizes(self, lengths: tuple[int, int]) -> list[int]:
        low, high = (max(1, length) for length in lengths)
        found = [n for n in np.flatnonzero(self._counts(high + BEYOND)[:, 0]).tolist() if n]
        return [n for n in found if low <= n <= high] or [min(found, key=lambda n: abs(n - high))]

    def draw(self, lengths: Tensor, generator: torch.Generator) -> Tensor:
        longest = int(lengths.max())
        table = self._table(1 << (longest - 1).bit_length())  # a power of two: few tables
        chance = torch.rand(longest, len(lengths), 1, generator=generator, dtype=torch.float64).numpy()
        left, state = lengths.numpy(), np.zeros(len(lengths), np.int64)
        symbols = np.zeros((longest, len(lengths)), np.int64)
        for place in range(longest):
            symbols[place] = (table[np.maximum(left - place, 0), state] <= chance[place]).sum(axis=1)
            state = self.to[state, symbols[place]]
        return torch.from_numpy(symbols.T.copy())

    def accepts(self, strings: Tensor, lengths: Tensor) -> Tensor:
        stay = np.arange(len(self.to))[:, None]
        to, end = np.concatenate([self.to, stay], axis=1), len(self.alphabet)
        read = torch.where(torch.arange(strings.shape[1]) < lengths[:, None], strings, end).numpy()
        state = np.zeros(len(strings), np.int64)
        for symbols in read.T:
            state = to[state, symbols]
        return torch.from_numpy(self.accepting[state])

    def _count(self, longest: int) -> NDArray[np.float64]:
        """How many strings of each length lead from each state to an accepting one, each length up to a factor."""
        counts = np.zeros((longest + 1, len(self.to)))
        counts[0] = self.accepting
        for n in range(1, longest + 1):
            counts[n] = counts[n - 1][self.to].sum(axis=1)
            counts[n] /= max(1.0, counts[n].max())
        return counts

    def _tabulate(self, longest: int) -> NDArray[np.float64]:
        """With n symbols to come, the upper edge of each but the last on the scale of [0, 1], by n and state."""
        counts = self._counts(longest)
        edges = np.zeros((longest + 1, *self.to.shape))
        edges[1:] = counts[:-1][:, self.to].cumsum(axis=2)
        with np.errstate(invalid="ignore"):
            edges /= edges[:, :, -1:]  # where no symbol is possible, none is drawn
        last = edges.shape[2] - 1 - (np.diff(edges, axis=2, prepend=0.0) > 0)[:, :, ::-1].argmax(axis=2)
        return np.where(np.arange(edges.shape[2]) < last[:, :, None], edges, np.inf)
