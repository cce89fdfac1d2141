"""Tasks in which the target holds the symbols of the source in another order."""

from __future__ import annotations

from abc import abstractmethod
from string import ascii_lowercase, ascii_uppercase, digits, punctuation
from typing import Annotated, Any

import torch
from torch import Tensor

from ddstructs.errors import InputError
from ddstructs.registry.ranges import Range, Size, check_ranges
from ddstructs.tasks.lines import printable
from ddstructs.tasks.transduction import Transduction

__all__ = ["Rearrangement"]

Characters = Annotated[int, Range(1, 128)]

ASCII = "".join(map(chr, range(128)))

READABLE = "".join(dict.fromkeys(f"{ascii_lowercase}{ascii_uppercase}{digits} {punctuation}{ASCII}"))
"""The same characters, with those that are easy to read and type first."""


class Rearrangement(Transduction):
    """A task that puts the symbols of the source in another order.

    Each symbol is a character, so that text can be transduced: with 128 symbols, all of ASCII in the order of the
    codes; with fewer symbols, letters come first.

    Args:
        symbols: Number of symbols, 1..128: each is an ASCII character.
        start_length: Longest source in the first stage of the curriculum. If not given, 4 with 128 symbols, and more
            with fewer, at most 16: the fewer the symbols, the longer the sources a cell can remember on its own, and a
            cell that passes the first stages that way does not learn to use the memory.
        settings: The settings of every generated task, see `Generated`.

    Raises:
        InputError: If the number of symbols is not in 1..128.
    """

    def __init__(self, symbols: Characters = 128, start_length: Size | None = None, **settings: Any) -> None:
        check_ranges(Rearrangement.__init__, locals())
        if start_length is None:
            start_length = min(16, 4 * 128 // symbols)
        super().__init__(start_length=start_length, **settings)
        self.symbols = self.source_symbols = self.target_symbols = symbols
        self.alphabet = ASCII if symbols == len(ASCII) else READABLE[:symbols]
        self._symbols = {char: symbol for symbol, char in enumerate(self.alphabet)}
        if not self._symbols.keys() >= set(self.example):
            self.example = (self.alphabet * 8)[:8]

    @abstractmethod
    def origin(self, position: Tensor, length: Tensor) -> Tensor:
        """The source position of the symbol at each target position.

        Args:
            position: Positions in the target, shape `(time,)`; the result beyond `length - 1` is arbitrary.
            length: Length of each source and target, shape `(batch, 1)`.
        """

    def transduce(self, source: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        position = torch.arange(source.shape[1])
        index = self.origin(position, lengths[:, None]).expand_as(source)
        return source.gather(1, index.clamp(0, max(0, source.shape[1] - 1))), lengths

    def encode(self, text: str) -> list[int]:
        for char in text:
            if char not in self._symbols:
                known = "ASCII" if self.alphabet == ASCII else f"{printable(self.alphabet)!r}"
                raise InputError(f"{char!r} is outside {known}, the symbols of {type(self).__name__}")
        if len(text) % self.multiple:
            raise InputError(
                f"{printable(text)!r} has {len(text)} characters, "
                f"but {type(self).__name__} takes a multiple of {self.multiple}"
            )
        return [self._symbols[char] for char in text]

    def source_name(self, symbol: int) -> str:
        return self.alphabet[symbol]

    def decode(self, symbols: list[int]) -> str:
        return "".join(self.alphabet[symbol] for symbol in symbols)
