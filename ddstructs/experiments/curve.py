"""Callbacks for the training of a run."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, cast

from pytorch_lightning import Callback, LightningModule, Trainer

from ddstructs.experiments.engine import Report
from ddstructs.tasks.generated import Generated
from ddstructs.training.learner import Learner
from ddstructs.training.restarts import start_afresh

__all__ = ["Curve", "FreshStarts", "Rounded"]


class Curve(Callback):
    """Writes a line to a file after each validation.

    Args:
        path: The file.
        metrics: Validation metrics to write besides the loss.
        report: Receives a summary of the line, with the first of the metrics.
    """

    def __init__(self, path: Path, metrics: tuple[str, ...], report: Report) -> None:
        self.path = path
        self.metrics = metrics
        self.report = report
        self.start = time.perf_counter()
        self.losses: list[float] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.losses.append(float(outputs["loss"]))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        task: Generated = trainer.datamodule  # type: ignore[attr-defined]  # set at run time; not declared by Lightning
        metrics = {name: float(trainer.callback_metrics[f"val_{name}"]) for name in ("loss", *self.metrics)}
        line = {
            "updates": trainer.global_step,
            "seconds": round(time.perf_counter() - self.start, 2),
            "longest": int(task.stages.stage),
            "restarts": task.stages.restarts,
            "train_loss": sum(self.losses) / max(1, len(self.losses)),
            **{f"val_{name}": value for name, value in metrics.items()},
        }
        self.losses.clear()
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        shown = self.metrics[0]
        self.report(
            f"{line['updates']} updates, lengths up to {line['longest']}, {shown} {metrics[shown]:.2f}",
        )


class Rounded(Callback):
    """Rounds the signals in validation, and in some batches of training once the curriculum is finished.

    The gradient passes straight through, see `ddstructs.harden`. Before the end of the curriculum rounding would hide
    what a slightly larger signal is worth, while the network finds out what to push and pop.

    Args:
        every: Number of training batches among which one is rounded; none are if not given.
    """

    def __init__(self, every: int | None = None) -> None:
        self.every = every

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        task: Generated = trainer.datamodule  # type: ignore[attr-defined]  # as above
        due = self.every is not None and trainer.global_step % self.every == 0
        cast("Learner", pl_module).hard = due and task.stages.finished

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        cast("Learner", pl_module).hard = True

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        cast("Learner", pl_module).hard = False


class FreshStarts(Callback):
    """Begins training afresh if validation says that a network has learned the wrong thing.

    A network can be right about the lengths of training, so that the curriculum ends, and wrong about longer ones. A
    start fails if its score is below a bound in every validation of its first updates. The next one begins at the first
    batch after that validation, which was drawn before, from the stage of the start that failed.

    Args:
        below: The bound.
        after: Number of updates after which a start is judged.
    """

    def __init__(self, below: float, after: int) -> None:
        self.below = below
        self.after = after
        self.restarts, self.first, self.best = 0, 0, -float("inf")

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        task: Generated = trainer.datamodule  # type: ignore[attr-defined]  # as above
        stages = task.stages
        if self.best < self.below and trainer.global_step - self.first >= self.after:
            stages.restart()
            start_afresh(cast("Learner", pl_module), stages.restarts, task.fresh_seed())
        if stages.restarts > self.restarts:  # by the curriculum, otherwise
            self.restarts, self.first, self.best = stages.restarts, trainer.global_step, -float("inf")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.best = max(self.best, float(trainer.callback_metrics["val_score"]))
