"""Blank answers: the network reads a string, then blanks, and answers at the blanks."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from ddstructs.tasks.batch import IGNORE, START, Batch
from ddstructs.tasks.generated import Generated

__all__ = ["BlankAnswer"]

BLANK = START + 1


class BlankAnswer(Generated):
    """Sequences of `<s> source` and one blank per symbol of the answer; answers are not fed back.

    Input symbols are `<s>`, the blank, and those of the source; output symbols are those of the answer.

    Args:
        settings: The settings of every generated task, see `Generated`.

    Reference:
        Delétang et al. 2022, *Neural Networks and the Chomsky Hierarchy*.
    """

    answer_symbols: int
    """Number of distinct symbols of an answer."""

    metrics: ClassVar[dict[str, str]] = {
        **Generated.metrics,
        "symbols": "ddstructs.training.metrics:SymbolAccuracy",
    }
    score = "symbols"

    @abstractmethod
    def solve(self, source: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """The answer to each source.

        Args:
            source: Source symbols, shape `(batch, time)`, int64; symbols beyond a row's length are arbitrary.
            lengths: Length of each source, shape `(batch,)`, int64.

        Returns:
            The answers, padded in the same way, and the length of each.
        """

    @property
    def input_symbols(self) -> int:
        return 2 + self.source_symbols

    @property
    def output_symbols(self) -> int:
        return self.answer_symbols

    def input_name(self, symbol: int) -> str:
        return ("<s>", "_")[symbol] if symbol <= BLANK else self.source_name(symbol - 2)

    def assemble(self, source: Tensor, lengths: Tensor) -> Batch:
        answer, answer_lengths = self.solve(source, lengths)
        n, total = 1 + lengths[:, None], 1 + lengths + answer_lengths
        step = torch.arange(int(total.max()))[None]
        at = (step - n).clamp(0, max(0, answer.shape[1] - 1)).expand(len(source), -1)
        from_source = (step - 1).clamp(0, max(0, source.shape[1] - 1)).expand(len(source), -1)
        due = (step >= n) & (step < total[:, None])
        inputs = torch.where(due, BLANK, START)
        if source.shape[1]:
            inputs = torch.where((step > 0) & (step < n), source.gather(1, from_source) + 2, inputs)
        targets = torch.where(due, answer.gather(1, at), IGNORE)
        return Batch(inputs, targets, total)

    def lengths(self, batch: Batch) -> Tensor:
        return (batch.inputs > BLANK).sum(dim=1)
