"""Recognition: decide at the end of a string whether it is in a language."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ddstructs.errors import InputError
from ddstructs.registry.ranges import Spread, check_ranges
from ddstructs.tasks.batch import IGNORE, Batch
from ddstructs.tasks.edits import edited
from ddstructs.tasks.language_task import LanguageTask
from ddstructs.tasks.task import Goal

__all__ = ["Recognition"]

NAMES = ("no", "yes")

MORE = 0.5
"""Probability of one more edit."""

TRIES = 100


class Recognition(LanguageTask):
    """Strings `<s> w`; the target of the last step is 1 if `w` is in the language, and 0 otherwise.

    Half of the strings are drawn from the language. Each of the others is random, its length uniform in the range, or,
    as likely, a string of the language with a few edits, whose number is geometric; it is drawn again if the language
    has it. Where all of a hundred tries do, as may happen if strings have few symbols, the last is kept, and is labeled
    by membership like every string. An edit inserts, replaces or deletes a symbol.

    The suite of Butoi et al. trains on lengths from 0 to 40, validates on 0 to 40 or 0 to 80, and tests on 0 to 500.
    Here the shortest string has one symbol.

    Args:
        language_model: Whether the network also learns, in training, to predict the next symbol of strings in the
            language, and their end: one of the auxiliary objectives of Butoi et al. Its symbols follow `no` and `yes`
            among the output symbols. They compete among themselves for the next symbol, and with `no` and `yes` for
            the answer. It gives the network a target at every symbol, where the answer is one for a whole string.
        answer_weight: Weight, in training, of a similar objective: to predict the symbols after the mark of strings in
            the language, and their end. Unlike the symbols before the mark, they are determined, so that most of what
            a network is told by them is how to use its memory. It is only for languages with a mark, such as `#`.
        settings: The other settings of every generated task, see `Generated`.

    Reference:
        Butoi, Khalighinejad, Svete, Valvoda, Cotterell & DuSell 2025, *Training Neural Networks as Recognizers of
        Formal Languages*.
    """

    metrics: ClassVar[dict[str, str]] = {"accuracy": "ddstructs.training.metrics:CoarseAccuracy"}
    goal = Goal("accuracy", 0.9999)
    score = "accuracy"

    def __init__(self, language_model: bool = False, answer_weight: Spread = 0.0, **settings: Any) -> None:
        check_ranges(Recognition.__init__, locals())
        super().__init__(**settings)
        if answer_weight and self.language.mark is None:
            raise InputError(
                f"answer_weight is {answer_weight}, but the strings of {type(self).__name__} have no mark, such as #, "
                "before an answer: use 0"
            )
        self.language_model = language_model
        self.answer_weight = answer_weight

    @property
    def output_symbols(self) -> int:
        return len(NAMES) + (self.source_symbols + 1 if self.language_model or self.answer_weight else 0)

    def output_name(self, symbol: int) -> str:
        names = *NAMES, *map(self.source_name, range(self.source_symbols)), "</s>"
        return names[symbol]

    def draw(self, rows: int, lengths: tuple[int, int], generator: torch.Generator) -> tuple[Tensor, Tensor]:
        inside, n = super().draw(rows, lengths, generator)
        source = torch.zeros(rows, max(inside.shape[1], lengths[1]), dtype=torch.int64)
        source[:, : inside.shape[1]] = inside
        wrong = (torch.rand(rows, generator=generator) < 0.5).nonzero()[:, 0]
        for _ in range(TRIES):
            if not len(wrong):
                break
            tried, n[wrong] = self._tried(len(wrong), lengths, generator)
            source[wrong, : tried.shape[1]] = tried
            wrong = wrong[self.language.accepts(source[wrong], n[wrong])]
        return source[:, : int(n.max())], n

    def _tried(self, rows: int, lengths: tuple[int, int], generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Strings that may be outside the language, and their lengths."""
        near, size = super().draw(rows, lengths, generator)
        edits = torch.empty(rows).geometric_(1 - MORE, generator=generator).long()
        near, size = edited(near, size, edits, lengths, self.source_symbols, generator)
        n = torch.randint(lengths[0], lengths[1] + 1, (rows,), generator=generator)
        noise = torch.randint(self.source_symbols, near.shape, generator=generator)
        kind = torch.rand(rows, generator=generator) < 0.5
        return torch.where(kind[:, None], noise, near), torch.where(kind, n, size)

    def assemble(self, source: Tensor, lengths: Tensor) -> Batch:
        inputs = self.inputs(source, lengths)
        targets = torch.full_like(inputs, IGNORE)
        targets.scatter_(1, lengths[:, None], self.language.accepts(source, lengths)[:, None].long())
        return Batch(inputs, targets, 1 + lengths)

    def auxiliary_loss(self, logits: Tensor, batch: Batch) -> Tensor | None:
        """The mean cross entropy of what follows each symbol in strings of the language, in nats; weighted for answers.

        With both objectives it is their sum.
        """
        last, step = batch.lengths[:, None] - 1, torch.arange(batch.inputs.shape[1], device=batch.inputs.device)
        inside = (batch.targets.gather(1, last) == NAMES.index("yes")) & (step <= last)
        symbols = batch.inputs - 1
        following = torch.where(step < last, symbols.roll(-1, dims=1), self.source_symbols)
        objectives = [(1.0, inside)] if self.language_model else []
        if self.answer_weight and (mark := self.language.mark) is not None:
            objectives.append((self.answer_weight, inside & ((symbols == mark).cumsum(dim=1) > 0)))
        losses = [
            weight * cross_entropy(logits[..., len(NAMES) :][asked], following[asked])
            for weight, asked in objectives
            if asked.any()
        ]
        return torch.stack(losses).sum() if losses else None
