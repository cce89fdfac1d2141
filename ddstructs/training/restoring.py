"""A LightningModule whose checkpoints say what they are, and are read as data."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.trainer.states import TrainerFn

from ddstructs.errors import InputError
from ddstructs.registry.describe import describe
from ddstructs.registry.spec import build
from ddstructs.tasks.task import Task
from ddstructs.training.checkpoint import RANDOM, TASK, random_state, read, set_random_state, task_name
from ddstructs.training.resume import check_loops, check_resumable, reopen_epoch, set_rate
from ddstructs.training.weights import check_fit, check_same, rehearse, restore

__all__ = ["Restorable"]


class Restorable(LightningModule):
    """Saves its settings and its task as plain data, and is built again from them.

    Attributes:
        learning_rate: Rate of the optimizer at the start of its schedule.
        decay_steps: Updates over which it falls, if it does.
    """

    learning_rate: float
    decay_steps: int | None

    def __init__(self) -> None:
        super().__init__()
        self._random: dict[str, Any] | None = None
        self._resumed: dict[str, Any] | None = None

    @property
    def task(self) -> Task | None:
        """The task of the trainer, if there is one."""
        datamodule = getattr(self._trainer, "datamodule", None)
        return datamodule if isinstance(datamodule, Task) else None

    def on_train_start(self) -> None:
        self.train()  # which Lightning leaves as it is, and a controller that was loaded is in evaluation mode
        if self._random is not None:
            set_random_state(self._random)
            self._random = None
        schedule = {"learning_rate": self.learning_rate, "decay_steps": self.decay_steps}
        if self._resumed is not None and self._resumed != self._resumed | schedule:
            set_rate(self.trainer, self.learning_rate, self.decay_steps)
        self._resumed = None

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[RANDOM] = random_state()
        if self.task is not None:
            checkpoint[TASK] = describe(self.task)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        path = "the checkpoint"
        check_same(self.hparams, checkpoint["hyper_parameters"], path)
        check_fit(self, checkpoint["state_dict"], path)
        fitting = self._trainer is not None and self.trainer.state.fn == TrainerFn.FITTING
        if self._trainer is not None:
            check_loops(self.trainer, checkpoint, path)
        if fitting:
            check_resumable(self, checkpoint, path)
            reopen_epoch(checkpoint["loops"])
        # Where Lightning saved checkpoints before, and what it may delete: no path is ever taken from a file.
        callbacks = checkpoint.get("callbacks", {}).items()
        checkpoint["callbacks"] = {name: state for name, state in callbacks if not name.startswith("ModelCheckpoint")}
        self._random = checkpoint.get(RANDOM) if fitting else None
        self._resumed = checkpoint["hyper_parameters"] if fitting else None
        task = self.task
        if task is not None and TASK in checkpoint and task_name(checkpoint) != type(task).__name__:
            raise InputError(
                f"the checkpoint is of the task {task_name(checkpoint)}, but the data is {type(task).__name__}"
            )

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]  # Lightning's is not a plain class method
        cls, checkpoint_path: str | Path, map_location: torch.device | str | None = None, **settings: Any
    ) -> Self:
        """Build the controller that a checkpoint describes, with its weights, in evaluation mode.

        Nothing in the file is executed, and only classes of ddstructs, torch.nn and registered plugins are built.

        Args:
            checkpoint_path: The file.
            map_location: Where the weights go; the CPU if not given.
            settings: Arguments of the constructor that replace those of the checkpoint, such as `hard=True`.

        Raises:
            InputError: If the file is missing, damaged, not a checkpoint of a controller, or names another class.
        """
        checkpoint = read(checkpoint_path, replaced=settings, task=False)
        model = restore(lambda: cls._described(checkpoint, checkpoint_path, settings), checkpoint, checkpoint_path)
        check_same(model.hparams, checkpoint["hyper_parameters"], checkpoint_path)
        return model.to(map_location or "cpu").eval()

    @classmethod
    def rehearse(cls, checkpoint: dict[str, Any], path: str | Path) -> None:
        """Refuse a checkpoint whose weights are not those of the controller it describes, before that is built.

        Args:
            checkpoint: What `read` returned.
            path: The file, for the error.

        Raises:
            InputError: If they are not, or if the settings in it build no controller.
        """
        rehearse(lambda: cls._described(checkpoint, path, {}), checkpoint, path)

    @classmethod
    def _described(cls, checkpoint: dict[str, Any], path: str | Path, settings: dict[str, Any]) -> Self:
        try:
            return cls(**{name: build(value) for name, value in (checkpoint["hyper_parameters"] | settings).items()})
        except InputError:
            raise
        except Exception as error:  # the settings may be anything, and torch fails in as many ways
            reason = " ".join(str(error).split())
            raise InputError(f"the settings in {path} do not build a {cls.__name__}: {reason[:200]}") from error
