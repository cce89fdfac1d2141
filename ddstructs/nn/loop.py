"""The steps of a `MemoryRNN` one after another: with any cell, any memory and on any device."""

from __future__ import annotations

import torch
from torch import Tensor

from ddstructs.actions import mapped
from ddstructs.nn.network import Network, Noise, RNNState, Unrolled

__all__ = ["run"]


def run(
    network: Network,
    x: Tensor,
    state: RNNState,
    real: Tensor | None,
    noise: Noise,
    reset: Tensor | None = None,
    fresh: RNNState | None = None,
) -> Unrolled:
    """Run a network over a sequence, with any cell and any memory.

    Args:
        network: The parts.
        x: The inputs, shape `(batch, time, input_size)`.
        state: The state before the first step.
        real: Which steps count, shape `(batch, time)`, bool; all if not given.
        noise: The noise to add.
        reset: Before which steps a row begins afresh, shape `(batch, time)`, bool; none if not given.
        fresh: The state with which it begins then.

    Returns:
        The outputs of the cell, the actions, the reads and the state after the last step of each row.
    """
    hidden, read, memory = state.hidden, state.read, state.memory
    skips = x if network.value_skip is None else network.value_skip(x)
    hiddens, actions, reads = [], [], []
    if reset is not None and real is not None:
        reset = reset & real
    for t, (given, skip) in enumerate(zip(x.unbind(1), skips.unbind(1), strict=True)):
        if fresh is not None and reset is not None and reset[:, t].any():
            rows = reset[:, t]
            afresh = zip(fresh.hidden, hidden, strict=True)
            hidden = tuple(torch.where(rows[:, None], new, old) for new, old in afresh)
            read, memory = torch.where(rows[:, None, None], 0, read), network.memory.emptied(memory, rows)
        fed = torch.cat([given, read.flatten(1)], dim=1)
        single = len(hidden) == 1
        after = network.cell(fed, hidden[0] if single else hidden)
        after = (after,) if single else tuple(after)
        action = network.action(after[0], skip)
        if noise.states is not None:
            after = (after[0], *(part + more for part, more in zip(after[1:], noise.states[:, t], strict=True)))
        if real is not None:
            keep = real[:, t, None]
            after = tuple(torch.where(keep, new, old) for new, old in zip(after, hidden, strict=True))
            action = action.only(real[:, t])
        answer, memory = network.memory.step(action, memory)
        if noise.reads is not None:
            answer = answer + noise.reads[t]
        hidden, read = after, answer if real is None else torch.where(real[:, t, None, None], answer, read)
        hiddens.append(hidden[0])
        actions.append(action)
        reads.append(read)
    stacked = mapped(lambda *steps: torch.stack(steps, dim=1), *actions)
    return Unrolled(torch.stack(hiddens, dim=1), stacked, torch.stack(reads, dim=1), RNNState(hidden, read, memory))
