"""Small controllers, the task that they learn, and a trainer without output."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytorch_lightning import Trainer, seed_everything

from ddstructs import Controller, Memory
from ddstructs.tasks import Reversal, Task

__all__ = ["SMALL", "controller", "reversal", "trainer"]

SMALL: dict[str, Any] = {"batch_size": 4, "eval_size": 7, "eval_batch_size": 2, "test_lengths": (9, 12)}
"""Settings of a task with small batches and sets."""


def trainer(folder: Path, **settings: Any) -> Trainer:
    """A trainer without output."""
    quiet: dict[str, Any] = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "accelerator": "cpu",
    }
    return Trainer(default_root_dir=folder, **quiet | settings)


def controller(task: Task, memory: Memory, **settings: Any) -> Controller:
    """A small controller with fixed weights."""
    seed_everything(0, verbose=False)
    sizes: dict[str, Any] = {"hidden_size": 16, "embedding_size": 8}
    return Controller(memory, task.input_symbols, task.output_symbols, **sizes | settings)


def reversal(**settings: Any) -> Reversal:
    """Reversal of short sequences over eight symbols."""
    defaults: dict[str, Any] = {"symbols": 8, "train_lengths": (1, 8), "batches_per_epoch": 6, "seed": 3}
    return Reversal(**defaults | SMALL | settings)
