"""Products of matrices that fit in the cache, for code compiled by numba.

A matrix is part of a flat array, given by the offset of its first number and the stride of its rows. Rows are padded
with zeros to a multiple of the vector size. A product keeps a tile of its result in registers, as large as the machine
allows, and computes it in one pass over the inner axis.

The right-hand matrix of `product` is packed (`pack`) into consecutive panels, four vectors wide, so that it is read
sequentially.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba import types
from numba.core import cgutils, config

from ddstructs.ops.compiler import compiled, intrinsic
from ddstructs.ops.vectors import Vector, broadcast, call, lanes, load, pointer, store

__all__ = ["add_rows", "blank", "copy", "gram", "pack", "pack_transposed", "product"]

PANEL = 4
"""Width of a panel in vectors."""

DEPTH = 256
"""Length of the inner axis processed at a time, so that a panel stays in the L1 cache."""


def _large() -> bool:
    """Whether the machine has registers for 32 vectors, rather than 8."""
    features: str | None = getattr(config, "CPU_FEATURES", None)  # set to override the host's
    if features is not None:
        return "+avx512f" in features.split(",")
    return bool(llvmlite.binding.get_host_cpu_features().get("avx512f"))


WIDE = PANEL if _large() else 1
"""Width of a tile in vectors."""

TALL = 8 if _large() else 4
"""Height of a tile that is one vector wide."""


def tile(rows: int, columns: int, *, turned: bool = False) -> Any:
    """Build a function that computes one tile: c[r, j] = s[r, j] + sum_k a[r, k] w[k, j].

    Args:
        rows: Rows of the tile.
        columns: Its width in vectors.
        turned: Whether a is stored transposed, with a row for each k.
    """

    @intrinsic
    def multiply(
        typing: Any, a: Any, a_at: Any, a_row: Any, inner: Any, w: Any, w_at: Any, w_row: Any, c: Any, c_at: Any,
        c_row: Any, s: Any, s_at: Any, s_row: Any,
    ) -> Any:  # fmt: skip
        signature = types.void(a, a_at, a_row, inner, w, w_at, w_row, c, c_at, c_row, s, s_at, s_row)
        kind, align = Vector(a.dtype), a.dtype.bitwidth // 8
        long = ir.IntType(64)

        def emit(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
            def number(n: int) -> Any:
                return context.cast(b, arguments[n], signature.args[n], types.int64)

            def place(n: int, row: Any, r: Any, more: Any) -> Any:
                at = b.add(number(n + 1), b.add(b.mul(row, r), more))
                return pointer(context, b, signature.args[n], arguments[n], types.int64, at)

            a_row_, inner_, w_row_, c_row_, s_row_ = (number(n) for n in (2, 3, 6, 9, 12))
            data = cgutils.create_struct_proxy(a)(context, b, value=arguments[0]).data
            sums = [[cgutils.alloca_once(b, kind.llvm) for _ in range(columns)] for _ in range(rows)]
            for r in range(rows):
                for j in range(columns):
                    b.store(b.load(place(10, s_row_, long(r), long(j * kind.lanes)), align=align), sums[r][j])
            with cgutils.for_range(b, inner_, intp=long) as loop:
                k = loop.index
                right = [b.load(place(4, w_row_, k, long(j * kind.lanes)), align=align) for j in range(columns)]
                for r in range(rows):
                    first, second = (k, long(r)) if turned else (long(r), k)
                    at = b.add(number(1), b.add(b.mul(a_row_, first), second))
                    left = broadcast(b, kind, b.load(b.gep(data, [at])))
                    for j in range(columns):
                        b.store(call(b, "fma", kind, left, right[j], b.load(sums[r][j])), sums[r][j])
            for r in range(rows):
                for j in range(columns):
                    b.store(b.load(sums[r][j]), place(7, c_row_, long(r), long(j * kind.lanes)), align=align)
            return context.get_dummy_value()

        return signature, emit

    return multiply


_broad, _broad_row = tile(4, WIDE), tile(1, WIDE)
_tall, _tall_row = tile(TALL, 1), tile(1, 1)
_turned_broad, _turned = tile(4, WIDE, turned=True), tile(4, 1, turned=True)


@compiled(inline=True)
def cell(panels: Any, at: int, inner: int, columns: int, k: int, j: int) -> Any:
    """The offset of element `(k, j)` of a matrix of shape `(inner, columns)` in panels."""
    width = PANEL * lanes(panels)
    first = j // width * width
    return at + first * inner + k * min(width, columns - first) + j - first


@compiled()
def pack(
    matrix: Any, start: int, stride: int, rows: int, columns: int, panels: Any, at: int, inner: int, width: int,
    row: int, column: int,
) -> None:  # fmt: skip
    """Write a matrix into the panels of a larger one, which are otherwise zero.

    Args:
        matrix: The numbers, flat.
        start: Offset of its first.
        stride: Distance between two of its rows.
        rows: Number of its rows.
        columns: Number of its columns.
        panels: Written, flat.
        at: Offset of the panels.
        inner: Rows of the larger matrix.
        width: Columns of the larger matrix, a multiple of a vector.
        row: Row of the larger matrix at which the first row goes.
        column: Column at which the first column goes, a multiple of a vector.
    """
    step = lanes(panels)
    for r in range(rows):
        for c in range(0, columns, step):
            place = cell(panels, at, inner, width, row + r, column + c)
            copy(matrix, start + r * stride + c, panels, place, min(step, columns - c))


@compiled()
def pack_transposed(
    matrix: Any, start: int, stride: int, rows: int, columns: int, panels: Any, at: int, inner: int, width: int,
    row: int, column: int,
) -> None:  # fmt: skip
    """Like `pack`, but for the transposed matrix: element `(r, c)` goes to `(row + c, column + r)`."""
    step = lanes(panels)
    for r in range(0, rows, step):
        wide = min(PANEL * step, width - (column + r) // (PANEL * step) * PANEL * step)
        for c in range(0, columns, step):
            source, place = start + r * stride + c, cell(panels, at, inner, width, row + c, column + r)
            if r + step <= rows and c + step <= columns:
                turn(matrix, source, stride, panels, place, wide)
            else:
                for i in range(min(step, rows - r)):
                    for j in range(min(step, columns - c)):
                        panels[place + j * wide + i] = matrix[source + i * stride + j]


@intrinsic
def turn(typing: Any, x: Any, x_at: Any, x_row: Any, y: Any, y_at: Any, y_row: Any) -> Any:
    """Transpose a square block from x to y whose size n is that of a vector; both are given by offset and row stride.

    Each round interleaves row i with row i + n / 2, which rotates the bits of all positions by one: after log n rounds
    rows and columns are swapped.
    """
    kind, align = Vector(x.dtype), x.dtype.bitwidth // 8
    count, long = kind.lanes, ir.IntType(64)

    def emit(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        def place(n: int, i: int) -> Any:
            first, stride = (context.cast(b, arguments[m], signature.args[m], types.int64) for m in (n + 1, n + 2))
            at = b.add(first, b.mul(stride, long(i)))
            return pointer(context, b, signature.args[n], arguments[n], types.int64, at)

        def mask(first: int) -> Any:
            order = [j for i in range(first, first + count // 2) for j in (i, i + count)]
            return ir.VectorType(ir.IntType(32), count)(order)

        rows = [b.load(place(0, i), align=align) for i in range(count)]
        for _ in range(count.bit_length() - 1):
            pairs = [(rows[i], rows[i + count // 2]) for i in range(count // 2)]
            rows = [b.shuffle_vector(*pair, mask(first)) for pair in pairs for first in (0, count // 2)]
        for i, row in enumerate(rows):
            b.store(row, place(3, i), align=align)
        return context.get_dummy_value()

    return types.void(x, x_at, x_row, y, y_at, y_row), emit


@compiled()
def product(
    rows: int, columns: int, inner: int, a: Any, a_at: int, a_row: int, w: Any, w_at: int, c: Any, c_at: int,
    c_row: int, s: Any, s_at: int, s_row: int,
) -> None:  # fmt: skip
    """Write `c = s + a @ w`, with w in panels; s may be c."""
    step = lanes(a)
    width = PANEL * step
    for first in range(0, columns, width):
        wide = min(width, columns - first)
        across = WIDE * step if wide == width else step
        for k in range(0, inner, DEPTH):
            depth = min(DEPTH, inner - k)
            from_, from_at, from_row = (s, s_at, s_row) if k == 0 else (c, c_at, c_row)
            for j in range(first, first + wide, across):
                i, place = 0, w_at + first * inner + k * wide + j - first
                if across > step or WIDE == 1:
                    while i + 4 <= rows:
                        _broad(
                            a, a_at + i * a_row + k, a_row, depth, w, place, wide, c, c_at + i * c_row + j, c_row,
                            from_, from_at + i * from_row + j, from_row,
                        )  # fmt: skip
                        i += 4
                    while i < rows:
                        _broad_row(
                            a, a_at + i * a_row + k, a_row, depth, w, place, wide, c, c_at + i * c_row + j, c_row,
                            from_, from_at + i * from_row + j, from_row,
                        )  # fmt: skip
                        i += 1
                else:
                    while i + TALL <= rows:
                        _tall(
                            a, a_at + i * a_row + k, a_row, depth, w, place, wide, c, c_at + i * c_row + j, c_row,
                            from_, from_at + i * from_row + j, from_row,
                        )  # fmt: skip
                        i += TALL
                    while i < rows:
                        _tall_row(
                            a, a_at + i * a_row + k, a_row, depth, w, place, wide, c, c_at + i * c_row + j, c_row,
                            from_, from_at + i * from_row + j, from_row,
                        )  # fmt: skip
                        i += 1


@compiled()
def gram(
    count: int, rows: int, columns: int, z: Any, z_at: int, z_row: int, f: Any, f_at: int, f_row: int, g: Any,
    g_at: int, g_row: int,
) -> None:  # fmt: skip
    """Add `z.T @ f` to g, over `count` rows of both."""
    step, j = lanes(z), 0
    while j < columns:
        across = WIDE * step if columns - j >= WIDE * step else step
        for i in range(0, rows, 4):
            at = g_at + i * g_row + j
            if across > step or WIDE == 1:
                _turned_broad(z, z_at + i, z_row, count, f, f_at + j, f_row, g, at, g_row, g, at, g_row)
            else:
                _turned(z, z_at + i, z_row, count, f, f_at + j, f_row, g, at, g_row, g, at, g_row)
        j += across


@compiled()
def add_rows(count: int, columns: int, z: Any, z_row: int, g: Any) -> None:
    """Add to g the sum of `count` rows of z."""
    for j in range(0, columns, lanes(z)):
        total = load(g, j)
        for n in range(count):
            total = total + load(z, n * z_row + j)
        store(g, j, total)


def _bytes(context: Any, b: Any, array: Any, count: Any, kind: Any) -> Any:
    """The size in bytes of a number of elements of an array."""
    return b.mul(context.cast(b, count, kind, types.int64), ir.IntType(64)(array.dtype.bitwidth // 8))


def _place(context: Any, b: Any, array: Any, data: Any, kind: Any, at: Any) -> Any:
    """The address of a number in a flat array."""
    start = cgutils.create_struct_proxy(array)(context, b, value=data).data
    return b.bitcast(b.gep(start, [context.cast(b, at, kind, types.int64)]), ir.IntType(8).as_pointer())


@intrinsic
def copy(typing: Any, x: Any, x_at: Any, y: Any, y_at: Any, count: Any) -> Any:
    """Write `y = x` for `count` elements of two flat arrays of the same dtype."""

    def emit(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        kinds = signature.args
        source = _place(context, b, x, arguments[0], kinds[1], arguments[1])
        target = _place(context, b, y, arguments[2], kinds[3], arguments[3])
        cgutils.raw_memcpy(b, target, source, _bytes(context, b, x, arguments[4], kinds[4]), 1)
        return context.get_dummy_value()

    return types.void(x, x_at, y, y_at, count), emit


@intrinsic
def blank(typing: Any, x: Any, at: Any, count: Any) -> Any:
    """Write `x = 0` for `count` elements of a flat array."""

    def emit(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        kinds = signature.args
        size = _bytes(context, b, x, arguments[2], kinds[2])
        cgutils.memset(b, _place(context, b, x, arguments[0], kinds[1], arguments[1]), size, 0)
        return context.get_dummy_value()

    return types.void(x, at, count), emit
