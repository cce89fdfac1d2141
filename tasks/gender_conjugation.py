"""Gender conjugation: translate into a language whose articles agree in gender with the noun."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ddstructs.tasks.grammar import Grammar
from ddstructs.tasks.translation import Translation, numbered

__all__ = ["GenderConjugation"]

OR, AND, THE, A, WORD, MASCULINE, FEMININE, NEUTER = range(8)

TERMINALS = 25
"""Words of the kinds word, masculine, feminine and neuter."""


@final
class GenderConjugation(Translation):
    """Choose each article by the gender of the noun that follows: `the em1 and a ef2` becomes `der gm1 und eine gf2`.

    The translation is word for word, and only articles depend on the word that follows. The grammar is ambiguous, but
    every sentence has exactly one translation.

    Sentences have 5 words or more.

    Args:
        settings: The settings of every translation, see `Translation`.

    Reference:
        Grefenstette, Hermann, Suleyman & Blunsom 2015, *Learning to Transduce with Unbounded Memory*, section 4.2.

    Example:
        >>> import torch
        >>> from ddstructs.tasks import GenderConjugation
        >>> task = GenderConjugation()
        >>> source = torch.tensor([task.encode("the en19 and a ef17 we11")])
        >>> target, lengths = task.transduce(source, torch.tensor([6]))
        >>> task.decode(target[0].tolist())
        'das gn19 und eine gf17 wg11'
    """

    grammar = Grammar(
        ["or", "and", "the", "a", "we", "em", "ef", "en"],
        {
            "B": [(1 / 4, "B or B"), (1 / 4, "S and S"), (1 / 2, "B V")],
            "V": [(3 / 4, "we B"), (1 / 4, "we")],
            "S": [(1 / 6, f"{article} {noun}") for article in ("the", "a") for noun in ("em", "ef", "en")],
        },
        start="B",
    )
    source_words = (["or"], ["and"], ["the"], ["a"], *(numbered(kind, TERMINALS) for kind in ("we", "em", "ef", "en")))
    target_words = (
        *("oder", "und", "der", "die", "das", "ein", "eine"),
        *(word for kind in ("wg", "gm", "gf", "gn") for word in numbered(kind, TERMINALS)),
    )
    shortest = 5
    example = "the em1 and a ef2"

    def transduce(self, source: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        kinds = self.kinds(source)
        gender = (kinds.roll(-1, dims=1) - MASCULINE).clamp(0, 2)  # of the next word; after an article, that is a noun
        others = self.target_words.index("wg1") - int(self._firsts[WORD])  # the nouns follow in the same order
        target = torch.where(kinds < THE, source, source + others)
        target = torch.where(kinds == THE, self._articles("der", "die", "das")[gender], target)
        return torch.where(kinds == A, self._articles("ein", "eine", "ein")[gender], target), lengths

    def _articles(self, *words: str) -> Tensor:
        return torch.tensor([self.target_words.index(word) for word in words])
