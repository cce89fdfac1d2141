r"""What a cell is to the compiled loop: its sums, and two functions of one row that are chosen by its type.

A cell of torch makes its gates from sums of the input, the last read and its last output, each with weights and a bias.
Those sums are the loop's; what becomes of them is the cell's: `activate` goes from the sums of a row to its output, and
`slope` back from the gradient of the output to that of the sums.

A new cell is one file: a subclass of `Cell` that says from which rows of torch's weights each gate is summed, and a
form of either function for it.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from ddstructs.ops.compiler import chosen
from ddstructs.ops.engine import Array

__all__ = ["Activations", "Cell", "activate", "holding", "of", "slope"]


class Activations(NamedTuple):
    """The arrays of a cell. All are flat, and each gate and state is `wide`, the hidden size filled up to vectors.

    Attributes:
        gates: The sums of a row, then the gates made of them, shape `(rows, gates, wide)`.
        kept: The state beside the output, before and after each row, shape `(places, wide)`; empty if there is none.
        extra: Anything else that backward needs, shape `(rows, wide)`; empty if there is nothing.
        carry: Backward only: the gradient of the state beside the output, shape `(batch, wide)`.
    """

    gates: Array
    kept: Array
    extra: Array
    carry: Array


class Cell(Activations):
    """A cell of torch.

    Attributes:
        from_input: For each gate the block of `weight_ih` that weighs the input and the read, if any. Those gates come
            first that have one.
        from_output: For each gate the block of `weight_hh` that weighs the last output, if any.
        states: How many states it has, the output included, 1 or 2.
        lasting: Whether backward needs the gates.
        extra_states: Vectors of `wide` numbers that it keeps in `extra` for each row, 0 or 1.
    """

    __slots__ = ()
    from_input: ClassVar[tuple[int | None, ...]]
    from_output: ClassVar[tuple[int | None, ...]]
    states: ClassVar[int] = 1
    lasting: ClassVar[bool] = True
    extra_states: ClassVar[int] = 0


def of(cell: Any, kind: type[Cell]) -> bool:
    """Whether numba's type of a cell is that of this class."""
    return getattr(cell, "instance_class", None) is kind


def holding(cell: Any, gates: Array, kept: Array, extra: Array, carry: Array) -> Any:
    """The same cell with these arrays."""


@chosen(holding)
def _holding(cell, gates, kept, extra, carry):  # type: ignore[no-untyped-def]
    kind = cell.instance_class

    def form(cell, gates, kept, extra, carry):  # type: ignore[no-untyped-def]
        return kind(gates, kept, extra, carry)

    return form


def activate(cell: Any, row: int, before: int, after: int, wide: int, fed: Array, last: int, out: int) -> None:
    """From the sums of a row to its output.

    Args:
        cell: What it keeps.
        row: The row of `gates` and `extra`.
        before: The place in `kept` of the state before the step.
        after: That of the state after it.
        wide: Numbers in a state.
        fed: Where outputs lie.
        last: The offset in it of the output before the step.
        out: That of the output of the step; written.
    """


def slope(
    cell: Any, row: int, before: int, b: int, wide: int, fed: Array, last: int, out: int, grad: Array, at: int,
    sums: Array, to: int,
) -> None:  # fmt: skip
    """From the gradient of the output of a row to that of its sums.

    Args:
        cell: As in `activate`.
        row: As in `activate`.
        before: As in `activate`.
        b: The row of `carry`.
        wide: As in `activate`.
        fed: As in `activate`.
        last: As in `activate`.
        out: As in `activate`.
        grad: Where the gradient of the output lies; what reaches the last output by no weight is written in its place.
        at: Its offset.
        sums: Where the gradient of the sums goes, shape `(rows, gates, wide)`.
        to: Its offset.
    """
