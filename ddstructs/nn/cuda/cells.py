r"""The cells in Triton; their equations are those of `nn.compiled.elman`, `lstm` and `gru`.

Each cell is a case of three functions: `activate` computes the output from the sums of the gates, and `slope` the
gradient of the sums from that of the output and from what `recall` loads, early enough to hide that it takes long.
"""

# Triton interprets annotations and supports only constexpr.
# mypy: allow-untyped-defs, allow-untyped-calls, allow-incomplete-defs
# pyright: reportGeneralTypeIssues=false, reportOperatorIssue=false, reportCallIssue=false

from __future__ import annotations

import triton.language as tl

from ddstructs.nn.cuda.activations import sigmoid, tanh
from ddstructs.ops.walks import compiled

__all__ = ["activate", "recall", "slope"]


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
def recall(gates, before, state, output, hidden, lanes, cell: tl.constexpr):
    """Load what `slope` needs of one row: five vectors, of which a cell may leave out the last ones.

    Args:
        gates: As in `activate`.
        before: As in `activate`.
        state: As in `activate`.
        output: Pointer to the output.
        hidden: As in `activate`.
        lanes: As in `activate`.
        cell: As in `activate`.
    """
    inside = lanes < hidden
    if cell == "RNNCell":
        a = tl.load(output + lanes, mask=inside, other=0)
        b, c, d, last = a, a, a, a
    else:
        a = tl.load(gates + lanes, mask=inside, other=0)
        b = tl.load(gates + hidden + lanes, mask=inside, other=0)
        c = tl.load(gates + 2 * hidden + lanes, mask=inside, other=0)
        d = tl.load(gates + 3 * hidden + lanes, mask=inside, other=0)
        if cell == "LSTMCell":
            last = tl.load(state + lanes, mask=inside, other=0)
        else:
            last = tl.load(before + lanes, mask=inside, other=0)
    return a, b, c, d, last


@compiled
def slope(a, b, c, d, last, output_grad, state_grad, sums_grad, hidden, lanes, cell: tl.constexpr):
    """Store the gradient of the sums of one row.

    Args:
        a: The first result of `recall`.
        b: The second.
        c: The third.
        d: The fourth.
        last: The fifth.
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
        tl.store(sums_grad + lanes, output_grad * (1.0 - a * a), mask=inside)
        direct = tl.zeros_like(output_grad)
        back = direct
    elif cell == "LSTMCell":  # the gates i, f, g, o
        squashed = tanh(b * last + a * c)  # without the noise that was added to the state
        c_grad = state_grad + output_grad * d * (1.0 - squashed * squashed)
        tl.store(sums_grad + lanes, c_grad * c * a * (1.0 - a), mask=inside)
        tl.store(sums_grad + hidden + lanes, c_grad * last * b * (1.0 - b), mask=inside)
        tl.store(sums_grad + 2 * hidden + lanes, c_grad * a * (1.0 - c * c), mask=inside)
        tl.store(sums_grad + 3 * hidden + lanes, output_grad * squashed * d * (1.0 - d), mask=inside)
        direct = tl.zeros_like(output_grad)
        back = c_grad * b
    else:  # the gates r, u, n and the last sum
        n_grad = output_grad * (1.0 - b) * (1.0 - c * c)
        tl.store(sums_grad + lanes, n_grad * d * a * (1.0 - a), mask=inside)
        tl.store(sums_grad + hidden + lanes, output_grad * (last - c) * b * (1.0 - b), mask=inside)
        tl.store(sums_grad + 2 * hidden + lanes, n_grad, mask=inside)
        tl.store(sums_grad + 3 * hidden + lanes, n_grad * a, mask=inside)
        direct = output_grad * b
        back = tl.zeros_like(output_grad)
    return direct, back
