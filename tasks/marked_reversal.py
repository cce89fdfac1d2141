"""Marked reversal, `w # w^R`: the tasks to model and to recognize it."""

from __future__ import annotations

from typing import final

from ddstructs.tasks.language_model import LanguageModel
from ddstructs.tasks.recognition import Recognition
from ddstructs.tasks.repeated import Repeated

__all__ = ["MARKED_REVERSAL", "MarkedReversalModel", "MarkedReversalRecognition"]

MARKED_REVERSAL = Repeated("01#", "w # w^R")


@final
class MarkedReversalModel(LanguageModel):
    """Model the language `w # w^R`: after `0 1 #`, the rest `1 0` is certain.

    The published grammar draws each length from a geometric distribution, but it is conditioned on the length, and then
    `w` is uniform.

    Args:
        settings: The settings of every language model, see `LanguageModel`.

    Reference:
        DuSell & Chiang 2020, *Learning Context-Free Languages with Nondeterministic Stack RNNs*.

    Example:
        >>> import torch
        >>> from ddstructs.tasks import MarkedReversalModel
        >>> task = MarkedReversalModel()
        >>> task.assemble(*task.sources(["01#10"])).targets.tolist()
        [[0, 1, 2, 1, 0, 3]]
    """

    language = MARKED_REVERSAL
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

    language = MARKED_REVERSAL
    example = "01#10"
