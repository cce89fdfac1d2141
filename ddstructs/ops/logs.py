"""The log of a walk on CUDA, in one buffer that forward keeps for backward."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import triton
from torch import Tensor

from ddstructs.ops.layout import Inputs

__all__ = ["Log", "chunks_of", "is_stack", "log_size", "steps_per_chunk"]

SIZE = 16
"""Number of tiles in a window that the logs have room for. A row with a longer one is run by other kernels."""


class Log(NamedTuple):
    """What later phases need to know of a walk, and backward of that in forward; views of one buffer. See `walks`.

    Attributes:
        cut: What each pop left of the tile that it cut, shape `(batch, events)`.
        cut_tile: That tile; -1 if none. Shape `(batch, events)`, int32.
        following: The first pop to reach each node; `events` if none. Shape `(batch, tiles + events)`, int32.
        nearest: The nodes nearest to the end of each read, shape `(batch, events, SIZE)`, int32; empty in a stack.
        tops: In a stack, the node on top after each step, shape `(batch, events)`, int32.
        below: In a stack, the node under each tile, shape `(batch, tiles)`, int32.
        deep_tops: In a stack, the node on top of earlier chunks, before and after each pop of a chunk that reached
            them, shape `(batch, chunks, span + 1)`, int32.
    """

    cut: Tensor
    cut_tile: Tensor
    following: Tensor
    nearest: Tensor
    tops: Tensor
    below: Tensor
    deep_tops: Tensor

    @classmethod
    def of(cls, buffer: Tensor, inputs: Inputs, pushes: Sequence[int], takes: Sequence[int]) -> Log:
        """The parts of a buffer of `log_size`."""
        batch, time, heads = inputs.push.shape
        events, count = time * heads, inputs.initial.shape[1] + time * heads
        shapes: tuple[tuple[int, ...], ...] = (events,), (count + events,)
        if is_stack(pushes, takes):
            span = steps_per_chunk(time)
            shapes += (0, SIZE), (events,), (count,), (triton.cdiv(time, span), span + 1)
        else:
            shapes += (events, SIZE), (0,), (0,), (0, 0)
        first = batch * events * (inputs.push.itemsize // buffer.itemsize)
        parts = [buffer[:first].view(inputs.push.dtype).view(batch, events)]
        for shape in shapes:
            size = batch * math.prod(shape)
            parts.append(buffer[first : first + size].view(batch, *shape))
            first += size
        return cls(*parts)


def log_size(inputs: Inputs, pushes: Sequence[int], takes: Sequence[int]) -> Any:
    """The number of elements of a log, int32; in a graph, an expression of the sizes of the inputs."""
    batch, time, heads = inputs.push.shape
    events, count = time * heads, inputs.initial.shape[1] + time * heads
    links = events + count + 2 * time + 1 if is_stack(pushes, takes) else events * SIZE
    return batch * (events * (inputs.push.itemsize // 4) + 2 * events + count + links)


def is_stack(pushes: Sequence[int], takes: Sequence[int]) -> bool:
    """Whether a line is one that is walked in chunks."""
    return list(pushes) == list(takes) == [1]


def chunks_of(log: Log) -> tuple[int, int]:
    """The number of chunks that were walked on their own, 0 if none was, and the number of steps in each."""
    chunks, nodes = log.deep_tops.shape[1:]
    return chunks, nodes - 1


def steps_per_chunk(time: int) -> int:
    """The number of steps in a chunk of a stack: a power of two.

    A chunk takes as long as it has steps, and what is left for the walk after it grows with the number of chunks: of
    random pops, about the square root of the steps in a chunk reach below it. This is near the minimum of their sum.
    As it is at most `time`, the chunks with one more for each have at most `2 * time + 1` steps.
    """
    steps: int = triton.next_power_of_2(max(1, int((0.7 * time) ** (2 / 3))))
    return steps
