"""Marked reversal, `w # w^R`: the language, and the tasks to model and to recognize it."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor

from ddstructs.tasks.language import Language
from ddstructs.tasks.language_model import LanguageModel
from ddstructs.tasks.recognition import Recognition

__all__ = ["MarkedReversal", "MarkedReversalModel", "MarkedReversalRecognition"]

MARK = 2


@final
class MarkedReversal(Language):
    """Strings of bits `w # w^R`, such as `01#10`. Lengths are odd, and `w` is uniform.

    Reference:
        DuSell & Chiang 2020, *Learning Context-Free Languages with Nondeterministic Stack RNNs*.
    """

    alphabet = "01#"

    def sizes(self, lengths: tuple[int, int]) -> list[int]:
        return [n for n in range(max(1, lengths[0]), lengths[1] + 1) if n % 2] or [max(1, lengths[1]) // 2 * 2 + 1]

    def draw(self, lengths: Tensor, generator: torch.Generator) -> Tensor:
        width = int(lengths.max())
        bits = torch.randint(2, (len(lengths), width), generator=generator)
        place, middle = torch.arange(width), lengths[:, None] // 2
        mirrored = bits.gather(1, (lengths[:, None] - 1 - place).clamp(0, width - 1))
        return torch.where(place < middle, bits, torch.where(place == middle, MARK, mirrored))

    def accepts(self, strings: Tensor, lengths: Tensor) -> Tensor:
        width = strings.shape[1]
        if not width:
            return torch.zeros(len(strings), dtype=torch.bool)
        place, n = torch.arange(width), lengths[:, None]
        mirrored = strings.gather(1, (n - 1 - place).clamp(0, width - 1))
        marked = (strings == MARK) == (place == n // 2)
        return ((strings == mirrored) & marked | (place >= n)).all(dim=1) & (lengths % 2 == 1)

    def nats(self, lengths: Tensor) -> Tensor:
        return lengths // 2 * math.log(2)


@final
class MarkedReversalModel(LanguageModel):
    """Model the language `w # w^R`: after `0 1 #`, the rest `1 0` is certain.

    Args:
        settings: The settings of every language model, see `LanguageModel`.

    Example:
        >>> import torch
        >>> from ddstructs.tasks import MarkedReversalModel
        >>> task = MarkedReversalModel()
        >>> task.assemble(*task.sources(["01#10"])).targets.tolist()
        [[0, 1, 2, 1, 0, 3]]
    """

    language = MarkedReversal()
    example = "01#10"


@final
class MarkedReversalRecognition(Recognition):
    """Recognize strings of the form `w # w^R`: `0 1 # 1 0` is one, `0 1 # 0 1` is not.

    Args:
        settings: The settings of every recognition task, see `Recognition`.

    Example:
        >>> import torch
        >>> from ddstructs.tasks import MarkedReversalRecognition
        >>> task = MarkedReversalRecognition()
        >>> task.assemble(*task.sources(["01#10", "01#01"])).targets[:, -1].tolist()
        [1, 0]
    """

    language = MarkedReversal()
    example = "01#10"
