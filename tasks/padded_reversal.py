"""Padded reversal, `w a^p w^R`: the task to model it."""

from __future__ import annotations

from typing import final

from ddstructs.tasks.grammar_language import GrammarLanguage, continuing
from ddstructs.tasks.language_model import LanguageModel

__all__ = ["PADDED_REVERSAL", "PaddedReversalModel"]

NEST, PAD = continuing(60), continuing(30)

PADDED_REVERSAL = GrammarLanguage(
    "01",
    {
        "S": [(NEST / 2, "0 S 0"), (NEST / 2, "1 S 1"), ((1 - NEST) / 2, "Z"), ((1 - NEST) / 2, "E")],
        "Z": [(PAD, "0 Z"), (1 - PAD, "")],
        "E": [(PAD, "1 E"), (1 - PAD, "")],
    },
    "S",
)


@final
class PaddedReversalModel(LanguageModel):
    """Model the language `w a^p w^R`, such as `0 1 0 0 0 1 0`: a long stretch of one symbol hides where the middle is.

    The grammar has a mean of 60 for the length of `w` and of 30 for p, and is conditioned on the length. Descriptions
    of the language differ in what `a` is; here, as in the published code, it is 0 or 1, independent of `w`.

    Args:
        settings: The settings of every language model, see `LanguageModel`.

    Reference:
        DuSell & Chiang 2020, *Learning Context-Free Languages with Nondeterministic Stack RNNs*.
    """

    language = PADDED_REVERSAL
    example = "0100010"
