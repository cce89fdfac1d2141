"""Languages of one random string said several times: forwards, backwards, or in other symbols."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor

from ddstructs.tasks.language import MeasuredLanguage

__all__ = ["Repeated"]

BITS = 2


@final
class Repeated(MeasuredLanguage):
    """Strings that are determined by a string of bits `w`, which is uniform among those of its length n.

    A pattern lists the parts of a string, separated by blanks: `w`, `w^R` (backwards), `w'` (in the third and fourth
    symbol of the alphabet), `#` (one symbol), and `#^n` (a symbol, n times).

    Args:
        alphabet: The symbols; the bits come first if there is a `w`.
        pattern: The parts. If one of them is made of `w`, the first one is `w`.

    Example:
        >>> import torch
        >>> from ddstructs.tasks.repeated import Repeated
        >>> Repeated("01#", "w # w^R").accepts(torch.tensor([[0, 1, 2, 1, 0], [0, 1, 2, 0, 1]]), torch.tensor([5, 5]))
        tensor([ True, False])
    """

    def __init__(self, alphabet: str, pattern: str) -> None:
        self.alphabet = alphabet
        self.parts = pattern.split()
        self.marks = sum(len(part) == 1 and part != "w" for part in self.parts)
        self.free = "w" in self.parts

    def sizes(self, lengths: tuple[int, int]) -> list[int]:
        sections = len(self.parts) - self.marks
        low, high = (max(1, length) - self.marks for length in lengths)
        shortest = max(0 if self.marks else 1, -(-low // sections))
        return [self.marks + n * sections for n in range(shortest, max(shortest, high // sections) + 1)]

    def draw(self, lengths: Tensor, generator: torch.Generator) -> Tensor:
        n = self._repeated(lengths)
        w = torch.randint(BITS, (len(lengths), int(n.max())), generator=generator)
        return self._say(w, n, int(lengths.max()))

    def accepts(self, strings: Tensor, lengths: Tensor) -> Tensor:
        width = strings.shape[1]
        n, place = self._repeated(lengths), torch.arange(width)
        said = self._say(strings, n, width)
        right = (said == strings) | (place >= lengths[:, None])
        bits = (strings < BITS) | (place >= n[:, None]) if self.free else torch.ones_like(right)
        possible = lengths == self.marks + n * (len(self.parts) - self.marks)
        return (right & bits).all(dim=1) & possible

    def nats(self, strings: Tensor, lengths: Tensor) -> Tensor:
        nats = self._repeated(lengths).double() * (math.log(BITS) if self.free else 0.0)
        return torch.where(self.accepts(strings, lengths), nats, math.inf)

    def _repeated(self, lengths: Tensor) -> Tensor:
        """The length of `w` in strings of these lengths."""
        return (lengths - self.marks).clamp(min=0) // (len(self.parts) - self.marks)

    def _say(self, w: Tensor, n: Tensor, width: int) -> Tensor:
        """The string of each `w`; `w` has shape `(batch, time)`, and n of its symbols count."""
        string, begin = w.new_zeros(len(w), width), torch.zeros_like(n)[:, None]
        for part in self.parts:
            at = torch.arange(width) - begin
            size = torch.ones_like(n)[:, None] if len(part) == 1 and part != "w" else n[:, None]
            string = torch.where((at >= 0) & (at < size), self._symbols(part, w, n[:, None], at), string)
            begin = begin + size
        return string

    def _symbols(self, part: str, w: Tensor, n: Tensor, at: Tensor) -> Tensor:
        """The symbols of a part, at these positions from its beginning."""
        if part[0] != "w" or not w.shape[1]:
            return torch.full_like(at, max(0, self.alphabet.find(part[0])))
        index = n - 1 - at if part == "w^R" else at
        symbols = w.gather(1, index.clamp(0, w.shape[1] - 1))
        return symbols + BITS if part == "w'" else symbols
