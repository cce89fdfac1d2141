"""What `docs/layers.md` shows runs, and its layers keep to what is said of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

PAGE = Path(__file__).parent.parent / "docs" / "layers.md"


@pytest.fixture(scope="module")
def shown() -> dict[str, Any]:
    """The names that the blocks of the page define, run one after another."""
    torch.manual_seed(0)
    names: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) == 5
    for block in blocks:
        if "from transformers" not in block:  # see test_transformers.py
            exec(block, names)
    return names


def test_an_encoder_of_memories_is_causal_and_keeps_padding_out(shown: dict[str, Any]) -> None:
    encoder, x, padding = shown["encoder"].eval(), shown["x"], shown["padding"]
    output = encoder(x, src_key_padding_mask=padding)
    torch.testing.assert_close(output[1:, :7], encoder(x[1:, :7]))
    later = x.clone()
    later[:, 5:] = 3.0
    torch.testing.assert_close(encoder(later)[:, :5], encoder(x)[:, :5])


def test_an_encoder_of_memories_is_trained(shown: dict[str, Any]) -> None:
    encoder = shown["encoder"].train()
    encoder(shown["x"], src_key_padding_mask=shown["padding"]).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in encoder.parameters())


def test_a_mixture_with_a_recurrence_goes_on_from_its_state(shown: dict[str, Any]) -> None:
    mixed, x, state, tokens = shown["mixed"], shown["x"], None, []
    for t in range(x.shape[1]):
        token, state = mixed(x[:, t : t + 1], state)
        tokens.append(token)
    torch.testing.assert_close(torch.cat(tokens, dim=1), mixed(x)[0])
