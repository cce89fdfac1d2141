"""Recognition: decide at the end of a string whether it is in a language."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from ddstructs.tasks.batch import IGNORE, Batch
from ddstructs.tasks.language_task import LanguageTask

__all__ = ["Recognition"]

NAMES = ("no", "yes")

MORE = 0.5
"""Probability of one more edit."""


class Recognition(LanguageTask):
    """Strings `<s> w`; the target of the last step is 1 if `w` is in the language, and 0 otherwise.

    Half of the strings are drawn from the language, a quarter are random, and a quarter are strings of the language
    with a few edits, whose number is geometric. Every string is labeled by membership. An edit replaces a symbol, so
    the length of a string does not reveal its label.

    Args:
        settings: The settings of every generated task, see `Generated`.

    Reference:
        Butoi, Khalighinejad, Svete, Valvoda, Cotterell & DuSell 2025, *Training Neural Networks as Recognizers of
        Formal Languages*.
    """

    metrics: ClassVar[dict[str, str]] = {"accuracy": "ddstructs.training.metrics:CoarseAccuracy"}
    goal = LanguageTask.goal._replace(metric="accuracy")
    score = "accuracy"

    @property
    def output_symbols(self) -> int:
        return len(NAMES)

    def output_name(self, symbol: int) -> str:
        return NAMES[symbol]

    def draw(self, rows: int, lengths: tuple[int, int], generator: torch.Generator) -> tuple[Tensor, Tensor]:
        inside, n = super().draw(rows, lengths, generator)
        shape = (rows, inside.shape[1])
        noise = torch.randint(self.source_symbols, shape, generator=generator)
        return torch.where(self._replaced(n, shape, generator), noise, inside), n

    def _replaced(self, n: Tensor, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
        """Mask of the symbols to replace: none in half of the rows, all in a quarter, a few in a quarter."""
        kind = torch.randint(4, (shape[0], 1), generator=generator)
        edits = torch.empty(shape[0], 1).geometric_(1 - MORE, generator=generator)
        places = torch.rand(shape, generator=generator).masked_fill(torch.arange(shape[1]) >= n[:, None], 2.0)
        few = places.argsort(dim=1).argsort(dim=1) < edits
        return (kind == 2) | ((kind == 3) & few)

    def assemble(self, source: Tensor, lengths: Tensor) -> Batch:
        inputs = self.inputs(source, lengths)
        targets = torch.full_like(inputs, IGNORE)
        targets.scatter_(1, lengths[:, None], self.language.accepts(source, lengths)[:, None].long())
        return Batch(inputs, targets, 1 + lengths)
