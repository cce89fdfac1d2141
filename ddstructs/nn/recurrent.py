"""Torch's recurrent networks, with the interface of `MemoryLayer`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ddstructs.checks import check_batch
from ddstructs.nn.padding import checked
from ddstructs.state import State

__all__ = ["Cell", "Recurrent", "RecurrentState", "check_cell"]


@dataclass(frozen=True)
class RecurrentState(State):
    """The state of a recurrent layer: one or two tensors of shape `(batch, size)`."""

    hidden: tuple[Tensor, ...]


Cell = Literal["rnn", "lstm", "gru"]

CELLS: dict[str, Callable[..., nn.RNNBase]] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


def check_cell(cell: object) -> None:
    """Raise a `ValueError` for a name that is not that of a cell."""
    if cell not in CELLS:
        raise ValueError(f"cell is {cell!r}, but a recurrent layer has {', '.join(get_args(Cell))}")


class Recurrent(nn.Module):
    """A torch recurrent network as a batch-first layer with an immutable state.

    Args:
        embed_dim: Size of inputs, outputs and state.
        cell: Which network: `nn.RNN`, `nn.LSTM` or `nn.GRU`.

    Raises:
        ValueError: If the cell is unknown.

    Example:
        >>> import torch
        >>> from ddstructs.nn.recurrent import Recurrent
        >>> output, state = Recurrent(32, "lstm")(torch.randn(2, 10, 32), lengths=[10, 3])
    """

    def __init__(self, embed_dim: int, cell: Cell = "lstm") -> None:
        super().__init__()
        check_cell(cell)
        self.network = CELLS[cell](embed_dim, embed_dim, batch_first=True)

    def forward(
        self, x: Tensor, state: RecurrentState | None = None, lengths: Tensor | Sequence[int] | None = None
    ) -> tuple[Tensor, RecurrentState]:
        """The output for the next piece of a sequence, shape `(batch, time, embed_dim)`, and the state after it."""
        if state is None:
            state = self.initial_state(len(x), device=x.device, dtype=x.dtype)
        elif not isinstance(state, RecurrentState):
            raise TypeError(
                f"state is a {type(state).__name__}, but a recurrent layer continues from a state it returned"
            )
        own = [(len(x), self.network.hidden_size)] * (2 if isinstance(self.network, nn.LSTM) else 1)
        shapes = [tuple(part.shape) for part in state.hidden]
        if shapes != own:
            raise ValueError(f"the state has tensors of {shapes}, but {own} were expected: it belongs to another call")
        initial = [part[None] for part in state.hidden]
        hidden = tuple(initial) if len(initial) > 1 else initial[0]
        if lengths is None:
            output, after = self.network(x, hidden)
        else:
            count = checked(lengths, len(x), x.shape[1]).cpu()
            packed = pack_padded_sequence(x, count.clamp(min=1), batch_first=True, enforce_sorted=False)
            output, after = self.network(packed, hidden)
            output, _ = pad_packed_sequence(output, batch_first=True, total_length=x.shape[1])
            nonempty = (count > 0).to(x.device)
            output = torch.where(nonempty[:, None, None], output, 0)
            after = tuple(
                torch.where(nonempty[:, None], new, old)
                for new, old in zip(after if isinstance(after, tuple) else (after,), initial, strict=True)
            )
        parts = after if isinstance(after, tuple) else (after,)
        return output, RecurrentState(tuple(part[0] for part in parts))

    def initial_state(
        self, batch_size: int, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> RecurrentState:
        """The state before the first step: zeros."""
        check_batch(batch_size)
        weight = cast("Tensor", self.network.weight_hh_l0)
        size = self.network.hidden_size
        zero = torch.zeros(batch_size, size, device=device or weight.device, dtype=dtype or weight.dtype)
        return RecurrentState((zero,) * (2 if isinstance(self.network, nn.LSTM) else 1))
