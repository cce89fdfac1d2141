r"""Torch's variant of the GRU, whose last sum depends only on the last output.

With the sums $[z^r; z^u; z^n; z^m]$,

$$ r, u = \sigma(z^r, z^u) \qquad n = \tanh(z^n + r \odot z^m) \qquad h_t = n + u \odot (h_{t-1} - n) $$

$$ \bar{n} = \bar{h}_t \odot (1 - u) \odot (1 - n^2) \qquad \bar{z}^r = \bar{n} \odot z^m \odot r (1 - r) \qquad
   \bar{z}^u = \bar{h}_t \odot (h_{t-1} - n) \odot u (1 - u) $$

$$ \bar{z}^n = \bar{n} \qquad \bar{z}^m = \bar{n} \odot r \qquad \bar{h}_{t-1} \mathrel{+}= \bar{h}_t \odot u $$
"""

from __future__ import annotations

from ddstructs.nn.compiled.cells import Cell, activate, is_cell, slope
from ddstructs.ops.activations import sigmoid, sigmoid_slope, tanh, tanh_slope
from ddstructs.ops.compiler import chosen
from ddstructs.ops.vectors import lanes, load, store

__all__ = ["GRU"]


class GRU(Cell):
    """`nn.GRUCell`."""

    __slots__ = ()
    from_input = (0, 1, 2, None)
    from_output = (0, 1, None, 2)


# Numba infers the types of these functions from their arguments. Annotations would be ignored, and the decorator
# replaces the functions.
@chosen(activate)
def _activate(cell, row, before, after, size, places, last, out):  # type: ignore[no-untyped-def]
    if not is_cell(cell, GRU):
        return None

    def implementation(cell, row, before, after, size, places, last, out):  # type: ignore[no-untyped-def]
        gates, z = cell.gates, row * 4 * size
        for j in range(0, size, lanes(places)):
            r, u = sigmoid(load(gates, z + j)), sigmoid(load(gates, z + size + j))
            n = tanh(load(gates, z + 2 * size + j) + r * load(gates, z + 3 * size + j))
            store(gates, z + j, r)
            store(gates, z + size + j, u)
            store(gates, z + 2 * size + j, n)
            store(places, out + j, n + u * (load(places, last + j) - n))

    return implementation


@chosen(slope)
def _slope(cell, row, before, b, size, places, last, out, grad, at, sums, to):  # type: ignore[no-untyped-def]
    if not is_cell(cell, GRU):
        return None

    def implementation(cell, row, before, b, size, places, last, out, grad, at, sums, to):  # type: ignore[no-untyped-def]
        gates, z = cell.gates, row * 4 * size
        for j in range(0, size, lanes(places)):
            r, u, n = load(gates, z + j), load(gates, z + size + j), load(gates, z + 2 * size + j)
            h_grad = load(grad, at + j)
            n_grad = h_grad * (1.0 - u) * tanh_slope(n)
            store(sums, to + j, n_grad * load(gates, z + 3 * size + j) * sigmoid_slope(r))
            store(sums, to + size + j, h_grad * (load(places, last + j) - n) * sigmoid_slope(u))
            store(sums, to + 2 * size + j, n_grad)
            store(sums, to + 3 * size + j, n_grad * r)
            store(grad, at + j, h_grad * u)

    return implementation
