"""Resuming a run: the checks of its checkpoint, and settings that may change."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning import Trainer
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.lr_scheduler import LinearLR

from ddstructs.errors import InputError
from ddstructs.training.checkpoint import RUN

__all__ = ["check_loops", "check_resumable", "check_unfinished", "reopen_epoch", "set_rate"]


def check_resumable(model: nn.Module, checkpoint: Mapping[str, Any], path: str | Path) -> None:
    """Raise an error if training cannot be resumed from a checkpoint.

    Args:
        model: The model.
        checkpoint: The checkpoint, as Lightning loads it.
        path: The file, for the error message.

    Raises:
        InputError: If the checkpoint has only weights, numbers that are not finite, or the optimizer of another model.
    """
    if "optimizer_states" not in checkpoint:
        raise InputError(
            f"{path} has only weights, from which a run cannot be resumed: use last.ckpt of the run, or start a new one"
        )
    for name, kind in RUN.items():
        if not isinstance(checkpoint.get(name), kind):
            raise InputError(f"{path} is damaged: its {name} is not a {kind.__name__}")
    parameters = list(model.parameters())
    for state in checkpoint["optimizer_states"]:
        if (reason := _misfit(state, parameters)) is not None:
            raise InputError(f"{path} is damaged: the state of its optimizer {reason}")
    for schedule in checkpoint["lr_schedulers"]:
        wrong = _unlike(schedule, SCHEDULE) if isinstance(schedule, dict) else "names"
        if wrong is not None:
            raise InputError(f"{path} is damaged: its schedule of learning rates has no {wrong}")


def _unlike(part: Mapping[str, Any], example: Mapping[str, Any]) -> str | None:
    """The first entry whose type differs from that in an example; entries that only one of them has are ignored."""
    return next((str(name) for name in part if name in example and not _is_like(part[name], example[name])), None)


def _is_like(value: Any, example: Any) -> bool:
    match example:
        case None | bool():
            return value is None or isinstance(value, bool)
        case list() | tuple():
            if not isinstance(value, list | tuple) or len(value) != len(example):
                return False
            return all(map(_is_like, value, example))
        case int():
            return type(value) is int
        case _:
            return type(value) in (int, float) and math.isfinite(value)


def _examples() -> tuple[dict[str, Any], dict[str, Any]]:
    optimizer = Adam([nn.Parameter()])
    schedule = LinearLR(optimizer, total_iters=1).state_dict()
    group = {name: value for name, value in optimizer.param_groups[0].items() if name != "params"}
    return group | {"weight_decay": 0.0}, schedule


GROUP, SCHEDULE = _examples()
"""Examples of the state of an optimizer and of a learning rate schedule in a checkpoint."""


LOOPS = ("fit_loop", "validate_loop", "test_loop", "predict_loop")
"""Lightning's loops: the name in a checkpoint, and the attribute of a trainer."""


def check_loops(trainer: Trainer, checkpoint: Mapping[str, Any], path: str | Path) -> None:
    """Check that a checkpoint's state of Lightning's loops has the form of the trainer's own.

    Raises:
        InputError: If it does not.
    """
    loops = checkpoint.get("loops", {})
    for name in loops:
        if name not in LOOPS:
            continue
        example = getattr(trainer, name).state_dict()
        state = loops[name] if isinstance(loops[name], dict) else {}
        if not all(_has_form(state[part], example[part]) for part in example if part in state):
            raise InputError(f"{path} is damaged: the progress of its {name} is missing or invalid")


def _has_form(state: Any, example: Any) -> bool:
    """Whether a state has all entries of an example, and numbers where the example has numbers."""
    if isinstance(example, dict):
        return isinstance(state, dict) and all(
            name in state and _has_form(state[name], example[name]) for name in example
        )
    return type(state) is type(example) and not (isinstance(state, int) and state < 0)


def reopen_epoch(loops: dict[str, Any]) -> None:
    """Let a run that stopped in the middle of an epoch resume there rather than at the next epoch.

    Lightning's checkpoint counts an epoch as processed even if `max_steps` ended it early.

    Args:
        loops: The state of the loops in the checkpoint; modified in place.

    Raises:
        InputError: If it is damaged.
    """
    try:
        batches, epochs = loops["fit_loop"]["epoch_loop.batch_progress"], loops["fit_loop"]["epoch_progress"]
        if batches["current"]["completed"] > 0 and not batches["is_last_batch"]:
            for progress in (epochs["total"], epochs["current"]):
                progress["processed"] = progress["completed"] = progress["started"] - 1
    except (KeyError, TypeError) as error:
        raise InputError("the checkpoint is damaged: the progress of its run is missing or invalid") from error


def check_unfinished(trainer: Trainer, checkpoint: Mapping[str, Any]) -> None:
    """Raise an error if a run has no updates left.

    Args:
        trainer: The trainer that is to resume the run.
        checkpoint: The result of `read`.

    Raises:
        InputError: If the run has reached the trainer's maximum of epochs or updates.
    """
    reopen_epoch(checkpoint["loops"])
    steps, epochs = checkpoint["global_step"], checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
    for name, done, most in (("max_steps", steps, trainer.max_steps), ("max_epochs", epochs, trainer.max_epochs)):
        if most is not None and 0 <= most <= done:
            raise InputError(
                f"the run is complete after {epochs} epochs and {steps} updates, and --trainer.{name} is {most}: "
                "give a larger number to continue it"
            )


def set_rate(trainer: Trainer, rate: float, decay_steps: int | None) -> None:
    """Change the learning rate or its decay in a resumed run, from its current update on.

    Args:
        trainer: The trainer, with optimizers and schedules restored from the checkpoint.
        rate: The initial learning rate of the schedule.
        decay_steps: Number of updates over which the rate decays; constant if None.
    """
    factor = 1.0
    for config in trainer.lr_scheduler_configs if decay_steps is not None else ():
        schedule: Any = config.scheduler
        schedule.total_iters, schedule.base_lrs = decay_steps, [rate for _ in schedule.base_lrs]
        done = min(schedule.last_epoch, decay_steps) / decay_steps
        factor = schedule.start_factor + (schedule.end_factor - schedule.start_factor) * done
    for optimizer in trainer.optimizers:
        for group in optimizer.param_groups:
            group["initial_lr"], group["lr"] = rate, rate * factor


def _misfit(state: Any, parameters: list[nn.Parameter]) -> str | None:
    """What is wrong with the state of an optimizer; None if nothing is."""
    try:
        entries, groups = dict(state["state"]), [list(group["params"]) for group in state["param_groups"]]
    except (KeyError, TypeError, ValueError):
        return "has an unexpected form"
    members = [member for group in groups for member in group]
    for group in state["param_groups"]:
        if (wrong := _unlike(group, GROUP)) is not None:
            return f"has no {wrong}"
    if len(groups) > 1:  # a user's own optimizer, whose order of parameters is unknown
        return None
    if members != list(range(len(parameters))) or not entries.keys() <= set(members):
        return f"has {len(members)} parameters, but the controller has {len(parameters)}"
    for index, entry in entries.items():
        if not isinstance(entry, dict):
            return f"is missing for parameter {index}"
        for name, part in entry.items():
            if not isinstance(part, Tensor) or part.shape not in ((), parameters[index].shape):
                return f"has a {name} for parameter {index} that does not fit it"
            if not (part.is_floating_point() and part.isfinite().all()):
                return f"has numbers that are not finite in the {name} of parameter {index}"
    return None
