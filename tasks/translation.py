"""Tasks in which the sentences of a grammar are translated."""

from __future__ import annotations

from itertools import chain
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor

from ddstructs.errors import InputError
from ddstructs.tasks.grammar import Grammar
from ddstructs.tasks.held_out import set_of
from ddstructs.tasks.transduction import Transduction

__all__ = ["Translation", "numbered"]

Distribution = Literal["uniform", "natural"]


def numbered(name: str, count: int) -> list[str]:
    """Numbered words of one kind: `si1`, `si2` and so on."""
    return [f"{name}{i}" for i in range(1, count + 1)]


class Translation(Transduction):
    """A task that translates the sentences of a grammar.

    The length of a source is drawn from the given range, then the kinds of its words from the grammar's distribution
    over sentences of that length, then each word uniformly from its kind. Lengths below that of the shortest sentence,
    as in the first stages of a curriculum, are raised to it.

    Lengths are uniform over a range by default, and sentences so long that they do not recur. Natural lengths have the
    probabilities that the grammar gives them, within the range. Most sentences are short then, and recur, so each
    belongs to one set: a hash of its words assigns six eighths of all sentences to training and one eighth each to
    validation and test (see `set_of`), whatever the seed. A length is drawn first; the sentence is then drawn again
    until it belongs to the set. So lengths have the same distribution in all sets, and sentences that of the grammar,
    given their length and their set.

    In text, words are separated by blanks.

    Args:
        length_distribution: How lengths are distributed over a range: uniform, or as the grammar derives sentences of
            these lengths (natural).
        settings: The other settings of every generated task, see `Generated`.

    Raises:
        InputError: If no sentence has a length in one of the ranges, or if the distribution is unknown.
    """

    grammar: ClassVar[Grammar]
    """The grammar of the source; its terminals are kinds of words."""

    source_words: ClassVar[tuple[list[str], ...]]
    """The words of each kind, in the order of the grammar's kinds."""

    target_words: ClassVar[tuple[str, ...]]
    """The words of the target, in the order of its symbols."""

    shortest: ClassVar[int]
    """Length of the shortest sentence; there are sentences of every greater length."""

    def __init__(self, length_distribution: Distribution = "uniform", **settings: Any) -> None:
        super().__init__(**settings)
        if length_distribution not in get_args(Distribution):
            expected = " or ".join(get_args(Distribution))
            raise InputError(f"length_distribution is {length_distribution!r}, but {expected} was expected")
        self.length_distribution = length_distribution
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
        if self.length_distribution == "natural":
            n = self.grammar.draw_lengths(rows, (low, high), generator)
        else:
            n = torch.randint(low, high + 1, (rows,), generator=generator)
        return self._draw_sentences(n, generator), n

    def draw_for(
        self, split: int, rows: int, lengths: tuple[int, int], generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        source, n = self.draw(rows, lengths, generator)
        if self.length_distribution == "uniform":
            return source, n
        while len(others := (set_of(source, n) != split).nonzero()[:, 0]):
            again = self._draw_sentences(n[others], generator)
            source[others, : again.shape[1]] = again
        return source, n

    def _draw_sentences(self, lengths: Tensor, generator: torch.Generator) -> Tensor:
        """Draw a sentence of each of these lengths, shape `(batch, longest)`."""
        kinds = self.grammar.draw(lengths, generator)
        chance = torch.rand(kinds.shape, generator=generator, dtype=torch.float64)
        return self._firsts[kinds] + (chance * self._sizes[kinds]).long()

    def _check_lengths(self, name: str, lengths: tuple[int, int]) -> None:
        super()._check_lengths(name, lengths)
        if lengths[1] < self.shortest:
            raise InputError(
                f"{name} is {lengths[0]}..{lengths[1]}, "
                f"but the shortest sentence of {type(self).__name__} has {self.shortest} words"
            )
