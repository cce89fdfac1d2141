"""SVO to SOV: move the verb of a sentence to its end."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ddstructs.tasks.grammar import Grammar
from ddstructs.tasks.translation import Translation, numbered

__all__ = ["SVOtoSOV"]

RELATIVE, SUBJECT, OBJECT, VERB = range(4)

PAIRS = 33
"""Words of the kinds subject, object and verb."""


@final
class SVOtoSOV(Translation):
    """Move the verb of a sentence to its end: `si1 vi2 oi3` becomes `so1 oo3 vo2`.

    Subjects and objects may contain relative clauses, `si1 rpi si2 vi3`, whose verbs stay in place. Each relative
    pronoun is followed by a subject and a verb that closes its clause, so the verb of the sentence is the first one
    without an open pronoun. The grammar is ambiguous, but every sentence has exactly one translation.

    Sentences have 3 words or more.

    Args:
        settings: The settings of every translation, see `Translation`.

    Reference:
        Grefenstette, Hermann, Suleyman & Blunsom 2015, *Learning to Transduce with Unbounded Memory*, section 4.2.

    Example:
        >>> import torch
        >>> from ddstructs.tasks import SVOtoSOV
        >>> task = SVOtoSOV()
        >>> source = torch.tensor([task.encode("si1 rpi si19 vi16 vi28 oi5 oi7")])
        >>> target, lengths = task.transduce(source, torch.tensor([7]))
        >>> task.decode(target[0].tolist())
        'so1 rpo so19 vo16 oo5 oo7 vo28'
    """

    grammar = Grammar(
        ["rpi", "si", "oi", "vi"],
        {
            "A": [(1, "S vi O")],
            "S": [(1 / 5, "S S"), (1 / 5, "S rpi S vi"), (3 / 5, "si")],
            "O": [(1 / 5, "O O"), (1 / 5, "S rpi S vi"), (3 / 5, "oi")],
        },
        start="A",
    )
    source_words = (["rpi"], *(numbered(kind, PAIRS) for kind in ("si", "oi", "vi")))
    target_words = ("rpo", *(word for kind in ("so", "oo", "vo") for word in numbered(kind, PAIRS)))
    shortest = 3
    example = "si1 vi28 oi5"

    def transduce(self, source: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        kinds = self.kinds(source)
        unclosed = ((kinds == RELATIVE).int() - (kinds == VERB).int()).cumsum(dim=1)
        verb = (unclosed < 0).int().argmax(dim=1)[:, None]
        place, end = torch.arange(source.shape[1]), lengths[:, None] - 1
        origin = torch.where(place < verb, place, torch.where(place < end, place + 1, verb))
        return source.gather(1, origin.clamp(max=source.shape[1] - 1)), lengths
