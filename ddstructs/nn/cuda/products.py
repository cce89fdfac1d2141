"""Products of a vector with a matrix inside a Triton program, and the tiles in which they are computed.

`tl.dot` needs 16 rows and rounds float32 to tf32 unless told otherwise. A row has one vector, so a product is a tile
times a broadcast vector, summed. A matrix that fits is held in registers for all steps; others stream from the cache.
"""

# Triton interprets annotations and supports only constexpr.
# mypy: allow-untyped-defs, allow-untyped-calls, allow-incomplete-defs
# pyright: reportGeneralTypeIssues=false, reportOperatorIssue=false, reportCallIssue=false

from __future__ import annotations

from typing import NamedTuple

import triton
import triton.language as tl
from torch import Tensor, nn

from ddstructs.ops.walks import compiled

__all__ = ["Tiling", "hold", "product", "tiling"]

WIDEST = 256
"""Maximum number of columns of a tile that is not held."""


class Tiling(NamedTuple):
    """The tiles of a matrix, whose columns are the elements of the result.

    Attributes:
        rows: Rows of a tile, a power of 2.
        columns: Columns of a tile, a power of 2.
        padded_rows: Rows of the matrix after padding, a multiple of `rows`.
        stride: Its columns after padding, a multiple of `columns`.
        held: Whether the only tile is held in registers.
    """

    rows: int
    columns: int
    padded_rows: int
    stride: int
    held: bool

    def pad(self, matrix: Tensor) -> Tensor:
        """The matrix, contiguous and padded with zeros."""
        rows, columns = matrix.shape
        if (rows, columns) == (self.padded_rows, self.stride):
            return matrix.contiguous()
        padding = (0, self.stride - columns, 0, self.padded_rows - rows)
        return nn.functional.pad(matrix, padding).contiguous()


def tiling(rows: int, columns: int, tile: int, held: bool) -> Tiling:
    """The tiles of a matrix.

    Args:
        rows: Rows of the matrix.
        columns: Its columns.
        tile: Maximum number of elements of a tile that is not held.
        held: Whether the whole matrix is held.
    """
    high, wide = triton.next_power_of_2(rows), triton.next_power_of_2(columns)
    if held or high * wide <= tile:
        return Tiling(high, wide, high, wide, held)
    wide = min(wide, WIDEST)
    high = min(high, max(1, tile // wide))
    return Tiling(high, wide, -(-rows // high) * high, -(-columns // wide) * wide, False)


@compiled
def hold(weights, rows: tl.constexpr, columns: tl.constexpr, held: tl.constexpr):
    """The tile of a matrix that is held, or a placeholder."""
    if held:
        tile = tl.load(weights + tl.arange(0, rows)[:, None] * columns + tl.arange(0, columns)[None, :])
    else:
        tile = tl.zeros((1, 1), weights.dtype.element_ty)
    return tile


@compiled
def product(
    x, count, weights, tile, column,
    rows: tl.constexpr, columns: tl.constexpr, padded_rows: tl.constexpr, stride: tl.constexpr, held: tl.constexpr,
):  # fmt: skip
    """Some elements of a vector times a matrix.

    Args:
        x: Pointer to the vector.
        count: Its size.
        weights: Pointer to the matrix, shape `(padded_rows, stride)`.
        tile: The matrix, if it is held.
        column: The first element to compute.
        rows: As in `Tiling`.
        columns: As in `Tiling`; number of elements to compute.
        padded_rows: As in `Tiling`.
        stride: As in `Tiling`.
        held: As in `Tiling`.
    """
    down, across = tl.arange(0, rows), tl.arange(0, columns)
    if held:
        total = tl.sum(tile * tl.load(x + down, mask=down < count, other=0)[:, None], 0)
    else:
        sums = tl.zeros((rows, columns), weights.dtype.element_ty)
        at = weights + down[:, None] * stride + (column + across)[None, :]
        for row in range(0, padded_rows, rows):
            part = tl.load(x + row + down, mask=row + down < count, other=0)
            sums += tl.load(at) * part[:, None]
            at += rows * stride
        total = tl.sum(sums, 0)
    return total
