"""Transduction: read a source, then output its target symbol by symbol."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from ddstructs.tasks.batch import IGNORE, SEPARATOR, START, Batch
from ddstructs.tasks.generated import Generated

__all__ = ["Transduction"]


class Transduction(Generated):
    """Sequences `<s> source ||| target </s>`, where the target is a function of the source.

    Input symbols are `<s>`, `|||`, those of the source, and those of the target; source and target have separate
    symbols, so that a controller need not remember which half it is in. Output symbols are those of the target and,
    last, the end symbol `</s>`.

    Args:
        settings: The settings of every generated task, see `Generated`.
    """

    target_symbols: int
    """Number of distinct symbols of a target."""

    online: ClassVar[bool] = False
    """Whether the target begins at the first symbol of the source rather than after the last."""

    feeds_back = True

    @abstractmethod
    def transduce(self, source: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """The target of each source.

        Args:
            source: Source symbols, shape `(batch, time)`, int64; symbols beyond a row's length are arbitrary.
            lengths: Length of each source, shape `(batch,)`, int64.

        Returns:
            The target symbols, padded in the same way, and the length of each target.
        """

    @abstractmethod
    def decode(self, symbols: list[int]) -> str:
        """The text of target symbols, without the end symbol."""

    @property
    def input_symbols(self) -> int:
        return 2 + self.source_symbols + self.target_symbols

    @property
    def output_symbols(self) -> int:
        return self.target_symbols + 1

    def input_name(self, symbol: int) -> str:
        if symbol in (START, SEPARATOR):
            return "<s>" if symbol == START else "|||"
        symbol -= 2
        return (
            self.source_name(symbol) if symbol < self.source_symbols else self.output_name(symbol - self.source_symbols)
        )

    def output_name(self, symbol: int) -> str:
        return "</s>" if symbol == self.target_symbols else self.decode([symbol])

    def answer(self, symbols: list[int]) -> str:
        return self.decode([symbol for symbol in symbols if symbol != self.target_symbols])

    def lengths(self, batch: Batch) -> Tensor:
        return (batch.inputs == SEPARATOR).int().argmax(dim=1) - 1

    def assemble(self, source: Tensor, lengths: Tensor) -> Batch:
        target, target_lengths = self.transduce(source, lengths)
        n, m = lengths[:, None], target_lengths[:, None]
        early = n if self.online else torch.zeros_like(n)  # target symbols due while the source is read
        total = 2 + n + m - early
        inputs = torch.full((len(source), int(total.max())), START)
        targets = torch.full_like(inputs, IGNORE)
        i, j = torch.arange(source.shape[1]), torch.arange(target.shape[1])
        _put(inputs, 1 + i, source + 2, i < n)
        inputs.scatter_(1, 1 + n, SEPARATOR)
        _put(inputs, 2 + n + j - early, target + 2 + self.source_symbols, (j >= early) & (j < m))
        _put(targets, torch.where(j < early, 1 + j, 1 + n + j - early), target, j < m)
        targets.scatter_(1, total - 1, self.target_symbols)
        return Batch(inputs, targets, total[:, 0])


def _put(into: Tensor, positions: Tensor, values: Tensor, where: Tensor) -> None:
    """Write values to their positions in each row, where a mask is true."""
    rows = torch.arange(len(into))[:, None].expand_as(where)
    into[rows[where], positions.expand_as(where)[where]] = values[where]
