"""Blank answers: the network reads a string, then blanks, and answers at the blanks."""

from __future__ import annotations

import re
from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor

from ddstructs.errors import InputError
from ddstructs.tasks.batch import IGNORE, START, Batch
from ddstructs.tasks.generated import Generated
from ddstructs.tasks.lines import printable

__all__ = ["BlankAnswer"]

BLANK = START + 1


class BlankAnswer(Generated):
    """Sequences of `<s> source` and one blank per symbol of the answer; answers are not fed back.

    Input symbols are `<s>`, the blank, and those of the source; output symbols are those of the answer.

    The suite of Delétang et al. trains on lengths 1 to 40 and tests on 41 to 500. Its score is the share of correct
    answer symbols, averaged over the test lengths, with 512 strings of each length. There all strings of a batch have
    the same length; here each row draws its own. If an answer ends before the blanks do, the remaining blanks count
    neither in the loss nor in the score; in the published code they count in the loss.

    Args:
        train_lengths: Shortest and longest source in training. A length at which the task has no sources is replaced by
            the nearest smaller one, or else by the smallest.
        test_lengths: Shortest and longest source in the test set, likewise.
        settings: The other settings of every generated task, see `Generated`.

    Reference:
        Delétang et al. 2022, *Neural Networks and the Chomsky Hierarchy*.
    """

    alphabet: ClassVar[str]
    """The symbols of a source, a character each."""

    answers: ClassVar[str]
    """The symbols of an answer, a character each."""

    pattern: ClassVar[str]
    """A regular expression for the text of a source."""

    shortest: ClassVar[int] = 1
    """Length of the shortest source."""

    metrics: ClassVar[dict[str, str]] = {
        **Generated.metrics,
        "symbols": "ddstructs.training.metrics:SymbolAccuracy",
    }
    score = "symbols"

    def __init__(
        self, train_lengths: tuple[int, int] = (1, 40), test_lengths: tuple[int, int] = (41, 500), **settings: Any
    ) -> None:
        super().__init__(train_lengths=train_lengths, test_lengths=test_lengths, **settings)
        self.source_symbols = len(self.alphabet)

    @abstractmethod
    def solve(self, source: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """The answer to each source.

        Args:
            source: Source symbols, shape `(batch, time)`, int64; symbols beyond a row's length are arbitrary.
            lengths: Length of each source, shape `(batch,)`, int64.

        Returns:
            The answers, padded in the same way, and the number of blanks of each; `IGNORE` for blanks that do not
            count.
        """

    def possible(self, lengths: Tensor) -> Tensor:
        """Replace lengths at which the task has no sources, see `train_lengths`; shape `(batch,)`."""
        return lengths.clamp(min=self.shortest)

    def strings(self, lengths: Tensor, generator: torch.Generator) -> Tensor:
        """Random sources; their symbols are uniform and independent, unless the task has a rule.

        Args:
            lengths: Shape `(batch,)`, each a length at which the task has sources.
            generator: Source of the random numbers.

        Returns:
            Source symbols, shape `(batch, time)`, int64; symbols beyond a row's length are arbitrary.
        """
        return torch.randint(self.source_symbols, (len(lengths), int(lengths.max())), generator=generator)

    @property
    def input_symbols(self) -> int:
        return 2 + self.source_symbols

    @property
    def output_symbols(self) -> int:
        return len(self.answers)

    def source_name(self, symbol: int) -> str:
        return self.alphabet[symbol]

    def input_name(self, symbol: int) -> str:
        return ("<s>", "_")[symbol] if symbol <= BLANK else self.source_name(symbol - 2)

    def output_name(self, symbol: int) -> str:
        return self.answers[symbol]

    def answer(self, symbols: list[int]) -> str:
        return "".join(map(self.output_name, symbols))

    def encode(self, text: str) -> list[int]:
        if not re.fullmatch(self.pattern, text):
            raise InputError(f"{printable(text)!r} is not a source of {type(self).__name__} such as {self.example}")
        return [self.alphabet.index(char) for char in text]

    def draw(self, rows: int, lengths: tuple[int, int], generator: torch.Generator) -> tuple[Tensor, Tensor]:
        n = self.possible(torch.randint(lengths[0], lengths[1] + 1, (rows,), generator=generator))
        return self.strings(n, generator), n

    def assemble(self, source: Tensor, lengths: Tensor) -> Batch:
        answer, blanks = self.solve(source, lengths)
        n, total = 1 + lengths[:, None], 1 + lengths + blanks
        step = torch.arange(int(total.max()))[None]
        at = (step - n).clamp(0, answer.shape[1] - 1).expand(len(source), -1)
        from_source = (step - 1).clamp(0, source.shape[1] - 1).expand(len(source), -1)
        due = (step >= n) & (step < total[:, None])
        inputs = torch.where(due, BLANK, START)
        inputs = torch.where((step > 0) & (step < n), source.gather(1, from_source) + 2, inputs)
        targets = torch.where(due, answer.gather(1, at), IGNORE)
        return Batch(inputs, targets, total)

    def lengths(self, batch: Batch) -> Tensor:
        return (batch.inputs > BLANK).sum(dim=1)
