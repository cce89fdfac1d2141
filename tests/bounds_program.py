"""Run the CPU kernels with numba's bounds checks: called by test_ops_bounds.py with NUMBA_BOUNDSCHECK=1."""

from __future__ import annotations

import torch
from problems import LAYOUTS, SIGNALS, Problem, solve, steps

from ddstructs import Action, Deque, Queue, Stack
from ddstructs.ops import operators, tape

torch.set_num_threads(1)
for layout in LAYOUTS:
    for signals in SIGNALS:
        for kernel in (operators.scan, steps(tape.step)):
            solve(kernel, Problem.draw(layout, signals, time=9, slots=2))
for memory in (Stack(2), Queue(2), Deque(2)):
    for last in range(6):
        inputs = [torch.rand(6, 3, memory.heads, *size, requires_grad=True) for size in ((), (), (2,))]
        state, reads = memory.initial_state(3), []
        for action in zip(*inputs, strict=True):
            read, state = memory.step(Action(*action), state)
            reads.append(read)
        reads[last].sum().backward()
print("every index is inside its array")
