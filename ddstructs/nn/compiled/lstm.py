r"""The LSTM.

With the sums $[z^i; z^f; z^g; z^o]$, $i, f, o = \sigma(z^i, z^f, z^o)$ and $g = \tanh(z^g)$,

$$ c_t = f_t \odot c_{t-1} + i_t \odot g_t \qquad h_t = o_t \odot \tanh(c_t) $$

$$ \bar{c}_t = f_{t+1} \odot \bar{c}_{t+1} + \bar{h}_t \odot o_t \odot (1 - \tanh^2 c_t) $$

$$ \bar{z}^i = \bar{c}_t \odot g \odot i (1 - i) \quad \bar{z}^f = \bar{c}_t \odot c_{t-1} \odot f (1 - f) \quad
   \bar{z}^g = \bar{c}_t \odot i (1 - g^2) \quad \bar{z}^o = \bar{h}_t \odot \tanh(c_t) \odot o (1 - o) $$

`extra` is $\tanh(c_t)$ before noise is added to $c_t$.
"""

from __future__ import annotations

from ddstructs.nn.compiled.cells import Cell, activate, is_cell, slope
from ddstructs.ops.activations import sigmoid, sigmoid_slope, tanh, tanh_slope
from ddstructs.ops.compiler import chosen
from ddstructs.ops.vectors import lanes, load, splat, store

__all__ = ["LSTM"]


class LSTM(Cell):
    """`nn.LSTMCell`."""

    __slots__ = ()
    from_input = (0, 1, 2, 3)
    from_output = (0, 1, 2, 3)
    states = 2
    extra_states = 1


# Numba infers the types of these functions from their arguments. Annotations would be ignored, and the decorator
# replaces the functions.
@chosen(activate)
def _activate(cell, row, before, after, size, places, last, out):  # type: ignore[no-untyped-def]
    if not is_cell(cell, LSTM):
        return None

    def implementation(cell, row, before, after, size, places, last, out):  # type: ignore[no-untyped-def]
        gates, state, extras, z = cell.gates, cell.state, cell.extra, row * 4 * size
        for j in range(0, size, lanes(places)):
            i, f = sigmoid(load(gates, z + j)), sigmoid(load(gates, z + size + j))
            g, o = tanh(load(gates, z + 2 * size + j)), sigmoid(load(gates, z + 3 * size + j))
            c = f * load(state, before * size + j) + i * g
            squashed = tanh(c)
            store(gates, z + j, i)
            store(gates, z + size + j, f)
            store(gates, z + 2 * size + j, g)
            store(gates, z + 3 * size + j, o)
            store(state, after * size + j, c)
            store(extras, row * size + j, squashed)
            store(places, out + j, o * squashed)

    return implementation


@chosen(slope)
def _slope(cell, row, before, b, size, places, last, out, grad, at, sums, to):  # type: ignore[no-untyped-def]
    if not is_cell(cell, LSTM):
        return None

    def implementation(cell, row, before, b, size, places, last, out, grad, at, sums, to):  # type: ignore[no-untyped-def]
        gates, state, extras, carry, z = cell.gates, cell.state, cell.extra, cell.carry, row * 4 * size
        for j in range(0, size, lanes(places)):
            i, f = load(gates, z + j), load(gates, z + size + j)
            g, o = load(gates, z + 2 * size + j), load(gates, z + 3 * size + j)
            squashed, h_grad = load(extras, row * size + j), load(grad, at + j)
            c_grad = load(carry, b * size + j) + h_grad * o * tanh_slope(squashed)
            store(sums, to + j, c_grad * g * sigmoid_slope(i))
            store(sums, to + size + j, c_grad * load(state, before * size + j) * sigmoid_slope(f))
            store(sums, to + 2 * size + j, c_grad * i * tanh_slope(g))
            store(sums, to + 3 * size + j, h_grad * squashed * sigmoid_slope(o))
            store(carry, b * size + j, c_grad * f)
            store(grad, at + j, splat(places, 0))

    return implementation
