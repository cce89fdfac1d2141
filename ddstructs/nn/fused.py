"""All steps of a `MemoryRNN` at once: whether a network can be run so, and the run.

In a loop over the steps most of the time goes to the overhead of operators and autograd. What `nn.compiled` knows runs
in compiled code instead, as one node of autograd: the cells of torch with a line memory on the CPU.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules import module as hooks

from ddstructs import ops
from ddstructs.memory import Action, State
from ddstructs.nn.network import Network, Noise
from ddstructs.ops import LineState

__all__ = ["CELLS", "Fused", "adds_itself", "fits", "obstacle", "run"]

SHORT = 2
"""Up to so many steps a loop is faster."""

CELLS: tuple[type[nn.Module], ...] = (nn.RNNCell, nn.LSTMCell, nn.GRUCell)
"""The cells of torch that are compiled."""


class Fused(NamedTuple):
    """A whole sequence, batch first. In the padding nothing is done, and the last read is repeated.

    Attributes:
        output: The output of the cell, and what `read_skip` adds to it; zero in the padding.
        actions: The actions, if they were asked for.
        reads: The reads, noise included, shape `(batch, time, heads, width)`, if they were asked for.
        hidden: The states of the cell after the last step of each row, the output first.
        read: The last read of each row.
        memory: The state of the memory after the last step.
    """

    output: Tensor
    actions: Action | None
    reads: Tensor | None
    hidden: tuple[Tensor, ...]
    read: Tensor
    memory: LineState


def fits(network: Network, x: Tensor, read: Tensor | None, hidden: tuple[Tensor, ...], state: State | None) -> bool:
    """Whether the network is made of known parts without hooks, and the state fits it; as `obstacle`."""
    return obstacle(network, x, read, hidden, state) is None


def obstacle(
    network: Network, x: Tensor, read: Tensor | None, hidden: tuple[Tensor, ...], state: State | None
) -> str | None:
    """Why a network cannot be run at once, in a few words; None if it can.

    Args:
        network: The parts.
        x: The inputs, shape `(batch, time, input_size)`.
        read: The read before the first step, shape `(batch, heads, width)`; none if it is zero.
        hidden: The states of the cell before the first step; none if they are the first ones.
        state: The state of the memory before the first step; none if it is empty.
    """
    cell, to_action, value_skip, memory, _ = network
    device = x.device.type
    if x.shape[1] <= SHORT:
        return f"the sequence has only {x.shape[1]} steps"
    if x.dtype not in (torch.float32, torch.float64):
        return f"x is {x.dtype}, but float32 and float64 are compiled"
    if device != "cpu":
        return f"x is on {device}, and only the CPU has a compiled loop"
    if not ops.on_tape(x):
        return "torch.compile, torch.func, ops.using or a missing numba rules out compiled kernels"
    if torch.is_autocast_enabled(device):
        return "autocast is on"
    if hooks._has_any_global_hook():
        return "a hook on all modules is registered"
    if type(cell) not in CELLS:
        return f"the cell is a {type(cell).__name__}, but those of torch are compiled"
    if getattr(cell, "nonlinearity", "tanh") != "tanh":
        return f"the cell has the nonlinearity {cell.nonlinearity}, but tanh is compiled"
    if memory.line is None:
        return f"{type(memory).__name__} is not a line memory"
    if type(to_action) is not nn.Linear or to_action.bias is None:
        return "to_action is not an nn.Linear with a bias"
    if value_skip is not None and (type(value_skip) is not nn.Linear or value_skip.bias is not None):
        return "value_skip is not an nn.Linear without a bias"
    for part in (cell, to_action, memory, value_skip):
        if part is not None and not _bare(part):
            return f"{type(part).__name__} has hooks, or a forward of its own"
    if any(weight.dtype != x.dtype or weight.device != x.device for weight in (cell.weight_hh, to_action.weight)):
        return "the parameters have another dtype than x"
    if state is not None:
        if not isinstance(state, LineState):
            return f"the state of the memory is a {type(state).__name__}"
        parts = (state.template, read, *hidden)
        if state.template.shape[-1] != memory.width or any(
            part is not None and (part.dtype != x.dtype or part.device != x.device or len(part) != len(x))
            for part in parts
        ):
            return "the state does not fit x"
    return None


def _bare(part: nn.Module) -> bool:
    """Whether a module runs the `forward` of its class, without hooks."""
    return "forward" not in vars(part) and not (
        part._forward_hooks or part._forward_pre_hooks or part._backward_hooks or part._backward_pre_hooks
    )


def adds_itself(read_skip: nn.Module | None) -> bool:
    """Whether what `read_skip` adds to the output can be computed with the steps."""
    return type(read_skip) is nn.Linear and read_skip.bias is None and _bare(read_skip)


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
    record: bool = True,
) -> Fused:
    """Run a network that `fits` over a sequence.

    Args:
        network: The parts.
        x: The inputs, shape `(batch, time, input_size)`.
        read: The read before the first step, shape `(batch, heads, width)`; zero if not given.
        hidden: The states of the cell before the first step, the output first; `initial` if there are none.
        state: The state of the memory before the first step; empty if not given.
        noise: The noise to add.
        initial: The first states of the cell, shape `(states, hidden_size)`; zero if not given.
        lengths: How many steps of each row count, shape `(batch,)`; all if not given.
        reset: Before which steps a row begins afresh, shape `(batch, time)`, bool; never, if not given.
        read_skip: What adds to the output, from the read of the same step.
        record: Whether to return actions and reads.

    Raises:
        ValueError: If the memory validates its actions and a push or a pop is NaN.
    """
    from ddstructs.nn.compiled import node  # brings numba
    from ddstructs.nn.compiled import plan as plans
    from ddstructs.ops import tape as tapes

    cell, to_action, value_skip, memory, hard = network
    assert isinstance(cell, nn.RNNCell | nn.LSTMCell | nn.GRUCell)
    assert isinstance(to_action, nn.Linear)
    layout = memory.line
    assert layout is not None
    batch, time = x.shape[:2]
    assert state is None or isinstance(state, LineState)
    if state is None:
        line = tapes.empty(layout, batch, memory.width, x.dtype, time)
    else:
        line = tapes.record(layout, state, time)
    weights = (
        cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh, to_action.weight, to_action.bias,
        None if value_skip is None else value_skip.weight, None if read_skip is None else read_skip.weight, initial,
    )  # fmt: skip
    recorded = record or memory.validate
    if lengths is None and reset is None:
        restarts, cuts = plans.NEVER, plans.even_cuts(batch, time)
    else:
        counts = np.full(batch, time, np.int64) if lengths is None else lengths.numpy().astype(np.int64)
        restarts = plans.NEVER if reset is None else np.ascontiguousarray(reset.numpy())
        cuts = plans.cuts(counts, restarts)
    differentiate = torch.is_grad_enabled() and any(
        part is not None and part.requires_grad for part in (x, *weights, read, *hidden, line.token)
    )
    with line.tape.lock:
        tape, token = tapes.extend(line, time, differentiate)
        setup = node.Setup(
            node.CELLS[type(cell).__name__], (tape,), time, batch, cuts, None, restarts, noise, hard, recorded,
            differentiate, len(hidden),
        )  # fmt: skip
        output, push, pop, value, reads, last, *others = node.Steps.apply(  # type: ignore[no-untyped-call]
            setup, x, *weights, read, *hidden, token
        )
        states, token = others[:-1], others[-1]
        after = tapes.TapeState(tape, tape.time, token if differentiate else None)
    actions = Action(push, pop, value) if recorded else None
    if memory.validate:
        memory.check(actions, time=True)
    return Fused(output, actions, reads, tuple(states), last, after)
