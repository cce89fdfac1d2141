"""The kernels for whole sequences on the CPU."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ddstructs.ops import engine

__all__ = ["forward", "rewind"]


def forward(
    initial: Tensor,
    strengths: Tensor,
    push: Tensor,
    pop: Tensor,
    value: Tensor,
    pushes: Sequence[int],
    takes: Sequence[int],
    reads: Tensor,
    line: Sequence[Tensor],
) -> None:
    """Take all steps.

    Args:
        initial: Values of the initial state, shape `(batch, slots, width)`; all tensors are contiguous.
        strengths: Their strengths, shape `(batch, slots)`; this one may be strided.
        push: Shape `(batch, time, heads)`.
        pop: Shape `(batch, time, heads)`.
        value: Shape `(batch, time, heads, width)`.
        pushes: The end at which each head pushes.
        takes: The end from which each head takes.
        reads: Where the reads go, shape `(batch, time, heads, width)`.
        line: Where the fields of an `engine.Line` go, all zero.
    """
    slots, (_, time, heads, width) = initial.shape[1], value.shape
    arrays = engine.Line(*(part.numpy() for part in line))
    engine.begin(arrays, strengths.numpy(), pushes, time)
    engine.forward(
        0, time, slots, width, engine.ends(pushes), engine.ends(takes), push.numpy(), pop.numpy(),
        initial.numpy().reshape(-1), engine.steps(slots * width, width),
        value.numpy().reshape(-1), engine.steps(time * heads * width, width),
        *arrays, reads.numpy(),
    )  # fmt: skip


def rewind(
    initial: Tensor,
    value: Tensor,
    pushes: Sequence[int],
    takes: Sequence[int],
    line: Sequence[Tensor],
    above: Tensor,
    values_grad: Tensor,
    strengths_grad: Tensor,
    push_grad: Tensor,
    pop_grad: Tensor,
) -> None:
    """Undo all steps, and carry the gradients with them.

    Args:
        initial: As in `forward`.
        value: As in `forward`.
        pushes: As in `forward`.
        takes: As in `forward`.
        line: The fields of an `engine.Line` after the last step; the first three are changed to those before the first.
        above: The gradient of the reads.
        values_grad: Where the gradient of the values of all tiles is added, shape `(batch, tiles, width)`.
        strengths_grad: The gradient of the strengths of all tiles after the last step, shape `(batch, tiles)`, which is
            changed to that of the strengths before the first.
        push_grad: Where the gradient of push goes.
        pop_grad: Where the gradient of pop goes.
    """
    slots, (_, time, heads, width) = initial.shape[1], value.shape
    tiles = slots + time * heads
    engine.rewind(
        0, time, slots, width, engine.ends(pushes), engine.ends(takes),
        initial.numpy().reshape(-1), engine.steps(slots * width, width),
        value.numpy().reshape(-1), engine.steps(time * heads * width, width),
        *(part.numpy() for part in line), True, above.numpy().reshape(-1),
        values_grad.numpy().reshape(-1), engine.steps(tiles * width, width),
        strengths_grad.numpy().reshape(-1), engine.steps(tiles, 1), push_grad.numpy(), pop_grad.numpy(),
    )  # fmt: skip
