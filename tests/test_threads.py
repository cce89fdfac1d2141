"""Slices of a batch on several threads: the same results, bit for bit, and no trouble after a fork."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from ddstructs import Action, Bank, Deque, Memory, MemoryRNN, NoMemory, Stack
from ddstructs.ops import threads


@pytest.fixture(autouse=True)
def any_work_is_enough(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(threads, "SMALL", 0)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def network(count: int, memory: Memory | None = None) -> list[Tensor]:
    torch.set_num_threads(count)
    torch.manual_seed(0)
    rnn, x = MemoryRNN(5, 7, Stack(3) if memory is None else memory, "lstm"), torch.randn(9, 100, 5, requires_grad=True)
    output, state = rnn(x, lengths=torch.arange(100) % 10)
    (output.square().sum() + state.hidden[1].sum()).backward()
    return [output, *(part.grad for part in (x, *rnn.parameters()) if part.grad is not None)]


def bank(count: int) -> list[Tensor]:
    return network(count, Bank([Stack(3), Deque(3)]))


def bare(count: int) -> list[Tensor]:
    return network(count, NoMemory())


def sequence(count: int) -> list[Tensor]:
    torch.set_num_threads(count)
    generator = torch.Generator().manual_seed(0)
    push, pop, value = (torch.rand(11, 8, 2, *size, generator=generator).requires_grad_() for size in ((), (), (3,)))
    reads, _ = Deque(3)(Action(push, pop, value))
    return [reads, *torch.autograd.grad(reads.square().sum(), (push, pop, value))]


def steps(count: int) -> list[Tensor]:
    torch.set_num_threads(count)
    generator = torch.Generator().manual_seed(0)
    push, pop, value = (torch.rand(9, 11, 2, *size, generator=generator).requires_grad_() for size in ((), (), (3,)))
    memory = Deque(3)
    state, reads = memory.initial_state(11), []
    for t in range(9):
        read, state = memory.step(Action(push[t], pop[t], value[t]), state)
        reads.append(read)
    together = torch.stack(reads)
    return [together, *torch.autograd.grad(together.square().sum(), (push, pop, value))]


@pytest.mark.parametrize("run", [network, bank, bare, sequence, steps])
def test_any_number_of_threads_gives_the_same_bits(run: Callable[[int], list[Tensor]]) -> None:
    one = run(1)
    for count in (2, 3, 5):
        assert all(map(torch.equal, run(count), one))


@pytest.fixture(params=["OpenMP", "pool"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "pool":
        monkeypatch.setattr(threads, "_openmp", lambda: None)


@pytest.mark.usefixtures("either")
def test_parts_run_side_by_side_and_results_come_in_order() -> None:
    torch.set_num_threads(3)
    together = threading.Barrier(3, timeout=60)  # passed only if three threads are there at once
    assert threads.over(lambda part: (together.wait(), part)[1], [1, 2, 3], 1) == [1, 2, 3]


@pytest.mark.usefixtures("either")
def test_an_error_in_a_part_is_raised() -> None:
    torch.set_num_threads(2)
    with pytest.raises(ZeroDivisionError):
        threads.over(lambda part: 1 // part, [1, 0, 1, 0], 1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own() -> None:
    expected = network(2)[0]
    child = os.fork()
    if not child:
        os._exit(0 if torch.equal(network(2)[0], expected) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
