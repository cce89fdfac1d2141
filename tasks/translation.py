"""Tasks in which the sentences of a grammar are translated."""

from __future__ import annotations

from itertools import chain
from typing import Any, ClassVar

import torch
from torch import Tensor

from ddstructs.errors import InputError
from ddstructs.tasks.grammar import Grammar
from ddstructs.tasks.transduction import Transduction

__all__ = ["Translation", "numbered"]


def numbered(name: str, count: int) -> list[str]:
    """Numbered words of one kind: `si1`, `si2` and so on."""
    return [f"{name}{i}" for i in range(1, count + 1)]


class Translation(Transduction):
    """A task that translates the sentences of a grammar.

    The length of a source is drawn uniformly from the given range, then the kinds of its words from the grammar's
    distribution over sentences of that length, then each word uniformly from its kind. Lengths below that of the
    shortest sentence, as in the first stages of a curriculum, are raised to it.

    In text, words are separated by blanks.

    Args:
        settings: The settings of every generated task, see `Generated`.

    Raises:
        InputError: If no sentence has a length in one of the ranges.
    """

    grammar: ClassVar[Grammar]
    """The grammar of the source; its terminals are kinds of words."""

    source_words: ClassVar[tuple[list[str], ...]]
    """The words of each kind, in the order of the grammar's kinds."""

    target_words: ClassVar[tuple[str, ...]]
    """The words of the target, in the order of its symbols."""

    shortest: ClassVar[int]
    """Length of the shortest sentence; there are sentences of every greater length."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.source_symbols, self.target_symbols = sum(map(len, self.source_words)), len(self.target_words)
        sizes = torch.tensor([len(words) for words in self.source_words])
        self._sizes, self._firsts = sizes, sizes.cumsum(0) - sizes
        self._words = [*chain(*self.source_words)]
        self._symbols = {word: i for i, word in enumerate(self._words)}

    def encode(self, text: str) -> list[int]:
        name = type(self).__name__
        symbols = []
        for word in text.split():
            if word not in self._symbols:
                known = [kind[0] if len(kind) == 1 else f"{kind[0]}..{kind[-1]}" for kind in self.source_words]
                raise InputError(f"{word!r} is not a word of {name}, whose words are {', '.join(known)}")
            symbols.append(self._symbols[word])
        if not self.grammar.accepts(self.kinds(torch.tensor(symbols, dtype=torch.int64)).tolist()):
            raise InputError(f"{text!r} is not a sentence of {name} such as {self.example!r}")
        return symbols

    def source_name(self, symbol: int) -> str:
        return self._words[symbol]

    def decode(self, symbols: list[int]) -> str:
        return " ".join(self.target_words[symbol] for symbol in symbols)

    def kinds(self, source: Tensor) -> Tensor:
        """The kind of each word, in the same shape."""
        return torch.bucketize(source.contiguous(), self._firsts, right=True) - 1

    def draw(self, rows: int, lengths: tuple[int, int], generator: torch.Generator) -> tuple[Tensor, Tensor]:
        low, high = (max(self.shortest, length) for length in lengths)
        n = torch.randint(low, high + 1, (rows,), generator=generator)
        kinds = self.grammar.draw(n, generator)
        chance = torch.rand(kinds.shape, generator=generator, dtype=torch.float64)
        return self._firsts[kinds] + (chance * self._sizes[kinds]).long(), n

    def _check_lengths(self, name: str, lengths: tuple[int, int]) -> None:
        super()._check_lengths(name, lengths)
        if lengths[1] < self.shortest:
            raise InputError(
                f"{name} is {lengths[0]}..{lengths[1]}, "
                f"but the shortest sentence of {type(self).__name__} has {self.shortest} words"
            )
