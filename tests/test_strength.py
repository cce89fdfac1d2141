"""Strength is conserved, and a read averages at most one unit of it."""

import pytest
import torch
from kinds import LINES

from ddstructs import Action
from ddstructs.testing import assert_close, for_all_actions


@pytest.mark.parametrize("line", LINES)
def test_strength_is_conserved(line: str) -> None:
    memory = LINES[line](2)

    def check(actions: Action) -> None:
        state = memory.initial_state(len(actions.value), dtype=torch.float64)
        before = torch.zeros(len(actions.value), dtype=torch.float64)
        for t in range(actions.value.shape[1]):
            push, pop, value = (part[:, t] for part in actions)
            _, state = memory.step(Action(push, pop, value), state)
            strengths = memory.contents(state).strengths
            assert (strengths >= 0).all()
            for head in range(memory.heads):
                before = before - torch.minimum(before, pop[:, head])
            before = before + push.sum(dim=1)
            assert_close(strengths.sum(dim=1), before, "total strength")
            before = strengths.sum(dim=1)

    for_all_actions(memory, check, max_time=12)


@pytest.mark.parametrize("line", LINES)
def test_a_read_is_an_average_of_at_most_one_unit(line: str) -> None:
    heads = LINES[line](1).heads

    def check(actions: Action) -> None:
        batch, time, _ = actions.push.shape
        pushed = max(1, time * heads)
        memory = LINES[line](pushed)  # the values are one-hot, so that reads are the weights
        eye = torch.eye(pushed, dtype=torch.float64)[: time * heads]
        value = eye.view(time, heads, pushed).expand(batch, -1, -1, -1)
        state = memory.initial_state(batch, dtype=torch.float64)
        for t in range(time):
            weights, state = memory.step(Action(actions.push[:, t], actions.pop[:, t], value[:, t]), state)
            values, strengths = memory.contents(state)
            assert (weights >= 0).all()
            total = strengths.sum(dim=1, keepdim=True).clamp(max=1).expand(-1, heads)
            assert_close(weights.sum(dim=-1), total, "sum of the weights")
            held = torch.einsum("bs,bsw->bw", strengths, values)
            assert (weights <= held[:, None] + 1e-12).all(), "more of a value is read than there is"

    for_all_actions(LINES[line](1), check, max_time=8)


@pytest.mark.parametrize("line", LINES)
def test_strength_stays_within_rounding_over_a_long_time(line: str) -> None:
    memory = LINES[line](1)
    generator = torch.Generator().manual_seed(0)
    push, pop = torch.rand(2, 1, 1000, memory.heads, generator=generator)
    value = torch.ones(1, 1000, memory.heads, 1)
    reads, state = memory(Action(push, pop, value))
    exact, exact_state = memory(Action(push.double(), pop.double(), value.double()))
    assert_close(reads, exact.float(), "reads")
    assert_close(
        memory.contents(state).strengths.sum(), memory.contents(exact_state).strengths.sum().float(), "total strength"
    )
