"""The cells of torch step by step, with a gradient that is written by hand, for `fused`.

What does not depend on the step before is computed for all steps at once: forward the products with the inputs, which
are not here, and backward the slopes. Tensors are time first.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

__all__ = ["LSTM", "STEPWISE", "Elman", "Stepwise"]


class Stepwise(ABC):
    """The activations of a cell in all steps of a sequence: first each step forward, or `prepare` and each backward.

    Args:
        kept: The states beside the output, each of shape `(time + 1, batch, hidden_size)`. After a step noise may be
            added to its states, so backward does not find there what forward put.
        opened: What else backward needs of forward, or room for one step of it, if there is to be no backward.
    """

    def __init__(self, kept: Sequence[Tensor], opened: Sequence[Tensor]) -> None:
        self.kept, self.opened = kept, opened

    @classmethod
    @abstractmethod
    def begin(cls, hidden: Sequence[Tensor], time: int, differentiate: bool) -> Self:
        """For some steps from a state, the output first, each tensor of shape `(batch, hidden_size)`."""

    @abstractmethod
    def forward(self, t: int, z: Tensor, output: Tensor) -> None:
        """Write the output of a step, from what it has summed up."""

    @abstractmethod
    def prepare(self, outputs: Tensor, grads: Sequence[Tensor | None]) -> None:
        """Make ready for the steps backward.

        Args:
            outputs: Those of all steps, shape `(time, batch, hidden_size)`.
            grads: The gradients of `kept`.
        """

    @abstractmethod
    def backward(self, t: int, grad: Tensor, z_grad: Tensor) -> None:
        """Write the gradient of what a step has summed up, from that of its output; the last step comes first."""

    @abstractmethod
    def finish(self) -> tuple[Tensor, ...]:
        """The gradients of the states beside the output before the first step."""


class Elman(Stepwise):
    """The activation of `nn.RNNCell`."""

    @classmethod
    def begin(cls, hidden: Sequence[Tensor], time: int, differentiate: bool) -> Self:
        return cls((), ())

    def forward(self, t: int, z: Tensor, output: Tensor) -> None:
        torch.tanh(z, out=output)

    def prepare(self, outputs: Tensor, grads: Sequence[Tensor | None]) -> None:
        self.slopes = (1 - outputs.square()).unbind()

    def backward(self, t: int, grad: Tensor, z_grad: Tensor) -> None:
        torch.mul(grad, self.slopes[t], out=z_grad)

    def finish(self) -> tuple[Tensor, ...]:
        return ()


class LSTM(Stepwise):
    """The activations of `nn.LSTMCell`; its gates are in the order of torch: input, forget, cell, output."""

    @classmethod
    def begin(cls, hidden: Sequence[Tensor], time: int, differentiate: bool) -> Self:
        _, cell = hidden
        kept = cell.new_empty(time + 1, *cell.shape)
        kept[0] = cell
        time = time if differentiate else 1
        return cls((kept,), (cell.new_empty(time, len(cell), 4, cell.shape[1]), cell.new_empty(time, *cell.shape)))

    def forward(self, t: int, z: Tensor, output: Tensor) -> None:
        (kept,), (opened, seen) = self.kept, self.opened
        gates, squashed = opened[t % len(opened)], seen[t % len(seen)]
        torch.sigmoid(z.view_as(gates), out=gates)
        torch.tanh(z.view_as(gates)[:, 2], out=gates[:, 2])
        enter, forget, candidate, leave = gates.unbind(1)
        torch.mul(forget, kept[t], out=kept[t + 1]).addcmul_(enter, candidate)
        torch.mul(leave, torch.tanh(kept[t + 1], out=squashed), out=output)

    def prepare(self, outputs: Tensor, grads: Sequence[Tensor | None]) -> None:
        (kept,), (opened, seen), (grad,) = self.kept, self.opened, grads
        enter, forget, candidate, leave = opened.unbind(2)
        into = candidate * enter * (1 - enter), kept[:-1] * forget * (1 - forget), enter * (1 - candidate.square())
        self.into, self.out = torch.stack(into, dim=2).unbind(), (seen * leave * (1 - leave)).unbind()
        self.through, self.forget = (leave * (1 - seen.square())).unbind(), forget.unbind()
        self.grads = (torch.zeros_like(kept) if grad is None else grad).unbind()
        self.carry = torch.zeros_like(kept[0])  # the gradient of the cell's state that the step after hands back

    def backward(self, t: int, grad: Tensor, z_grad: Tensor) -> None:
        state_grad = torch.addcmul(self.carry + self.grads[t + 1], grad, self.through[t])
        gates = z_grad.unflatten(1, (4, -1))
        torch.mul(state_grad[:, None], self.into[t], out=gates[:, :3])
        torch.mul(grad, self.out[t], out=gates[:, 3])
        self.carry = state_grad * self.forget[t]

    def finish(self) -> tuple[Tensor, ...]:
        return (self.carry + self.grads[0],)


STEPWISE: dict[type[nn.Module], type[Stepwise]] = {nn.RNNCell: Elman, nn.LSTMCell: LSTM}
"""The cells of torch that are known here."""
