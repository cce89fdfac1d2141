"""Base of the tasks on a formal language."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from ddstructs.errors import InputError
from ddstructs.tasks.batch import START, Batch
from ddstructs.tasks.generated import Generated
from ddstructs.tasks.language import Language

__all__ = ["LanguageTask"]


class LanguageTask(Generated):
    """A task on a formal language. Input symbols are `<s>` and those of the language.

    Lengths are uniform among those lengths in the range at which the language has strings.

    Args:
        settings: The settings of every generated task, see `Generated`.
    """

    language: ClassVar[Language]

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.source_symbols = len(self.language.alphabet)

    @property
    def input_symbols(self) -> int:
        return 1 + self.source_symbols

    def source_name(self, symbol: int) -> str:
        return self.language.alphabet[symbol]

    def input_name(self, symbol: int) -> str:
        return "<s>" if symbol == START else self.source_name(symbol - 1)

    def draw(self, rows: int, lengths: tuple[int, int], generator: torch.Generator) -> tuple[Tensor, Tensor]:
        sizes = torch.tensor(self.language.sizes(lengths))
        n = sizes[torch.randint(len(sizes), (rows,), generator=generator)]
        return self.language.draw(n, generator), n

    def has(self, lengths: tuple[int, int]) -> bool:
        return any(lengths[0] <= n <= lengths[1] for n in self.language.sizes(lengths))

    def lengths(self, batch: Batch) -> Tensor:
        return batch.lengths - 1

    def encode(self, text: str) -> list[int]:
        for char in text:
            if char not in self.language.alphabet:
                raise InputError(
                    f"{char!r} is outside {self.language.alphabet!r}, the symbols of {type(self).__name__}"
                )
        return [self.language.alphabet.index(char) for char in text]

    def inputs(self, source: Tensor, lengths: Tensor) -> Tensor:
        """Prepend `<s>` to the strings, shape `(batch, 1 + time)`."""
        real = torch.arange(source.shape[1]) < lengths[:, None]
        return torch.cat([torch.full((len(source), 1), START), torch.where(real, source + 1, START)], dim=1)
