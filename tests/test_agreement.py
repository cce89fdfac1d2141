"""Users can compare the fast path of a module with the reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_sequence

from ddstructs import Bank, Deque, MemoryLayer, MemoryRNN, Queue, Stack, SuperpositionStack, Tape, check_agreement
from ddstructs.nn import fused

MODULES: dict[str, Callable[[], nn.Module]] = {
    "rnn": lambda: MemoryRNN(3, 5, Stack(4), read_noise=0.5),
    "lstm": lambda: MemoryRNN(3, 5, Deque(4), "lstm", state_noise=0.1),
    "bank": lambda: MemoryRNN(3, 5, Bank([Stack(4), Queue(4)]), "gru"),
    "superposition": lambda: MemoryRNN(3, 5, SuperpositionStack(4)),
    "tape": lambda: MemoryRNN(3, 5, Tape(4)),
    "layer": lambda: MemoryLayer(3, Stack(4)),
    "in a model": lambda: nn.Sequential(nn.Linear(3, 3), nn.Dropout(), MemoryRNN(3, 5, Queue(4))),
}


@pytest.mark.parametrize("name", MODULES)
def test_the_fast_path_agrees_with_the_reference(name: str) -> None:
    torch.manual_seed(0)
    module = MODULES[name]().double()
    x, before = torch.randn(9, 2, 3, dtype=torch.float64), torch.random.get_rng_state()
    found = check_agreement(module, x)
    assert max(found.distances.values()) == max(found.outputs, found.gradients) < 1e-9
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(part.grad is None for part in module.parameters())
    assert {"input 0", "output 0"} | {name for name, _ in module.named_parameters()} <= found.distances.keys()


def test_packed_rows_and_options_are_passed_on() -> None:
    rnn = MemoryRNN(3, 5, Stack(4)).double()
    rows = [torch.randn(time, 3, dtype=torch.float64) for time in (7, 4)]
    assert max(check_agreement(rnn, pack_sequence(rows))[:2]) < 1e-9
    assert max(check_agreement(rnn, torch.stack([rows[0]] * 2, 1), lengths=[7, 2])[:2]) < 1e-9


def test_a_path_that_is_wrong_or_loses_a_nan_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    rnn, x, run = MemoryRNN(3, 5, Stack(4)), torch.randn(9, 2, 3), fused.run

    def changed(by: float) -> Callable[..., Any]:
        def other(*arguments: Any, **options: Any) -> Any:
            found = run(*arguments, **options)
            return found._replace(output=found.output * by)

        return other

    monkeypatch.setattr(fused, "run", changed(1.01))
    found = check_agreement(rnn, x)
    assert found.outputs == pytest.approx(0.01, rel=0.01)
    assert found.gradients > 1e-3
    assert "outputs differ by 1.0e-02" in str(found)
    monkeypatch.setattr(fused, "run", changed(float("nan")))
    assert check_agreement(rnn, x).outputs == float("inf")


@pytest.mark.parametrize("seed", [0, 2, 3])
def test_dead_slots_of_hard_signals_are_not_compared(seed: int) -> None:
    """A push of 0 leaves a slot of strength 0, whose gradient no live slot shows."""
    torch.manual_seed(seed)
    rnn = MemoryRNN(8, 32, Stack(16), batch_first=True, hard=True)
    assert check_agreement(rnn, torch.randn(3, 12, 8)).gradients < 1e-4
