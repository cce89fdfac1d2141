"""How the kernels of a network divide their work: tiles of the weights, and warps."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor

from ddstructs.nn.cuda.products import Tiling, tiling
from ddstructs.ops.triton import constants

__all__ = ["Limits", "Plan", "multiprocessors", "plan"]


class Limits(NamedTuple):
    """What a program may use; sizes in bytes.

    Attributes:
        held: Maximum size of weights that are held in registers, of which a multiprocessor has 256 KiB.
        share: Held weights per warp.
        tile: Maximum size of a tile of weights that stream from the cache.
        warps: Maximum number of warps, and their number if weights stream.
    """

    held: int
    share: int
    tile: int
    warps: int


KIB = 1024

ROOMY = Limits(held=160 * KIB, share=16 * KIB, tile=32 * KIB, warps=8)
"""If every row has a multiprocessor of its own. With 8 warps a thread has all of its 255 registers."""

CROWDED = Limits(held=0, share=16 * KIB, tile=8 * KIB, warps=1)
"""If rows share multiprocessors. Small programs run side by side, and hide each other's latency."""

HEAVY = Limits(held=0, share=16 * KIB, tile=16 * KIB, warps=4)
"""If they do, and the weights are larger than the cache of a multiprocessor."""


class Plan(NamedTuple):
    """The tiles of one of the two kernels.

    Attributes:
        recurrent: Those of the weights of places.
        to_signals: Those of the weights of the signals.
        to_value: Those of the weights of the value.
        warps: Number of warps of a program.
    """

    recurrent: Tiling
    to_signals: Tiling
    to_value: Tiling
    warps: int

    def pad(self, *weights: Tensor) -> list[Tensor]:
        """The weights, padded to whole tiles."""
        return [tiles.pad(each) for tiles, each in zip(self[:3], weights, strict=True)]

    def constants(self, hidden: int, width: int, pushes: tuple[int, ...], takes: tuple[int, ...]) -> dict[str, Any]:
        """The compile-time constants of the kernel."""
        wide = {
            "wide": triton.next_power_of_2(hidden),
            "wide_reads": triton.next_power_of_2(len(pushes) * width),
        }
        tiles = {
            f"{name}_{n}": value
            for n, part in enumerate(self[:3])
            for name, value in zip(("rows", "columns", "padded", "stride", "held"), part, strict=True)
        }
        return constants(pushes, takes, width) | wide | tiles | {"num_warps": self.warps}


@lru_cache(maxsize=64)
def plan(
    summed: int, hidden: int, reads: int, heads: int, dtype: torch.dtype, *, backward: bool, crowded: bool
) -> Plan:
    """The tiles for a network.

    Args:
        summed: Number of sums of all gates.
        hidden: Size of the output.
        reads: Size of all reads.
        heads: Number of heads.
        dtype: The dtype of the weights.
        backward: Whether for the backward pass, in which matrices are transposed.
        crowded: Whether there are more rows than multiprocessors.
    """
    place, signals = hidden + reads, 2 * heads
    sizes = [(place, summed), (hidden, signals), (hidden, reads)]
    if backward:
        sizes = [(columns, rows) for rows, columns in sizes]
    size = dtype.itemsize
    wanted = sum(triton.next_power_of_2(rows) * triton.next_power_of_2(columns) * size for rows, columns in sizes)
    limits = ROOMY
    if crowded:
        limits = CROWDED if wanted <= ROOMY.held else HEAVY
    held = wanted <= limits.held
    recurrent, to_signals, to_value = (tiling(rows, columns, limits.tile // size, held) for rows, columns in sizes)
    if backward:  # both contribute to the gradient of the output, which is computed tile by tile
        rows = triton.next_power_of_2(signals)
        to_signals = Tiling(rows, to_value.columns, rows, to_value.stride, to_value.held)
    warps = triton.next_power_of_2(max(1, wanted // limits.share)) if held else limits.warps
    return Plan(recurrent, to_signals, to_value, min(limits.warps, warps))


@cache
def multiprocessors(device: torch.device) -> int:
    """Number of multiprocessors of a GPU; 1 for the interpreter on the CPU."""
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 1
