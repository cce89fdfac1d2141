"""The command `ddstructs reproduce`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

from ddstructs.cli.machine import check_accelerator, check_processes
from ddstructs.cli.progress import working
from ddstructs.errors import InputError
from ddstructs.experiments.engine import check_engine
from ddstructs.experiments.recipe import read_recipe
from ddstructs.experiments.records import Record
from ddstructs.experiments.results import Group, group_of, line, render, summary
from ddstructs.experiments.runs import Run, choose, every_run, folder_name, parse_seeds
from ddstructs.experiments.sizes import sized
from ddstructs.experiments.store import Store
from ddstructs.experiments.suites import SUITES, Suite
from ddstructs.experiments.tables import drawing, render_suite, suite_summary
from ddstructs.experiments.work import test_long_sequences, train_and_test
from ddstructs.extras import install
from ddstructs.files import write_atomically
from ddstructs.registry.ranges import Size

__all__ = ["reproduce"]


def reproduce(
    suite: Literal["paper", "natural", "chomsky", "cfl", "recognition"] = "paper",
    tasks: str | None = None,
    memories: str | None = None,
    cells: str | None = None,
    seeds: str = "0-9",
    budget: str = "default",
    out: Path | None = None,
    workers: Size = 1,
    scheduler: str | None = None,
    accelerator: Literal["cpu", "gpu"] = "cpu",
    long: bool = False,
    retry: bool = False,
    dry_run: bool = False,
    summarize: bool = False,
    recipe: Path | None = None,
) -> None:
    """Train and test every task of a suite with every memory and cell, and record the results of every seed.

    Args:
        suite: The tasks of the paper, its two grammars at the lengths that their sentences have by themselves
            (natural), the tasks of Delétang et al. 2022 (chomsky), language models as in DuSell & Chiang 2020 (cfl), or
            the recognition of languages as in Butoi et al. 2025 (recognition).
        tasks: Names of tasks, separated by commas; those of the suite if not given.
        memories: Names of memories, likewise; Queue+Queue is a bank of two queues.
        cells: Names of cells, likewise; layers is a network without recurrence, whose layers the recipe lists.
        seeds: Seeds and ranges of seeds, separated by commas: 0-9, or 777, or 900,901.
        budget: Cost of a run: small for a first look, default for that of the recipe, published for tests as large
            as the published ones, or another of the budgets in a recipe of your own.
        out: Folder of the results; by default runs/reproduce for the paper, or runs/SUITE. Completed runs are
            skipped, so an interrupted command can be repeated.
        workers: Number of worker processes, at most one per core; two are always allowed.
        scheduler: Address of a Dask scheduler, such as tcp://host:8786, whose workers are used instead.
        accelerator: Where each run is trained and tested; a GPU is for transformers on long strings.
        long: Also test at the longest lengths.
        retry: Repeat the runs that failed with an error.
        dry_run: List the runs and whether they are completed, and stop.
        summarize: Write the results of the completed runs, and stop.
        recipe: File with the settings of the runs, in the form of ddstructs/experiments/recipe.yaml; that of the suite
            if not given.
    """
    check_processes("--workers", workers)
    check_engine(workers, scheduler)
    if scheduler is None and not (dry_run or summarize):
        check_accelerator(accelerator, "--accelerator", "use cpu")
    chosen, out = SUITES[suite], out or SUITES[suite].out
    names = (
        choose("task", "tasks", ",".join(chosen.tasks) if tasks is None else tasks),
        choose("memory", "memories", ",".join(chosen.memories) if memories is None else memories),
        choose("cell", "cells", ",".join(chosen.cells) if cells is None else cells),
    )
    runs = every_run(read_recipe(recipe or chosen.recipe), *names, parse_seeds(seeds), budget)
    _check_metric(chosen, suite, runs)
    store = Store(out, suite)
    store.check_folder()
    if dry_run:
        store.check()
        from ddstructs.experiments.train import check  # imports torch, which takes seconds

        check(runs)
        for each in runs:
            print("done" if store.is_done(each) and not (long and store.lacks_long(each)) else "to do", each.name)
        return
    if summarize and not out.is_dir():
        raise InputError(f"--out is {out}, but that folder does not exist: --summarize needs results")
    with store.writing():
        store.check()
        if retry:
            store.forget_failures(runs)
        if not summarize:
            _execute(runs, store, workers, scheduler, accelerator, long)
        _write_results(runs, store, sized(chosen, runs))


def _check_metric(suite: Suite, name: str, runs: Sequence[Run]) -> None:
    """Check that the runs are scored as the suite is.

    Raises:
        InputError: If the recipe sets a metric where the suite has none, or the other way about.
    """
    for run in runs:
        metric = run.settings["test"].get("metric")
        if metric is None and suite.score:
            raise InputError(
                f"the recipe sets no metric in test, but --suite {name} scores its runs by one: set metric"
            )
        if metric is not None and not suite.score:
            raise InputError(
                f"the recipe sets metric in test to {metric}, but --suite {name} has scores of its own: leave it out"
            )


def _execute(
    runs: Sequence[Run], store: Store, workers: int, scheduler: str | None, accelerator: str, long: bool
) -> None:
    """Execute the runs that are not completed, with progress on the terminal."""
    with working(workers, scheduler) as (engine, progress):
        progress.track(
            map(line, train_and_test(runs, store, engine, accelerator)), sum(map(store.is_done, runs)), len(runs)
        )
        if long and (left := sum(map(store.lacks_long, runs))):
            progress.track(test_long_sequences(runs, store, engine, accelerator), 0, left)


def _write_results(runs: Sequence[Run], store: Store, suite: Suite) -> None:
    """Write `RESULTS.md` and the plots, and print the summary."""
    records, curves, names = store.collect(), store.explain(), {run.name for run in runs}
    done = [record for record in records if folder_name(record) in names]
    groups = list(dict.fromkeys((run.task, run.memory, run.cell, run.config) for run in runs))
    plots = []
    if find_spec("matplotlib"):
        from ddstructs.experiments.plots import plot

        drawn, traced = ([each for each in part if group_of(each) in groups] for part in (records, curves))
        plots = plot(drawn, traced, store.out, **drawing(suite))
    else:
        print(f"No plots were drawn: they need matplotlib ({install('plot')}).")
    command = shlex.join(["ddstructs", *sys.argv[1:]])
    if suite.score:
        text = render_suite(suite, records, curves, groups, len(done), len(runs), command, plots)
    else:
        text = render(suite, records, groups, len(done), len(runs), command, plots)
    write_atomically(store.out / "RESULTS.md", text)
    _print_summary(suite, records, groups, len(done), len(runs))
    print("Written:", store.out / store.records, store.out / "RESULTS.md", *plots, sep="\n  ")


def _print_summary(suite: Suite, records: Sequence[Record], asked: Sequence[Group], done: int, count: int) -> None:
    """Print the summary of what was run, and how much was not."""
    present = list(dict.fromkeys(map(group_of, records)))
    _print_table(suite, records, [group for group in present if group in asked])
    if others := [group for group in present if group not in asked]:
        print("Other settings, such as those of another budget or recipe:")
        _print_table(suite, records, others)
    if done < count:
        missing = len(set(asked).difference(present))
        lists = f", and {missing} of {len(asked)} combinations have none: RESULTS.md lists them" if missing else ""
        print(f"{done} of {count} runs are done{lists}.")


def _print_table(suite: Suite, records: Sequence[Record], groups: Sequence[Group]) -> None:
    """Print the summary of some groups, if any."""
    if not groups:
        return
    shown: tuple[str, ...]
    if suite.score:
        rows, shown = suite_summary(suite, records, groups), ("seeds", "mean", "worst", "updates", "seconds")
    else:
        rows, shown = summary(suite, records, groups), ("success", "coarse", "updates", "seconds")
    table = Table(box=None)
    for name in ("task", "memory", "cell"):
        table.add_column(name, overflow="fold")  # a narrow terminal cuts no figure
    for name in shown:
        table.add_column(name, no_wrap=name != "seconds", overflow="fold")  # which may name a GPU
    chosen = [rows[0].index(str(column.header)) for column in table.columns]
    for row in rows[1:]:
        table.add_row(*(row[i] for i in chosen))
    Console(highlight=False, markup=False, emoji=False).print(table)  # the text of a record is printed as it is
