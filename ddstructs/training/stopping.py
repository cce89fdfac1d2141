"""The end of training, and a summary of the last validation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from ddstructs.errors import InputError
from ddstructs.interrupts import check
from ddstructs.registry.describe import describe
from ddstructs.tasks.task import Task
from ddstructs.training.checkpoint import TASK
from ddstructs.training.controller import Controller

__all__ = ["Finished", "Stopping", "check_unlearned", "is_learned", "reached", "summary", "validated"]


class Finished(Callback):
    """Stops training once the task is learned: the curriculum is finished, and validation reaches the task's goal.

    By default the validation set has lengths beyond those of training, see `Generated`.

    Args:
        curriculum: Whether the curriculum must be finished. If not, as in `ddstructs reproduce`, a run stops as soon
            as validation reaches the goal.

    Example:
        >>> from pytorch_lightning import Trainer
        >>> from ddstructs.training.stopping import Finished
        >>> trainer = Trainer(callbacks=[Finished()], logger=False)
    """

    def __init__(self, curriculum: bool = True) -> None:
        super().__init__()
        self.curriculum = curriculum
        self.learned = False

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        task: object = trainer.datamodule  # type: ignore[attr-defined]
        if trainer.sanity_checking or not isinstance(task, Task):
            return
        self.learned = reached(task, trainer) and (task.stages.finished or not self.curriculum)
        if self.learned:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        return {"learned": self.learned}


class Stopping(Callback):
    """Ends a command at its next batch if the exception of a signal was dropped, see `ddstructs.interrupts.check`."""

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        check()

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        check()

    on_test_batch_start = on_predict_batch_start = on_validation_batch_start


def check_unlearned(trainer: Trainer, checkpoint: Mapping[str, Any], task: Task) -> None:
    """Raise an error if a resumed run has learned its task already, and would stop after another epoch.

    Args:
        trainer: The trainer that is to resume the run.
        checkpoint: The result of `read`.
        task: The task. If it differs from that of the checkpoint, it may not be learned yet.

    Raises:
        InputError: If the task is learned, and the trainer stops for this reason.
    """
    state = checkpoint["callbacks"].get("Finished")
    if not (isinstance(state, dict) and state.get("learned") is True and describe(task) == checkpoint[TASK]):
        return
    steps, epochs = checkpoint["global_step"], checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
    longer = (trainer.min_epochs or 0) > epochs or (trainer.min_steps or 0) > steps
    if not longer and any(isinstance(each, Finished) for each in trainer.callbacks):  # type: ignore[attr-defined]
        raise InputError(
            f"the run is complete: its task was learned in epoch {epochs}, after {steps} updates; "
            f"to train on, give --trainer.min_epochs more than {epochs}"
        )


def reached(task: Task, trainer: Trainer) -> bool:
    """Whether the last validation reached the goal of the task, if it has one."""
    return task.goal is not None and task.goal.reached(validated(trainer))


def is_learned(task: Task, trainer: Trainer) -> bool:
    """Whether the curriculum is finished and the last validation reached the goal."""
    return task.stages.finished and reached(task, trainer)


def summary(trainer: Trainer, task: Task) -> str:
    """The metrics and lengths of the last validation, and a verdict if the task has a goal, in a line or two.

    Example:
        After 1350 updates: coarse 1.0000, fine 1.0000 on validation sequences of lengths 8..128. The task is learned.
    """
    metrics = validated(trainer)
    shown = {"loss" if task.goal is None else task.goal.metric: None, **dict.fromkeys(task.metrics)}
    figures = [f"{name} {metrics[f'val_{name}']:.4f}" for name in shown if f"val_{name}" in metrics]
    updates = f"After {trainer.global_step} update{'' if trainer.global_step == 1 else 's'}"
    if not figures:
        return f"{updates}: not validated, so the quality of the model is unknown."
    lengths = task.validated_lengths
    where = f" of lengths {lengths[0]}..{lengths[1]}" if lengths else ""
    return f"{updates}: {', '.join(figures)} on validation sequences{where}. {_verdict(task, trainer)}".rstrip()


def _verdict(task: Task, trainer: Trainer) -> str:
    if is_learned(task, trainer):
        return "The task is learned."
    stages = task.stages
    other = "another seed or cell" if isinstance(trainer.lightning_module, Controller) else "another seed"
    if not stages.finished:
        missed = f"It is not learned: the curriculum reached length {int(stages.stage)} of {stages.longest}"
        if stages.restarts and not _has_memory(trainer.lightning_module):
            return (
                f"{missed}, and stalled {stages.restarts} times before. Without a memory a smaller rate "
                f"(--model.learning_rate) or a cell with gates (--model.cell gru) may help, or {other}."
            )
        if stages.restarts:
            return (
                f"{missed}, and stalled {stages.restarts} times before. Try longer sources in the first stage "
                f"(--data.start_length, now {stages.start}), which cannot be remembered without the memory, "
                f"or {other}."
            )
        return f"{missed}. Train longer, or with {other}."
    if task.goal is None:
        return ""
    bound = "at most" if task.goal.smaller else "at least"
    missed = f"It is not learned: {task.goal.metric} of {bound} {task.goal.value} was expected."
    if _counts(trainer.lightning_module):
        return f"{missed} Train longer, or with noise on the state of the cell: --model.state_noise 1."
    return f"{missed} Train longer, or with {other}."


def _has_memory(model: LightningModule) -> bool:
    return not isinstance(model, Controller) or model.rnn.memory.heads > 0


def _counts(model: LightningModule) -> bool:
    """Whether the cell has a noiseless state in which it can count steps.

    Counting solves the lengths of training, but does not generalize to longer sequences.
    """
    if not isinstance(model, Controller):
        return False
    return model.rnn.num_states > 1 and _has_memory(model) and not model.rnn.state_noise


def validated(trainer: Trainer) -> Mapping[str, float]:
    """The metrics of the last validation, by name."""
    return {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val_")}
