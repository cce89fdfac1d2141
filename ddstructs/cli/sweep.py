"""The command `ddstructs sweep`."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from ddstructs.errors import InputError
from ddstructs.experiments.grid import choose, choose_memories
from ddstructs.experiments.helpers import helpers
from ddstructs.experiments.recipe import RECIPE, read_recipe, settings_of
from ddstructs.registry import catalog

__all__ = ["sweep"]


def sweep(
    task: str,
    memory: str,
    study: Path,
    cell: str = "rnn",
    trials: int = 50,
    seeds: int = 3,
    workers: int = 1,
    recipe: Path | None = None,
) -> None:
    """Search for settings with which more seeds come out right, and sooner.

    Args:
        task: Name of the task.
        memory: Name of the memory.
        study: The journal of the study. Commands with one file, recipe and number of seeds share the study, on any
            number of machines; started again, a command goes on where it was.
        cell: Name of the recurrent cell.
        trials: How many settings are tried in all, by whichever command.
        seeds: Runs of each.
        workers: Processes to start.
        recipe: Where the other settings are from, in the form of ddstructs/experiments/recipe.yaml, which it is by
            default.
    """
    if not find_spec("optuna"):
        raise InputError("a sweep needs Optuna: pip install ddstructs[sweep]")
    for name, number in (("trials", trials), ("seeds", seeds)):
        if number < 1:
            raise InputError(f"--{name} is {number}, but it must be 1 or more")
    names = {
        "task": _one("task", choose("task", task, [*catalog.TASKS])),
        "memory": _one("memory", choose_memories("memory", memory)),
        "cell": _one("cell", choose("cell", cell, [*catalog.CELLS])),
    }
    from ddstructs.experiments.sweep.show import show
    from ddstructs.experiments.sweep.study import Sweep, open_study, work

    settings = settings_of(read_recipe(recipe or RECIPE), **names)
    asked = Sweep(**names, settings=settings, journal=study, trials=trials, seeds=seeds)
    open_study(asked)  # a file that is none is refused before anything starts
    with helpers(workers - 1, work, asked):
        show(asked)


def _one(option: str, names: list[str]) -> str:
    if len(names) > 1:
        raise InputError(f"--{option} has {len(names)} names, but a sweep is of one")
    return names[0]
