"""The hardest context-free language: the task to model it."""

from __future__ import annotations

from typing import final

from ddstructs.tasks.grammar_language import GrammarLanguage, continuing
from ddstructs.tasks.language_model import LanguageModel

__all__ = ["HARDEST_LANGUAGE", "HardestModel"]

COMMAS, SHORT, LONG = continuing(0.5), continuing(0.5), continuing(1)
SPLIT, NEST = continuing(1.5), continuing(3)
SEMICOLON = 0.25

HARDEST_LANGUAGE = GrammarLanguage(
    "()[],;$",
    {
        "A": [(1, "R $ Q S L ;")],
        "L": [(1, "M , U")],
        "M": [(COMMAS, ", V M"), (1 - COMMAS, "")],
        "R": [(1, "U , N")],
        "N": [(COMMAS, "N V ,"), (1 - COMMAS, "")],
        "U": [(SHORT, "W U"), (1 - SHORT, "")],
        "V": [(LONG, "W V"), (1 - LONG, "W")],
        "W": [(1 / 5, "("), (1 / 5, ")"), (1 / 5, "["), (1 / 5, "]"), (1 / 5, "$")],
        "Q": [(SEMICOLON, "L ; R"), (1 - SEMICOLON, "")],
        "S": [(SPLIT, "S Q T"), (1 - SPLIT, "T")],
        "T": [
            *((NEST / 2, f"{a} Q S Q {b}") for a, b in ("()", "[]")),
            *(((1 - NEST) / 2, f"{a} Q {b}") for a, b in ("()", "[]")),
        ],
    },
    "A",
)


@final
class HardestModel(LanguageModel):
    """Model Greibach's hardest context-free language: balanced brackets in pieces, hidden among decoys.

    A string is a series of blocks that end in `;`, each of pieces separated by `,`. It is in the language if one piece
    of each block can be chosen so that together they are `$` and balanced brackets of two kinds. Every context-free
    language can be reduced to this one.

    The weights are those of the published experiments: a mean of .5 for the decoys beside one and for the length of a
    short one, of 2 for that of a long one, of 1.5 splits of the brackets, and of a depth of 3; a new block begins
    between two brackets with probability .25. The grammar is conditioned on the length.

    Args:
        settings: The settings of every language model, see `LanguageModel`.

    Reference:
        Greibach 1973, *The Hardest Context-Free Language*, and DuSell & Chiang 2020, *Learning Context-Free Languages
        with Nondeterministic Stack RNNs*.
    """

    language = HARDEST_LANGUAGE
    example = ",$([,;,])(),],;"
