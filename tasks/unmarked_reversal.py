"""Unmarked reversal, `w w^R`: the tasks to model and to recognize it."""

from __future__ import annotations

from typing import final

from ddstructs.tasks.language_model import LanguageModel
from ddstructs.tasks.recognition import Recognition
from ddstructs.tasks.repeated import Repeated

__all__ = ["UNMARKED_REVERSAL", "UnmarkedReversalModel", "UnmarkedReversalRecognition"]

UNMARKED_REVERSAL = Repeated("01", "w w^R")


@final
class UnmarkedReversalModel(LanguageModel):
    """Model the language `w w^R`, such as `0 1 1 0`: nothing says where the middle is.

    Args:
        settings: The settings of every language model, see `LanguageModel`.

    Reference:
        DuSell & Chiang 2020, *Learning Context-Free Languages with Nondeterministic Stack RNNs*.

    Example:
        >>> import torch
        >>> from ddstructs.tasks import UnmarkedReversalModel
        >>> task = UnmarkedReversalModel()
        >>> task.assemble(*task.sources(["0110"])).targets.tolist()
        [[0, 1, 1, 0, 2]]
    """

    language = UNMARKED_REVERSAL
    example = "0110"


@final
class UnmarkedReversalRecognition(Recognition):
    """Recognize strings of the form `w w^R`, such as `0110`.

    Args:
        settings: The settings of every recognition task, see `Recognition`.

    Reference:
        Butoi, Khalighinejad, Svete, Valvoda, Cotterell & DuSell 2025, *Training Neural Networks as Recognizers of
        Formal Languages*.
    """

    language = UNMARKED_REVERSAL
    example = "0110"
