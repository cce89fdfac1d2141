"""Unmarked reversal, `w w^R`: the task to model it."""

from __future__ import annotations

from typing import final

from ddstructs.tasks.language_model import LanguageModel
from ddstructs.tasks.repeated import Repeated

__all__ = ["UNMARKED_REVERSAL", "UnmarkedReversalModel"]

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
