r"""The cells in Triton; their equations are those of `nn.compiled.elman`, `lstm` and `gru`.

Each cell is a case of both functions: `activate` computes the output from the sums of the gates, and `slope` the
gradient of the sums from that of the output.
"""

# Triton interprets annotations and supports only constexpr.
# mypy: allow-untyped-defs, allow-untyped-calls, allow-incomplete-defs
# pyright: reportGeneralTypeIssues=false, reportOperatorIssue=false, reportCallIssue=false

from __future__ import annotations

import triton.language as tl

from ddstructs.nn.cuda.activations import sigmoid, tanh
from ddstructs.ops.triton import compiled

__all__ = ["activate", "slope"]


@compiled
def activate(sums, gates, before, state, hidden, lanes, cell: tl.constexpr):
    """Compute the output and the cell state of one row, and store the gates that backward needs.

    Args:
        sums: Pointer to the sums of the gates, each of size `hidden`.
        gates: Pointer to the gates; written.
        before: Pointer to the output before the step.
        state: Pointer to the cell state before the step.
        hidden: Size of a gate.
        lanes: Indices into a gate.
        cell: Name of torch's class.
    """
    inside = lanes < hidden
    z = tl.load(sums + lanes, mask=inside, other=0)
    if cell == "RNNCell":
        output = tanh(z)
        after = output
    elif cell == "LSTMCell":
        i, f = sigmoid(z), sigmoid(tl.load(sums + hidden + lanes, mask=inside, other=0))
        g = tanh(tl.load(sums + 2 * hidden + lanes, mask=inside, other=0))
        o = sigmoid(tl.load(sums + 3 * hidden + lanes, mask=inside, other=0))
        after = f * tl.load(state + lanes, mask=inside, other=0) + i * g
        output = o * tanh(after)
        tl.store(gates + lanes, i, mask=inside)
        tl.store(gates + hidden + lanes, f, mask=inside)
        tl.store(gates + 2 * hidden + lanes, g, mask=inside)
        tl.store(gates + 3 * hidden + lanes, o, mask=inside)
    else:
        r, u = sigmoid(z), sigmoid(tl.load(sums + hidden + lanes, mask=inside, other=0))
        m = tl.load(sums + 3 * hidden + lanes, mask=inside, other=0)
        n = tanh(tl.load(sums + 2 * hidden + lanes, mask=inside, other=0) + r * m)
        output = n + u * (tl.load(before + lanes, mask=inside, other=0) - n)
        after = output
        tl.store(gates + lanes, r, mask=inside)
        tl.store(gates + hidden + lanes, u, mask=inside)
        tl.store(gates + 2 * hidden + lanes, n, mask=inside)
        tl.store(gates + 3 * hidden + lanes, m, mask=inside)
    return output, after


@compiled
def slope(gates, before, state, output, output_grad, state_grad, sums_grad, hidden, lanes, cell: tl.constexpr):
    """Store the gradient of the sums of one row.

    Args:
        gates: As in `activate`.
        before: As in `activate`.
        state: As in `activate`.
        output: Pointer to the output.
        output_grad: The gradient of the output.
        state_grad: The gradient of the cell state after the step.
        sums_grad: Pointer to the gradient of the sums; written.
        hidden: As in `activate`.
        lanes: As in `activate`.
        cell: As in `activate`.

    Returns:
        The part of the gradient of the last output that does not pass through the weights, and the gradient of the cell
        state before the step.
    """
    inside = lanes < hidden
    if cell == "RNNCell":
        h = tl.load(output + lanes, mask=inside, other=0)
        tl.store(sums_grad + lanes, output_grad * (1.0 - h * h), mask=inside)
        direct = tl.zeros_like(output_grad)
        back = direct
    elif cell == "LSTMCell":
        i = tl.load(gates + lanes, mask=inside, other=0)
        f = tl.load(gates + hidden + lanes, mask=inside, other=0)
        g = tl.load(gates + 2 * hidden + lanes, mask=inside, other=0)
        o = tl.load(gates + 3 * hidden + lanes, mask=inside, other=0)
        last = tl.load(state + lanes, mask=inside, other=0)
        squashed = tanh(f * last + i * g)  # without the noise that was added to the state
        c_grad = state_grad + output_grad * o * (1.0 - squashed * squashed)
        tl.store(sums_grad + lanes, c_grad * g * i * (1.0 - i), mask=inside)
        tl.store(sums_grad + hidden + lanes, c_grad * last * f * (1.0 - f), mask=inside)
        tl.store(sums_grad + 2 * hidden + lanes, c_grad * i * (1.0 - g * g), mask=inside)
        tl.store(sums_grad + 3 * hidden + lanes, output_grad * squashed * o * (1.0 - o), mask=inside)
        direct = tl.zeros_like(output_grad)
        back = c_grad * f
    else:
        r = tl.load(gates + lanes, mask=inside, other=0)
        u = tl.load(gates + hidden + lanes, mask=inside, other=0)
        n = tl.load(gates + 2 * hidden + lanes, mask=inside, other=0)
        m = tl.load(gates + 3 * hidden + lanes, mask=inside, other=0)
        n_grad = output_grad * (1.0 - u) * (1.0 - n * n)
        last = tl.load(before + lanes, mask=inside, other=0)
        tl.store(sums_grad + lanes, n_grad * m * r * (1.0 - r), mask=inside)
        tl.store(sums_grad + hidden + lanes, output_grad * (last - n) * u * (1.0 - u), mask=inside)
        tl.store(sums_grad + 2 * hidden + lanes, n_grad, mask=inside)
        tl.store(sums_grad + 3 * hidden + lanes, n_grad * r, mask=inside)
        direct = output_grad * u
        back = tl.zeros_like(output_grad)
    return direct, back
