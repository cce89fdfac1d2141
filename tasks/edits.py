"""Random edits of strings: a symbol is inserted, replaced or deleted."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["edited"]


def edited(
    strings: Tensor,
    lengths: Tensor,
    edits: Tensor,
    within: tuple[int, int],
    symbols: int,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Edit strings at random, one edit after the other.

    An edit is an insertion, a replacement by another symbol, or a deletion, uniformly among those that leave the length
    within its range, at a uniform position.

    Args:
        strings: Symbols, shape `(batch, time)`; what follows in a shorter row is arbitrary.
        lengths: Length of each string, shape `(batch,)`.
        edits: Number of edits of each string, shape `(batch,)`.
        within: Shortest and longest length of an edited string.
        symbols: Number of symbols, 2 or more.
        generator: Source of the random numbers.

    Returns:
        The edited strings, shape `(batch, longest)`, and their lengths. The longest is that of the range, or that of
        the strings, if one is longer.
    """
    low, high = within
    width = max(high, strings.shape[1], 1)
    strings = torch.nn.functional.pad(strings, (0, width - strings.shape[1]))
    place = torch.arange(width)
    for turn in range(int(edits.max())):
        possible = torch.stack([lengths < high, lengths > 0, lengths > low], dim=1).double()
        choice = torch.multinomial(possible, 1, generator=generator)
        chance = torch.rand(len(strings), 1, generator=generator, dtype=torch.float64)
        insert, delete = choice == 0, choice == 2
        at = (chance * (lengths[:, None] + insert)).long()
        drawn = torch.randint(symbols - 1, at.shape, generator=generator)
        old = strings.gather(1, at.clamp(max=width - 1))
        other = torch.where(insert, torch.randint(symbols, at.shape, generator=generator), (old + 1 + drawn) % symbols)
        origin = place - (insert & (place > at)).long() + (delete & (place >= at)).long()
        after = strings.gather(1, origin.clamp(max=width - 1))
        after = torch.where((place == at) & ~delete, other, after)
        active = (edits > turn)[:, None]
        strings = torch.where(active, after, strings)
        lengths = lengths + (active & insert)[:, 0].long() - (active & delete)[:, 0].long()
    return strings, lengths
