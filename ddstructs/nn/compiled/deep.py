r"""`DeepCell`: the sums become $\max(0, z_t)$, and another layer, which the loop computes, makes the output of them."""

from __future__ import annotations

from ddstructs.nn.compiled.cells import Cell, activate, is_cell, slope
from ddstructs.nn.deep import UNITS
from ddstructs.ops.compiler import chosen
from ddstructs.ops.vectors import lanes, load, splat, store, where_less

__all__ = ["Deep"]


class Deep(Cell):
    """`ddstructs.nn.deep.DeepCell`."""

    __slots__ = ()
    from_input = tuple(range(UNITS))
    from_output = tuple(range(UNITS))
    layered = True


# Numba infers the types of these functions from their arguments. Annotations would be ignored, and the decorator
# replaces the functions.
@chosen(activate)
def _activate(cell, row, before, after, size, places, last, out):  # type: ignore[no-untyped-def]
    if not is_cell(cell, Deep):
        return None

    def implementation(cell, row, before, after, size, places, last, out):  # type: ignore[no-untyped-def]
        gates, z = cell.gates, row * UNITS * size
        zero = splat(gates, 0)
        for j in range(0, UNITS * size, lanes(places)):
            unit = load(gates, z + j)
            store(gates, z + j, where_less(unit, 0.0, zero, unit))

    return implementation


@chosen(slope)
def _slope(cell, row, before, b, size, places, last, out, grad, at, sums, to):  # type: ignore[no-untyped-def]
    if not is_cell(cell, Deep):
        return None

    def implementation(cell, row, before, b, size, places, last, out, grad, at, sums, to):  # type: ignore[no-untyped-def]
        gates, z = cell.gates, row * UNITS * size
        zero = splat(gates, 0)
        for j in range(0, UNITS * size, lanes(places)):
            unit = load(gates, z + j)
            store(sums, to + j, where_less(zero, unit, load(sums, to + j), unit))  # a unit is positive, 0 or NaN

    return implementation
