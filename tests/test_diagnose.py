"""The diagnosis of models built to fail in each known way, and of good ones."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import RNNCell

from ddstructs import (
    Action,
    Choice,
    Deque,
    Memory,
    MemoryRNN,
    NoMemory,
    Queue,
    Stack,
    SuperpositionStack,
    diagnose,
    trace,
)
from ddstructs.view.diagnose import FAILURES

LENGTH = 12


def rising(rows: int = 1) -> Tensor:
    """Whether a step is in the first half, shape `(rows, 2 * LENGTH, 1)`."""
    return (torch.arange(2 * LENGTH) < LENGTH).double().expand(rows, -1)[..., None]


def actions(push: Tensor, pop: Tensor) -> Action:
    generator = torch.Generator().manual_seed(0)
    return Action(push, pop, torch.randn(*push.shape, 3, generator=generator, dtype=torch.float64))


def failures(memory: Memory, push: Tensor, pop: Tensor) -> tuple[str, ...]:
    return diagnose(trace(memory, actions(push, pop))).failures


def test_a_memory_that_is_filled_and_emptied_shows_no_failure() -> None:
    for memory in (Stack(3), Queue(3)):
        for sharp in (1.0, 0.98):
            push, pop = sharp * rising(2), sharp * (1 - rising(2))
            assert failures(memory, push, pop) == ()


def test_a_deque_that_is_filled_at_one_end_and_emptied_at_the_other_shows_no_failure() -> None:
    up, none = rising(), torch.zeros_like(rising())
    assert failures(Deque(3), torch.cat([up, none], 2), torch.cat([none, 1 - up], 2)) == ()


def test_never_pushes() -> None:
    for level in (0.0, 0.01):
        assert failures(Stack(3), level * torch.ones_like(rising()), rising()) == ("never pushes",)


def test_no_memory_never_pushes() -> None:
    report = diagnose(trace(MemoryRNN(4, 4, NoMemory()), torch.randn(9, 1, 4)))
    assert report.failures == ("never pushes",)
    assert report.rounded_same == 1.0


def test_never_pops() -> None:
    for level in (0.0, 0.01):
        assert failures(Stack(3), rising(), level * torch.ones_like(rising())) == ("never pops",)


def test_pops_of_an_empty_memory_are_no_pops() -> None:
    report = diagnose(trace(Stack(3), actions(1 - rising(), rising())))
    assert report.failures == ("never pops",)
    assert report.empty_pops == 1.0


def test_what_falls_off_a_full_memory_was_not_popped() -> None:
    weights = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64).expand(1, 20, 1, 3)
    report = diagnose(trace(SuperpositionStack(3, depth=3), Choice(weights, torch.randn(1, 20, 1, 3).double())))
    assert report.depth[-1] == 3.0
    assert report.popped == report.empty_pops == 0.0
    assert report.failures == ("never pops",)


def test_pops_in_halves() -> None:
    assert failures(Stack(3), rising(), 0.5 * (1 - rising())) == ("pops in fractions",)
    report = diagnose(trace(Queue(3), actions(rising(), 0.5 * (1 - rising()))))
    assert report.failures == ("pops in fractions",)
    assert report.fractions == 1.0
    assert report.pop_distance == 0.25, "half of the steps pop a half"


def test_a_scratch_register() -> None:
    every = torch.ones_like(rising())
    for memory in (Stack(3), Queue(3)):
        assert failures(memory, every, every) == ("scratch register",)


def hand_set(push: tuple[float, float], pop: tuple[float, float]) -> MemoryRNN:
    """A network whose signals depend on one input: the logits of push and pop for an input of 0 and of 1."""
    rnn = MemoryRNN(1, 1, Stack(1), batch_first=True, learn_initial=False, read_skip=False)
    with torch.no_grad():
        for parameter in rnn.parameters():
            parameter.zero_()
        assert isinstance(rnn.cell, RNNCell)
        rnn.cell.weight_ih[0, 0] = 20.0  # h is 0 for an input of 0, 1 for one of 1
        assert rnn.to_action is not None
        rnn.to_action.weight[:2, 0] = torch.tensor([push[1] - push[0], pop[1] - pop[0]])
        rnn.to_action.bias[:2] = torch.tensor([push[0], pop[0]])
    return rnn


@pytest.mark.parametrize(
    ("push", "pop", "expected"),
    [
        ((-9, 9), (9, -9), ()),
        ((-9, -9), (9, -9), ("never pushes",)),
        ((-9, 9), (-9, -9), ("never pops",)),
        ((-9, 9), (0, -9), ("pops in fractions",)),
        ((9, 9), (9, 9), ("scratch register",)),
    ],
)
def test_networks_made_to_fail(push: tuple[float, float], pop: tuple[float, float], expected: tuple[str, ...]) -> None:
    report = diagnose(trace(hand_set(push, pop), rising().float()))
    assert report.failures == expected
    for name in expected:
        assert f"{name}: {FAILURES[name]}" in str(report)
    assert ("No known failure" in str(report)) == (not expected)


def test_the_numbers_are_what_they_say() -> None:
    push = torch.tensor([1.0, 0.5, 0.0, 0.0, 0.0], dtype=torch.float64)[None, :, None]
    pop = torch.tensor([0.0, 0.0, 0.5, 1.0, 1.0], dtype=torch.float64)[None, :, None]
    report = diagnose(trace(Stack(3), actions(push, pop)))
    assert report.depth == (1.0, 1.5, 1.0, 0.0, 0.0)
    assert report.pushed == 1.5 / 5
    assert report.popped == 1.0
    assert report.empty_pops == 1.0 / 2.5
    assert report.fractions == 0.5 / 1.5
    assert report.push_distance == report.pop_distance == 0.1
    assert report.never_read == 0.5 / 1.5, "the half on top was read in its own step only"
    assert report.kept == 1.0 / (1.0 + 1.0 + 1.0), "the whole one, two steps later"


def test_padding_does_not_count() -> None:
    from dataclasses import replace

    whole = trace(Stack(3), actions(rising(2), 1 - rising(2)))
    cut = replace(whole, lengths=torch.tensor([LENGTH, LENGTH]))
    assert diagnose(cut).failures == ("never pops",)
    assert len(diagnose(cut).depth) == LENGTH


def test_rounding_is_reported_where_it_matters() -> None:
    sharp = diagnose(trace(Stack(3), actions(0.99 * rising(), 0.99 * (1 - rising()))))
    assert sharp.rounded_same > 0.9
    blunt = diagnose(trace(Stack(3), actions(0.6 * rising(), 0.6 * (1 - rising()))))
    assert blunt.rounded_same < 0.2


def test_a_short_run_names_no_failure() -> None:
    none = torch.zeros(1, 3, 1, dtype=torch.float64)
    report = diagnose(trace(Stack(3), actions(none, none)))
    assert report.failures == ()
    assert "too short" in str(report)
