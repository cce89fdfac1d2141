"""The commands `fit`, `validate`, `test` and `predict`: their options are checked before torch is imported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ddstructs.cli.fields import DEFAULT_MODEL, models_with
from ddstructs.cli.machine import check_accelerator
from ddstructs.cli.outputs import check_outputs
from ddstructs.cli.requirements import check_memory
from ddstructs.cli.screen import screen
from ddstructs.cli.settings import Settings
from ddstructs.cli.unused import check_used
from ddstructs.cli.words import Word, read, wants_help
from ddstructs.errors import InputError, one_line
from ddstructs.registry.data import dump_yaml, load_yaml
from ddstructs.registry.spec import Spec

__all__ = ["fit", "predict", "test", "validate"]

FIT: dict[str, Any] = {
    "default_root_dir": "runs",
    "max_epochs": 100,
    "log_every_n_steps": 10,
    "enable_model_summary": False,
    "logger": {"class_path": "CSVLogger", "init_args": {"name": ""}},
    "callbacks": [
        {"class_path": "ModelCheckpoint", "init_args": {"monitor": "val_score", "mode": "max", "filename": "best"}},
        {"class_path": "ModelCheckpoint", "init_args": {"filename": "last", "enable_version_counter": False}},
        {"class_path": "Finished"},
    ],
}
"""Settings of the trainer for `fit`: at most 100 epochs, and fewer if the task is learned earlier."""

EVALUATE: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
"""Settings of the trainer for the other commands."""

TEXTS = ("data.text", "data.file")
"""The input of `predict`, which is taken literally, and never from a checkpoint."""


def fit(arguments: Sequence[str]) -> None:
    """Train a controller with a memory on a task."""
    _run("fit", arguments)


def validate(arguments: Sequence[str]) -> None:
    """Evaluate a trained controller on the validation set of its task."""
    _run("validate", arguments)


def test(arguments: Sequence[str]) -> None:
    """Evaluate a trained controller on longer sequences."""
    _run("test", arguments)


def predict(arguments: Sequence[str]) -> None:
    """Transduce lines of text with a trained controller."""
    _run("predict", arguments)


def _run(command: str, arguments: Sequence[str]) -> None:
    words = read(arguments)
    if (part := wants_help(words)) is not None:
        print("\n".join(screen(command, part)))
        return
    printing = [word for word in words if word.name == "print_config"]
    path = _only(words, "ckpt_path")
    text = {word.name.removeprefix("data."): _only(words, word.name) for word in words if word.name in TEXTS}
    if path is None and command != "fit":
        raise InputError("no trained controller: give --ckpt_path FILE, the path that fit prints")
    if command == "predict" and not text:
        raise InputError("nothing to transduce: give --data.text TEXT, or --data.file FILE")
    layers = [
        (load_yaml(Path(_given(word)), one_line(_given(word))), f"{one_line(_given(word))}: ")
        for word in words
        if word.name == "config"
    ]
    skipped = ("config", "ckpt_path", "print_config", *(TEXTS if command == "predict" else ()))
    own = [word for word in words if word.name not in skipped]
    content = None
    if path is None:
        settings = _settings(command, layers, own, advised=True)
        check_used(command, own)
        _check_machine(settings, printing)
    else:
        settings = _settings(command, layers, [word for word in own if not _depends(word)], partly=True)
        check_used(command, own)
        _check_machine(settings, printing)
        from ddstructs.cli.lightning import read_checkpoint  # imports torch, which takes seconds

        content, layer = read_checkpoint(path, own)
        settings = _settings(command, [(layer, f"{one_line(path)}: "), *layers], own, partly=True)
        if settings.model != layer["model"]["class_path"]:
            its = layer["model"]["class_path"]
            raise InputError(f"{one_line(path)} holds a {its}, but --model is {settings.model}: leave --model out")
        settings.check()
    if printing:
        print(dump_yaml(settings.plain()), end="")
        return
    check_memory(settings, command)
    check_outputs(settings, command)
    from ddstructs.cli.lightning import Run, execute

    execute(Run(command, settings, path, content, text))


def _settings(
    command: str, layers: list[tuple[Any, str]], words: list[Word], partly: bool = False, advised: bool = False
) -> Settings:
    """Combine the defaults, the layers and the options.

    Args:
        command: The command.
        layers: Plain data, each with the start of its error messages.
        words: The options.
        partly: Whether settings may be missing, because a checkpoint will add them.
        advised: Whether the recipe's settings for the task, the memory and the model fill in what is not set elsewhere.
    """
    settings = Settings()
    settings.layer({"trainer": FIT if command == "fit" else EVALUATE}, "")
    for values, lead in layers:
        settings.layer(values, lead)
    if settings.top.pop("ckpt_path", None) is not None:
        raise InputError("ckpt_path is in a config file: give --ckpt_path on the command line instead")
    settings.words(words)
    if advised and (known := _advice(settings)) is not None:
        settings.fill(known)
    logger = settings.sections["trainer"].get("logger")
    for each in logger if isinstance(logger, list) else [logger]:
        if isinstance(each, Spec) and "save_dir" not in each.arguments:
            each.arguments["save_dir"] = settings.sections["trainer"]["default_root_dir"] or "."
    if not partly:
        settings.check()
    seed = settings.top.get("seed_everything", 0)
    if not 0 <= (seed or 0) < 2**32:
        raise InputError(f"--seed_everything is {seed}, but a number from 0 to {2**32 - 1} was expected")
    return settings


def _advice(settings: Settings) -> dict[str, dict[str, Any]] | None:
    """The recipe's settings for a task, its symbols, a memory, a cell and a model; None if it has none."""
    from ddstructs.experiments.advice import settings_for

    task, memory, cell = settings.data, *(settings.sections["model"].get(name) for name in ("memory", "cell"))
    if task is None or not isinstance(memory, Spec) or (isinstance(cell, Spec) and cell.arguments):
        return None
    symbols = task.arguments.get("symbols")
    return settings_for(task.name, memory.name, cell.name if isinstance(cell, Spec) else "rnn", symbols, settings.model)


def _check_machine(settings: Settings, printing: list[Word]) -> None:
    """Refuse settings that this machine cannot run, unless they are only printed."""
    if not printing:
        check_accelerator(settings.sections["trainer"].get("accelerator"))


def _depends(word: Word) -> bool:
    """Whether the check of an option needs the task, the model, the memory or the cell."""
    section, _, setting = word.name.partition(".")
    owners = models_with(setting) if section == "model" else []
    own = bool(owners) and DEFAULT_MODEL not in owners
    return own or word.name.startswith(("data.", "model.memory.", "model.cell.")) or word.append


def _only(words: list[Word], name: str) -> str | None:
    """The value of an option that may be given at most once."""
    values = [_given(word) for word in words if word.name == name]
    if len(values) > 1:
        raise InputError(f"--{name} was given {len(values)} times: give it once")
    return values[0] if values else None


def _given(word: Word) -> str:
    if not word.value and word.name not in TEXTS:
        raise InputError(f"--{word.name} needs a value: the path of a file")
    if word.value is None:
        raise InputError(f"--{word.name} needs a value")
    return str(word.value)
