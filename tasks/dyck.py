"""Brackets of two kinds: the task to model them."""

from __future__ import annotations

from typing import final

from ddstructs.tasks.grammar_language import GrammarLanguage, continuing
from ddstructs.tasks.language_model import LanguageModel

__all__ = ["DYCK", "DyckModel"]

SPLIT, NEST = continuing(1), continuing(39)

DYCK = GrammarLanguage(
    "()[]",
    {
        "S": [(SPLIT, "S T"), (1 - SPLIT, "T")],
        "T": [(NEST / 2, "( S )"), (NEST / 2, "[ S ]"), ((1 - NEST) / 2, "( )"), ((1 - NEST) / 2, "[ ]")],
    },
    "S",
)


@final
class DyckModel(LanguageModel):
    """Model strings of balanced brackets of two kinds, such as `( [ ] ) ( )`.

    The grammar has a mean of one split of a string in two, and of a depth of 40, and is conditioned on the length.

    Args:
        settings: The settings of every language model, see `LanguageModel`.

    Reference:
        DuSell & Chiang 2020, *Learning Context-Free Languages with Nondeterministic Stack RNNs*.
    """

    language = DYCK
    example = "([])()"
