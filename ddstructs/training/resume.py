"""Going on with a run: what a checkpoint must hold for that, and what was set anew since."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ddstructs.errors import InputError

__all__ = ["check_resumable"]

PARTS = {"optimizer_states": list, "lr_schedulers": list, "loops": dict, "epoch": int, "global_step": int}
"""What Lightning writes beside the weights of a run that can go on."""


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
    for name, kind in PARTS.items():
        if not isinstance(checkpoint.get(name), kind):
            raise InputError(f"{path} is damaged: its {name} is no {kind.__name__}")
    for name, weight in checkpoint["state_dict"].items():
        if not weight.isfinite().all():
            raise InputError(f"{name} in {path} has numbers that are not finite: training cannot go on from there")
    parameters = list(model.parameters())
    for state in checkpoint["optimizer_states"]:
        if (reason := _misfit(state, parameters)) is not None:
            raise InputError(f"{path} is damaged: the state of its optimizer {reason}")


def _misfit(state: Any, parameters: list[nn.Parameter]) -> str | None:
    """What is wrong with the state of an optimizer, if anything is."""
    try:
        entries, groups = dict(state["state"]), [list(group["params"]) for group in state["param_groups"]]
    except (KeyError, TypeError, ValueError):
        return "is in another form"
    members = [member for group in groups for member in group]
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
