"""Tasks in which the target holds the symbols of the source in another order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from ddstructs.errors import InputError
from ddstructs.tasks.lines import printable
from ddstructs.tasks.task import Task

__all__ = ["Rearrangement"]


class Rearrangement(Task, ABC):
    """A task that puts the symbols of the source in another order.

    A symbol is an ASCII character, so text can be transduced.

    Args:
        symbols: Number of symbols, 1..128.
        settings: The settings of every task, see `Task`.

    Raises:
        InputError: If the number of symbols is not in 1..128.
    """

    def __init__(self, symbols: int = 128, **settings: Any) -> None:
        super().__init__(**settings)
        if not 1 <= symbols <= 128:
            raise InputError(f"symbols is {symbols}, but 1..128 was expected: each is an ASCII character")
        self.symbols = self.source_symbols = self.target_symbols = symbols

    @abstractmethod
    def origin(self, position: Tensor, length: Tensor) -> Tensor:
        """Which source symbol stands at a position of the target.

        Args:
            position: Positions in the target, shape `(time,)`, each in 0..length - 1; beyond, anything may come out.
            length: Length of each source and target, shape `(batch, 1)`.
        """

    def transduce(self, source: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        position = torch.arange(source.shape[1])
        index = self.origin(position, lengths[:, None]).expand_as(source)
        return source.gather(1, index.clamp(0, max(0, source.shape[1] - 1))), lengths

    def encode(self, text: str) -> list[int]:
        symbols = [ord(char) for char in text]
        for char, symbol in zip(text, symbols, strict=True):
            if symbol >= self.symbols:
                kind = "ASCII" if self.symbols == 128 else f"the first {self.symbols} ASCII characters"
                raise InputError(f"{char!r} is outside {kind}, the symbols of {type(self).__name__}")
        if len(symbols) % self.multiple:
            raise InputError(
                f"{printable(text)!r} has {len(symbols)} characters, "
                f"but {type(self).__name__} takes a multiple of {self.multiple}"
            )
        return symbols

    def source_name(self, symbol: int) -> str:
        return chr(symbol)

    def decode(self, symbols: list[int]) -> str:
        return "".join(map(chr, symbols))
