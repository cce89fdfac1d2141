"""Causal attention with a cache, with the interface of `MemoryLayer`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from ddstructs.memory import check_batch, check_size
from ddstructs.nn.padding import real_steps
from ddstructs.state import State

__all__ = ["AttentionState", "CausalAttention", "Position", "check_position"]

Position = Literal["rotary", "learned", "none"]


@dataclass(frozen=True)
class AttentionState(State):
    """The keys and values of all steps so far (the KV cache).

    Attributes:
        keys: Shape `(batch, heads, time, size)`.
        values: The same.
        real: Which steps are not padding, shape `(batch, time)`, bool.
    """

    keys: Tensor
    values: Tensor
    real: Tensor


def check_position(position: object) -> None:
    """Raise a `ValueError` for a way to encode positions that there is not."""
    if position not in get_args(Position):
        raise ValueError(f"position is {position!r}, but {', '.join(get_args(Position))} were expected")


class CausalAttention(nn.Module):
    r"""Multi-head self-attention from each step to itself and all earlier ones.

    $$ y_t = W_o \left[\sum_{k \le t} \mathrm{softmax}_k\left(q_t^j \cdot k_k^j / \sqrt{d_h}\right) v_k^j\right]_{j} $$

    Unlike `nn.MultiheadAttention`, it carries a state between calls, encodes positions, and is always causal.

    Args:
        embed_dim: Size of one input and of one output.
        num_heads: Number of heads; each has size `embed_dim / num_heads`.
        position: `"rotary"` rotates queries and keys by angles proportional to the position (Su et al. 2021,
            *RoFormer*), `"learned"` adds a learned embedding of the position to the input, and `"none"` relies on the
            causal mask.
        max_length: Number of positions if they are learned.
        device: Where the parameters live.
        dtype: Floating-point type of the parameters.

    Raises:
        ValueError: If `embed_dim` is not divisible into heads (of an even size for `"rotary"`), or the position is
            unknown.

    Example:
        >>> import torch
        >>> from ddstructs.nn.attention import CausalAttention
        >>> attention = CausalAttention(32, num_heads=4)
        >>> x = torch.randn(2, 10, 32)
        >>> output, state = attention(x[:, :9])
        >>> last, state = attention(x[:, 9:], state)
        >>> torch.allclose(last, attention(x)[0][:, 9:], atol=1e-5)
        True
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int = 4,
        position: Position = "rotary",
        max_length: int = 4096,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_position(position)
        self.embed_dim = check_size("embed_dim", embed_dim)
        self.num_heads = check_size("num_heads", num_heads)
        self.position = position
        self.max_length = check_size("max_length", max_length)
        parts = num_heads * (2 if position == "rotary" else 1)
        if embed_dim % parts:
            needed = f"{num_heads} heads of an even size" if position == "rotary" else f"{num_heads} heads"
            raise ValueError(f"embed_dim is {embed_dim}, which is not divisible into {needed}")
        self.in_proj = nn.Linear(embed_dim, 3 * embed_dim, device=device, dtype=dtype)
        self.out_proj = nn.Linear(embed_dim, embed_dim, device=device, dtype=dtype)
        learned = position == "learned"
        self.positions = nn.Embedding(max_length, embed_dim, device=device, dtype=dtype) if learned else None

    def forward(
        self,
        x: Tensor,
        state: AttentionState | None = None,
        lengths: Tensor | Sequence[int] | None = None,
        padding_mask: Tensor | None = None,
    ) -> tuple[Tensor, AttentionState]:
        """Attend from each step to itself and all earlier ones, including those in the state.

        Args:
            x: Inputs, shape `(batch, time, embed_dim)`.
            state: The state to continue from; empty if not given.
            lengths: Number of real steps in each row, shape `(batch,)`. Padding is not attended to, and its output is
                zero.
            padding_mask: Which steps are padding, shape `(batch, time)`, bool; an alternative to `lengths`.

        Returns:
            The output, in the shape of `x`, and the state after the last step.

        Raises:
            ValueError: If a shape does not match, or there are more steps than learned positions.
        """
        if x.dim() != 3 or x.shape[-1] != self.embed_dim:
            raise ValueError(f"x has shape {tuple(x.shape)}, but (batch, time, {self.embed_dim}) was expected")
        if state is None:
            state = self.initial_state(len(x), device=x.device, dtype=x.dtype)
        elif not isinstance(state, AttentionState):
            raise TypeError(f"state is a {type(state).__name__}, but attention continues from a state it returned")
        elif len(state.real) != len(x):
            raise ValueError(f"x has batch {len(x)}, but the state has batch {len(state.real)}")
        sizes, own = (state.keys.shape[1], state.keys.shape[3]), (self.num_heads, self.embed_dim // self.num_heads)
        if sizes != own:
            raise ValueError(
                f"the state has {sizes[0]} heads of size {sizes[1]}, but this layer has {own[0]} of size {own[1]}: it "
                "belongs to another layer"
            )
        mask = real_steps(x, lengths, padding_mask)
        now = torch.ones_like(x[..., 0], dtype=torch.bool) if mask is None else mask
        positions = (state.real.sum(1, keepdim=True) + now.cumsum(1) - 1).clamp(min=0)
        x = torch.where(now[..., None], x, 0)
        if self.positions is not None:
            steps = state.real.shape[1] + x.shape[1]
            if steps > self.max_length:
                raise ValueError(f"there are {steps} steps, but {self.max_length} positions: raise max_length")
            x = x + self.positions(positions)
        query, key, value = self.in_proj(x).unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        if self.position == "rotary":
            query, key = _rotate(query, positions), _rotate(key, positions)
        keys, values = torch.cat([state.keys, key], 2), torch.cat([state.values, value], 2)
        real = torch.cat([state.real, now], 1)
        if mask is None and not state.real.shape[1]:
            heads = scaled_dot_product_attention(query, keys, values, is_causal=True)
        else:
            heads = scaled_dot_product_attention(query, keys, values, _mask(real, x.shape[1]))
        output = self.out_proj(heads.transpose(1, 2).flatten(2))
        return torch.where(now[..., None], output, 0), AttentionState(keys, values, real)

    def initial_state(
        self, batch_size: int, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> AttentionState:
        """The empty state before the first step."""
        check_batch(batch_size)
        weight = self.in_proj.weight
        size = self.embed_dim // self.num_heads
        empty = torch.zeros(
            batch_size, self.num_heads, 0, size, device=device or weight.device, dtype=dtype or weight.dtype
        )
        return AttentionState(empty, empty, empty.new_zeros(batch_size, 0, dtype=torch.bool))


def _mask(real: Tensor, time: int) -> Tensor:
    """Which steps each of the last `time` attends to, always including itself; shape `(batch, 1, time, total)`."""
    step = torch.arange(real.shape[1], device=real.device)
    now = step[real.shape[1] - time :, None]
    return (((step < now) & real[:, None]) | (step == now))[:, None]


def _rotate(part: Tensor, positions: Tensor) -> Tensor:
    """Rotate each pair of elements by position times frequency; part has shape `(batch, heads, time, size)`."""
    half = part.shape[-1] // 2
    frequency = 10_000.0 ** (-torch.arange(half, device=part.device) / half)
    angle = positions[:, None, :, None] * frequency
    cos, sin = angle.cos().to(part.dtype), angle.sin().to(part.dtype)
    first, second = part.split(half, dim=-1)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)
