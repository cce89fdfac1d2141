"""A memory layer in a GPT-2 of Hugging Face `transformers`, as `docs/layers.md` shows it: `make test-transformers`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ddstructs import MemoryLayer, Stack

pytest.importorskip("transformers")

PAGE = Path(__file__).parent.parent / "docs" / "layers.md"


@pytest.fixture(scope="module")
def shown() -> dict[str, Any]:
    """The names that the page's block defines."""
    torch.manual_seed(0)
    names: dict[str, Any] = {"torch": torch, "nn": nn, "Tensor": Tensor, "MemoryLayer": MemoryLayer, "Stack": Stack}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    (block,) = (each for each in blocks if "from transformers" in each)
    exec(block, names)
    return names


def replaced(shown: dict[str, Any], attention: nn.Module) -> nn.Module:
    """The memory in the place of an attention, as the page says in a sentence."""
    base: Any = shown["AttentionThenMemory"]

    class MemoryAlone(base):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(Keep(attention.layer_idx), 32)
            self.memory.residual = False

    class Keep(nn.Module):
        def __init__(self, layer_idx: Any) -> None:
            super().__init__()
            self.layer_idx = layer_idx

        def forward(self, x: Tensor, cache: Any = None, **options: Any) -> tuple[Tensor, None]:
            if cache is not None:
                cache.update(x[:, None, :, :1], x[:, None, :, :1], self.layer_idx)
            return x, None

    return MemoryAlone()


@pytest.fixture(params=["sdpa followed", "eager followed", "sdpa replaced", "sdpa all replaced"])
def gpt(request: pytest.FixtureRequest, shown: dict[str, Any]) -> Any:
    torch.manual_seed(1)
    implementation, *_, how = request.param.split()
    sizes = {"n_layer": 2, "n_head": 4, "n_embd": 32, "vocab_size": 50, "bos_token_id": 0, "eos_token_id": 0}
    config = shown["GPT2Config"](**sizes, initializer_range=0.5)
    config._attn_implementation = implementation
    model = shown["GPT2LMHeadModel"](config).eval()
    for number, block in enumerate(model.transformer.h):
        if how == "replaced" and (number == 0 or "all" in request.param):
            block.attn = replaced(shown, block.attn)
        elif how == "followed" and number == 1:
            block.attn = shown["AttentionThenMemory"](block.attn, 32)
    for layer in model.modules():
        if isinstance(layer, MemoryLayer):
            layer.to_action.weight.data *= 5  # so that the memories do something
    return model.double()


def symbols(*shape: int) -> Tensor:
    return torch.randint(1, 50, shape, generator=torch.Generator().manual_seed(2))


def test_it_generates_with_its_cache_what_it_generates_without(gpt: Any) -> None:
    prompt = symbols(3, 6)
    options = {"max_new_tokens": 12, "min_new_tokens": 12, "do_sample": False, "pad_token_id": 0}
    cached = gpt.generate(prompt, use_cache=True, **options)
    assert torch.equal(cached, gpt.generate(prompt, use_cache=False, **options))
    assert len(set(cached[0, 6:].tolist())) > 2


def test_one_token_at_a_time_equals_the_whole_sequence(gpt: Any) -> None:
    x, cache, pieces = symbols(2, 9), None, []
    for piece in (x[:, :4], *x[:, 4:].split(1, dim=1)):
        out = gpt(piece, cache=cache, use_cache=True)
        cache = out.cache
        pieces.append(out.logits)
    torch.testing.assert_close(torch.cat(pieces, dim=1), gpt(x).logits)


def test_beam_search_reorders_the_memories(gpt: Any) -> None:
    prompt = symbols(2, 5)
    options = {"max_new_tokens": 8, "min_new_tokens": 8, "num_beams": 3, "do_sample": False, "pad_token_id": 0}
    assert torch.equal(
        gpt.generate(prompt, use_cache=True, **options), gpt.generate(prompt, use_cache=False, **options)
    )


def test_padding_on_the_left_touches_no_memory(gpt: Any) -> None:
    short, long = symbols(1, 4), symbols(1, 7) % 49 + 1
    batch = torch.cat([torch.cat([torch.zeros(1, 3, dtype=torch.int64), short], dim=1), long])
    mask = torch.tensor([[0] * 3 + [1] * 4, [1] * 7])
    options = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False, "pad_token_id": 0}
    both = gpt.generate(batch, attention_mask=mask, **options)
    for row, prompt in enumerate((short, long)):
        assert torch.equal(both[row, 7:], gpt.generate(prompt, **options)[0, prompt.shape[1] :])


def test_it_is_trained(gpt: Any) -> None:
    x = symbols(2, 9)
    gpt.train()
    gpt(x, labels=x).loss.backward()
    for layer in gpt.modules():
        if isinstance(layer, MemoryLayer):
            assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in layer.parameters())
