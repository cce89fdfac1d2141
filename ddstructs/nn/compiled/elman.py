r"""The Elman cell: $h_t = \tanh(z_t)$ and $\bar{z}_t = \bar{h}_t \odot (1 - h_t^2)$, where $z_t$ is the sum."""

from __future__ import annotations

from ddstructs.nn.compiled.cells import Cell, activate, is_cell, slope
from ddstructs.ops.activations import tanh, tanh_slope
from ddstructs.ops.compiler import chosen
from ddstructs.ops.vectors import lanes, load, splat, store

__all__ = ["Elman"]


class Elman(Cell):
    """`nn.RNNCell` with tanh."""

    __slots__ = ()
    from_input = (0,)
    from_output = (0,)
    keep_gates = False


# Numba infers the types of these functions from their arguments. Annotations would be ignored, and the decorator
# replaces the functions.
@chosen(activate)
def _activate(cell, row, before, after, size, places, last, out):  # type: ignore[no-untyped-def]
    if not is_cell(cell, Elman):
        return None

    def implementation(cell, row, before, after, size, places, last, out):  # type: ignore[no-untyped-def]
        gates, z = cell.gates, row * size
        for j in range(0, size, lanes(places)):
            store(places, out + j, tanh(load(gates, z + j)))

    return implementation


@chosen(slope)
def _slope(cell, row, before, b, size, places, last, out, grad, at, sums, to):  # type: ignore[no-untyped-def]
    if not is_cell(cell, Elman):
        return None

    def implementation(cell, row, before, b, size, places, last, out, grad, at, sums, to):  # type: ignore[no-untyped-def]
        for j in range(0, size, lanes(places)):
            store(sums, to + j, load(grad, at + j) * tanh_slope(load(places, out + j)))
            store(grad, at + j, splat(places, 0))

    return implementation
