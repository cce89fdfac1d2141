"""Checkpoints as data: weights and plain settings, and nothing that runs."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, cast

import torch
from torch import Tensor, nn

from ddstructs.errors import InputError
from ddstructs.registry.catalog import CELLS
from ddstructs.registry.spec import check

__all__ = ["RANDOM", "TASK", "load_weights", "random_state", "read", "set_random_state", "task_name"]

TASK = "ddstructs_task"
"""Where a checkpoint says for which task its controller was trained, as a class path with arguments."""

RANDOM = "ddstructs_random"
"""Where a checkpoint keeps the state of torch's random numbers, so that a resumed run draws the same noise."""


def read(path: str | Path, replaced: Collection[str] = (), task: bool = True) -> dict[str, Any]:
    """Read a checkpoint of a controller, onto the CPU. Nothing in it is executed, and no class it names is imported.

    Args:
        path: The file.
        replaced: Settings of the controller that will not be taken from it, and so may be anything.
        task: Whether the task will be taken from it too.

    Raises:
        InputError: If the file is missing, damaged, not a checkpoint of a controller, holds more than weights and
            plain data, or names a class that is not one of ddstructs, torch.nn, or a registered plugin.
    """
    if not Path(path).is_file():
        raise InputError(f"there is no checkpoint at {path}")
    try:
        with warnings.catch_warnings(action="ignore"):  # of a file in another form: it is refused below
            content = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise InputError(
            f"{path} is refused: it is no checkpoint, or holds more than weights and plain data, which could run code"
        ) from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # a file may hold anything, and torch fails in as many ways
        raise InputError(f"{path} is damaged or cut short: it cannot be read as a checkpoint") from error
    if not _is_controller(content):
        raise InputError(f"{path} is not a checkpoint of a ddstructs controller")
    for name, value in content["hyper_parameters"].items():
        if name in replaced:
            continue
        check(value)
        if name == "memory" and not (isinstance(value, dict) and "class_path" in value):
            raise InputError(
                f"the memory in {path} is {str(value)[:50]!r}, but a class path with arguments was expected"
            )
        if name == "cell" and not (value in CELLS if isinstance(value, str) else isinstance(value, dict)):
            raise InputError(f"the cell in {path} is {str(value)[:50]!r}, but one of {', '.join(CELLS)} was expected")
    if task:
        if not _is_task(content.get(TASK)):
            raise InputError(f"{path} does not say for which task its controller was trained")
        check(content[TASK])
    return cast("dict[str, Any]", content)


def _is_controller(content: object) -> bool:
    if not (isinstance(content, dict) and {"state_dict", "hyper_parameters"} <= content.keys()):
        return False
    weights, settings = content["state_dict"], content["hyper_parameters"]
    if not all(isinstance(part, dict) and all(isinstance(name, str) for name in part) for part in (weights, settings)):
        return False
    return all(isinstance(weight, Tensor) for weight in weights.values()) and "memory" in settings


def _is_task(task: object) -> bool:
    return isinstance(task, dict) and {"class_path", "init_args"} <= task.keys()


def load_weights(model: nn.Module, content: dict[str, Any], path: str | Path) -> None:
    """Put the weights of a checkpoint into a model.

    Raises:
        InputError: If they do not fit.
    """
    try:
        model.load_state_dict(content["state_dict"])
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise InputError(f"the weights in {path} do not fit the model it describes: {reason[:200]}") from error


def task_name(content: dict[str, Any]) -> str:
    """The class name of the task for which the controller in a checkpoint was trained."""
    return str(content[TASK]["class_path"]).rpartition(".")[2]


def random_state() -> dict[str, Any]:
    """The state of torch's random numbers, on the CPU and on every GPU."""
    return {
        "cpu": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Go on drawing where another run was. GPUs go on only where there are as many as there.

    Raises:
        InputError: If this is no such state.
    """
    try:
        torch.set_rng_state(state["cpu"].cpu())
        if state["cuda"] and len(state["cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all([each.cpu() for each in state["cuda"]])
    except Exception as error:  # a file may hold anything, and torch fails in as many ways
        raise InputError("the checkpoint does not say how its random numbers go on: it is damaged") from error
