"""Symbols that a model does not have are refused in one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from ddstructs import Controller, SequenceModel, Stack
from ddstructs.training.learner import Learner

MODELS: dict[str, Callable[[], Learner]] = {
    "Controller": lambda: Controller(Stack(2), 5, 3, hidden_size=4, embedding_size=4),
    "SequenceModel": lambda: SequenceModel(Stack(2), 5, 3, embed_dim=4, num_heads=2),
}

INTEGERS = "but symbols were expected: a tensor of integers, int64"


@pytest.fixture(scope="module", params=MODELS)
def learner(request: pytest.FixtureRequest) -> Learner:
    return MODELS[request.param]()


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        (torch.tensor([[1, 7]]), ValueError, "inputs have the symbol 7, but 0 to 4 were expected$"),
        (torch.tensor([[1, -1]]), ValueError, "inputs have the symbol -1, but 0 to 4 were expected"),
        (torch.tensor([1, 2]), ValueError, r"inputs have shape \(2,\), but \(batch, time\) was expected"),
        (torch.zeros(2, 3, 1, dtype=torch.int64), ValueError, r"inputs have shape \(2, 3, 1\)"),
        (torch.rand(2, 3), TypeError, f"inputs are of type torch.float32, {INTEGERS}"),
        (torch.zeros(2, 3, dtype=torch.bool), TypeError, f"inputs are of type torch.bool, {INTEGERS}"),
        ([[1, 2]], TypeError, f"inputs are of type list, {INTEGERS}"),
    ],
    ids=["beyond", "negative", "row", "vectors", "float", "bool", "list"],
)  # fmt: skip
def test_wrong_symbols_are_refused(learner: Learner, inputs: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{message}"):
        learner(inputs)


def test_symbols_may_be_int32(learner: Learner) -> None:
    symbols = torch.tensor([[0, 4, 2]])
    assert torch.equal(learner.eval()(symbols.int()), learner(symbols))
