"""The command `ddstructs reproduce`."""

from __future__ import annotations

import shlex
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from ddstructs.experiments.claims import write_atomically
from ddstructs.experiments.grid import choose, choose_memories, folder_name, grid, parse_seeds
from ddstructs.experiments.helpers import helpers
from ddstructs.experiments.recipe import RECIPE, read_recipe
from ddstructs.experiments.results import COLUMNS, group_of, line, render, summary
from ddstructs.experiments.work import PAUSE, Grid, Report, read, work
from ddstructs.registry import catalog

__all__ = ["reproduce"]


def reproduce(
    tasks: str = "Reversal,Copying,BigramFlipping,SVOtoSOV,GenderConjugation",
    memories: str = "Stack,Queue,Deque,NoMemory",
    cells: str = "rnn,lstm",
    seeds: str = "10",
    out: Path = Path("runs/reproduce"),
    workers: int = 1,
    long: bool = False,
    retry: bool = False,
    dry_run: bool = False,
    summarize: bool = False,
    recipe: Path | None = None,
) -> None:
    """Train and test every task with every memory and cell, and write the results down, seed by seed.

    Args:
        tasks: Names, with commas.
        memories: Names, with commas.
        cells: Names, with commas.
        seeds: How many, or which: `10`, or `900,901`.
        out: The folder of the results. Commands with one folder share the work, on any number of machines; started
            again, a command goes on where it was.
        workers: Processes to start.
        long: Test at the longest lengths, too.
        retry: Try again what failed with an error.
        dry_run: Only list what would be done.
        summarize: Only write down what is done.
        recipe: How to train, in the form of ddstructs/experiments/recipe.yaml, which it is by default.
    """
    names = (
        choose("tasks", tasks, [*catalog.TASKS]),
        choose_memories("memories", memories),
        choose("cells", cells, [*catalog.CELLS]),
    )
    asked = Grid(grid(read_recipe(recipe or RECIPE), *names, parse_seeds(seeds)), out, long)
    if dry_run:
        from ddstructs.experiments.train import check  # imports torch, which takes seconds

        check(asked.cells)
        for cell in asked.cells:
            print("done" if asked.done(cell) else "to do", cell.name)
        return
    asked.check()
    if retry:
        asked.retry()
    if not summarize:
        with helpers(workers - 1, work, asked), progress(asked) as report:
            work(asked, report)
    _write_results(asked)


def _write_results(asked: Grid) -> None:
    """Write `RESULTS.md` and the plots, and show the table of all."""
    records, curves, names = asked.collect(), asked.explain(), {cell.name for cell in asked.cells}
    done = [record for record in records if folder_name(record) in names]
    groups = list(dict.fromkeys((cell.task, cell.memory, cell.cell, cell.config) for cell in asked.cells))
    plots = []
    if find_spec("matplotlib"):
        from ddstructs.experiments.plots import plot

        shown, traced = ([run for run in runs if group_of(run) in groups] for runs in (records, curves))
        plots = plot(shown, traced, asked.out)
    else:
        print("There are no plots: they need matplotlib, as pip install ddstructs[plot] brings it.")
    command = shlex.join(["ddstructs", *sys.argv[1:]])
    write_atomically(asked.out / "RESULTS.md", render(records, groups, len(done), len(asked.cells), command, plots))
    chosen = [COLUMNS.index(name) for name in ("task", "memory", "cell", "success", "coarse", "updates", "seconds")]
    columns, *rows = ([row[i] for i in chosen] for row in summary(records, groups))
    table = Table(*columns, box=None)
    for row in rows:
        table.add_row(*row)
    Console(highlight=False).print(table)
    print("Written:", asked.out / "paper.jsonl", asked.out / "RESULTS.md", *plots, sep="\n  ")


@contextmanager
def progress(asked: Grid) -> Iterator[Report]:
    """Show how much of the grid is done, by whichever worker, and when it will be; and a line for each cell done."""
    time = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    columns = (BarColumn(), MofNCompleteColumn(), *time, TextColumn("{task.description}"))
    left = [cell for cell in asked.cells if not asked.done(cell)]
    console, over = Console(highlight=False), threading.Event()
    with Progress(*columns, console=console, speed_estimate_period=24 * 3600) as bars:
        bar = bars.add_task("", total=len(asked.cells), completed=len(asked.cells) - len(left))

        def look() -> None:
            for cell in [cell for cell in left if asked.done(cell)]:
                left.remove(cell)
                console.print(escape(line(read(asked.folder(cell)))), soft_wrap=True)
                bars.advance(bar)

        def watch() -> None:
            while not over.wait(PAUSE):
                look()

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield lambda words: bars.update(bar, description=escape(words))
        finally:
            over.set()
            watcher.join()
            look()
            bars.update(bar, description="")
