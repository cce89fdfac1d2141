"""What `torch.export` writes is loaded again and equal, at batches, and lengths where one operator takes them all."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from kinds import KINDS, LINES
from torch import nn

from ddstructs import Action, Controller, Memory, MemoryLayer, MemoryRNN, NoMemory, Tape

COMPILED: dict[str, Callable[[int], Memory]] = {**KINDS, "none": lambda _: NoMemory()}
"""Memories with which a network is one operator."""

BATCH, TIME = torch.export.Dim("batch", min=1, max=4096), torch.export.Dim("time", min=2, max=4096)


def reloaded(module: nn.Module, given: tuple[Any, ...], free: Any) -> Any:
    """A module as it comes back from a file."""
    file = io.BytesIO()
    torch.export.save(torch.export.export(module, given, dynamic_shapes=free, strict=False), file)
    file.seek(0)
    return torch.export.load(file).module()


def actions(heads: int, batch: int, time: int) -> Action:
    generator = torch.Generator().manual_seed(batch + time)
    signals = torch.rand(2, batch, time, heads, generator=generator)
    return Action(signals[0], signals[1], torch.randn(batch, time, heads, 3, generator=generator))


@pytest.mark.parametrize("kind", KINDS)
def test_a_memory_is_exported_with_free_batch_and_time(kind: str) -> None:
    memory = KINDS[kind](3)
    free: Any = {0: BATCH, 1: TIME}
    again = reloaded(memory, (actions(memory.heads, 3, 6),), (Action(free, free, free),))
    for batch, time in ((1, 2), (5, 11)):
        given = actions(memory.heads, batch, time)
        reads, state = again(given)
        expected, after = memory(given)
        torch.testing.assert_close(reads, expected)
        torch.testing.assert_close(tuple(memory.contents(state)), tuple(memory.contents(after)))


def test_a_layer_is_exported_with_free_batch_and_time() -> None:
    torch.manual_seed(0)
    layer = MemoryLayer(6, KINDS["stack+queue"](3), 2).eval()
    again = reloaded(layer, (torch.randn(3, 6, 6),), ({0: BATCH, 1: TIME},))
    for batch, time in ((1, 2), (5, 11)):
        x = torch.randn(batch, time, 6)
        torch.testing.assert_close(again(x)[0], layer(x)[0])


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru", "deep"])
@pytest.mark.parametrize("kind", COMPILED)
def test_a_network_is_exported_with_free_batch_and_time(kind: str, cell: str) -> None:
    torch.manual_seed(0)
    rnn = MemoryRNN(4, 5, COMPILED[kind](3), cell, batch_first=True).eval()
    again = reloaded(rnn, (torch.randn(3, 6, 4),), ({0: BATCH, 1: TIME},))
    for batch, time in ((1, 2), (5, 11)):
        x = torch.randn(batch, time, 4)
        output, state = again(x)
        expected, after = rnn(x)
        torch.testing.assert_close(output, expected)
        torch.testing.assert_close(state.hidden, after.hidden)
        torch.testing.assert_close(tuple(rnn.memory.contents(state.memory)), tuple(rnn.memory.contents(after.memory)))


def test_a_network_continues_from_a_state_of_any_size() -> None:
    torch.manual_seed(0)
    rnn = MemoryRNN(4, 5, LINES["deque"](3), "lstm", batch_first=False).eval()
    state = rnn(torch.randn(7, 3, 4))[1].detach()
    slots = torch.export.Dim("slots", min=2, max=4096)
    row, held = {0: BATCH}, {0: BATCH, 1: slots}
    form: Any = [(row, row), row, [held, held]]
    again = reloaded(rnn, (torch.randn(6, 3, 4), state), ({0: TIME, 1: BATCH}, form))
    for batch, first, time in ((2, 4, 3), (5, 9, 11)):
        _, state = rnn(torch.randn(first, batch, 4))
        x = torch.randn(time, batch, 4)
        torch.testing.assert_close(again(x, state)[0], rnn(x, state)[0])


def test_a_reloaded_network_trains() -> None:
    torch.manual_seed(0)
    rnn = MemoryRNN(4, 5, LINES["stack"](3), "gru", batch_first=True)
    again = reloaded(rnn, (torch.randn(3, 6, 4),), ({0: BATCH, 1: TIME},))
    x = torch.randn(2, 9, 4)
    for module in (again, rnn):
        module(x)[0].square().sum().backward()
    got, expected = (dict(module.named_parameters()) for module in (again, rnn))
    assert got.keys() == expected.keys()
    for name, weight in expected.items():
        torch.testing.assert_close(got[name].grad, weight.grad, rtol=0, atol=0)


@pytest.mark.parametrize("hard", [False, True])
def test_a_controller_is_exported_with_free_batch_and_time(hard: bool) -> None:
    torch.manual_seed(0)
    model = Controller(KINDS["queue"](3), 7, 5, hidden_size=6, embedding_size=4, hard=hard).eval()
    again = reloaded(model, (torch.randint(7, (3, 4)),), ({0: BATCH, 1: TIME},))
    for batch, time in ((1, 2), (2, 9), (7, 4)):
        x = torch.randint(7, (batch, time))
        torch.testing.assert_close(again(x), model(x))


def test_a_program_runs_in_another_process(tmp_path: Path) -> None:
    torch.manual_seed(0)
    rnn, x = MemoryRNN(4, 5, LINES["stack"](3), batch_first=True).eval(), torch.randn(2, 9, 4)
    free: Any = ({0: BATCH, 1: TIME},)
    torch.export.save(
        torch.export.export(rnn, (torch.randn(2, 4, 4),), dynamic_shapes=free, strict=False), tmp_path / "rnn.pt2"
    )
    torch.save(x, tmp_path / "x.pt")
    script = (
        "import torch; from ddstructs import MemoryRNN; "
        "torch.save(torch.export.load('rnn.pt2').module()(torch.load('x.pt'))[0], 'output.pt')"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    torch.testing.assert_close(torch.load(tmp_path / "output.pt"), rnn(x)[0])


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru", "deep"])
def test_a_network_that_runs_in_a_loop_is_exported_with_a_free_batch(cell: str) -> None:
    torch.manual_seed(0)
    rnn = MemoryRNN(4, 5, Tape(3, size=5), cell, batch_first=True).eval()
    again = reloaded(rnn, (torch.randn(3, 4, 4),), ({0: BATCH},))
    for batch in (1, 2, 7):
        x = torch.randn(batch, 4, 4)
        torch.testing.assert_close(again(x)[0], rnn(x)[0])


def test_the_length_of_a_loop_cannot_be_free() -> None:
    """Its steps are unrolled, unlike those that are one operator."""
    rnn = MemoryRNN(4, 5, Tape(3, size=5), batch_first=True).eval()
    with pytest.raises(Exception, match=r"specialized it to be a constant \(6\)"):
        reloaded(rnn, (torch.randn(3, 6, 4),), ({1: TIME},))
