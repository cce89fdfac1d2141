"""Random streams: a reproducible generator for each key."""

from __future__ import annotations

import numpy as np
import torch

__all__ = ["RESTART", "TEST", "TRAIN", "VAL", "generator", "seed_of"]

TRAIN, VAL, TEST, RESTART = range(4)
"""The purposes of streams: the first number of a key."""


def generator(*key: int) -> torch.Generator:
    """A generator for a key.

    Example:
        >>> import torch
        >>> torch.equal(torch.rand(3, generator=generator(TEST)), torch.rand(3, generator=generator(TEST)))
        True
    """
    return torch.Generator().manual_seed(seed_of(*key))


def seed_of(*key: int) -> int:
    """A seed for a key, in 0..2^63 - 1."""
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0]) >> 1
