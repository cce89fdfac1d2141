"""A recurrent cell with a hidden layer."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

__all__ = ["DeepCell"]

UNITS = 3
"""Hidden units for each number of the output."""


@final
class DeepCell(nn.RNNCellBase):
    r"""An Elman cell whose step has a hidden layer.

    $$ h_t = \tanh(V \max(0, W x_t + U h_{t-1} + b) + c) $$

    A step of torch's cells combines what it is given in one layer. A table of two or three symbols, such as the value
    of `2 * 4` modulo 5 with one of them read from a memory, takes two: a unit for each combination, and their sum. The
    hidden layer has three times as many units as the output. On the CPU a `MemoryRNN` with this cell runs in compiled
    code; on a GPU it runs in a loop over the steps.

    Args:
        input_size: Size of one input.
        hidden_size: Size of the output, which is the state.
        bias: Whether the layers have biases.
        device: Where the parameters live.
        dtype: Floating-point type of the parameters.

    Reference:
        Pascanu, Gulcehre, Cho & Bengio 2014, *How to Construct Deep Recurrent Neural Networks*, section 3.3.1.

    Example:
        >>> import torch
        >>> from ddstructs import MemoryRNN, Stack
        >>> rnn = MemoryRNN(8, 32, Stack(16), cell="deep", batch_first=True)
        >>> rnn(torch.randn(4, 10, 8))[0].shape
        torch.Size([4, 10, 32])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, UNITS, device, dtype)
        self.weight_ho = nn.Parameter(torch.empty(hidden_size, UNITS * hidden_size, device=device, dtype=dtype))
        self.bias_ho = nn.Parameter(torch.empty(hidden_size, device=device, dtype=dtype)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights and biases of each layer, uniform up to one over the root of the number of its inputs."""
        entry = 1 / math.sqrt(self.input_size + self.hidden_size)
        for name, parameter in self.named_parameters():
            bound = 1 / math.sqrt(UNITS * self.hidden_size) if name.endswith("_ho") else entry
            nn.init.uniform_(parameter, -bound, bound)

    def forward(self, x: Tensor, h: Tensor | None = None) -> Tensor:
        """One step.

        Args:
            x: Input, shape `(..., input_size)`.
            h: Last output, shape `(..., hidden_size)`; zero if not given.

        Returns:
            The output, shape `(..., hidden_size)`.
        """
        last = x.new_zeros(*x.shape[:-1], self.hidden_size) if h is None else h
        sums = linear(x, self.weight_ih, self.bias_ih) + linear(last, self.weight_hh, self.bias_hh)
        return linear(sums.relu(), self.weight_ho, self.bias_ho).tanh()
