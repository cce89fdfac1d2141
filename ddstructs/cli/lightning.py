"""Execution of Lightning's commands: builds a model, a task and a trainer from settings, and runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import Callback, LightningModule, Trainer, seed_everything
from pytorch_lightning.accelerators import CPUAccelerator
from pytorch_lightning.callbacks import ProgressBar

from ddstructs.cli.bar import TrainingBar
from ddstructs.cli.machine import check_processes
from ddstructs.cli.quiet import quiet
from ddstructs.cli.report import how_to_resume, report
from ddstructs.cli.settings import Settings
from ddstructs.cli.text import PrintText, take_lines
from ddstructs.cli.words import Word
from ddstructs.errors import InputError, one_line
from ddstructs.files import write_atomically
from ddstructs.interrupts import signals_first
from ddstructs.nn.weights import check_same
from ddstructs.registry.data import dump_yaml
from ddstructs.registry.plugins import load_plugins, named
from ddstructs.registry.spec import Spec, construct
from ddstructs.tasks import Task
from ddstructs.training import checkpoint
from ddstructs.training.learner import Learner
from ddstructs.training.resume import check_resumable, check_unfinished
from ddstructs.training.saving import with_safe_saving
from ddstructs.training.stopping import Stopping, check_unlearned

__all__ = ["Run", "execute", "read_checkpoint"]


class Run(NamedTuple):
    """A command with everything it needs.

    Attributes:
        command: `fit`, `validate`, `test` or `predict`.
        settings: The settings of the run.
        path: The checkpoint, if any.
        content: The content of the checkpoint.
        text: The input of `predict`: a `text` or a `file`.
    """

    command: str
    settings: Settings
    path: str | None
    content: dict[str, Any] | None
    text: dict[str, str | None]


class SaveConfig(Callback):
    """Writes the settings of a run next to its results, as a config file that repeats the run."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        folder = trainer.log_dir  # every process must access this property
        if folder is not None and trainer.is_global_zero:
            Path(folder).mkdir(parents=True, exist_ok=True)
            write_atomically(Path(folder) / "config.yaml", dump_yaml(self.settings))


def read_checkpoint(path: str, words: list[Word]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read a checkpoint, and convert its settings to a layer of `Settings`. Nothing in it is executed.

    Args:
        path: The file.
        words: The options of the user, which override it.
    """
    given = [word.name.removeprefix("data.") for word in words if word.name.startswith("data.")]
    content = checkpoint.read(Path(path), given=given)
    Learner.rehearse(content, path)
    task = content[checkpoint.TASK]
    arguments = {name: value for name, value in task["init_args"].items() if name not in ("text", "file")}
    model = {name: value for name, value in content["hyper_parameters"].items() if not name.endswith("_symbols")}
    return content, {
        "data": {"class_path": task["class_path"], "init_args": arguments},
        "model": {"class_path": checkpoint.model_name(content, path), "init_args": model},
    }


def execute(run: Run) -> None:
    """Build the parts of a run, and run it.

    Raises:
        InputError: If a part cannot be built, or does not fit the checkpoint.
    """
    quiet()
    for kind in ("memory", "cell", "task"):
        load_plugins(kind)  # warns about broken ones
    try:
        seed_everything(run.settings.top.get("seed_everything", 0), workers=True, verbose=False)
        task = construct(run.settings.data)
        model = _model(run, task)
        refused = take_lines(task, run.text.get("text"), run.text.get("file")) if run.command == "predict" else {}
        trainer = _trainer(run, [PrintText(refused)] if run.command == "predict" else [])
    except MisconfigurationException as error:
        raise InputError(one_line(error)) from error
    if isinstance(trainer.accelerator, CPUAccelerator):
        check_processes("--trainer.devices", trainer.num_devices)
    if run.content is not None:
        type(model).chosen(run.content, "the checkpoint")
        check_same(model.hparams, run.content["hyper_parameters"], "the checkpoint")
        if run.command == "fit":
            check_resumable(model, run.content, "the checkpoint")
            check_unfinished(trainer, run.content)
            check_unlearned(trainer, run.content, task)
        else:
            checkpoint.load_weights(model, run.content, "the checkpoint")
    _start(run, trainer, model, task)
    if trainer.is_global_zero:
        report(run.command, trainer, task)
    if refused:
        raise InputError(f"{len(refused)} lines could not be read: their output lines are empty")


def _model(run: Run, task: Task) -> Learner:
    given = run.settings.sections["model"]
    cell = given.get("cell")
    plain = {"cell": cell.name} if isinstance(cell, Spec) and not cell.arguments else {}
    arguments = construct(given | plain)
    kind: type[Learner] = named("model", run.settings.model)
    sizes: dict[str, Any] = {"input_symbols": task.input_symbols, "output_symbols": task.output_symbols}
    try:
        return kind(**sizes, **arguments)
    except InputError:
        raise
    except Exception as error:  # the settings are the user's, and torch may raise anything
        reason = "there is not enough memory" if _is_out_of_memory(error) else one_line(error)[:200]
        raise InputError(f"the settings do not build a {kind.__name__}: {reason}") from error


def _trainer(run: Run, more: list[Callback]) -> Trainer:
    given = construct(run.settings.sections["trainer"])
    callbacks = given.pop("callbacks", None) or []
    callbacks = [Stopping(), *(callbacks if isinstance(callbacks, list) else [callbacks]), *more]
    if run.command == "fit":
        callbacks.append(SaveConfig(run.settings.plain()))
        barred = any(isinstance(each, ProgressBar) for each in callbacks)
        if given.get("enable_progress_bar") is not False and not barred:
            callbacks.append(TrainingBar())
    try:
        return Trainer(callbacks=callbacks, plugins=with_safe_saving(given.pop("plugins", None)), **given)
    except MisconfigurationException:
        raise
    except (TypeError, ValueError, RuntimeError, ImportError) as error:
        raise InputError(f"the settings do not build a trainer: {one_line(error)[:200]}") from error


def _start(run: Run, trainer: Trainer, model: Learner, task: Task) -> None:
    options: dict[str, Any] = {"datamodule": task, "ckpt_path": run.path, "weights_only": True}
    try:
        with signals_first():
            getattr(trainer, run.command)(model, **options)
    except (InputError, BrokenPipeError):
        raise
    except MisconfigurationException as error:
        raise InputError(one_line(error)) from error
    except Exception as error:
        if _comes_from_lightning(error):
            raise InputError(f"Lightning refuses the settings: {one_line(error)[:300]}") from error
        if _is_out_of_memory(error):
            raise InputError("out of memory: use smaller batches (--data.batch_size), or shorter lengths") from error
        if run.content is None or run.command != "fit" or trainer.global_step > run.content["global_step"]:
            raise
        reason = f"{type(error).__name__}: {one_line(error)[:200]}"  # Lightning reads parts of the file unchecked
        raise InputError(f"a run cannot be resumed from this checkpoint: {reason}") from error
    except BaseException as stop:  # a signal
        if run.command == "fit":
            stop.add_note(how_to_resume(trainer, run.path))
        raise


def _is_out_of_memory(error: Exception) -> bool:
    """Whether an allocation failed; on the CPU, torch has no type of its own for this error."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


def _comes_from_lightning(error: BaseException) -> bool:
    """Whether Lightning itself raised an error, as it does for settings that contradict each other."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    module = trace.tb_frame.f_globals.get("__name__", "") if trace is not None else ""
    return isinstance(error, RuntimeError | ValueError | TypeError) and module.startswith(
        ("pytorch_lightning.", "lightning_fabric.")
    )
