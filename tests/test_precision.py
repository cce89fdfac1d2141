"""Every structure works under autocast, with an empty batch, and on the meta device."""

from collections.abc import Callable

import pytest
import torch
from kinds import KINDS

from ddstructs import Action, Memory
from ddstructs.testing import EXACT, TOLERANCE, for_all_actions, gradients, leaves


@pytest.mark.parametrize("kind", KINDS)
def test_autocast_works_in_both_ways_to_run(kind: str) -> None:
    """Under autocast a layer returns bfloat16 next to a float32 state: no error, and little loss."""
    memory, near = KINDS[kind](3), TOLERANCE[torch.bfloat16]

    def check(actions: Action) -> None:
        exact, _ = memory(Action(actions.push, actions.pop, actions.value.bfloat16().double()))
        inputs = leaves(Action(actions.push.float(), actions.pop.bfloat16(), actions.value.bfloat16()))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            reads, state = memory(inputs)
            state_in_steps, steps = memory.initial_state(len(reads), dtype=torch.float32), []
            for t in range(reads.shape[1]):
                read, state_in_steps = memory.step(Action(*(part[:, t] for part in inputs)), state_in_steps)
                steps.append(read)
        torch.testing.assert_close(reads.double(), exact, rtol=near, atol=near)
        if steps:
            torch.testing.assert_close(torch.stack(steps, dim=1).double(), exact, rtol=near, atol=near)
        for after in (state, state_in_steps):
            assert memory.contents(after).strengths.dtype == torch.float32
        for slope, part in zip(gradients(reads.float().sum(), inputs), inputs, strict=True):
            assert slope.dtype == part.dtype
            assert slope.isfinite().all()

    for_all_actions(memory, check, signals=EXACT, max_examples=15)


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_need_no_numbers(kind: str) -> None:
    memory = KINDS[kind](3)
    signal = torch.zeros(2, 4, memory.heads, device="meta")
    actions = Action(signal, signal, torch.zeros(2, 4, memory.heads, 3, device="meta"))
    reads, state = memory(actions)
    assert reads.shape == actions.value.shape
    assert reads.device.type == "meta"
    moved = memory.initial_state(2).to("meta")
    for after in (state, moved, moved.to(dtype=torch.float32)):
        read, _ = memory.step(Action(*(part[:, 0] for part in actions)), after)
        assert read.shape == (2, memory.heads, 3)


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_a_batch_may_have_no_rows(make: Callable[[int], Memory]) -> None:
    memory = make(3)
    signal = torch.zeros(0, 4, memory.heads)
    reads, state = memory(Action(signal, signal, torch.zeros(0, 4, memory.heads, 3)))
    assert reads.shape == (0, 4, memory.heads, 3)
    assert memory.contents(state).strengths.shape[0] == 0


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_the_default_dtype_is_torchs(make: Callable[[int], Memory]) -> None:
    memory = make(3)
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        assert memory.contents(memory.initial_state(1)).values.dtype == torch.float64
    finally:
        torch.set_default_dtype(before)
