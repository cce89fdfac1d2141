"""What `torch.export` writes is loaded again and equal, at batches, and lengths where one operator takes them all."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from kinds import KINDS
from torch import Tensor, nn

from ddstructs import Action, Controller, MemoryLayer, MemoryRNN, NoMemory

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


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("kind", ["stack", "deque+stack", "none"])
def test_a_network_is_exported_with_a_free_batch(kind: str, cell: str) -> None:
    torch.manual_seed(0)
    memory = NoMemory() if kind == "none" else KINDS[kind](3)
    rnn = MemoryRNN(4, 5, memory, cell, batch_first=True).eval()
    again = reloaded(rnn, (torch.randn(3, 4, 4),), ({0: BATCH},))
    for batch in (1, 2, 7):
        x = torch.randn(batch, 4, 4)
        torch.testing.assert_close(again(x)[0], rnn(x)[0])


@pytest.mark.parametrize("hard", [False, True])
def test_a_controller_is_exported_with_a_free_batch(hard: bool) -> None:
    torch.manual_seed(0)
    model = Controller(KINDS["queue"](3), 7, 5, hidden_size=6, embedding_size=4, hard=hard).eval()

    def symbols(batch: int) -> Tensor:
        return torch.randint(7, (batch, 4))

    again = reloaded(model, (symbols(3),), ({0: BATCH},))
    for batch in (1, 2, 7):
        x = symbols(batch)
        torch.testing.assert_close(again(x), model(x))
