"""Binary addition: two numbers in, their sum out."""

from __future__ import annotations

import re
from typing import Any, final

import torch
from torch import Tensor

from ddstructs.errors import InputError
from ddstructs.registry.ranges import Lengths
from ddstructs.tasks.transduction import Transduction

__all__ = ["BinaryAddition"]


@final
class BinaryAddition(Transduction):
    """Add two binary numbers, digit by digit from the least significant: the classic first exercise for an RNN.

    A source symbol is a pair of digits, one of each number, `2 a + b`. Each is answered at once by a digit of the sum,
    and the separator by the last carry. Only the carry must be remembered, so no memory is needed.

    Args:
        train_lengths: Minimum and maximum number of digits in training.
        test_lengths: The same for the test set.
        curriculum: Whether to start with short numbers.
        settings: The other settings of every generated task, see `Generated`.

    Example:
        >>> import torch
        >>> from ddstructs.tasks import BinaryAddition
        >>> task = BinaryAddition()
        >>> source = torch.tensor([task.encode("11 + 1")])
        >>> target, lengths = task.transduce(source, torch.tensor([2]))
        >>> task.decode(target[0].tolist())
        '100'
    """

    source_symbols = 4
    target_symbols = 2
    online = True
    example = "1101 + 101"

    def __init__(
        self,
        train_lengths: Lengths = (8, 8),
        test_lengths: Lengths = (9, 64),
        curriculum: bool = False,
        **settings: Any,
    ) -> None:
        super().__init__(train_lengths=train_lengths, test_lengths=test_lengths, curriculum=curriculum, **settings)

    def transduce(self, source: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        digits = source // 2 + source % 2
        digits = torch.where(torch.arange(source.shape[1]) < lengths[:, None], digits, 0)
        total, carry = [], torch.zeros_like(lengths)
        for digit in [*digits.unbind(1), torch.zeros_like(lengths)]:
            total.append((digit + carry) % 2)
            carry = (digit + carry) // 2
        return torch.stack(total, dim=1), lengths + 1

    def encode(self, text: str) -> list[int]:
        match = re.fullmatch(r"\s*([01]+)\s*\+\s*([01]+)\s*", text)
        if not match:
            raise InputError(f"{text!r} is not a binary addition such as {self.example}")
        a, b = (int(number, 2) for number in match.groups())
        digits = max(map(len, match.groups()))
        return [2 * (a >> i & 1) + (b >> i & 1) for i in range(digits)]

    def source_name(self, symbol: int) -> str:
        return f"{symbol // 2}+{symbol % 2}"

    def decode(self, symbols: list[int]) -> str:
        return "".join(map(str, reversed(symbols))).lstrip("0") or "0"
