"""What a command prints at its end."""

from __future__ import annotations

import os
import shlex

from pytorch_lightning import Trainer

from ddstructs.tasks import Task
from ddstructs.training.stopping import summary

__all__ = ["report"]

LIMITS = {
    "fit": ("max_epochs", "max_steps", "limit_train_batches"),
    "validate": ("limit_val_batches",),
    "test": ("limit_test_batches",),
    "predict": ("limit_predict_batches",),
}
"""The options of the trainer with which a command does nothing if they are 0."""


def report(command: str, trainer: Trainer, task: Task) -> None:
    """Print why a command did nothing, if so; for `fit`, print its result, and the commands to try next.

    Args:
        command: `fit`, `validate`, `test` or `predict`.
        trainer: The trainer that has run it.
        task: The task.
    """
    idle = [name for name in LIMITS[command] if getattr(trainer, name) == 0]
    if idle:
        print(f"Nothing to do: --trainer.{idle[0]} is 0.")
    if command != "fit" or idle:
        return
    print(f"\n{summary(trainer, task)}")
    saved = [each for each in trainer.checkpoint_callbacks if getattr(each, "best_model_path", "")]
    if not saved:
        print("No checkpoint was written.")
        return
    best = [each for each in saved if getattr(each, "monitor", None) is not None]
    path = os.path.relpath((best or saved)[0].best_model_path)  # type: ignore[attr-defined]  # `saved` have one
    print(f"The {'best' if best else 'last'} checkpoint is {path}. Next:")
    print(f"  ddstructs test --ckpt_path {path}")
    if task.example is not None:
        print(f"  ddstructs predict --ckpt_path {path} --data.text {shlex.quote(task.example)}")
