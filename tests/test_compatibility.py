"""Files of version 0.1 are still read, and mean the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from ddstructs import Bank, Controller, MemoryRNN, Stack

DATA = Path(__file__).with_name("data")

INPUTS = torch.tensor([[0, 2, 3, 4, 5, 1, 6, 7, 8]])
"""What the controllers were given by version 0.1, whose logits lie beside their checkpoints."""


@pytest.mark.parametrize("name", ["stack", "bank"])
def test_a_checkpoint_of_version_0_1_is_the_same_controller(name: str) -> None:
    model = Controller.load_from_checkpoint(DATA / f"{name}_0.1.ckpt")
    assert isinstance(model.rnn.memory, Stack if name == "stack" else Bank)
    expected = torch.tensor(json.loads((DATA / "logits_0.1.json").read_text())[name])
    torch.testing.assert_close(model(INPUTS)[0], expected)


def test_the_weights_of_version_0_1_load_into_a_new_network() -> None:
    weights = torch.load(DATA / "stack_0.1.ckpt", weights_only=True)["state_dict"]
    own = {name.removeprefix("rnn."): weight for name, weight in weights.items() if name.startswith("rnn.")}
    assert "act.weight" in own
    rnn = MemoryRNN(4, 4, Stack(4), cell="lstm")
    rnn.load_state_dict(own)
    assert rnn.to_action is not None
    assert torch.equal(rnn.to_action.weight, own["act.weight"])
