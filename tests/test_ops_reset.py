"""A pop without limit empties a memory, in every kernel: a row with resets equals its pieces run alone."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import LAYOUTS, SIGNALS, Problem, Scan, assert_equal_results, problems, solve, steps
from torch import Tensor

from ddstructs import Action
from ddstructs.ops import Layout, LineState, Slots, operators, parallel, reference, tape


def in_parallel(layout: Layout, actions: Action, state: LineState) -> tuple[Tensor, LineState]:
    scan: Scan = parallel.scan if parallel.fits(layout) else reference.scan
    return scan(layout, actions, state)


KERNELS: dict[str, Scan] = {
    "reference": reference.scan,
    "reference, in steps": steps(reference.step),
    "kernel": operators.scan,
    "kernel, in steps": steps(tape.step),
    "parallel": in_parallel,
}


def resetting(scan: Scan, reset: Tensor) -> Scan:
    """A scan whose first head pops without limit where it is told to."""

    def whole(layout: Layout, actions: Action, state: LineState) -> tuple[Tensor, LineState]:
        first = torch.arange(len(layout)) == 0
        return scan(layout, actions._replace(pop=actions.pop.masked_fill(reset[..., None] & first, torch.inf)), state)

    return whole


def in_pieces(scan: Scan, reset: Tensor) -> Scan:
    """The same scan row by row, each row cut where it is reset, with an empty memory for each piece but the first."""

    def pieces(layout: Layout, actions: Action, state: LineState) -> tuple[Tensor, LineState]:
        slots, reads, after = state.slots(), [], []
        for row in range(len(reset)):
            own = Slots(slots.values[row : row + 1], slots.strengths[row : row + 1])
            cuts = [0, *reset[row].nonzero()[:, 0].tolist(), reset.shape[1]]
            parts: list[Tensor] = []
            last: LineState = own
            for i, (start, stop) in enumerate(pairwise(cuts)):
                begin = own if i == 0 else Slots(own.values[:, :0], own.strengths[:, :0])
                read, last = scan(layout, Action(*(part[row : row + 1, start:stop] for part in actions)), begin)
                parts.append(read)
            reads.append(torch.cat(parts, dim=1))
            after.append(last.slots())
        longest = max(part.strengths.shape[1] for part in after)

        def stacked(rows: list[Tensor]) -> Tensor:
            return torch.cat([torch.cat([x, x.new_zeros(1, longest - x.shape[1], *x.shape[2:])], 1) for x in rows])

        return torch.cat(reads), Slots(
            stacked([part.values for part in after]), stacked([part.strengths for part in after])
        )

    return pieces


@pytest.mark.parametrize("kernel", KERNELS)
@settings(max_examples=60)
@given(problem=problems(), data=st.data())
def test_a_row_with_resets_equals_its_pieces_run_alone(kernel: str, problem: Problem, data: st.DataObject) -> None:
    batch, time = problem.inputs[2].shape[:2]
    if not batch:
        return
    rows = data.draw(st.lists(st.lists(st.booleans(), min_size=time, max_size=time), min_size=batch, max_size=batch))
    reset = torch.tensor(rows, dtype=torch.bool).view(batch, time)
    came = solve(resetting(KERNELS[kernel], reset), problem)
    assert_equal_results(came, solve(in_pieces(reference.scan, reset), problem))
    assert not came["d pop"][..., 0][reset].any(), "a pop without limit has a gradient"


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("signals", SIGNALS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_was_before_a_reset_leaves_no_trace(layout: str, signals: str, kernel: str) -> None:
    problem = Problem.draw(layout, signals, time=40, slots=5)
    reset = torch.zeros(2, 40, dtype=torch.bool)
    reset[0, 25] = reset[1, 0] = True
    came = solve(resetting(KERNELS[kernel], reset), problem)
    assert_equal_results(came, solve(in_pieces(KERNELS[kernel], reset), problem))
    assert not came["d initial strengths"][1].any()
    assert not came["d initial values"][1].any()
    values, strengths, push, pop, value = (part.clone() for part in problem.inputs)
    value[0, :25] += 3
    push[0, :25] = 1 - push[0, :25]
    changed = Problem(problem.layout, (values + 3, strengths / 2, push, pop, value), problem.weights)
    other = solve(resetting(KERNELS[kernel], reset), changed)
    for name in ("reads", "d push", "d pop", "d value"):
        torch.testing.assert_close(other[name][0, 25:], came[name][0, 25:], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(other[name][1], came[name][1], rtol=1e-12, atol=1e-12)
