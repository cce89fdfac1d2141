"""A memory as a layer: no recurrence, whole sequences at once, beside attention or in its place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ddstructs.actions import harden, mapped
from ddstructs.memory import Memory, check_reset, check_size
from ddstructs.nn.heads import LayerState, Worked, apart, for_each, joined
from ddstructs.nn.padding import real_steps
from ddstructs.ops import strength_dtype
from ddstructs.state import State

__all__ = ["LayerState", "MemoryLayer"]


class MemoryLayer(nn.Module):
    r"""Several memories worked by the inputs alone, as a layer for a transformer or any other network.

    Nothing goes back from a read to an action, so a whole sequence is one call of a kernel, at constant cost per step.
    Each head $j$ has a memory of its own, which pushes, pops and reads (order and equations are those of the memory):

    $$ d_t^j = \sigma(W_d^j x_t + b_d^j) \qquad u_t^j = \sigma(W_u^j x_t + b_u^j) \qquad
       v_t^j = \tanh(W_v^j x_t + b_v^j) $$

    $$ r_t^j = \mathrm{memory}(d^j, u^j, v^j)_t \qquad y_t = W_o [r_t^1; \ldots; r_t^H] + b_o $$

    A memory that is told something else, such as a choice among operations, has its own signals in the place of push
    and pop. The layer is causal, and has neither norm nor residual unless asked.

    Args:
        embed_dim: Size of one input and of one output.
        memory: What each head works, such as `Stack(width)`; its width is that of a head.
        num_heads: How many memories there are.
        batch_first: Whether `x` and the output are `(batch, time, embed_dim)` rather than `(time, batch, embed_dim)`.
        push_bias: b_d at the start; one number, or one for each head of the memory, or what the memory names in
            `starts`.
        pop_bias: b_u at the start; the same.
        spread: How far the biases of different heads lie apart at the start: on a circle of this radius around those
            of the memory. Heads that begin apart find different uses, of which one is enough to begin with.
        signal_noise: Standard deviation of the noise in training on the logits of push and pop, or of other signals.
            Only large logits, and so signals near 0 and 1, are of use in spite of it.
        read_noise: Standard deviation of the noise on every read in training; values are at most 1 in size.
        saturation: Margin $m$ in [0, 0.5) within which a signal counts as 0 or 1 outside training: a push or pop $s$
            becomes $(s - m) / (1 - 2m)$, clipped to [0, 1]. Otherwise the distances of signals from 0 and 1 add up over
            thousands of steps. A network that is trained with noise on its signals does not rely on such distances.
        norm: Whether the input goes through a `LayerNorm` first.
        residual: Whether the input is added to the output.
        hard: Whether push and pop are rounded to 0 or 1; see `harden`.
        device: Where the parameters live.
        dtype: Floating-point type of the parameters.

    Raises:
        ValueError: If a size is less than 1, a noise or the spread negative, the saturation not in [0, 0.5), a bias not
            one for each head, or if the memory has no heads.
        TypeError: If a size is not an int, or the memory none.

    Reference:
        The memory: Grefenstette, Hermann, Suleyman & Blunsom 2015, *Learning to Transduce with Unbounded Memory*. As a
        layer among others, with stacks by superposition: DuSell & Chiang 2024, *Stack Attention*.

    Example:
        >>> import torch
        >>> from ddstructs import MemoryLayer, Stack
        >>> layer = MemoryLayer(embed_dim=32, memory=Stack(8), num_heads=4)
        >>> x = torch.randn(2, 10, 32)
        >>> output, state = layer(x)
        >>> output.shape
        torch.Size([2, 10, 32])
        >>> first, state = layer(x[:, :9])
        >>> last, state = layer(x[:, 9:], state)  # one token, from the state after those before
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
            raise ValueError(
                f"{type(memory).__name__} has no heads, so that there is nothing to read: leave the layer out"
            )
        for name, number in (("spread", spread), ("signal_noise", signal_noise), ("read_noise", read_noise)):
            if not 0 <= number < math.inf:
                raise ValueError(f"{name} is {number}, but a finite number from 0 was expected")
        if not 0 <= saturation < 0.5:
            raise ValueError(f"saturation is {saturation}, but a number from 0 to less than 0.5 was expected")
        self.embed_dim = check_size("embed_dim", embed_dim)
        self.num_heads = check_size("num_heads", num_heads)
        self.memory = memory
        self.batch_first = batch_first
        self.spread = spread
        self.signal_noise = signal_noise
        self.read_noise = read_noise
        self.saturation = saturation
        self.residual = residual
        self.hard = hard
        signals, read_size = memory.signals, memory.heads * memory.read_width
        self.norm = nn.LayerNorm(embed_dim, device=device, dtype=dtype) if norm else None
        told = num_heads * (signals.size + memory.heads * memory.width)
        self.to_action = nn.Linear(embed_dim, told, device=device, dtype=dtype)  # the logits of all heads, then values
        self.out_proj = nn.Linear(num_heads * read_size, embed_dim, device=device, dtype=dtype)
        given = {"push": push_bias, "pop": pop_bias}
        self.starts = tuple(signals.biases(start, given, type(memory).__name__) for start in memory.starts)
        self.reset_parameters()

    def reset_parameters(self, start: int = 0) -> None:
        """Set the biases of the signals, each head's its own. The rest is left as the layers in here begin.

        Args:
            start: Which of the memory's `starts` the first head takes; the others take those that follow.
        """
        heads, size = self.num_heads, len(self.starts[0])
        starts = [self.starts[(start + head) % len(self.starts)] for head in range(heads)]
        turns = torch.arange(heads)[:, None] / heads + torch.arange(size) / (2 * size)
        offsets = self.spread * (2 * math.pi * turns).cos() if heads > 1 else torch.zeros(1, size)
        with torch.no_grad():
            self.to_action.bias[: heads * size] = (torch.tensor(starts) + offsets).flatten()

    def forward(
        self,
        x: Tensor,
        state: LayerState | None = None,
        lengths: Tensor | Sequence[int] | None = None,
        reset: Tensor | None = None,
        padding_mask: Tensor | None = None,
    ) -> tuple[Tensor, LayerState]:
        """Run over a sequence, or over its next piece.

        Args:
            x: Inputs, shape `(batch, time, embed_dim)`, or `(time, batch, embed_dim)` unless `batch_first`, or
                `(time, embed_dim)` for a batch of one without its axis.
            state: The state to go on from; empty memories if not given.
            lengths: How many steps of each row count, shape `(batch,)`, each in 0..time; all of them if not given. What
                follows in a shorter row is padding: it touches no memory, and the output there is zero.
            reset: Before which steps a row begins afresh, with empty memories, in the form of `x` without its last
                axis, bool; never, if not given. A row with resets equals its pieces run alone, as packed documents
                need.
            padding_mask: Which steps are padding, in the same form, as `nn.MultiheadAttention` takes it in
                `key_padding_mask`; in place of `lengths`, for padding at any place.

        Returns:
            The output, in the form of `x`, and the state after the last step.

        Raises:
            ValueError: If a shape does not fit, or a length is outside 0..time. Lengths on a GPU are not looked at, for
                that would wait for it.
            TypeError: If a dtype does not fit.
        """
        if not isinstance(x, Tensor) or x.dim() not in (2, 3) or x.shape[-1] != self.embed_dim:
            came = f"has shape {tuple(x.shape)}" if isinstance(x, Tensor) else f"is a {type(x).__name__}"
            axes = "batch, time" if self.batch_first else "time, batch"
            raise ValueError(f"x {came}, but ({axes}, {self.embed_dim}) or (time, {self.embed_dim}) was expected")
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
    ) -> Worked:
        """Run over a sequence and keep what was done to the memories in each step. Always batch first.

        Args:
            x: Inputs, shape `(batch, time, embed_dim)`.
            state: As in `forward`.
            lengths: As in `forward`. In the padding the memories are told to do nothing.
            reset: As in `forward`, shape `(batch, time)`.
            padding_mask: As in `forward`, shape `(batch, time)`.

        Returns:
            The output, the actions, the reads and the state after the last step.

        Raises:
            ValueError: If a shape or a device does not fit, or a length is outside 0..time.
            TypeError: If a dtype does not fit.
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
            actions = actions.only(for_each(real, self.num_heads))
            reset = None if reset is None else reset & real
        reads, memory = self._work(actions, state.memory, None if reset is None else for_each(reset, self.num_heads))
        if self.training and self.read_noise:
            reads = reads + self.read_noise * torch.randn_like(reads)
        output = self.out_proj(joined(reads, self.num_heads))
        if self.residual:
            output = output + x
        if real is not None:
            output = torch.where(real[..., None], output, 0)
        return Worked(output, actions, reads, LayerState(memory, state.template))

    def initial_state(
        self, batch_size: int, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> LayerState:
        """Empty memories.

        Args:
            batch_size: Number of rows.
            device: Where the state lives; with the parameters if not given.
            dtype: Floating-point type of the values; that of the parameters if not given.
        """
        weight, rows = self.to_action.weight, batch_size * self.num_heads
        device, dtype = device or weight.device, dtype or weight.dtype
        template = torch.zeros(batch_size, self.num_heads, 0, device=device, dtype=dtype)
        return LayerState(self.memory.initial_state(rows, device=device, dtype=dtype), template)

    def extra_repr(self) -> str:
        return f"{self.embed_dim}, num_heads={self.num_heads}, batch_first={self.batch_first}, hard={self.hard}"

    def _actions(self, x: Tensor) -> Any:
        """What the memories are told, each head in a row of its own."""
        heads, memory, signals = self.num_heads, self.memory, self.memory.signals
        logits, value = self.to_action(x).split([heads * signals.size, heads * memory.heads * memory.width], dim=2)
        logits = apart(logits, heads).to(strength_dtype(logits.dtype))  # a sigmoid in half precision is a coarse one
        if self.training and self.signal_noise:
            logits = logits + self.signal_noise * torch.randn_like(logits)
        value = apart(value.tanh(), heads).unflatten(2, (memory.heads, memory.width))
        action = signals.action(logits, value)
        if self.hard:
            return harden(action)
        return action if self.training or not self.saturation else action.saturate(self.saturation)

    def _work(self, actions: Any, state: State, reset: Tensor | None) -> tuple[Tensor, State]:
        if actions.value.shape[1] != 1 or reset is not None or torch.compiler.is_compiling():
            return self.memory(actions, state, reset)  # type: ignore[no-any-return]
        read, state = self.memory.step(mapped(lambda part: part[:, 0], actions), state)  # at a cost without the past
        return read[:, None], state

    def _check_placement(self, x: Tensor) -> None:
        weight = self.to_action.weight
        if x.device != weight.device:
            raise ValueError(f"x is on {x.device}, but this layer is on {weight.device}: move one to the other")
        if x.dtype != weight.dtype and not (x.is_floating_point() and torch.is_autocast_enabled(x.device.type)):
            raise TypeError(f"x is {x.dtype}, but the parameters are {weight.dtype}: use x.to(dtype) or autocast")

    def _check_state(self, state: LayerState, x: Tensor) -> None:
        if not isinstance(state, LayerState):
            raise TypeError(f"state is a {type(state).__name__}, but a MemoryLayer goes on from a state it returned")
        batch, heads, like = *state.template.shape[:2], state.template
        if batch != x.shape[0]:
            raise ValueError(f"x has batch {x.shape[0]}, but the state has batch {batch}")
        if heads != self.num_heads:
            raise ValueError(f"the state has {heads} heads, but this layer has {self.num_heads}: it belongs to another")
        if like.device != x.device:
            raise ValueError(f"x is on {x.device}, but the state is on {like.device}: use state.to(x.device)")
        if like.dtype != x.dtype and not torch.is_autocast_enabled(x.device.type):
            raise TypeError(f"x is {x.dtype}, but the state is {like.dtype}: use state.to(dtype=x.dtype)")
