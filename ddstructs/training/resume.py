"""Going on with a run: what a checkpoint must hold for that, and what was set anew since."""

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

__all__ = ["check_resumable", "check_unfinished", "reopen_epoch", "set_rate"]


def check_resumable(model: nn.Module, checkpoint: Mapping[str, Any], path: str | Path) -> None:
    """Refuse a checkpoint with which the training of a model cannot go on.

    Args:
        model: The model.
        checkpoint: The checkpoint, as Lightning loads it.
        path: Where it comes from, for the error.

    Raises:
        InputError: If it holds weights alone, numbers that are not finite, or an optimizer of another model.
    """
    if "optimizer_states" not in checkpoint:
        raise InputError(
            f"{path} holds weights alone, so that a run cannot go on from it: use last.ckpt of the run, or start anew"
        )
    for name, kind in RUN.items():
        if not isinstance(checkpoint.get(name), kind):
            raise InputError(f"{path} is damaged: its {name} is no {kind.__name__}")
    for name, weight in checkpoint["state_dict"].items():
        if not weight.isfinite().all():
            raise InputError(f"{name} in {path} has numbers that are not finite: training cannot go on from there")
    parameters = list(model.parameters())
    for state in checkpoint["optimizer_states"]:
        if (reason := _misfit(state, parameters)) is not None:
            raise InputError(f"{path} is damaged: the state of its optimizer {reason}")
    for schedule in checkpoint["lr_schedulers"]:
        wrong = _unlike(schedule, SCHEDULE) if isinstance(schedule, dict) else "names"
        if wrong is not None:
            raise InputError(f"{path} is damaged: its schedule of learning rates has no {wrong}")


def _unlike(part: Mapping[str, Any], example: Mapping[str, Any]) -> str | None:
    """The first entry that is of another kind than in an example; what only one of them has is not looked at."""
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
"""What an optimizer and a schedule of learning rates look like in a checkpoint."""


def reopen_epoch(loops: dict[str, Any]) -> None:
    """Let a run that was stopped in the middle of an epoch go on there, and not at the start of the next.

    An epoch that `max_steps` ends early counts as processed in the checkpoint that Lightning writes at its end.

    Args:
        loops: What the checkpoint says of the loops, changed in place.

    Raises:
        InputError: If it is damaged.
    """
    try:
        batches, epochs = loops["fit_loop"]["epoch_loop.batch_progress"], loops["fit_loop"]["epoch_progress"]
        if batches["current"]["completed"] > 0 and not batches["is_last_batch"]:
            for progress in (epochs["total"], epochs["current"]):
                progress["processed"] = progress["completed"] = progress["started"] - 1
    except (KeyError, TypeError) as error:
        raise InputError("the checkpoint does not say how far its run was: it is damaged") from error


def check_unfinished(trainer: Trainer, checkpoint: Mapping[str, Any]) -> None:
    """Refuse to go on with a run that has no updates left.

    Args:
        trainer: The trainer that is to go on with it.
        checkpoint: What `read` returned.

    Raises:
        InputError: If it has as many epochs or updates as the trainer gives.
    """
    reopen_epoch(checkpoint["loops"])
    steps, epochs = checkpoint["global_step"], checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
    for name, done, most in (("max_steps", steps, trainer.max_steps), ("max_epochs", epochs, trainer.max_epochs)):
        if most is not None and 0 <= most <= done:
            raise InputError(
                f"the run has come to its end, after {epochs} epochs and {steps} updates, and --trainer.{name} is "
                f"{most}: give a larger number to train on"
            )


def set_rate(trainer: Trainer, rate: float, decay_steps: int | None) -> None:
    """Give the optimizers of a resumed run another learning rate, or another decay, from where the run is.

    Args:
        trainer: The trainer, with what the checkpoint says of its optimizers and schedules.
        rate: The rate at the start of the schedule.
        decay_steps: Updates over which it falls; it does not fall if None.
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
    """What is wrong with the state of an optimizer, if anything is."""
    try:
        entries, groups = dict(state["state"]), [list(group["params"]) for group in state["param_groups"]]
    except (KeyError, TypeError, ValueError):
        return "is in another form"
    members = [member for group in groups for member in group]
    for group in state["param_groups"]:
        if (wrong := _unlike(group, GROUP)) is not None:
            return f"has no {wrong}"
    if len(groups) > 1:  # of an optimizer of the user's own, in an order that only it knows
        return None
    if members != list(range(len(parameters))) or not entries.keys() <= set(members):
        return f"is of {len(members)} parameters, but the controller has {len(parameters)}"
    for index, entry in entries.items():
        if not isinstance(entry, dict):
            return f"has no numbers for parameter {index}"
        for name, part in entry.items():
            if not isinstance(part, Tensor) or part.shape not in ((), parameters[index].shape):
                return f"has a {name} for parameter {index} that does not fit it"
            if not (part.is_floating_point() and part.isfinite().all()):
                return f"has numbers that are not finite in the {name} of parameter {index}"
    return None
