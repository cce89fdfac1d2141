"""The embedding of symbols."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

__all__ = ["SymbolEmbedding"]


@final
class SymbolEmbedding(nn.Embedding):
    """An embedding that says what is wrong with its input."""

    def forward(self, input: Tensor) -> Tensor:
        """Embed symbols.

        Args:
            input: Symbols, shape `(batch, time)`, int64 or int32.

        Returns:
            Their vectors, shape `(batch, time, embedding_dim)`.

        Raises:
            TypeError: If they are no tensor of integers.
            ValueError: If they have another shape, or, on a CPU, if there is no such symbol. A GPU reports that itself.
        """
        if not isinstance(input, Tensor) or input.dtype not in (torch.int64, torch.int32):
            kind = input.dtype if isinstance(input, Tensor) else type(input).__name__
            raise TypeError(f"inputs are of type {kind}, but symbols were expected: a tensor of integers, int64")
        if input.ndim != 2:
            raise ValueError(f"inputs have shape {tuple(input.shape)}, but (batch, time) was expected")
        if torch.compiler.is_compiling():
            return super().forward(input)
        try:
            return super().forward(input)
        except IndexError as error:
            wrong = int(input.max() if input.max() >= self.num_embeddings else input.min())
            raise ValueError(
                f"inputs have the symbol {wrong}, but 0 to {self.num_embeddings - 1} were expected"
            ) from error
