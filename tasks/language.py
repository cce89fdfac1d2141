"""Formal languages: what the tasks of language modelling and of recognition are about."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

__all__ = ["Language"]


class Language(ABC):
    """A set of strings, with a distribution over those of each length.

    Attributes:
        alphabet: The symbols, a character each.
    """

    alphabet: str

    @abstractmethod
    def sizes(self, lengths: tuple[int, int]) -> list[int]:
        """The lengths in a range at which the language has strings, the nearest one if there is none in it."""

    @abstractmethod
    def draw(self, lengths: Tensor, generator: torch.Generator) -> Tensor:
        """A string of each length.

        Args:
            lengths: Shape `(batch,)`, each a length at which the language has strings.
            generator: Where the random numbers come from.

        Returns:
            The symbols, shape `(batch, time)`; what follows in a shorter row is of no account.
        """

    @abstractmethod
    def accepts(self, strings: Tensor, lengths: Tensor) -> Tensor:
        """Whether each string, of any symbols and length, is in the language, shape `(batch,)`, bool."""

    @abstractmethod
    def nats(self, lengths: Tensor) -> Tensor:
        """The mean surprise, -ln p(string), over the strings that are drawn at each length, shape `(batch,)`."""
