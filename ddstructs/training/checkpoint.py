"""Checkpoints as data: weights and plain settings, with nothing to execute."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, cast

import torch

from ddstructs.errors import InputError
from ddstructs.files import check_checkpoint
from ddstructs.nn.rnn import renamed
from ddstructs.nn.weights import check_settings, load_weights
from ddstructs.registry.catalog import MODELS
from ddstructs.registry.data import check_plain, shown
from ddstructs.registry.lookup import find
from ddstructs.registry.spec import check
from ddstructs.training.archive import Bomb, outline
from ddstructs.training.limits import check_sizes

__all__ = [
    "MODEL",
    "RANDOM",
    "RUN",
    "TASK",
    "load",
    "load_weights",
    "model_name",
    "random_state",
    "read",
    "set_random_state",
    "task_name",
]

LARGEST = 2**64 - 1
"""The largest count, and the largest seed of torch."""

MOST_RESTARTS = 1000
"""The patience doubles with every second of them, so that no training gets this far."""

MODEL = "ddstructs_model"
"""The key of the class path of the model; missing in checkpoints of version 0.1, which are of a `Controller`."""

TASK = "ddstructs_task"
"""The key of the task a model was trained on: a class path with arguments."""

RANDOM = "ddstructs_random"
"""The key of the state of torch's random number generators, so that a resumed run draws the same noise."""

VERSION = re.compile(r"\d+(\.\d+)*((a|b|rc|\.dev|\.post)\d+)*(\+[a-z0-9.]+)?", re.ASCII)
"""The pattern of a package version."""

RUN = {
    "optimizer_states": list,
    "lr_schedulers": list,
    "loops": dict,
    "callbacks": dict,
    "epoch": int,
    "global_step": int,
}
"""The entries that Lightning adds to the weights so that a run can be resumed, with their types."""


def read(
    path: str | Path, replaced: Collection[str] = (), task: bool = True, given: Collection[str] = ()
) -> dict[str, Any]:
    """Read a checkpoint of a model onto the CPU. Nothing in it is executed, and no class it names is imported.

    Args:
        path: The file.
        replaced: Settings of the model that the caller overrides, and that are not checked.
        task: Whether the caller also builds the task from the checkpoint.
        given: Arguments of the task that the caller overrides, and whose size is not checked.

    Raises:
        InputError: If the file is missing, damaged or not a checkpoint of a model; if it contains more than
            weights and plain data, or would need far more memory than its size; or if it names a class that is not on
            the closed list (see SECURITY.md).
    """
    content = load(path)
    if not _is_model(content):
        raise InputError(f"{path} is not a checkpoint of a ddstructs model")
    version = content.get("pytorch-lightning_version", "0")
    if not (isinstance(version, str) and len(version) < 50 and VERSION.fullmatch(version)):
        raise InputError(f"{path} is damaged: {str(version)[:20]!r} is not a version of Lightning")
    for name, kind in RUN.items():
        if name in content and not isinstance(content[name], kind):
            raise InputError(f"{path} is damaged: its {name} is not a {kind.__name__}")
    model_name(content, path)
    check_settings(content["hyper_parameters"], path, replaced)
    if task:
        if not _is_task(content.get(TASK)):
            raise InputError(f"{path} does not name the task its model was trained on")
        check(content[TASK], f"the task in {path}")
        check_sizes(content[TASK]["init_args"], path, given)
        _check_progress(content.get(task_name(content), {}), path)
    return cast("dict[str, Any]", content)


def load(path: str | Path) -> Any:
    """Load a file of weights and plain data onto the CPU, after checking its outline.

    Raises:
        InputError: If the file is missing or damaged, contains anything else, or would need far more memory than its
            size.
    """
    check_checkpoint(path)
    try:
        outline(path)
        with warnings.catch_warnings(action="ignore"):  # about files in another format, which are refused below
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Bomb as error:
        raise InputError(f"{path} is refused: {error}") from error
    except UnpicklingError as error:
        raise InputError(
            f"{path} is refused: it is not a checkpoint, or contains more than weights and plain data, "
            "which could run code"
        ) from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # a file may hold anything, and torch may raise anything
        raise InputError(f"{path} is damaged or truncated: it cannot be read as a checkpoint") from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content["state_dict"] = {  # drop the attributes that torch sets
            renamed(name, "rnn.") if isinstance(name, str) else name: weight
            for name, weight in content["state_dict"].items()
        }
    return content


def _is_model(content: object) -> bool:
    if not (isinstance(content, dict) and {"state_dict", "hyper_parameters"} <= content.keys()):
        return False
    weights, settings = content["state_dict"], content["hyper_parameters"]
    if not all(isinstance(part, dict) and all(isinstance(name, str) for name in part) for part in (weights, settings)):
        return False
    return all(isinstance(weight, torch.Tensor) for weight in weights.values()) and "memory" in settings


def _is_task(task: object) -> bool:
    return (
        isinstance(task, dict) and isinstance(task.get("class_path"), str) and isinstance(task.get("init_args"), dict)
    )


def _check_progress(progress: object, path: str | Path) -> None:
    """Raise an error if the progress of a task is not in the form a task writes."""
    check_plain(progress, f"the progress of the task in {path}")
    stages = progress.get("stages", {}) if isinstance(progress, dict) else None
    if not isinstance(progress, dict) or not isinstance(stages, dict):
        raise InputError(f"{path} is damaged: the progress of its task is missing or invalid")
    numbers = {name: number for name, number in stages.items() if name != "patience" or number is not None}
    finite = all(isinstance(number, int | float) and math.isfinite(number) for number in numbers.values())
    counts = (
        *((progress.get("drawn", 0), LARGEST), (progress.get("seed") or 0, LARGEST)),
        *((stages.get("batches", 0), LARGEST), (stages.get("restarts", 0), MOST_RESTARTS)),
    )
    if not finite or not all(type(count) is int and 0 <= count <= most for count, most in counts):
        raise InputError(f"{path} is damaged: the progress of its task is missing or invalid")


def model_name(content: Mapping[str, Any], path: str | Path) -> str:
    """The name of the class of the model in a checkpoint.

    Raises:
        InputError: If the class is not on the closed list.
    """
    if MODEL not in content:
        return next(iter(MODELS))
    path_of_class = content[MODEL]
    found = find(path_of_class, ("model",)) if isinstance(path_of_class, str) else None
    if found is None:
        expected = " or ".join(MODELS)
        raise InputError(f"the class of the model in {path} is {shown(path_of_class)}, but {expected} was expected")
    return found[1]


def task_name(content: Mapping[str, Any]) -> str:
    """The class name of the task that the model in a checkpoint was trained on."""
    return str(content[TASK]["class_path"]).rpartition(".")[2]


def random_state() -> dict[str, Any]:
    """The state of torch's random number generators, on the CPU and on every GPU."""
    return {
        "cpu": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Restore the state of torch's random number generators; of GPUs only if their number is the same.

    Raises:
        InputError: If the state is damaged.
    """
    try:
        torch.set_rng_state(state["cpu"].cpu())
        if state["cuda"] and len(state["cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all([each.cpu() for each in state["cuda"]])
    except Exception as error:  # a file may hold anything, and torch may raise anything
        raise InputError("the checkpoint is damaged: its random state cannot be restored") from error
