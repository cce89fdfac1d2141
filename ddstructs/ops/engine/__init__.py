"""The arithmetic of the CPU kernels, compiled by numba: tiles on a line, taken from its ends.

Each row of the batch is a line of tiles. `order` lists the live tiles from bottom to top and `strengths` gives the
length of each. A pop or a read walks inward from an end until its amount is covered, so a tile that a pop has consumed
is never visited again: a step costs what it consumes and reads, however much is stored.

Backward undoes the steps in reverse order using a log, so it has the state of every step without a copy per step. The
log has a fixed size because a tile dies only once.

The `rows` of a call exclude inactive rows, such as those whose sequence has ended.
"""

from ddstructs.ops.engine.arrays import Array, Gradients, Heads, Inputs, Line, Strided
from ddstructs.ops.engine.backward_walk import rewind
from ddstructs.ops.engine.calls import scan, scan_backward, step, undo
from ddstructs.ops.engine.forward_walk import begin, forward

__all__ = [
    "Array",
    "Gradients",
    "Heads",
    "Inputs",
    "Line",
    "Strided",
    "begin",
    "forward",
    "rewind",
    "scan",
    "scan_backward",
    "step",
    "undo",
]
