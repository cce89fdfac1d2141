"""A run of a network on a GPU: its weights as the kernels take them, and its results."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ddstructs.memory import Action, Contents, State
from ddstructs.nn.cuda.node import Setup, Steps
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
    record: bool,
) -> tuple[Tensor, Action | None, Tensor, tuple[Tensor, ...], Tensor, LineState]:
    """Run a network over a sequence; the arguments are those of `fused.run`.

    Returns:
        The outputs of the cell, the actions, the reads, and the states of the cell, the last read and the state of the
        memory after the last step of each row.
    """
    cell, to_action, value_skip, memory, hard = network
    assert isinstance(cell, nn.RNNCell | nn.LSTMCell | nn.GRUCell)
    assert isinstance(to_action, nn.Linear)
    layout = memory.line
    assert layout is not None
    assert state is None or isinstance(state, LineState)
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
        type(cell).__name__, layout, counts, None if reset is None else reset.contiguous(), noise, hard, record,
    )  # fmt: skip
    output, push, pop, value, reads, strengths, place, after = Steps.apply(  # type: ignore[no-untyped-call]
        setup, x, entry, recurrent, bias, to_action.weight, to_action.bias,
        None if value_skip is None else value_skip.weight, torch.cat([first[0], last], dim=1),
        first[1] if stateful else None, fresh[0] if again else None, fresh[1] if again and stateful else None,
        slots.values.contiguous(), slots.strengths,
    )  # fmt: skip
    output_after, read_after = place.tensor_split((hidden_size,), dim=1)
    states = (output_after, after) if stateful else (output_after,)
    memory_after = Tiles(layout, slots.values, value, strengths)
    actions = Action(push, pop, value) if record else None
    return output, actions, reads, states, read_after.view(batch, heads, width), memory_after


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
