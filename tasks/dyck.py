"""Brackets of two kinds: the tasks to model and to recognize them."""

from __future__ import annotations

from itertools import product
from typing import final

from ddstructs.tasks.automaton import Automaton
from ddstructs.tasks.grammar_language import GrammarLanguage, continuing
from ddstructs.tasks.language_model import LanguageModel
from ddstructs.tasks.recognition import Recognition

__all__ = ["DYCK", "DyckModel", "DyckRecognition"]

SPLIT, NEST = continuing(1), continuing(39)

DYCK = GrammarLanguage(
    "()[]",
    {
        "S": [(SPLIT, "S T"), (1 - SPLIT, "T")],
        "T": [(NEST / 2, "( S )"), (NEST / 2, "[ S ]"), ((1 - NEST) / 2, "( )"), ((1 - NEST) / 2, "[ ]")],
    },
    "S",
)

PAIRS = {"(": ")", "[": "]"}

DEEPEST = 3


def _bounded() -> Automaton:
    """Brackets up to a depth; a state is the brackets that are open."""
    states = ["".join(opened) for depth in range(DEEPEST + 1) for opened in product(PAIRS, repeat=depth)]
    deeper = {opened: {a: opened + a for a in PAIRS if len(opened) < DEEPEST} for opened in states}
    return Automaton("()[]", {a: deeper[a] | ({PAIRS[a[-1]]: a[:-1]} if a else {}) for a in states}, {""})


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


@final
class DyckRecognition(Recognition):
    """Recognize balanced brackets of two kinds, at most three deep, such as `([])()`.

    Args:
        settings: The settings of every recognition task, see `Recognition`.

    Reference:
        Butoi, Khalighinejad, Svete, Valvoda, Cotterell & DuSell 2025, *Training Neural Networks as Recognizers of
        Formal Languages*.
    """

    language = _bounded()
    example = "([])()"
