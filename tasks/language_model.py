"""Language modeling: predict the next symbol of a string in each step."""

from __future__ import annotations

import math
from functools import cache
from typing import Any, ClassVar

import torch
from torch import Tensor

from ddstructs.registry.ranges import Lengths, Share
from ddstructs.tasks.batch import IGNORE, Batch
from ddstructs.tasks.language import MeasuredLanguage
from ddstructs.tasks.language_task import LanguageTask
from ddstructs.tasks.streams import TEST, VAL
from ddstructs.tasks.task import Goal, Split

__all__ = ["LanguageModel"]


class LanguageModel(LanguageTask):
    r"""Strings `<s> w`; the target of each step is the next symbol or, at the end, `</s>`.

    The loss is the cross entropy per symbol, ends included. The `excess` is the loss minus that of the true
    distribution on the same strings: a length uniform among those of training, then a string of that length,

    $$ -\ln p(w) = \ln |\text{lengths}| - \ln p(w \mid |w|) $$

    so a perfect model has an excess of 0 in any set of strings of the training lengths, one length alone included. The
    published code charges nothing for the length when it tests one length alone; its perfect model is above 0 there, by
    ln |lengths| / (n + 1). At greater lengths than those of training there is no true distribution; the charge for the
    length stays the same there.

    Output symbols are those of the language and, last, `</s>`.

    Args:
        val_lengths: Shortest and longest string in validation; as in training if not given. A perfect model of the
            training strings knows none of other lengths, and has an excess there.
        curriculum: Whether to start with short strings.
        threshold: A stage of the curriculum ends when the running mean of exp(-excess) exceeds this. exp(-excess) is
            the geometric mean, over the symbols, of their probability relative to that under the true distribution of
            the stage.
        settings: The other settings of every generated task, see `Generated`.

    Reference:
        DuSell & Chiang 2020, *Learning Context-Free Languages with Nondeterministic Stack RNNs*.
    """

    language: ClassVar[MeasuredLanguage]
    metrics: ClassVar[dict[str, str]] = {}
    goal = Goal("excess", 0.005, smaller=True)
    score = "-loss"

    def __init__(
        self,
        val_lengths: Lengths | None = None,
        curriculum: bool = False,
        threshold: Share = 0.87,
        **settings: Any,
    ) -> None:
        super().__init__(val_lengths=val_lengths, curriculum=curriculum, threshold=threshold, **settings)

    @property
    def output_symbols(self) -> int:
        return self.source_symbols + 1

    def output_name(self, symbol: int) -> str:
        return "</s>" if symbol == self.source_symbols else self.source_name(symbol)

    def assemble(self, source: Tensor, lengths: Tensor) -> Batch:
        inputs = self.inputs(source, lengths)
        targets = torch.where(torch.arange(inputs.shape[1]) < lengths[:, None], inputs.roll(-1, dims=1) - 1, IGNORE)
        targets.scatter_(1, lengths[:, None], self.source_symbols)
        return Batch(inputs, targets, 1 + lengths)

    @property
    def validated_lengths(self) -> tuple[int, int]:
        return self.val_lengths or self.train_lengths

    def mastery(self, loss: Tensor, output: Tensor, batch: Batch) -> Tensor:
        """exp(-excess), see `threshold`."""
        strings, lengths = (batch.inputs[:, 1:] - 1).cpu(), (batch.lengths - 1).cpu()
        count = len(self.language.sizes(self.stages.lengths(self.train_lengths[0])))
        excess = loss - _nats_per_symbol(self.language, strings, lengths, count)
        return torch.exp(-excess).clamp(max=1.0)

    def knows_floor(self, split: Split) -> bool:
        return split != "train"  # whose strings are drawn anew in each epoch

    def floor(self, split: Split) -> float | None:
        if split == "train":
            return None
        key, lengths = (VAL, self.validated_lengths) if split == "val" else (TEST, self.test_lengths)
        count = len(self.language.sizes(self.train_lengths))
        return _floor(type(self), key, lengths, self.eval_size, count)


@cache
def _floor(kind: type[LanguageModel], key: int, lengths: tuple[int, int], size: int, count: int) -> float:
    """The loss of a perfect model of a set, which is fixed, in nats per symbol; `count` is that of training lengths."""
    task = kind(eval_size=size)
    return _nats_per_symbol(kind.language, *task._fixed(key, lengths), count)


def _nats_per_symbol(language: MeasuredLanguage, strings: Tensor, lengths: Tensor, count: int) -> float:
    """The loss of a perfect model of strings whose length is one of `count`, in nats per symbol."""
    nats = language.nats(strings, lengths).sum() + len(lengths) * math.log(count)
    return float(nats / (lengths + 1).sum())
