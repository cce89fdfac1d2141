"""Formal languages, for language modeling and recognition."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

__all__ = ["Language", "MeasuredLanguage"]


class Language(ABC):
    """A set of strings, with a distribution over the strings of each length.

    Attributes:
        alphabet: The symbols, one character each.
    """

    alphabet: str

    @abstractmethod
    def sizes(self, lengths: tuple[int, int]) -> list[int]:
        """The lengths in a range at which the language has strings; the nearest such length if there is none."""

    @abstractmethod
    def draw(self, lengths: Tensor, generator: torch.Generator) -> Tensor:
        """Draw a string of each length.

        Args:
            lengths: Shape `(batch,)`; the language must have strings of each length.
            generator: Source of the random numbers.

        Returns:
            The symbols, shape `(batch, time)`; symbols beyond a row's length are arbitrary.
        """

    @property
    def mark(self) -> int | None:
        """The symbol that separates a question from its answer, which the question determines; None if there is none.

        It is `#`, if the alphabet has that.
        """
        return self.alphabet.index("#") if "#" in self.alphabet else None

    @abstractmethod
    def accepts(self, strings: Tensor, lengths: Tensor) -> Tensor:
        """Whether each string is in the language, shape `(batch,)`, bool."""


class MeasuredLanguage(Language):
    """A language whose strings have known probabilities."""

    @abstractmethod
    def nats(self, strings: Tensor, lengths: Tensor) -> Tensor:
        """The surprisal of each string among those of its length, -ln p(string | length), in nats.

        Args:
            strings: Symbols, shape `(batch, time)`; symbols beyond a row's length are arbitrary.
            lengths: Length of each string, shape `(batch,)`.

        Returns:
            Shape `(batch,)`, float64; infinite for a string that is not in the language.
        """
