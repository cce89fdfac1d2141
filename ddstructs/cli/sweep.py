"""The command `ddstructs sweep`."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from ddstructs.cli.machine import check_processes
from ddstructs.cli.progress import working
from ddstructs.errors import InputError
from ddstructs.experiments.engine import check_engine
from ddstructs.experiments.names import LAYERS, known
from ddstructs.experiments.recipe import RECIPE, read_recipe
from ddstructs.experiments.runs import choose
from ddstructs.extras import install
from ddstructs.files import check_file_name, check_folder
from ddstructs.registry.ranges import Size

__all__ = ["sweep"]


def sweep(
    task: str | None = None,
    memory: str | None = None,
    study: str | None = None,
    cell: str = "rnn",
    trials: Size = 50,
    num_seeds: Size = 3,
    workers: Size = 1,
    scheduler: str | None = None,
    recipe: Path | None = None,
) -> None:
    """Search for settings with which more seeds succeed, and in fewer updates.

    Args:
        task: Name of the task; required.
        memory: Name of the memory; required.
        study: File of the study; required. Completed trials are kept, so an interrupted command can be repeated.
        cell: Name of the recurrent cell.
        trials: Total number of trials in the study.
        num_seeds: Number of runs in a trial, each with a different seed.
        workers: Number of worker processes, at most one per core; two are always allowed.
        scheduler: Address of a Dask scheduler, such as tcp://host:8786, whose workers are used instead.
        recipe: File with the settings that are not searched; ddstructs/experiments/recipe.yaml if not given.
    """
    check_processes("--workers", workers)
    check_engine(workers, scheduler)
    if task is None or memory is None or study is None:
        missing = "--task" if task is None else "--memory" if memory is None else "--study"
        raise InputError(f"{missing} is required: ddstructs sweep --task Copying --memory Deque --study FILE")
    journal = check_file_name(study, "--study")
    names = {
        kind: _one(kind, choose(kind, kind, text))
        for kind, text in (("task", task), ("memory", memory), ("cell", cell))
    }
    if names["cell"] == LAYERS:
        cells = ", ".join(cell for cell in known("cell") if cell != LAYERS)
        raise InputError(f"--cell is {LAYERS}, but a sweep is of a network with a cell: choose from {cells}")
    check_folder(journal.parent, "--study", study)
    if not find_spec("optuna"):
        raise InputError(f"a sweep needs Optuna: {install('sweep')}")
    from ddstructs.experiments.sweep.journal import writing
    from ddstructs.experiments.sweep.show import line, summary
    from ddstructs.experiments.sweep.study import Sweep, ended, open_study, search

    settings = read_recipe(recipe or RECIPE).settings(**names)
    asked = Sweep(**names, settings=settings, journal=journal, trials=trials, seeds=num_seeds)
    with writing(journal):
        found = open_study(asked)
        with working(workers, scheduler) as (engine, progress):
            progress.track(map(line, search(asked, found, engine)), len(ended(found)), trials)
        print(summary(asked, found))


def _one(option: str, names: list[str]) -> str:
    if len(names) > 1:
        raise InputError(f"--{option} has {len(names)} names, but a sweep takes one")
    return names[0]
