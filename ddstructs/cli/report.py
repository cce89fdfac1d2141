"""What a command prints at its end."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from pytorch_lightning import Trainer

from ddstructs.tasks import Task
from ddstructs.training.stopping import summary

__all__ = ["how_to_resume", "report"]

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
    best, last = _saved(trainer)
    if not best + last:
        print("No checkpoint was written.")
        return
    path = (best + last)[0]
    print(f"The {'best' if best else 'last'} checkpoint is {path}. Next:")
    print(f"  ddstructs test --ckpt_path {path}")
    if task.example is not None:
        print(f"  ddstructs predict --ckpt_path {path} --data.text {shlex.quote(task.example)}")


def how_to_resume(trainer: Trainer, path: str | None) -> str:
    """Whether a run that was stopped has written a checkpoint, and the command that resumes it.

    Args:
        trainer: The trainer that was stopped.
        path: The checkpoint from which the run was itself resumed, if any.
    """
    best, last = _saved(trainer)
    written = [each for each in last + best if "://" in each or Path(each).is_file()]
    if not written and path is None:
        return "no checkpoint was written yet, so there is nothing to resume"
    config = None if trainer.log_dir is None else Path(trainer.log_dir) / "config.yaml"
    known = [] if config is None or not config.is_file() else ["--config", os.path.relpath(config)]
    command = shlex.join(["ddstructs", "fit", *known, "--ckpt_path", written[0] if written else str(path)])
    first = "" if written else "no checkpoint was written since; "
    return f"{first}resume with{'' if known else ' the options of this run and'}\n  {command}"


def _saved(trainer: Trainer) -> tuple[list[str], list[str]]:
    """The paths of the best checkpoints, by some metric, and of the last ones."""
    saved = [(each, getattr(each, "best_model_path", "")) for each in trainer.checkpoint_callbacks]
    paths = [(getattr(each, "monitor", None) is not None, path) for each, path in saved if path]
    places = [(best, path if "://" in path else os.path.relpath(path)) for best, path in paths]
    return [path for best, path in places if best], [path for best, path in places if not best]
