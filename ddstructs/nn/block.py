"""Residual blocks around layers with or without a state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ddstructs.memory import Memory
from ddstructs.nn.layer import MemoryLayer
from ddstructs.nn.rnn import MemoryRNN
from ddstructs.state import State

__all__ = ["Block", "LayersState"]


@dataclass(frozen=True)
class LayersState(State):
    """The states of consecutive layers; None for a layer without a state."""

    states: tuple[Any, ...]


class Block(nn.Module):
    r"""A pre-norm residual block: a layer, and optionally a feed-forward part.

    $$ y_t = x_t + \mathrm{layer}(\mathrm{norm}(x))_t \qquad z_t = y_t + W_2\ \mathrm{gelu}(W_1\ \mathrm{norm}(y_t)) $$

    Args:
        embed_dim: Size of inputs and outputs.
        layer: A layer with `initial_state`, such as `MemoryLayer`, `CausalAttention` or
            `MemoryRNN(..., batch_first=True)`, is called as `layer(x, state, lengths)` and returns output and state.
            Any other is called as `layer(x)` and must process each step independently, like `nn.Linear`.
        feed_forward: Hidden size of the feed-forward part; none if not given.
        dropout: Dropout probability of the outputs of both parts.

    Raises:
        TypeError: If the layer is a memory, which takes actions.
        ValueError: If it is a `MemoryLayer` or `MemoryRNN` for vectors of another size; others say so when called.

    Example:
        >>> import torch
        >>> from ddstructs import MemoryLayer, Queue
        >>> from ddstructs.nn.block import Block
        >>> block = Block(32, MemoryLayer(32, Queue(8)), feed_forward=64)
        >>> output, state = block(torch.randn(2, 10, 32))
    """

    def __init__(self, embed_dim: int, layer: nn.Module, feed_forward: int | None = None, dropout: float = 0.0) -> None:
        super().__init__()
        if isinstance(layer, Memory):
            kind = type(layer).__name__
            raise TypeError(f"the layer is a {kind}, which takes actions: use MemoryLayer({embed_dim}, {kind}(...))")
        for name in ("embed_dim", "input_size", "hidden_size"):
            size = getattr(layer, name, embed_dim) if isinstance(layer, MemoryLayer | MemoryRNN) else embed_dim
            if size != embed_dim:
                raise ValueError(f"the layer has {name} {size}, but this block has embed_dim {embed_dim}")
        self.layer = layer
        self.carries = hasattr(layer, "initial_state")
        self.norm = nn.LayerNorm(embed_dim)
        self.dropout = nn.Dropout(dropout)
        self.feed_forward: nn.Module | None = None
        if feed_forward is not None:
            wide, narrow = nn.Linear(embed_dim, feed_forward), nn.Linear(feed_forward, embed_dim)
            self.feed_forward = nn.Sequential(nn.LayerNorm(embed_dim), wide, nn.GELU(), narrow)

    def forward(
        self, x: Tensor, state: Any = None, lengths: Tensor | Sequence[int] | None = None
    ) -> tuple[Tensor, Any]:
        """The output for the next piece of a sequence, shape `(batch, time, embed_dim)`, and the state after it."""
        output, state, _ = self.unroll(x, state, lengths)
        return output, state

    def unroll(
        self, x: Tensor, state: Any = None, lengths: Tensor | Sequence[int] | None = None
    ) -> tuple[Tensor, Any, Any]:
        """Like `forward`, and also return the actions of a `MemoryLayer` or `MemoryRNN`; None for any other layer."""
        normalised, actions = self.norm(x), None
        if isinstance(self.layer, MemoryLayer | MemoryRNN):
            output, actions, _, state = self.layer.unroll(normalised, state, lengths)
        elif self.carries:
            output, state = self.layer(normalised, state, lengths)
        else:
            output = self.layer(normalised)
        if not isinstance(output, Tensor) or output.shape[-1] != x.shape[-1]:
            actual = f"shape {tuple(output.shape)}" if isinstance(output, Tensor) else f"type {type(output).__name__}"
            raise TypeError(
                f"the output of {type(self.layer).__name__} has {actual}, but a tensor of shape {tuple(x.shape)} was "
                "expected, like its input"
            )
        x = x + self.dropout(output)
        if self.feed_forward is not None:
            x = x + self.dropout(self.feed_forward(x))
        return x, state, actions
