"""The compiled path of a `MemoryRNN`: whether a network supports it, and the run itself.

A loop over the steps spends most of its time on the overhead of operators and autograd. Torch's cells and `DeepCell`
with any number of line memories run all steps in compiled code instead, as one autograd node: `nn.compiled` on the CPU,
`nn.cuda` on a GPU (one of torch's cells with one line memory, without `signal_skip`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules import module as hooks
from torch.nn.utils.rnn import PackedSequence

from ddstructs import ops
from ddstructs.memory import Action, Memory, State
from ddstructs.nn.capture import capture
from ddstructs.nn.deep import DeepCell
from ddstructs.nn.network import Network, Noise
from ddstructs.ops.layout import LineState, Slots, Tiles

__all__ = ["CELLS", "DEVICES", "Fused", "adds_itself", "fits", "obstacle", "run", "stand_in"]

SHORT = 2
"""Maximum number of steps for which the loop is faster."""

CELLS: tuple[type[nn.Module], ...] = (nn.RNNCell, nn.LSTMCell, nn.GRUCell, DeepCell)
"""The cells with a compiled version."""


DEVICES = {"cpu": "the CPU", "cuda": "the GPU"}
"""The types of devices with a compiled loop, and what a sentence calls them."""

_TRITON = {"cuda"}
"""Those whose loop is written in Triton."""

HEAVY = 32 * 2**20
"""Size in bytes of recurrent weights from which a GPU is expected to be faster in a loop of large products.

The compiled loop reads the weights for each row. With 5 MB it took .37 ms a step for 512 rows, and the loop 2.5 ms, on
an H200; the first figure is proportional to the size, and the second almost constant.
"""


class Fused(NamedTuple):
    """The results for a whole sequence, batch first. In the padding actions are zero and the last read is repeated.

    Attributes:
        output: The output of the cell plus that of `read_skip`; zero in the padding.
        actions: The actions, if requested.
        reads: The reads, including noise, shape `(batch, time, heads, width)`, if requested.
        hidden: The states of the cell after the last step of each row, the output first.
        read: The last read of each row.
        memory: The state of the memory after the last step.
    """

    output: Tensor
    actions: Action | None
    reads: Tensor | None
    hidden: tuple[Tensor, ...]
    read: Tensor
    memory: State


def fits(network: Network, x: Tensor, read: Tensor | None, hidden: tuple[Tensor, ...], state: State | None) -> bool:
    """Whether the compiled path supports this network, input and state; the arguments are those of `obstacle`."""
    return obstacle(network, x, read, hidden, state) is None


def obstacle(
    network: Network, x: Tensor, read: Tensor | None, hidden: tuple[Tensor, ...], state: State | None
) -> str | None:
    """Why the compiled path cannot run a network, in a few words; None if it can.

    Args:
        network: The parts.
        x: The inputs, shape `(batch, time, input_size)`.
        read: The read before the first step, shape `(batch, heads, width)`; None for zero.
        hidden: The states of the cell before the first step; empty for the initial ones.
        state: The state of the memory before the first step; None for an empty memory.
    """
    cell, to_action, value_skip, signal_skip, memory, _ = network
    device, traced = x.device.type, torch.compiler.is_compiling()
    if not traced and x.shape[1] <= SHORT:  # in a graph, the length is open
        return f"the sequence has only {x.shape[1]} steps"
    if x.dtype not in (torch.float32, torch.float64):
        return f"x is {x.dtype}, but only float32 and float64 are compiled"
    if device not in DEVICES:
        return f"x is on {device}, but only the CPU and CUDA have a compiled loop"
    if traced and device != "cpu":
        return f"x is on {device}, but a graph can take in only the loop of the CPU"
    if not ops.kernel_fits(x):
        return "torch.func, ops.using or a missing compiler (numba, triton) rules out compiled kernels"
    if torch.is_autocast_enabled(device):
        return "autocast is on"
    if hooks._has_any_global_hook():
        return "a hook on all modules is registered"
    if type(cell) not in CELLS:
        return f"the cell is a {type(cell).__name__}, but only torch's cells and DeepCell are compiled"
    if device in _TRITON and (type(cell) is DeepCell or signal_skip is not None):
        return f"a GPU has no compiled loop with {'DeepCell' if type(cell) is DeepCell else 'signal_skip'}"
    if getattr(cell, "nonlinearity", "tanh") != "tanh":
        return f"the cell has the nonlinearity {cell.nonlinearity}, but only tanh is compiled"
    lines = memory.lines
    if memory.heads and not lines:
        return f"{[type(part).__name__ for part in _members(memory) if not part.lines][-1]} is not a line memory"
    if memory.line is None and any(part.validate for part in _members(memory)[1:]):
        return "a member of the Bank validates its own actions"
    if device in _TRITON and memory.line is None:
        return f"the memory is a {type(memory).__name__}, but a GPU has a compiled loop only for a single line memory"
    size = sum(weight.nbytes for weight in cell.parameters())
    if device in _TRITON and size > HEAVY:
        return f"the cell has {size / 2**20:.0f} MiB of weights, for which large products in a loop are faster"
    if lines and (type(to_action) is not nn.Linear or to_action.bias is None):
        return "to_action is not an nn.Linear with a bias"
    if value_skip is not None and (type(value_skip) is not nn.Linear or value_skip.bias is not None):
        return "value_skip is not an nn.Linear without a bias"
    if signal_skip is not None and (type(signal_skip) is not nn.Linear or signal_skip.bias is not None):
        return "signal_skip is not an nn.Linear without a bias"
    for part in (cell, to_action, memory, value_skip, signal_skip):
        if part is not None and not _bare(part):
            return f"{type(part).__name__} has hooks or its own forward"
    parts = (cell.weight_hh, None if to_action is None else to_action.weight)
    if any(weight is not None and (weight.dtype != x.dtype or weight.device != x.device) for weight in parts):
        return "the parameters differ from x in dtype or device"
    if traced and memory.validate:
        return "the memory checks its actions, which a graph cannot"
    if state is not None:
        states = memory.line_states(state)
        if traced and not all(isinstance(own, Slots | Tiles) for own in states):
            return "the state comes from an eager call, whose history a graph cannot take in"
        found = [own for own in states if isinstance(own, LineState)]
        templates = [own.template for own in found]
        if len(found) != len(lines) or any(
            own.layout not in (None, layout) for own, layout in zip(found, lines, strict=True)
        ):
            return "the state belongs to another memory"
        if any(template.shape[-1] != memory.width for template in templates) or any(
            part is not None and (part.dtype != x.dtype or part.device != x.device or part.shape[0] != x.shape[0])
            for part in (*templates, read, *hidden)
        ):
            return "the state does not match x in size, dtype or device"
    return None


def _members(memory: Memory) -> list[Memory]:
    """The memory, and those within it at any depth."""
    return [part for part in memory.modules() if isinstance(part, Memory)]


def _bare(part: nn.Module) -> bool:
    """Whether a module runs the `forward` of its class and has no hooks."""
    return "forward" not in vars(part) and not (
        part._forward_hooks or part._forward_pre_hooks or part._backward_hooks or part._backward_pre_hooks
    )


def adds_itself(read_skip: nn.Module | None) -> bool:
    """Whether the compiled loop can add the output of `read_skip` itself."""
    return type(read_skip) is nn.Linear and read_skip.bias is None and _bare(read_skip)


def stand_in(packed: PackedSequence) -> tuple[Tensor, Tensor]:
    """A tensor with the shape, dtype and device of a padded sequence, but without its numbers; and the lengths.

    Example:
        >>> import torch
        >>> from torch.nn.utils.rnn import pack_sequence
        >>> from ddstructs.nn.fused import stand_in
        >>> x, lengths = stand_in(pack_sequence([torch.ones(2, 8), torch.ones(5, 8)], enforce_sorted=False))
        >>> x.shape, lengths
        (torch.Size([2, 5, 8]), tensor([2, 5]))
    """
    data, sizes, _, order = packed
    counts = (sizes > torch.arange(int(sizes[0]))[:, None]).sum(1)
    shape = len(counts), len(sizes), data.shape[-1]
    x = torch.empty(1, dtype=data.dtype, device=data.device).expand(shape)
    return x, counts if order is None else counts[order.cpu()]


def _positions(packed: PackedSequence) -> tuple[NDArray[Any], NDArray[Any]]:
    """The positions in packed data of the first step of each row, and of the first row of each step."""
    _, sizes, _, order = packed
    rows = np.arange(int(sizes[0])) if order is None else order.numpy()
    return rows, sizes.cumsum(0).sub_(sizes).numpy()


def run(
    network: Network,
    x: Tensor,
    read: Tensor | None,
    hidden: tuple[Tensor, ...],
    state: State | None,
    noise: Noise,
    *,
    initial: Tensor | None = None,
    lengths: Tensor | None = None,
    reset: Tensor | None = None,
    read_skip: nn.Linear | None = None,
    packed: PackedSequence | None = None,
    record: bool = True,
    time_first: bool = False,
) -> Fused:
    """Run a network over a sequence in compiled code; it must pass `fits`.

    Within `torch.compile` or `torch.export`, the run becomes one operator of the graph.

    Args:
        network: The parts.
        x: The inputs, shape `(batch, time, input_size)`.
        read: The read before the first step, shape `(batch, heads, width)`; zero if not given.
        hidden: The states of the cell before the first step, the output first; `initial` if empty.
        state: The state of the memory before the first step; empty if not given.
        noise: The noise to add.
        initial: The initial states of the cell, shape `(states, hidden_size)`; zero if not given.
        lengths: Number of real steps in each row, shape `(batch,)`; all if not given.
        reset: Steps before which a row is reset, shape `(batch, time)`, bool; none if not given.
        read_skip: Layer from the read to a term of the output of the same step, if any.
        packed: The inputs, in which case `x` is their `stand_in`; the output is packed likewise.
        record: Whether to return actions and reads.
        time_first: How a graph stores the output: whether time is its outermost axis; otherwise it is stored like `x`.

    Raises:
        ValueError: If the memory validates its actions and a push or a pop is NaN.
    """
    if torch.compiler.is_compiling():
        return _capture(network, x, read, hidden, state, noise, initial, lengths, reset, read_skip, record, time_first)
    if x.device.type in _TRITON:
        from ddstructs.nn.cuda import run as triton  # imports triton

        return triton.run(network, x, read, hidden, state, noise, initial, lengths, reset, read_skip, packed, record)
    from ddstructs.nn.compiled import node, plan  # imports numba
    from ddstructs.ops import tape as tapes

    memory = network.memory
    batch, time = x.shape[:2]
    if state is None:
        lines = [tapes.empty(layout, batch, memory.width, x.dtype, time) for layout in memory.lines]
    else:
        lines = tapes.separate(memory.lines, cast("Sequence[LineState]", memory.line_states(state)), time)
    weights = _weights(network, read_skip, initial)
    with_actions = record or memory.validate
    restarts, cuts = plan.divide(batch, time, lengths, reset)
    source = x if packed is None else packed.data
    differentiate = torch.is_grad_enabled() and any(
        part is not None and part.requires_grad
        for part in (source, *weights, read, *hidden, *(line.token for line in lines))
    )
    with tapes.locked([line.tape for line in lines]):
        extended = [tapes.extend(line, time, differentiate) for line in lines]
        setup = node.Setup(
            node.CELLS[type(network.cell).__name__], [tape for tape, _ in extended], time, batch, cuts,
            None if packed is None else _positions(packed), restarts, noise, network.hard, with_actions,
            differentiate, len(hidden),
        )  # fmt: skip
        output, push, pop, value, reads, last, *others = node.Steps.apply(  # type: ignore[no-untyped-call]
            setup, source, *weights, read, *hidden, *(token for _, token in extended)
        )
        split = len(others) - len(lines)
        states, tokens = others[:split], others[split:]
        pairs = zip(extended, tokens, strict=True)
        after = [tapes.TapeState(tape, tape.time, token if differentiate else None) for (tape, _), token in pairs]
    actions = Action(push, pop, value) if with_actions else None
    if memory.validate:
        memory.check(actions, time=True)
    return Fused(output, actions, reads, tuple(states), last, _joined(memory, x, state, after))


def _joined(memory: Memory, x: Tensor, before: State | None, lines: Sequence[State]) -> State:
    """The state after a run, from that of each line; without any it is still the state before."""
    if before is not None and not lines:
        return before
    size = x.shape[0]  # `len` would fix the batch size in torch.export
    after: State = memory.from_lines(lines) if lines else memory.initial_state(size, device=x.device, dtype=x.dtype)
    return after


def _weights(network: Network, read_skip: nn.Linear | None, initial: Tensor | None) -> tuple[Tensor | None, ...]:
    """The weights that all steps share, in the order in which `compiled.node.Steps` takes them."""
    cell, to_action, value_skip, signal_skip, _, _ = network
    assert isinstance(cell, nn.RNNCell | nn.LSTMCell | nn.GRUCell | DeepCell)
    assert to_action is None or isinstance(to_action, nn.Linear)
    assert value_skip is None or isinstance(value_skip, nn.Linear)
    skip = None if value_skip is None else value_skip.weight
    if isinstance(signal_skip, nn.Linear) and to_action is not None:
        signals = signal_skip.weight
        values = len(to_action.weight) - len(signals)
        skip = torch.cat([signals, signals.new_zeros(values, signals.shape[1]) if skip is None else skip])
    layer = (cell.weight_ho, cell.bias_ho) if isinstance(cell, DeepCell) else (None, None)
    return (
        cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh, None if to_action is None else to_action.weight,
        None if to_action is None else to_action.bias, skip, None if read_skip is None else read_skip.weight, *layer,
        initial,
    )  # fmt: skip


def _capture(
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
    record: bool,
    time_first: bool,
) -> Fused:
    """`run` as one operator of a graph."""
    memory, weights = network.memory, _weights(network, read_skip, initial)
    states = None if state is None else cast("Sequence[LineState]", memory.line_states(state))
    results, after = capture(
        type(network.cell).__name__, memory.lines, x, weights, read, hidden, states, noise, lengths, reset,
        hard=network.hard, record=record, time_first=time_first,
    )  # fmt: skip
    actions, reads = (Action(*results[1:4]), results.reads) if record else (None, None)
    return Fused(
        results.output, actions, reads, results.hidden.unbind(), results.read, _joined(memory, x, state, after)
    )  # fmt: skip
