r"""The cells of the compiled loop: the sums of their gates, and two functions selected by the type of the cell.

The gates of a cell are functions of affine sums of the input, the last read and its last output. The loop computes the
sums; the cell does the rest: `activate` computes the output of a row from its sums, and `slope` the gradient of the
sums from that of the output.

A new cell is one file: a subclass of `Cell` that maps each gate to blocks of torch's weights, and an implementation of
both functions for it.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from ddstructs.ops.compiler import chosen
from ddstructs.ops.engine import Array

__all__ = ["Activations", "Cell", "activate", "is_cell", "slope", "with_arrays"]


class Activations(NamedTuple):
    """The arrays of a cell. All are flat, and each gate and state has `size`, the hidden size padded to vectors.

    Attributes:
        gates: The sums of each row, overwritten with the gates, shape `(rows, gates, size)`.
        state: The cell state before and after each row, shape `(places, size)`; empty if there is none.
        extra: Other activations for backward, shape `(rows, size)`; empty if there are none.
        carry: Backward only: the gradient of the cell state, shape `(batch, size)`.
    """

    gates: Array
    state: Array
    extra: Array
    carry: Array


class Cell(Activations):
    """A cell.

    Attributes:
        from_input: For each gate, its block of `weight_ih`, the weights of the input and the read, if any. Gates with
            one come first.
        from_output: For each gate, its block of `weight_hh`, the weights of the last output, if any.
        states: Number of states, including the output, 1 or 2.
        keep_gates: Whether backward needs the gates.
        extra_states: Number of vectors of `size` in `extra` for each row, 0 or 1.
        layered: Whether the gates pass through another layer, whose tanh is the output. Then `activate` overwrites the
            gates only, and `slope` finds the gradient of the gates in `sums`.
    """

    __slots__ = ()
    from_input: ClassVar[tuple[int | None, ...]]
    from_output: ClassVar[tuple[int | None, ...]]
    states: ClassVar[int] = 1
    keep_gates: ClassVar[bool] = True
    extra_states: ClassVar[int] = 0
    layered: ClassVar[bool] = False


def is_cell(cell: Any, kind: type[Cell]) -> bool:
    """Whether numba's type of a cell is the given class."""
    return getattr(cell, "instance_class", None) is kind


def with_arrays(cell: Any, gates: Array, state: Array, extra: Array, carry: Array) -> Any:
    """A cell of the same class with these arrays."""


# Numba infers the types of these functions from their arguments. Annotations would be ignored, and the decorator
# replaces the functions.
@chosen(with_arrays)
def _with_arrays(cell, gates, state, extra, carry):  # type: ignore[no-untyped-def]
    kind = cell.instance_class

    def implementation(cell, gates, state, extra, carry):  # type: ignore[no-untyped-def]
        return kind(gates, state, extra, carry)

    return implementation


def activate(cell: Any, row: int, before: int, after: int, size: int, places: Array, last: int, out: int) -> None:
    """Compute the output of a row from its sums.

    Args:
        cell: The cell with its arrays.
        row: Index of the row in `gates` and `extra`.
        before: Index in `state` of the state before the step.
        after: Index in `state` of the state after the step; written.
        size: Size of a state.
        places: The places, which contain the outputs.
        last: Offset of the output before the step.
        out: Offset of the output of the step; written.
    """


def slope(
    cell: Any, row: int, before: int, b: int, size: int, places: Array, last: int, out: int, grad: Array, at: int,
    sums: Array, to: int,
) -> None:  # fmt: skip
    """Compute the gradient of the sums of a row from that of its output.

    Args:
        cell: As in `activate`.
        row: As in `activate`.
        before: As in `activate`.
        b: Index of the row in `carry`.
        size: As in `activate`.
        places: As in `activate`.
        last: As in `activate`.
        out: As in `activate`.
        grad: The gradient of the output; overwritten with the part for the last output that does not pass through the
            weights.
        at: Offset in `grad`.
        sums: The gradient of the sums, shape `(rows, gates, size)`; written.
        to: Offset in `sums`.
    """
