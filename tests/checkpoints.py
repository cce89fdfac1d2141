"""The content of a checkpoint, changed in places, as a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ddstructs import Controller, Stack
from ddstructs.registry.describe import describe
from ddstructs.tasks import Reversal
from ddstructs.training.checkpoint import RANDOM, TASK, random_state, read

__all__ = ["TINY", "checkpoint", "saved", "use", "with_settings", "with_task", "with_weight"]

TINY: dict[str, Any] = {"hidden_size": 8, "embedding_size": 4}
"""The sizes of the controller."""


def checkpoint(**settings: Any) -> dict[str, Any]:
    """The content of a checkpoint of a controller."""
    task = Reversal(symbols=8)
    torch.manual_seed(0)
    model = Controller(settings.pop("memory", Stack(4)), task.input_symbols, task.output_symbols, **TINY | settings)
    return {
        "pytorch-lightning_version": "2.6.6",
        "state_dict": model.state_dict(),
        "hyper_parameters": dict(model.hparams),
        TASK: describe(task),
        RANDOM: random_state(),
    }


def saved(content: object, path: Path, **options: Any) -> Path:
    """Write it to a file."""
    torch.save(content, path, **options)
    return path


def use(path: Path) -> None:
    """Read a checkpoint and build its model and task, as the commands do."""
    Controller.rehearse(read(path), path)
    Controller.load_from_checkpoint(path)


def with_settings(**settings: Any) -> dict[str, Any]:
    """With other settings of the model."""
    content = checkpoint()
    return content | {"hyper_parameters": content["hyper_parameters"] | settings}


def with_task(**arguments: Any) -> dict[str, Any]:
    """With other arguments of the task."""
    content = checkpoint()
    return content | {TASK: content[TASK] | {"init_args": content[TASK]["init_args"] | arguments}}


def with_weight(change: Callable[[Tensor], Any]) -> dict[str, Any]:
    """With another weight in the place of that of the embedding."""
    content = checkpoint()
    weights = content["state_dict"]
    return content | {"state_dict": weights | {"embed.weight": change(weights["embed.weight"])}}
