"""The division of sources among training, validation and test, for tasks whose sources recur."""

from __future__ import annotations

import torch
from torch import Tensor

from ddstructs.tasks.streams import TEST, TRAIN, VAL

__all__ = ["set_of"]

PRIME = 2**31 - 1
BASE = 742938285
"""A primitive root of the prime, whose powers are spread well (Fishman & Moore 1986)."""

SHARES = (VAL, TEST, *6 * (TRAIN,))
"""The set of each eighth of the range of the hash."""


def set_of(source: Tensor, lengths: Tensor) -> Tensor:
    r"""The one set that each source belongs to: `VAL` for an eighth of all sources, `TEST` for another, or `TRAIN`.

    A hash of the symbols $w_1 \dots w_n$ decides, and nothing else, so that a source is in the same set in every batch,
    epoch, run and version: which eighth of $0 \dots p - 1$ the remainder $\sum_i (w_i + 1) \, b^i \bmod p$ is in, with
    $p = 2^{31} - 1$ and $b = 742938285$.

    Args:
        source: Source symbols, shape `(batch, time)`, int64; symbols beyond a row's length are arbitrary.
        lengths: Length of each source, shape `(batch,)`, int64.

    Returns:
        Shape `(batch,)`, int64.

    Example:
        >>> import torch
        >>> from ddstructs.tasks.held_out import set_of
        >>> set_of(torch.tensor([[3, 5, 0], [3, 5, 7], [4, 5, 0]]), torch.tensor([2, 2, 2]))
        tensor([2, 2, 0])
    """
    time = source.shape[1]
    powers = torch.tensor([pow(BASE, i, PRIME) for i in range(1, time + 1)], dtype=torch.int64)
    terms = torch.where(torch.arange(time) < lengths[:, None], (source + 1) * powers % PRIME, 0)
    return torch.tensor(SHARES)[terms.sum(dim=1) % PRIME * len(SHARES) // PRIME]
