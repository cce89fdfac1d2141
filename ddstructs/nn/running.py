"""A run of a `MemoryRNN` over a sequence: its checks, its noise, and the choice between compiled code and the loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from ddstructs.memory import State, check_reset
from ddstructs.nn import fused, loop
from ddstructs.nn.network import Network, Noise, RNNState, Unrolled
from ddstructs.nn.padding import checked, mask_of
from ddstructs.nn.placement import check_placement, check_state

if TYPE_CHECKING:
    from ddstructs.nn.rnn import MemoryRNN

__all__ = ["obstacle", "packs", "run_sequence"]


def obstacle(rnn: MemoryRNN, x: Tensor, state: RNNState | None) -> str | None:
    """Why a network cannot run in compiled code, in a few words; None if it can.

    Args:
        rnn: The network.
        x: The inputs, shape `(batch, time, input_size)`.
        state: The state to continue from, if any.
    """
    return fused.obstacle(_network(rnn), x, *_parts(state))


def packs(rnn: MemoryRNN, x: Tensor, state: RNNState | None) -> bool:
    """Whether compiled code takes packed inputs; the arguments are those of `obstacle`."""
    return _skip_inside(rnn)[1] and obstacle(rnn, x, state) is None


def run_sequence(
    rnn: MemoryRNN,
    x: Tensor,
    state: RNNState | None,
    lengths: Tensor | Sequence[int] | None,
    reset: Tensor | None,
    *,
    packed: PackedSequence | None = None,
    record: bool,
) -> Unrolled:
    """Run a network over a sequence, in compiled code if possible.

    Args:
        rnn: The network.
        x: The inputs, shape `(batch, time, input_size)`.
        state: The state to continue from; the initial one if not given.
        lengths: Number of real steps in each row; all if not given.
        reset: Steps before which a row is reset, shape `(batch, time)`, bool; none if not given.
        packed: The inputs, in which case `x` is their `fused.stand_in`; the output is packed likewise.
        record: Whether actions and reads are needed; otherwise they may be missing.

    Raises:
        ValueError: If a shape or a device does not match, or a length is outside 0..time.
        TypeError: If a dtype does not match.
    """
    batch, time = x.shape[:2]
    if not time:
        raise ValueError("x has no time steps: one or more were expected")
    check_placement(rnn, x)
    if state is not None:
        check_state(rnn, state, x)
        state = _connect_initial(rnn, state)
    if lengths is not None:
        lengths = checked(lengths, batch, time)
    reset = check_reset(reset, x)
    noise = _draw_noise(rnn, x)
    network = _network(rnn)
    if fused.fits(network, x, *_parts(state)):
        return _run_compiled(rnn, network, x, state, lengths, reset, noise, packed=packed, record=record)
    return _run_loop(rnn, network, x, state, lengths, reset, noise)


def _run_compiled(
    rnn: MemoryRNN,
    network: Network,
    x: Tensor,
    state: RNNState | None,
    lengths: Tensor | None,
    reset: Tensor | None,
    noise: Noise,
    *,
    packed: PackedSequence | None,
    record: bool,
) -> Unrolled:
    """Run all steps in compiled code."""
    skip, whole = _skip_inside(rnn)
    initial = rnn.initial if state is None or reset is not None else None
    run = fused.run(
        network, x, *_parts(state), noise, initial=initial, lengths=lengths, reset=reset, read_skip=skip,
        packed=packed, record=record or not whole, time_first=not (record or rnn.batch_first),
    )  # fmt: skip
    real = None if whole or lengths is None else mask_of(lengths, x.shape[1], x.device)
    output = run.output if whole else _output(rnn, run.output, run.reads, real)
    return Unrolled(output, run.actions, cast("Tensor", run.reads), RNNState(run.hidden, run.read, run.memory))


def _skip_inside(rnn: MemoryRNN) -> tuple[nn.Linear | None, bool]:
    """`read_skip` if no layer or gate comes in between, and whether compiled code yields the whole output."""
    skip, bare = rnn.read_skip, rnn.output_layer is None
    skip = skip if bare and rnn.read_gate is None and fused.adds_itself(skip) else None
    return skip, bare and (rnn.read_skip is None or skip is not None)


def _run_loop(
    rnn: MemoryRNN,
    network: Network,
    x: Tensor,
    state: RNNState | None,
    lengths: Tensor | None,
    reset: Tensor | None,
    noise: Noise,
) -> Unrolled:
    """Run the steps in a loop."""
    batch, time = x.shape[:2]
    if state is None:
        state = rnn.initial_state(batch, device=x.device, dtype=x.dtype)
    real = None if lengths is None else mask_of(lengths, time, x.device)
    if real is not None:
        x = torch.where(real[..., None], x, 0)
    fresh = None if reset is None else rnn.initial_state(batch, device=x.device, dtype=state.read.dtype)
    hiddens, actions, reads, state = loop.run(network, x, state, real, noise, reset, fresh)
    return Unrolled(_output(rnn, hiddens, reads, real), actions, reads, state)


def _output(rnn: MemoryRNN, hiddens: Tensor, reads: Tensor | None, real: Tensor | None) -> Tensor:
    """The output of the network, from the outputs of the cell and the reads of the same steps."""
    output = hiddens
    if rnn.output_layer is not None:
        output = rnn.output_layer(output).tanh()
    if rnn.read_skip is not None and reads is not None:
        skip = rnn.read_skip(reads.flatten(2))
        output = output + (skip if rnn.read_gate is None else skip * (1 + rnn.read_gate(hiddens).tanh()))
    return output if real is None else torch.where(real[..., None], output, 0)


def _connect_initial(rnn: MemoryRNN, state: RNNState) -> RNNState:
    """The same state, connected to `initial` by a zero gradient, for distributed training.

    `DistributedDataParallel` waits for a gradient of every parameter, and `initial` would have none. In a single
    process it is left without a gradient, so that an optimizer does not update it.
    """
    if rnn.initial is None or not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return state
    never = torch.zeros((), dtype=torch.bool, device=state.read.device)
    hidden = zip(rnn.initial, state.hidden, strict=True)
    return replace(state, hidden=tuple(torch.where(never, first.to(part.dtype), part) for first, part in hidden))


def _draw_noise(rnn: MemoryRNN, x: Tensor) -> Noise:
    if not (rnn.training and rnn.noisy and (rnn.read_noise or rnn.state_noise or rnn.signal_noise)):
        return _QUIET

    def draw(deviation: float, *shape: int) -> Tensor | None:
        if not deviation:
            return None
        return deviation * torch.randn(*shape, device=x.device, dtype=x.dtype)

    (batch, time, _), memory = x.shape, rnn.memory
    return Noise(
        draw(rnn.read_noise, time, batch, memory.heads, memory.read_width),
        draw(rnn.state_noise, rnn.num_states - 1, time, batch, rnn.hidden_size),
        draw(rnn.signal_noise, time, batch, memory.signals.size),
    )


_QUIET = Noise(None, None, None)


def _network(rnn: MemoryRNN) -> Network:
    return Network(rnn.cell, rnn.to_action, rnn.value_skip, rnn.signal_skip, rnn.memory, rnn.hard)


def _parts(state: RNNState | None) -> tuple[Tensor | None, tuple[Tensor, ...], State | None]:
    """The last read, the states of the cell, and the state of the memory."""
    return (None, (), None) if state is None else (state.read, state.hidden, state.memory)
