"""Languages of a question, a mark, and its answer."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from ddstructs.tasks.language import Language

__all__ = ["Answered"]


class Answered(Language):
    """Strings of a question, a mark, which is the last symbol of the alphabet, and the answer to the question.

    Attributes:
        alphabet: The symbols.
    """

    @property
    def mark(self) -> int:
        return len(self.alphabet) - 1

    @abstractmethod
    def questions(self, lengths: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw a question for a string of each length.

        Args:
            lengths: Shape `(batch,)`; each one that strings have.
            generator: Source of the random numbers.

        Returns:
            The symbols, shape `(batch, longest)`, and the length of each question.
        """

    @abstractmethod
    def answer(self, question: Tensor, size: Tensor, room: Tensor) -> tuple[Tensor, Tensor]:
        """The answer to each question.

        Args:
            question: Symbols, shape `(batch, time)`; what follows in a shorter row is arbitrary.
            size: Length of each question, shape `(batch,)`.
            room: Length of each answer, shape `(batch,)`.

        Returns:
            The symbols, shape `(batch, time)`, and whether this is a question to which there is an answer of this
            length, shape `(batch,)`. If not, the symbols are arbitrary.
        """

    def draw(self, lengths: Tensor, generator: torch.Generator) -> Tensor:
        question, size = self.questions(lengths, generator)
        answer, _ = self.answer(question, size, lengths - size - 1)
        place, mark = torch.arange(question.shape[1]), size[:, None]
        after = answer.gather(1, (place - mark - 1).clamp(min=0))
        return torch.where(place < mark, question, torch.where(place == mark, self.mark, after))

    def accepts(self, strings: Tensor, lengths: Tensor) -> Tensor:
        if not strings.shape[1]:
            return torch.zeros(len(strings), dtype=torch.bool)
        place, n = torch.arange(strings.shape[1]), lengths[:, None]
        marked = (strings == self.mark) & (place < n)
        size = marked.int().argmax(dim=1)
        answer, possible = self.answer(strings, size, (lengths - size - 1).clamp(min=0))
        said = answer.gather(1, (place - size[:, None] - 1).clamp(min=0))
        right = (said == strings) | (place <= size[:, None]) | (place >= n)
        return marked.any(dim=1) & possible & right.all(dim=1)
