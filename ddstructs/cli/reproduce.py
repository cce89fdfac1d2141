"""The command `ddstructs reproduce`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ddstructs.cli.progress import working
from ddstructs.errors import InputError
from ddstructs.experiments.recipe import RECIPE, read_recipe
from ddstructs.experiments.results import COLUMNS, group_of, line, render, summary
from ddstructs.experiments.runs import Run, choose, every_run, folder_name, parse_seeds
from ddstructs.experiments.store import Store
from ddstructs.experiments.work import test_long_sequences, train_and_test
from ddstructs.files import write_atomically
from ddstructs.registry.ranges import Size

__all__ = ["reproduce"]


def reproduce(
    tasks: str = "Reversal,Copying,BigramFlipping,SVOtoSOV,GenderConjugation",
    memories: str = "Stack,Queue,Deque,NoMemory",
    cells: str = "rnn,lstm",
    seeds: str = "0-9",
    out: Path = Path("runs/reproduce"),
    workers: Size = 1,
    scheduler: str | None = None,
    long: bool = False,
    retry: bool = False,
    dry_run: bool = False,
    summarize: bool = False,
    recipe: Path | None = None,
) -> None:
    """Train and test every task with every memory and cell, and write down the results, seed by seed.

    Args:
        tasks: Names, separated by commas.
        memories: Names, separated by commas.
        cells: Names, separated by commas.
        seeds: Seeds and ranges of seeds, separated by commas: 0-9, or 777, or 900,901.
        out: Folder of the results. Runs that are done are skipped, so an interrupted command can be given again.
        workers: Number of worker processes.
        scheduler: Address of a Dask scheduler, such as tcp://host:8786, whose workers are used instead.
        long: Test at the longest lengths, too.
        retry: Try again the runs that failed with an error.
        dry_run: List the runs and whether they are done, and stop.
        summarize: Write down the results of the runs that are done, and stop.
        recipe: File with the settings of the runs, in the form of ddstructs/experiments/recipe.yaml, the default.
    """
    names = (
        choose("task", "tasks", tasks),
        choose("memory", "memories", memories),
        choose("cell", "cells", cells),
    )
    runs, store = every_run(read_recipe(recipe or RECIPE), *names, parse_seeds(seeds)), Store(out)
    if dry_run:
        from ddstructs.experiments.train import check  # imports torch, which takes seconds

        check(runs)
        for each in runs:
            print("done" if store.is_done(each) and not (long and store.lacks_long(each)) else "to do", each.name)
        return
    if summarize and not out.is_dir():
        raise InputError(f"--out is {out}, but there is no such folder with results to write down")
    with store.writing():
        store.check()
        if retry:
            store.forget_failures(runs)
        if not summarize:
            _execute(runs, store, workers, scheduler, long)
        _write_results(runs, store)


def _execute(runs: Sequence[Run], store: Store, workers: int, scheduler: str | None, long: bool) -> None:
    """Execute what is left of the runs, with the progress on the terminal."""
    with working(workers, scheduler) as (engine, progress):
        progress.track(map(line, train_and_test(runs, store, engine)), sum(map(store.is_done, runs)), len(runs))
        if long and (left := sum(map(store.lacks_long, runs))):
            progress.track(test_long_sequences(runs, store, engine), 0, left)


def _write_results(runs: Sequence[Run], store: Store) -> None:
    """Write `RESULTS.md` and the plots, and print the summary."""
    records, curves, names = store.collect(), store.explain(), {run.name for run in runs}
    done = [record for record in records if folder_name(record) in names]
    groups = list(dict.fromkeys((run.task, run.memory, run.cell, run.config) for run in runs))
    plots = []
    if find_spec("matplotlib"):
        from ddstructs.experiments.plots import plot

        shown, traced = ([each for each in part if group_of(each) in groups] for part in (records, curves))
        plots = plot(shown, traced, store.out)
    else:
        print("No plots were drawn: they need matplotlib (pip install ddstructs[plot]).")
    command = shlex.join(["ddstructs", *sys.argv[1:]])
    write_atomically(store.out / "RESULTS.md", render(records, groups, len(done), len(runs), command, plots))
    chosen = [COLUMNS.index(name) for name in ("task", "memory", "cell", "success", "coarse", "updates", "seconds")]
    columns, *rows = ([row[i] for i in chosen] for row in summary(records, groups))
    table = Table(*columns, box=None)
    for row in rows:
        table.add_row(*row)
    Console(highlight=False).print(table)
    print("Written:", store.out / "paper.jsonl", store.out / "RESULTS.md", *plots, sep="\n  ")
