"""A run of a network on a GPU: its weights as the kernels take them, and its results."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from ddstructs.memory import Action, Contents, State
from ddstructs.nn.cuda.node import Setup, Steps
from ddstructs.nn.fused import Fused
from ddstructs.nn.network import Network, Noise
from ddstructs.nn.padding import mask_of
from ddstructs.ops.layout import LineState, Slots, Tiles, compact

__all__ = ["run"]


def run(
    network: Network,
    x: Tensor,
    read: Tensor | None,
    hidden: tuple[Tensor, ...],
    state: State | None,
    noise: Noise,
    initial: Tensor | None,
    lengths: Tensor | None,
    reset: Tensor | None,
    read_skip: nn.Linear | None,
    packed: PackedSequence | None,
    record: bool,
) -> Fused:
    """Run a network over a sequence, as `fused.run`; packed rows are padded."""
    cell, to_action, value_skip, _, memory, hard = network
    assert isinstance(cell, nn.RNNCell | nn.LSTMCell | nn.GRUCell)
    assert isinstance(to_action, nn.Linear)
    layout = memory.line
    assert layout is not None
    assert state is None or isinstance(state, LineState)
    if packed is not None:
        x, _ = pad_packed_sequence(packed, batch_first=True)
    batch, time, size = x.shape
    heads, width, hidden_size = memory.heads, memory.width, cell.weight_hh.shape[1]
    stateful = isinstance(cell, nn.LSTMCell)
    if lengths is None:
        counts = None
    else:
        counts = lengths.to(x.device, torch.int32).clamp(0, time)
        x = torch.where(mask_of(counts, time, x.device)[..., None], x, 0)
    if initial is None:
        fresh = (x.new_zeros(batch, hidden_size),) * (1 + stateful)
    else:
        fresh = tuple(part.expand(batch, -1) for part in initial)
    first = hidden or fresh
    last = x.new_zeros(batch, heads * width) if read is None else read.flatten(1)
    slots = Slots(x.new_zeros(batch, 0, width), x.new_zeros(batch, 0)) if state is None else state.slots()
    if slots.strengths.shape[1] and not slots.values.requires_grad and not slots.strengths.requires_grad:
        slots = Slots(*compact(Contents(slots.values, slots.strengths)))  # dead slots need no gradient
    again = reset is not None
    entry, recurrent, bias = _weights(cell, size)
    setup = Setup(
        type(cell).__name__, layout, counts, None if reset is None else reset.contiguous(), noise, hard,
        record or memory.validate,
    )  # fmt: skip
    output, push, pop, value, reads, strengths, place, after = Steps.apply(  # type: ignore[no-untyped-call]
        setup, x, entry, recurrent, bias, to_action.weight, to_action.bias,
        None if value_skip is None else value_skip.weight, torch.cat([first[0], last], dim=1),
        first[1] if stateful else None, fresh[0] if again else None, fresh[1] if again and stateful else None,
        slots.values.contiguous(), slots.strengths,
    )  # fmt: skip
    actions = None if push is None else Action(push, pop, value)
    if memory.validate:
        memory.check(actions, time=True)
    if read_skip is not None:
        output = output + functional.linear(reads.flatten(2), read_skip.weight)
        if counts is not None:
            output = torch.where(mask_of(counts, time, x.device)[..., None], output, 0)
    if packed is not None:
        output = _packed_like(packed, output, lengths)
    last_output, last_read = place.tensor_split((hidden_size,), dim=1)
    states = (last_output, after) if stateful else (last_output,)
    memory_after = Tiles(layout, slots.values, value, strengths)
    return Fused(output, actions, reads, states, last_read.view(batch, heads, width), memory_after)


def _packed_like(packed: PackedSequence, output: Tensor, lengths: Tensor | None) -> Tensor:
    """A padded output as the data of a packed sequence with the rows and steps of another."""
    assert lengths is not None
    order = packed.sorted_indices
    if order is not None:
        output, lengths = output[order], lengths[order.cpu()]
    return pack_padded_sequence(output, lengths.cpu(), batch_first=True).data


def _weights(cell: nn.RNNCell | nn.LSTMCell | nn.GRUCell, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """The weights of the gates from the input and from a place, and their biases, each gate a block of rows."""
    inner, outer, hidden = cell.weight_ih, cell.weight_hh, cell.weight_hh.shape[1]
    none = outer.new_zeros(len(inner))
    entered = none if cell.bias_ih is None else cell.bias_ih
    kept = none if cell.bias_hh is None else cell.bias_hh
    if not isinstance(cell, nn.GRUCell):
        return inner[:, :size], torch.cat([outer, inner[:, size:]], dim=1), entered + kept
    # The last two sums are the two terms of torch's third gate: that of the input and the read, and that of the output.
    both, zero = 2 * hidden, outer.new_zeros(hidden, inner.shape[1])
    recurrent = [
        torch.cat([outer[:both], inner[:both, size:]], dim=1),
        torch.cat([outer.new_zeros(hidden, hidden), inner[both:, size:]], dim=1),
        torch.cat([outer[both:], zero[:, size:]], dim=1),
    ]
    biases = torch.cat([entered[:both] + kept[:both], entered[both:], kept[both:]])
    return torch.cat([inner[:, :size], zero[:, :size]]), torch.cat(recurrent), biases
