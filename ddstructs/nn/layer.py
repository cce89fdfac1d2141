"""A memory as a layer without recurrence, for use beside attention or instead of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ddstructs.actions import harden, mapped
from ddstructs.checks import check_flag, check_spread, check_steps
from ddstructs.memory import Memory, check_batch, check_reset, check_size
from ddstructs.nn.heads import LayerState, UnrolledLayer, merge_heads, repeat_for_heads, split_heads
from ddstructs.nn.padding import real_steps
from ddstructs.ops import strength_dtype
from ddstructs.state import State

__all__ = ["LayerState", "MemoryLayer"]


class MemoryLayer(nn.Module):
    r"""Several memories controlled by the inputs alone, as a layer for a transformer or any other network.

    Actions do not depend on reads, so a whole sequence is one kernel call, at constant cost per step. Each head $j$ has
    its own memory, which pushes, pops and reads (in the order and by the equations of that memory):

    $$ d_t^j = \sigma(W_d^j x_t + b_d^j) \qquad u_t^j = \sigma(W_u^j x_t + b_u^j) \qquad
       v_t^j = \tanh(W_v^j x_t + b_v^j) $$

    $$ r_t^j = \mathrm{memory}(d^j, u^j, v^j)_t \qquad y_t = W_o [r_t^1; \ldots; r_t^H] + b_o $$

    A memory with other actions, such as a choice among operations, has its own signals instead of push and pop. The
    layer is causal; norm and residual connection are optional.

    Args:
        embed_dim: Size of one input and of one output.
        memory: The memory of each head, such as `Stack(width)`, where `width` is the size of a head.
        num_heads: Number of memories.
        batch_first: Whether `x` and the output are `(batch, time, embed_dim)` rather than `(time, batch, embed_dim)`.
        push_bias: Initial b_d: one number, or one for each head of the memory; the memory's `starts` if not given.
        pop_bias: Initial b_u; likewise.
        spread: How far the initial biases of the heads differ: they lie on a circle of this radius around the memory's
            own. Heads that start apart learn different uses, and one useful head is enough to start learning.
        signal_noise: Standard deviation of the training noise on the logits of push and pop, or of other signals. It
            favours large logits, and so signals near 0 and 1, which the noise hardly changes.
        read_noise: Standard deviation of the training noise on every read; values are at most 1 in magnitude.
        saturation: Margin $m$ in [0, 0.5) within which a signal counts as 0 or 1 outside training: a push or pop $s$
            becomes $(s - m) / (1 - 2m)$, clipped to [0, 1]. Otherwise deviations of signals from 0 and 1 accumulate
            over thousands of steps. A network trained with signal noise does not rely on these deviations, unless it
            has to count: a count is a sum of small pushes, which takes a margin of 0.
        norm: Whether the input first passes through a `LayerNorm`.
        residual: Whether the input is added to the output.
        hard: Whether push and pop are rounded to 0 or 1; see `harden`.
        device: Where the parameters live.
        dtype: Floating-point type of the parameters.

    Attributes:
        noisy: Whether there is noise in training; can be set, as `SequenceModel` does after its `noise_steps`.

    Raises:
        ValueError: If a size is less than 1, a noise or the spread is negative or infinite, the saturation is not in
            [0, 0.5), there is not one finite bias for each head, or the memory has no heads.
        TypeError: If a size is not an int, a flag not a bool or a noise not a number, or `memory` is not a `Memory`.

    Reference:
        The memory: Grefenstette, Hermann, Suleyman & Blunsom 2015, *Learning to Transduce with Unbounded Memory*. As a
        layer, with superposition stacks: DuSell & Chiang 2024, *Stack Attention*.

    Example:
        >>> import torch
        >>> from ddstructs import MemoryLayer, Stack
        >>> layer = MemoryLayer(embed_dim=32, memory=Stack(8), num_heads=4)
        >>> x = torch.randn(2, 10, 32)
        >>> output, state = layer(x)
        >>> output.shape
        torch.Size([2, 10, 32])
        >>> first, state = layer(x[:, :9])
        >>> last, state = layer(x[:, 9:], state)  # one token, from the state after the others
        >>> torch.allclose(last, output[:, 9:], atol=1e-6)
        True
    """

    def __init__(
        self,
        embed_dim: int,
        memory: Memory,
        num_heads: int = 4,
        *,
        batch_first: bool = True,
        push_bias: float | Sequence[float] | None = None,
        pop_bias: float | Sequence[float] | None = None,
        spread: float = 1.0,
        signal_noise: float = 0.0,
        read_noise: float = 0.0,
        saturation: float = 0.0,
        norm: bool = False,
        residual: bool = False,
        hard: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(memory, Memory):
            raise TypeError(f"memory is {memory!r}, but a memory such as Stack(64) was expected")
        if not memory.heads:
            raise ValueError(f"{type(memory).__name__} has no heads and therefore no reads: leave the layer out")
        if not check_spread("saturation", saturation) < 0.5:
            raise ValueError(f"saturation is {saturation}, but a number from 0 to less than 0.5 was expected")
        self.embed_dim = check_size("embed_dim", embed_dim)
        self.num_heads = check_size("num_heads", num_heads)
        self.memory = memory
        self.batch_first = check_flag("batch_first", batch_first)
        self.spread = check_spread("spread", spread)
        self.signal_noise = check_spread("signal_noise", signal_noise)
        self.read_noise = check_spread("read_noise", read_noise)
        self.noisy = True
        self.saturation = saturation
        self.residual = check_flag("residual", residual)
        self.hard = check_flag("hard", hard)
        signals, read_size = memory.signals, memory.heads * memory.read_width
        self.norm = nn.LayerNorm(embed_dim, device=device, dtype=dtype) if check_flag("norm", norm) else None
        action_size = num_heads * (signals.size + memory.heads * memory.width)
        self.to_action = nn.Linear(embed_dim, action_size, device=device, dtype=dtype)  # all logits, then all values
        self.out_proj = nn.Linear(num_heads * read_size, embed_dim, device=device, dtype=dtype)
        biases = {"push": push_bias, "pop": pop_bias}
        self.starts = tuple(signals.biases(start, biases, type(memory).__name__) for start in memory.starts)
        self.reset_parameters()

    def reset_parameters(self, start: int = 0) -> None:
        """Set the signals of each head to its initial biases, whatever the input; all other parameters are unchanged.

        The weights of the signals start at zero, so that what they learn first is what inputs have in common. Random
        weights decide for each input on its own, and two inputs that belong together, such as a symbol that is pushed
        and the one at which it is popped, can be decided against the others: then neither can change alone.

        Args:
            start: Index into the memory's `starts` for the first head; the other heads take the following ones.
        """
        heads, size = self.num_heads, len(self.starts[0])
        starts = [self.starts[(start + head) % len(self.starts)] for head in range(heads)]
        turns = torch.arange(heads)[:, None] / heads + torch.arange(size) / (2 * size)
        offsets = self.spread * (2 * math.pi * turns).cos() if heads > 1 else torch.zeros(1, size)
        with torch.no_grad():
            self.to_action.weight[: heads * size] = 0.0
            self.to_action.bias[: heads * size] = (torch.tensor(starts) + offsets).flatten()

    def forward(
        self,
        x: Tensor,
        state: LayerState | None = None,
        lengths: Tensor | Sequence[int] | None = None,
        reset: Tensor | None = None,
        padding_mask: Tensor | None = None,
    ) -> tuple[Tensor, LayerState]:
        """Process a sequence, or its next piece.

        Args:
            x: Inputs, shape `(batch, time, embed_dim)`, or `(time, batch, embed_dim)` unless `batch_first`, or
                `(time, embed_dim)` for a single sequence.
            state: The state to continue from; empty memories if not given.
            lengths: Number of real steps in each row, shape `(batch,)`, each in 0..time; all if not given. The rest of
                a row is padding: it leaves the memories unchanged, and its output is zero.
            reset: Steps before which the memories of a row are emptied, in the shape of `x` without its last axis,
                bool; none if not given. The pieces between resets give the same results as if run alone, as needed for
                packed documents. A reset at a step of padding has no effect.
            padding_mask: Which steps are padding, in the same shape, bool, like `key_padding_mask` of
                `nn.MultiheadAttention`; an alternative to `lengths` that allows padding anywhere.

        Returns:
            The output, in the shape of `x`, and the state after the last step.

        Raises:
            ValueError: If a shape does not match, a length is outside 0..time, or both `lengths` and `padding_mask` are
                given. Lengths on a GPU are not checked, to avoid a synchronization.
            TypeError: If a dtype does not match.
        """
        if not isinstance(x, Tensor) or x.dim() not in (2, 3) or x.shape[-1] != self.embed_dim:
            actual = f"has shape {tuple(x.shape)}" if isinstance(x, Tensor) else f"is a {type(x).__name__}"
            axes = "batch, time" if self.batch_first else "time, batch"
            raise ValueError(f"x {actual}, but ({axes}, {self.embed_dim}) or (time, {self.embed_dim}) was expected")
        for name, mask in (("reset", reset), ("padding_mask", padding_mask)):
            check_steps(name, mask, x, self.batch_first)
        masks: tuple[Tensor | None, ...] = (reset, padding_mask)
        if x.dim() == 2:
            x, masks = x[None], tuple(None if mask is None else mask[None] for mask in masks)
            output, _, _, after = self.unroll(x, state, lengths, *masks)
            return output[0], after
        if self.batch_first:
            output, _, _, after = self.unroll(x, state, lengths, *masks)
            return output, after
        masks = tuple(None if mask is None else mask.transpose(0, 1) for mask in masks)
        output, _, _, after = self.unroll(x.transpose(0, 1), state, lengths, *masks)
        return output.transpose(0, 1), after

    def unroll(
        self,
        x: Tensor,
        state: LayerState | None = None,
        lengths: Tensor | Sequence[int] | None = None,
        reset: Tensor | None = None,
        padding_mask: Tensor | None = None,
    ) -> UnrolledLayer:
        """Process a sequence, and also return the actions and reads of each step. Always batch first.

        Args:
            x: Inputs, shape `(batch, time, embed_dim)`.
            state: As in `forward`.
            lengths: As in `forward`. The actions in the padding leave the memories unchanged.
            reset: As in `forward`, shape `(batch, time)`.
            padding_mask: As in `forward`, shape `(batch, time)`.

        Returns:
            The output, the actions, the reads and the state after the last step.

        Raises:
            ValueError: If a shape or a device does not match, or a length is outside 0..time.
            TypeError: If a dtype does not match.
        """
        if x.dim() != 3 or x.shape[-1] != self.embed_dim:
            raise ValueError(f"x has shape {tuple(x.shape)}, but (batch, time, {self.embed_dim}) was expected")
        self._check_placement(x)
        real, reset = real_steps(x, lengths, padding_mask), check_reset(reset, x)
        if real is not None:
            x = torch.where(real[..., None], x, 0)
        actions = self._actions(x if self.norm is None else self.norm(x))
        if state is None:
            state = self.initial_state(x.shape[0], device=x.device, dtype=actions.value.dtype)
        else:
            self._check_state(state, x)
        if real is not None:
            actions = actions.only(repeat_for_heads(real, self.num_heads))
            reset = None if reset is None else reset & real
        reads, memory = self._run_memory(
            actions, state.memory, None if reset is None else repeat_for_heads(reset, self.num_heads)
        )
        if self.training and self.noisy and self.read_noise:
            reads = reads + self.read_noise * torch.randn_like(reads)
        output = self.out_proj(merge_heads(reads, self.num_heads))
        if self.residual:
            output = output + x
        if real is not None:
            output = torch.where(real[..., None], output, 0)
        return UnrolledLayer(output, actions, reads, LayerState(memory, state.template))

    def initial_state(
        self, batch_size: int, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> LayerState:
        """The state of empty memories.

        Args:
            batch_size: Number of rows.
            device: Where the state lives; with the parameters if not given.
            dtype: Floating-point type of the values; that of the parameters if not given.
        """
        check_batch(batch_size)
        weight, rows = self.to_action.weight, batch_size * self.num_heads
        device, dtype = device or weight.device, dtype or weight.dtype
        template = torch.zeros(batch_size, self.num_heads, 0, device=device, dtype=dtype)
        return LayerState(self.memory.initial_state(rows, device=device, dtype=dtype), template)

    def extra_repr(self) -> str:
        return f"{self.embed_dim}, num_heads={self.num_heads}, batch_first={self.batch_first}, hard={self.hard}"

    def _actions(self, x: Tensor) -> Any:
        """The actions of the memories, with the heads in the batch."""
        heads, memory, signals = self.num_heads, self.memory, self.memory.signals
        logits, value = self.to_action(x).split([heads * signals.size, heads * memory.heads * memory.width], dim=2)
        logits = split_heads(logits, heads).to(strength_dtype(logits.dtype))  # half is too coarse for a sigmoid
        if self.training and self.noisy and self.signal_noise:
            logits = logits + self.signal_noise * torch.randn_like(logits)
        value = split_heads(value.tanh(), heads).unflatten(2, (memory.heads, memory.width))
        action = signals.action(logits, value)
        if self.hard:
            return harden(action)
        return action if self.training or not self.saturation else action.saturate(self.saturation)

    def _run_memory(self, actions: Any, state: State, reset: Tensor | None) -> tuple[Tensor, State]:
        if actions.value.shape[1] != 1 or reset is not None or torch.compiler.is_compiling():
            return self.memory(actions, state, reset)  # type: ignore[no-any-return]
        read, state = self.memory.step(mapped(lambda part: part[:, 0], actions), state)  # costs one step
        return read[:, None], state

    def _check_placement(self, x: Tensor) -> None:
        weight = self.to_action.weight
        if x.device != weight.device:
            raise ValueError(f"x is on {x.device}, but this layer is on {weight.device}: move one to the other")
        if x.dtype != weight.dtype and not (x.is_floating_point() and torch.is_autocast_enabled(x.device.type)):
            raise TypeError(f"x is {x.dtype}, but the parameters are {weight.dtype}: use x.to(dtype) or autocast")

    def _check_state(self, state: LayerState, x: Tensor) -> None:
        if not isinstance(state, LayerState):
            raise TypeError(f"state is a {type(state).__name__}, but a MemoryLayer continues from a state it returned")
        batch, heads, like = *state.template.shape[:2], state.template
        if batch != x.shape[0]:
            raise ValueError(f"x has batch {x.shape[0]}, but the state has batch {batch}")
        if heads != self.num_heads:
            raise ValueError(f"the state has {heads} heads, but this layer has {self.num_heads}: it belongs to another")
        if like.device != x.device:
            raise ValueError(f"x is on {x.device}, but the state is on {like.device}: use state.to(x.device)")
        if like.dtype != x.dtype and not torch.is_autocast_enabled(x.device.type):
            raise TypeError(f"x is {x.dtype}, but the state is {like.dtype}: use state.to(dtype=x.dtype)")
