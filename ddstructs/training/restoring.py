"""A LightningModule whose checkpoints describe themselves, and are read as data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.trainer.states import TrainerFn

from ddstructs.errors import InputError
from ddstructs.nn.pretrained import Pretrained
from ddstructs.nn.weights import check_fit, check_same, construct, rehearse, restore
from ddstructs.registry.catalog import MODELS
from ddstructs.registry.describe import describe
from ddstructs.registry.plugins import named
from ddstructs.tasks.task import Task
from ddstructs.training.checkpoint import (
    MODEL,
    RANDOM,
    TASK,
    model_name,
    random_state,
    read,
    set_random_state,
    task_name,
)
from ddstructs.training.resume import check_loops, check_resumable, reopen_epoch, set_rate

__all__ = ["Restorable"]


class Restorable(LightningModule, Pretrained):
    """A LightningModule that saves its settings and its task as plain data, and is rebuilt from them.

    Attributes:
        learning_rate: Initial learning rate.
        decay_steps: Number of updates over which it decays; constant if None.
    """

    learning_rate: float
    decay_steps: int | None

    def __init__(self) -> None:
        super().__init__()
        self._random: dict[str, Any] | None = None
        self._resumed: dict[str, Any] | None = None

    @property
    def settings(self) -> dict[str, Any]:
        return dict(self.hparams)

    @property
    def task(self) -> Task | None:
        """The task of the trainer; None without one."""
        datamodule = getattr(self._trainer, "datamodule", None)
        return datamodule if isinstance(datamodule, Task) else None

    def on_train_start(self) -> None:
        self.train()  # Lightning keeps the mode, and a loaded controller is in evaluation mode
        if self._random is not None:
            set_random_state(self._random)
            self._random = None
        schedule = {"learning_rate": self.learning_rate, "decay_steps": self.decay_steps}
        if self._resumed is not None and self._resumed != self._resumed | schedule:
            set_rate(self.trainer, self.learning_rate, self.decay_steps)
        self._resumed = None

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[RANDOM] = random_state()
        listed = {target.replace(":", ".") for target in MODELS.values()}
        ours = [path for kind in type(self).__mro__ if (path := f"{kind.__module__}.{kind.__qualname__}") in listed]
        if ours:  # the class itself, or the one that the user's own is derived from
            checkpoint[MODEL] = ours[0]
        if self.task is not None:
            checkpoint[TASK] = describe(self.task)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        path = "the checkpoint"
        self.chosen(checkpoint, path)
        check_same(self.hparams, checkpoint["hyper_parameters"], path)
        check_fit(self, checkpoint["state_dict"], path)
        fitting = self._trainer is not None and self.trainer.state.fn == TrainerFn.FITTING
        if self._trainer is not None:
            check_loops(self.trainer, checkpoint, path)
        if fitting:
            check_resumable(self, checkpoint, path)
            reopen_epoch(checkpoint["loops"])
        # Lightning's callbacks store paths that they may delete: never take a path from a file.
        callbacks = checkpoint.get("callbacks", {}).items()
        checkpoint["callbacks"] = {name: state for name, state in callbacks if not name.startswith("ModelCheckpoint")}
        self._random = checkpoint.get(RANDOM) if fitting else None
        self._resumed = checkpoint["hyper_parameters"] if fitting else None
        task = self.task
        if task is not None and TASK in checkpoint and task_name(checkpoint) != type(task).__name__:
            raise InputError(
                f"the checkpoint is for the task {task_name(checkpoint)}, but the data is {type(task).__name__}"
            )

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]  # Lightning's is not a plain class method
        cls, checkpoint_path: str | Path, map_location: torch.device | str | None = None, **settings: Any
    ) -> Self:
        """Build the model that a checkpoint describes, with its weights, in evaluation mode.

        Called on a class that has several models below it, this builds the one that the checkpoint names. Nothing in
        the file is executed, and only classes on the closed list (see SECURITY.md) are built from it.

        Args:
            checkpoint_path: The file.
            map_location: Device of the weights; the CPU if not given.
            settings: Constructor arguments that override those of the checkpoint, such as `hard=True`.

        Raises:
            InputError: If the file is missing, damaged or not a checkpoint of such a model, or if it names a class that
                is not on the closed list.
        """
        checkpoint = read(checkpoint_path, replaced=settings, task=False)
        kind = cls.chosen(checkpoint, checkpoint_path)
        model = restore(lambda: kind._described(checkpoint, checkpoint_path, settings), checkpoint, checkpoint_path)
        check_same(model.hparams, checkpoint["hyper_parameters"], checkpoint_path)
        return model.to(map_location or "cpu").eval()

    @classmethod
    def rehearse(cls, checkpoint: dict[str, Any], path: str | Path) -> None:
        """Check that the weights of a checkpoint fit the model it describes, without building that.

        Args:
            checkpoint: The result of `read`.
            path: The file, for the error message.

        Raises:
            InputError: If they do not fit, or if the settings are invalid.
        """
        kind = cls.chosen(checkpoint, path)
        rehearse(lambda: kind._described(checkpoint, path, {}), checkpoint, path)

    @classmethod
    def chosen(cls, checkpoint: Mapping[str, Any], path: str | Path) -> type[Self]:
        """The class of the model in a checkpoint: this one, or one below it that the checkpoint names.

        Args:
            checkpoint: The result of `read`.
            path: The file, for the error message.

        Raises:
            InputError: If the model is of another class.
        """
        name = model_name(checkpoint, path)
        kind = named("model", name)
        if issubclass(kind, cls):
            return kind
        if issubclass(cls, kind) or MODEL not in checkpoint:  # a class of the user's own is not on the list
            return cls
        raise InputError(f"{path} is of a {name}, but a {cls.__name__} was expected: use {name}")

    @classmethod
    def _described(cls, checkpoint: dict[str, Any], path: str | Path, settings: dict[str, Any]) -> Self:
        return construct(cls, checkpoint["hyper_parameters"], path, settings)
