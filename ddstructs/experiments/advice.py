"""The settings of the recipe for a task, a memory, a cell and a model, for training outside `ddstructs reproduce`."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from typing import Any

from ddstructs.errors import InputError
from ddstructs.experiments.recipe import RECIPE, Recipe, read_recipe
from ddstructs.experiments.sections import CLASSES, CONTROLLER
from ddstructs.registry.plugins import names
from ddstructs.registry.ranges import Size, check_ranges

__all__ = ["settings_for"]


def settings_for(
    task: str, memory: str, cell: str = "rnn", symbols: Size | None = None, model: str = CONTROLLER
) -> dict[str, dict[str, Any]]:
    """The settings of `ddstructs reproduce` for a task, a memory and a cell, where they differ from the defaults.

    These are the exceptions listed, with their reasons, in `ddstructs/experiments/recipe.yaml`. Leave all other
    settings at their defaults.

    Args:
        task: Name of the task, such as `Reversal`.
        memory: Name of the memory, such as `Stack`.
        cell: Name of the cell.
        symbols: Number of symbols of the task; that of the results, 128 where it can be chosen, if not given.
        model: Class of the model: `Controller` or `SequenceModel`.

    Returns:
        Arguments of the memory, of the model and of the task, under `memory`, `model` and `data`.

    Raises:
        InputError: If a name is unknown, or there are no symbols.

    Example:
        >>> import ddstructs
        >>> ddstructs.settings_for("Reversal", "Stack", "lstm")
        {'memory': {}, 'model': {'state_noise': 1.0}, 'data': {}}
    """
    check_ranges(settings_for, locals())
    run = {"task": task, "memory": memory, "cell": cell, "model": model}
    for kind, name in run.items():
        if name not in names(kind):
            raise InputError(f"{name!r} is no {kind}: choose from {', '.join(names(kind))}")
    exceptions = _recipe().exceptions_for(symbols, **run)
    return {section: deepcopy(exceptions[section]) for section in CLASSES}


@cache
def _recipe() -> Recipe:
    return read_recipe(RECIPE)
