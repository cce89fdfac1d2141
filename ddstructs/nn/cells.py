r"""The cells of torch step by step, with a gradient written by hand, for `fused`.

$z_t$ is the sum of the weighted inputs of a step and $\bar{x}$ the gradient of the loss in $x$. `nn.RNNCell`:

$$ h_t = \tanh(z_t) \qquad \bar{z}_t = \bar{h}_t \odot (1 - h_t^2) $$

`nn.LSTMCell`, with $z_t = [z^i; z^f; z^g; z^o]$ in the order of torch, $i, f, o = \sigma(z^i, z^f, z^o)$ and
$g = \tanh(z^g)$:

$$ c_t = f_t \odot c_{t-1} + i_t \odot g_t \qquad h_t = o_t \odot \tanh(c_t) $$

$$ \bar{c}_t \mathrel{+}= f_{t+1} \odot \bar{c}_{t+1} + \bar{h}_t \odot o_t \odot (1 - \tanh^2 c_t) $$

$$ \bar{z}^i = \bar{c}_t \odot g \odot i (1 - i) \quad \bar{z}^f = \bar{c}_t \odot c_{t-1} \odot f (1 - f) \quad
   \bar{z}^g = \bar{c}_t \odot i (1 - g^2) \quad \bar{z}^o = \bar{h}_t \odot \tanh(c_t) \odot o (1 - o) $$

Everything on the right but $\bar{h}_t$ and $\bar{c}_t$ is computed for all steps at once. Tensors are time first.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

__all__ = ["LSTM", "STEPWISE", "Elman", "Stepwise"]


class Stepwise(ABC):
    """The activations of a cell over a sequence: each step forward, or `prepare` and each step backward.

    Args:
        states: The states beside the output, each of shape `(time + 1, batch, hidden_size)`. The caller may add noise
            to them after a step, so backward may find other states than forward wrote.
        saved: Activations kept for backward; buffers for one step if no gradient is needed.
    """

    def __init__(self, states: Sequence[Tensor], saved: Sequence[Tensor]) -> None:
        self.states, self.saved = states, saved

    @classmethod
    @abstractmethod
    def begin(cls, hidden: Sequence[Tensor], time: int, differentiate: bool) -> Self:
        """Allocate for a sequence.

        Args:
            hidden: The states before the first step, the output first, each of shape `(batch, hidden_size)`.
            time: Number of steps.
            differentiate: Whether backward will run.
        """

    @abstractmethod
    def forward(self, t: int, z: Tensor, h: Tensor) -> None:
        """Write the output h_t, and the other states, of a step."""

    @abstractmethod
    def prepare(self, h: Tensor, grads: Sequence[Tensor | None]) -> None:
        """Compute the factors of backward that do not depend on a later step.

        Args:
            h: The outputs of all steps, shape `(time, batch, hidden_size)`.
            grads: The gradients of `states`.
        """

    @abstractmethod
    def backward(self, t: int, h_grad: Tensor, z_grad: Tensor) -> None:
        """Write the gradient of z_t, given that of h_t; the last step comes first."""

    @abstractmethod
    def finish(self) -> tuple[Tensor, ...]:
        """The gradients of the states beside the output before the first step."""


class Elman(Stepwise):
    """The activation of `nn.RNNCell`."""

    @classmethod
    def begin(cls, hidden: Sequence[Tensor], time: int, differentiate: bool) -> Self:
        return cls((), ())

    def forward(self, t: int, z: Tensor, h: Tensor) -> None:
        torch.tanh(z, out=h)

    def prepare(self, h: Tensor, grads: Sequence[Tensor | None]) -> None:
        self.slopes = (1 - h.square()).unbind()

    def backward(self, t: int, h_grad: Tensor, z_grad: Tensor) -> None:
        torch.mul(h_grad, self.slopes[t], out=z_grad)

    def finish(self) -> tuple[Tensor, ...]:
        return ()


class LSTM(Stepwise):
    """The activations of `nn.LSTMCell`; saved are the gates i, f, g, o and tanh(c)."""

    @classmethod
    def begin(cls, hidden: Sequence[Tensor], time: int, differentiate: bool) -> Self:
        _, first = hidden
        c = first.new_empty(time + 1, *first.shape)
        c[0] = first
        time = time if differentiate else 1
        return cls((c,), (first.new_empty(time, len(first), 4, first.shape[1]), first.new_empty(time, *first.shape)))

    def forward(self, t: int, z: Tensor, h: Tensor) -> None:
        (c,), (all_gates, all_tanh_c) = self.states, self.saved
        gates, tanh_c = all_gates[t % len(all_gates)], all_tanh_c[t % len(all_tanh_c)]
        torch.sigmoid(z.view_as(gates), out=gates)
        torch.tanh(z.view_as(gates)[:, 2], out=gates[:, 2])
        i, f, g, o = gates.unbind(1)
        torch.mul(f, c[t], out=c[t + 1]).addcmul_(i, g)
        torch.mul(o, torch.tanh(c[t + 1], out=tanh_c), out=h)

    def prepare(self, h: Tensor, grads: Sequence[Tensor | None]) -> None:
        (c,), (gates, tanh_c), (c_grad,) = self.states, self.saved, grads
        i, f, g, o = gates.unbind(2)
        from_c = g * i * (1 - i), c[:-1] * f * (1 - f), i * (1 - g.square())
        self.from_c, self.from_h = torch.stack(from_c, dim=2).unbind(), (tanh_c * o * (1 - o)).unbind()
        self.c_from_h, self.f = (o * (1 - tanh_c.square())).unbind(), f.unbind()
        self.c_grads = (torch.zeros_like(c) if c_grad is None else c_grad).unbind()
        self.carry = torch.zeros_like(c[0])  # from the step after

    def backward(self, t: int, h_grad: Tensor, z_grad: Tensor) -> None:
        c_grad = torch.addcmul(self.carry + self.c_grads[t + 1], h_grad, self.c_from_h[t])
        gates = z_grad.unflatten(1, (4, -1))
        torch.mul(c_grad[:, None], self.from_c[t], out=gates[:, :3])
        torch.mul(h_grad, self.from_h[t], out=gates[:, 3])
        self.carry = c_grad * self.f[t]

    def finish(self) -> tuple[Tensor, ...]:
        return (self.carry + self.c_grads[0],)


STEPWISE: dict[type[nn.Module], type[Stepwise]] = {nn.RNNCell: Elman, nn.LSTMCell: LSTM}
"""The cells of torch that are supported here."""
