"""The loop over the steps of a `MemoryRNN`: for any cell, any memory and any device."""

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
    """Run a network over a sequence, one step at a time.

    Args:
        network: The parts.
        x: The inputs, shape `(batch, time, input_size)`.
        state: The state before the first step.
        real: Which steps are not padding, shape `(batch, time)`, bool; all if not given.
        noise: The noise to add.
        reset: Steps before which a row is reset, shape `(batch, time)`, bool; none if not given.
        fresh: The state to reset to.

    Returns:
        The outputs of the cell, the actions, the reads and the state after the last step of each row.
    """
    hidden, read, memory = state.hidden, state.read, state.memory
    more_logits, more_value = network.terms(x, noise.signals)
    hiddens, actions, reads = [], [], []
    if reset is not None and real is not None:
        reset = reset & real
    for t, x_t in enumerate(x.unbind(1)):
        if fresh is not None and reset is not None and reset[:, t].any():
            rows = reset[:, t]
            pairs = zip(fresh.hidden, hidden, strict=True)
            hidden = tuple(torch.where(rows[:, None], new, old) for new, old in pairs)
            read, memory = torch.where(rows[:, None, None], 0, read), network.memory.emptied(memory, rows)
        cell_input = torch.cat([x_t, read.flatten(1)], dim=1)
        single = len(hidden) == 1
        after = network.cell(cell_input, hidden[0] if single else hidden)
        after = (after,) if single else tuple(after)
        action = network.action(
            after[0],
            None if more_logits is None else more_logits[:, t],
            None if more_value is None else more_value[:, t],
        )
        if noise.states is not None:
            after = (after[0], *(part + more for part, more in zip(after[1:], noise.states[:, t], strict=True)))
        if real is not None:
            keep = real[:, t, None]
            after = tuple(torch.where(keep, new, old) for new, old in zip(after, hidden, strict=True))
            action = action.only(real[:, t])
        new_read, memory = network.memory.step(action, memory)
        if noise.reads is not None:
            new_read = new_read + noise.reads[t]
        hidden, read = after, new_read if real is None else torch.where(real[:, t, None, None], new_read, read)
        hiddens.append(hidden[0])
        actions.append(action)
        reads.append(read)
    stacked = mapped(lambda *steps: torch.stack(steps, dim=1), *actions)
    return Unrolled(torch.stack(hiddens, dim=1), stacked, torch.stack(reads, dim=1), RNNState(hidden, read, memory))
