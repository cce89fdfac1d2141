"""Greedy decoding: each output is the next input."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ddstructs.tasks.batch import IGNORE, SEPARATOR, Batch

if TYPE_CHECKING:
    from ddstructs.training.learner import Learner

__all__ = ["decode_greedily"]


def decode_greedily(model: Learner, batch: Batch, limit: int | None) -> Tensor:
    """Read the source, then feed each output back as the next input until the end symbol; see `Learner.decode`."""
    inputs, targets, _ = batch
    prompt = (inputs == SEPARATOR).int().argmax(dim=1) + 1
    longest = int(prompt.max())
    run = model.run(inputs[:, :longest], lengths=prompt)
    answers = run.logits.argmax(dim=-1)
    reading = torch.arange(longest, device=inputs.device) < prompt[:, None] - 1
    early = torch.where(reading & (targets[:, :longest] != IGNORE), answers, IGNORE)
    symbol, state = answers.gather(1, prompt[:, None] - 1), run.state
    end, first = model.output_symbols - 1, model.input_symbols - (model.output_symbols - 1)
    limits = 2 * prompt[:, None] if limit is None else torch.full_like(symbol, limit)
    decoded, going = [symbol], (symbol != end) & (limits > 1)
    while going.any():
        fed = torch.where(going, symbol + first, 0)
        logits, _, state = model.run(fed, state)
        symbol = torch.where(going, logits.argmax(dim=-1), IGNORE)
        decoded.append(symbol)
        going = going & (symbol != end) & (limits > len(decoded))
    return torch.cat([early, *decoded], dim=1)
