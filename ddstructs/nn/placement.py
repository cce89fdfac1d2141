"""Whether an input and a state fit a `MemoryRNN`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ddstructs.nn.network import RNNState

if TYPE_CHECKING:
    from ddstructs.nn.rnn import MemoryRNN

__all__ = ["check_placement", "check_state"]


def check_placement(rnn: MemoryRNN, x: Tensor) -> None:
    """Check that an input has the device and the dtype of the parameters.

    Raises:
        ValueError: If it is on another device.
        TypeError: If its dtype differs, and autocast is off.
    """
    weight = rnn.initial
    if weight is None:
        weight = next(rnn.parameters(), None)
    if weight is None:
        return
    if x.device != weight.device:
        raise ValueError(f"x is on {x.device}, but this network is on {weight.device}: move one to the other")
    if x.dtype != weight.dtype and not (x.is_floating_point() and torch.is_autocast_enabled(x.device.type)):
        raise TypeError(f"x is {x.dtype}, but the parameters are {weight.dtype}: use x.to(dtype) or autocast")


def check_state(rnn: MemoryRNN, state: RNNState, x: Tensor) -> None:
    """Check that a state belongs to the network, and fits an input of shape `(batch, ...)`.

    Raises:
        ValueError: If its batch or another size is wrong, or it is on another device.
        TypeError: If it is not an `RNNState`, or if its dtype differs and autocast is off.
    """
    batch = x.shape[0]  # `len` would fix the batch size in torch.export
    if not isinstance(state, RNNState):
        raise TypeError(f"state is a {type(state).__name__}, but a MemoryRNN continues from a state it returned")
    if state.read.shape[0] != batch:
        raise ValueError(f"x has batch {batch}, but the state has batch {state.read.shape[0]}")
    actual = ([part.shape[-1] for part in state.hidden], list(state.read.shape[1:]))
    expected = ([rnn.hidden_size] * rnn.num_states, [rnn.memory.heads, rnn.memory.read_width])
    if actual != expected:
        raise ValueError(
            f"the state has hidden sizes {actual[0]} and reads of {actual[1]}, but this network has {expected[0]} "
            f"and {expected[1]}: it belongs to another network"
        )
    dtype, device = state.read.dtype, state.read.device
    if device != x.device:
        raise ValueError(f"x is on {x.device}, but the state is on {device}: use state.to(x.device)")
    if dtype != x.dtype and not torch.is_autocast_enabled(device.type):
        raise TypeError(f"x is {x.dtype}, but the state is {dtype}: use state.to(dtype=x.dtype)")
