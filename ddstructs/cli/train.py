"""The command line: LightningCLI, with short class names, checkpoints that say what they are, and short errors."""

from __future__ import annotations

import inspect
import itertools
import os
import re
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, NoReturn

from jsonargparse import set_parsing_settings
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from torch import Tensor

from ddstructs.bank import Bank, NoMemory
from ddstructs.cli.parser import quiet
from ddstructs.deque import Deque
from ddstructs.errors import InputError
from ddstructs.queue import Queue
from ddstructs.registry import catalog
from ddstructs.registry.plugins import load_memories
from ddstructs.registry.spec import allowed_modules
from ddstructs.stack import Stack
from ddstructs.superposition import SuperpositionStack
from ddstructs.tape import Tape
from ddstructs.tasks import (
    IGNORE,
    BigramFlipping,
    BinaryAddition,
    Copying,
    GenderConjugation,
    Reversal,
    SVOtoSOV,
    Task,
)
from ddstructs.tasks.lines import printable
from ddstructs.training import checkpoint
from ddstructs.training.controller import Controller
from ddstructs.training.resume import check_resumable, check_unfinished
from ddstructs.training.saving import with_safe_saving
from ddstructs.training.weights import check_same
from ddstructs.view.callback import TraceCallback

__all__ = ["run"]

CLASSES = (
    *(Stack, Queue, Deque, SuperpositionStack, Tape, Bank, NoMemory),
    *(Copying, Reversal, BigramFlipping, SVOtoSOV, GenderConjugation, BinaryAddition),
    TraceCallback,
)
"""What can be named by its class name: imported here, for the parser only knows what is."""

NAMED: dict[str, Callable[[], list[str]]] = {
    "model.memory": lambda: [*catalog.MEMORIES, *load_memories()],
    "model.cell": lambda: list(catalog.CELLS),
    "data": lambda: list(catalog.TASKS),
}
"""The options that take a name, and the names."""


class Parser(LightningArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        raise InputError(brief(message))


class PrintText(Callback):
    """Prints each prediction as a line of text."""

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        task: Task = trainer.datamodule  # type: ignore[attr-defined]
        rows: Tensor = outputs
        for row in rows.tolist():
            symbols = [symbol for symbol in row if symbol not in (IGNORE, task.target_symbols)]
            print(printable(task.decode(symbols)))


class CLI(LightningCLI):
    """The parser of one command: a controller, a task and a trainer, with what a checkpoint says as the defaults."""

    def __init__(self, command: str) -> None:
        self.command = command
        self.content = _read_checkpoint(sys.argv)
        self.text = {} if command != "predict" else {name: _take_option(name) for name in ("text", "file")}
        fitting = command == "fit"
        if not fitting and self.content is None and not {"-h", "--help", "-c", "--config"} & set(sys.argv):
            raise InputError("a trained controller is needed: give --ckpt_path FILE, as fit prints it")
        super().__init__(
            Controller,
            Task,
            subclass_mode_data=True,
            parser_class=Parser,
            save_config_callback=SaveConfigCallback if fitting else None,
            save_config_kwargs={"overwrite": True},
            seed_everything_default=0,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            trainer_defaults={"callbacks": [PrintText()]} if command == "predict" else None,
            parser_kwargs={"prog": "ddstructs", command: {"prog": f"ddstructs {command}", "usage": USAGE[command]}},
        )

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]  # static in Lightning, where all are built
        """Only the command that was asked for: each parser costs a second."""
        return {self.command: LightningCLI.subcommands()[self.command] | {"weights_only", "return_predictions"}}

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """The task and the model first, for they are what a newcomer looks for."""
        parser.add_lightning_class_args(Task, "data", subclass_mode=True)
        parser.add_class_arguments(Controller, "model", fail_untyped=False, sub_configs=True, skip={"cell"})
        cells = Literal["rnn", "lstm", "gru"] | dict[str, Any]  # in a checkpoint it may be a module, put into words
        parser.add_argument("--model.cell", type=cells, default="rnn", help="Cell of the recurrent network.")
        parser.add_lightning_class_args(Trainer, "trainer")
        defaults = FIT if self.command == "fit" else EVALUATE
        parser.set_defaults({f"trainer.{name}": value for name, value in defaults.items()})

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        for symbols in ("input_symbols", "output_symbols"):
            parser.link_arguments(f"data.{symbols}", f"model.{symbols}", apply_on="instantiate")
        if self.content:
            unknown = self.content["hyper_parameters"].keys() - inspect.signature(Controller).parameters.keys()
            if unknown:
                raise InputError(
                    f"the checkpoint has settings that a Controller does not: {', '.join(sorted(unknown))}"
                )
            task = self.content[checkpoint.TASK]
            arguments = {name: value for name, value in task["init_args"].items() if name not in ("text", "file")}
            own = {name: value for name, value in self.content["hyper_parameters"].items() if "_symbols" not in name}
            settings = {f"model.{name}": value for name, value in own.items()}
            parser.set_defaults(settings | {"data": {"class_path": task["class_path"], "init_args": arguments}})

    def _parse_ckpt_path(self) -> None:
        """What the checkpoint says has become the defaults already, so that options can differ from it."""

    def instantiate_classes(self) -> None:
        try:
            super().instantiate_classes()
        except (TypeError, ValueError, MisconfigurationException) as error:  # the arguments are the user's
            raise InputError(brief(str(error))) from error
        except RuntimeError as error:
            raise InputError(f"the settings do not build a controller: {error}") from error
        if self.command == "predict":
            for name, given in self.text.items():
                if given is not None:
                    setattr(self.datamodule, name, given)
            if self.datamodule.text is None and self.datamodule.file is None:
                raise InputError("there is nothing to transduce: give --data.text TEXT, or --data.file FILE")
        if self.content:
            check_same(self.model.hparams, self.content["hyper_parameters"], "the checkpoint")
        if self.content and self.command == "fit":
            check_resumable(self.model, self.content, "the checkpoint")
            check_unfinished(self.trainer, self.content)
        elif self.content:
            checkpoint.load_weights(self.model, self.content, "the checkpoint")

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        given = self._get(self.config_init, "trainer", default={}).get("plugins")
        return super().instantiate_trainer(plugins=with_safe_saving(given), **kwargs)

    def _set_seed(self) -> None:
        try:
            super()._set_seed()
        except ValueError as error:
            raise InputError(f"--seed_everything: {brief(str(error))}") from error

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        kwargs = super()._prepare_subcommand_kwargs(subcommand)
        path = kwargs.get("ckpt_path")
        if path is not None and self.content is None:
            raise InputError(f"--ckpt_path {path} comes from a config file: give it on the command line")
        if subcommand != "fit" and path is None:
            raise InputError(f"{subcommand} needs a trained controller: give --ckpt_path FILE")
        return kwargs | {"weights_only": True}

    def _run_subcommand(self, subcommand: str) -> None:
        try:
            super()._run_subcommand(subcommand)
        except InputError:
            raise
        except Exception as error:
            if self.content is None or subcommand != "fit" or self.trainer.global_step > self.content["global_step"]:
                raise
            reason = f"{type(error).__name__}: {brief(str(error))[:200]}"  # what Lightning reads may be anything
            raise InputError(f"no run can go on from this checkpoint: {reason}") from error

    def after_fit(self) -> None:
        paths = [getattr(saving, "best_model_path", "") for saving in self.trainer.checkpoint_callbacks]
        if any(paths) and self.trainer.is_global_zero:
            path = os.path.relpath(next(filter(None, paths)))
            print(f"\nThe best checkpoint is {path}. Next:")
            print(f"  ddstructs test --ckpt_path {path}")
            example = getattr(self.datamodule, "example", "A string")
            print(f'  ddstructs predict --ckpt_path {path} --data.text "{example}"')


USAGE = {
    "fit": "ddstructs fit --data TASK --model.memory MEMORY [options]",
    "validate": "ddstructs validate --ckpt_path FILE [options]",
    "test": "ddstructs test --ckpt_path FILE [options]",
    "predict": "ddstructs predict --ckpt_path FILE --data.text TEXT [options]",
}

FIT: dict[str, Any] = {
    "default_root_dir": "runs",
    "max_epochs": 100,
    "log_every_n_steps": 10,
    "enable_model_summary": False,
    "logger": {"class_path": "pytorch_lightning.loggers.CSVLogger", "init_args": {"save_dir": "runs", "name": ""}},
    "callbacks": [
        {
            "class_path": "pytorch_lightning.callbacks.ModelCheckpoint",
            "init_args": {"monitor": "val_fine", "mode": "max", "filename": "best"},
        },
        {
            "class_path": "pytorch_lightning.callbacks.ModelCheckpoint",
            "init_args": {"filename": "last", "enable_version_counter": False},
        },
        {
            "class_path": "pytorch_lightning.callbacks.EarlyStopping",
            "init_args": {
                "monitor": "val_coarse",
                "mode": "max",
                "stopping_threshold": 0.9999,
                "patience": 1000,
                "strict": False,  # a run shorter than an epoch has no validation
            },
        },
    ],
}
"""Training: at most 100 epochs, fewer if every validation sequence comes out right."""

EVALUATE: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}


def run(command: str) -> int:
    """Run one command with the options in `sys.argv`, and return its exit code."""
    load_memories()
    set_parsing_settings(
        import_path_denylist=["*"],
        import_path_allowlist=["torch", "pytorch_lightning", *allowed_modules()],
    )
    quiet()
    try:
        CLI(command)
    except (InputError, MisconfigurationException, OSError, UnicodeDecodeError) as error:
        if isinstance(error, BrokenPipeError):
            raise
        print(f"ddstructs {command}: error: {brief(str(error))}", file=sys.stderr)
        return 2
    except SystemExit as stop:
        if isinstance(stop.__context__, KeyboardInterrupt):
            print(f"ddstructs {command}: stopped; last.ckpt, if there is one, has the last epoch", file=sys.stderr)
            return 130
        raise
    return 0


def brief(message: str) -> str:
    """One line of an error message: which option, what came, and the nearest name if it is a name that nothing has."""
    line = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", message).split())
    line = re.sub(rf"\b({'|'.join(LightningCLI.subcommands())})\.(?=data|model|trainer)", "--", line)
    if refused := re.search(r"Importing '([\w.]+)' is not allowed", line):
        return f"{refused[1]} is refused: only classes of ddstructs, torch, Lightning and plugins may be named"
    if "ddstructs.tasks.Task is abstract" in line:
        return "--data TASK must come before the options that start with --data."
    if ours := re.search(r"Errors: - (.*?) - Expected a <class 'NoneType'>", line):
        if "import path string" in ours[1]:
            return _unknown("data", line) if 'Parser key "data"' in line else line
        key = re.match(r'Parser key "[\w.]+": ', line)
        if not key or ours[1].startswith("Option"):
            return brief(ours[1])
        came = f". Got value: {line.rpartition('Given value: ')[2]}" if ours[1].startswith("Expected a <") else ""
        line = f"{key[0]}{ours[1].replace(' - Expected', ' or')}{came}"
    *keys, reason = re.split(r'Parser key "([\w.]+)": ', line)
    keys = keys[1::2]
    if not keys:
        return line
    option = ".".join(keys)
    if option in NAMED and ("import path string" in line or option == "model.cell") and UNKNOWN.search(line):
        return _unknown(option, line)
    inner = reason.startswith("--")  # from a parser of its own, which does not know where it belongs
    return f"--{option}.{reason[2:]}" if inner else f"--{option}: {reason}"


UNKNOWN = re.compile(r"(?:import path string|Got value|Given value): (\S+)")
"""Where the parser's messages have a name that nothing has."""


def _unknown(option: str, line: str) -> str:
    """What to say of a name that nothing has."""
    came = UNKNOWN.findall(line)[0]
    close = get_close_matches(came, NAMED[option](), 1)
    hint = f"did you mean {close[0]}?" if close else f"choose from {', '.join(NAMED[option]())}"
    return f"--{option} {came}: there is no such name; {hint}"


def _read_checkpoint(arguments: Sequence[str]) -> dict[str, Any] | None:
    """The checkpoint that `--ckpt_path` names, if it is among the arguments."""
    paths = [path for argument, path in itertools.pairwise([*arguments, ""]) if argument == "--ckpt_path"]
    paths += [argument.partition("=")[2] for argument in arguments if argument.startswith("--ckpt_path=")]
    if len(paths) > 1:
        raise InputError(f"--ckpt_path was given {len(paths)} times: once was expected")
    if not paths:
        return None
    own = [
        argument.partition("=")[0].removeprefix("--data.") for argument in arguments if argument.startswith("--data.")
    ]
    content = checkpoint.read(Path(paths[0]), given=own)
    Controller.rehearse(content, paths[0])
    return content


def _take_option(name: str) -> str | None:
    """Take an option of the data out of the arguments: the parser would read a text as YAML."""
    option, value = f"--data.{name}", None
    for position in reversed(range(1, len(sys.argv))):
        if sys.argv[position] == option and position + 1 < len(sys.argv):
            value = sys.argv[position + 1]
            del sys.argv[position : position + 2]
        elif sys.argv[position].startswith(f"{option}="):
            value = sys.argv.pop(position).partition("=")[2]
    return value
