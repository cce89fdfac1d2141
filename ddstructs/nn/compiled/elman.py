r"""The cell of Elman: $h_t = \tanh(z_t)$ and $\bar{z}_t = \bar{h}_t \odot (1 - h_t^2)$, with $z_t$ the sum."""

from __future__ import annotations

from ddstructs.nn.compiled.cells import Cell, activate, of, slope
from ddstructs.ops.activations import tanh, tanh_slope
from ddstructs.ops.compiler import chosen
from ddstructs.ops.vectors import lanes, load, splat, store

__all__ = ["Elman"]


class Elman(Cell):
    """`nn.RNNCell` with a tangent."""

    __slots__ = ()
    from_input = (0,)
    from_output = (0,)
    lasting = False


@chosen(activate)
def _activate(cell, row, before, after, wide, fed, last, out):  # type: ignore[no-untyped-def]
    if not of(cell, Elman):
        return None

    def form(cell, row, before, after, wide, fed, last, out):  # type: ignore[no-untyped-def]
        z = row * wide
        for j in range(0, wide, lanes(fed)):
            store(fed, out + j, tanh(load(cell.gates, z + j)))

    return form


@chosen(slope)
def _slope(cell, row, before, b, wide, fed, last, out, grad, at, sums, to):  # type: ignore[no-untyped-def]
    if not of(cell, Elman):
        return None

    def form(cell, row, before, b, wide, fed, last, out, grad, at, sums, to):  # type: ignore[no-untyped-def]
        for j in range(0, wide, lanes(fed)):
            store(sums, to + j, load(grad, at + j) * tanh_slope(load(fed, out + j)))
            store(grad, at + j, splat(fed, 0))

    return form
