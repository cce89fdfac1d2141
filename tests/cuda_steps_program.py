"""Run by a test in a separate process, because triton reads `TRITON_INTERPRET` when it is imported."""

import copy

import torch
from problems import LAYOUTS, Problem, assert_near
from torch import Tensor

from ddstructs import Action, Contents
from ddstructs.ops import LineState, Slots, compact, cuda_steps, reference


def live(state: LineState) -> list[Tensor]:
    slots = state.slots()
    return list(compact(Contents(slots.values, slots.strengths)))


def compare(problem: Problem, turns: dict[int, int]) -> None:
    """Take the steps of a problem by the kernel and by the reference; before some, return to an earlier state."""
    initial, strengths, push, pop, value = problem.inputs
    start: LineState = Slots(initial, strengths, problem.layout)
    mine, theirs = [start], [start]
    for t in range(push.shape[1]):
        action, at = Action(push[:, t], pop[:, t], value[:, t]), turns.get(t, t)
        read, after = cuda_steps.step(problem.layout, action, mine[at])
        expected, definition = reference.step(problem.layout, action, theirs[at])
        assert read.dtype == expected.dtype
        assert_near([read, *live(after)], [expected, *live(definition)], push.dtype)
        mine, theirs = [*mine, after], [*theirs, definition]
    for each, same in zip(mine, theirs, strict=True):  # no step changed another state
        assert_near(live(each), live(same), push.dtype)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for layout in LAYOUTS:
        for seed, signals in enumerate(("mixed", "hard")):
            compare(Problem.draw(layout, signals, seed=seed, time=7, slots=2 * seed, width=3), {4: 2, 6: 2})
    cuda_steps.ROOM = 2
    compare(Problem.draw("odd", "rarely push", time=9, dtype=torch.float32), {})  # arrays become full
    long = Problem.draw("queue", "never pop", time=3, slots=300, width=2)  # more slots than are looked at at once
    compare(long, {})
    long.inputs[3][0, 1, 0] = torch.inf
    compare(long, {})
    compare(Problem.draw("deque", "random", batch=0, time=2), {})

    single = Problem.draw("stack", "mixed", time=3)
    push, pop, value = (part[:, 0] for part in single.inputs[2:])
    state = Slots(single.inputs[0].bfloat16(), single.inputs[1].float(), single.layout)
    half = Action(push.float(), pop.float(), value.bfloat16())
    read, after = cuda_steps.step(single.layout, half, state)
    expected, definition = reference.step(single.layout, half, state)
    assert read.dtype == after.slots().values.dtype == torch.bfloat16
    torch.testing.assert_close(read, expected)
    assert all(now.equal(before) for now, before in zip(live(after), live(definition), strict=True))
    spoiled = Action(torch.full_like(push, torch.nan), pop, value)
    assert cuda_steps.step(single.layout, spoiled, Slots(*single.inputs[:2]))[0].isnan().all()
    twin = copy.deepcopy(after)
    assert isinstance(twin, Slots)
    assert all(now.equal(before) for now, before in zip(live(twin), live(after), strict=True))
    print("equal")
