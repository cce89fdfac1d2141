"""Progress of many runs on the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from ddstructs.cli.quiet import quiet
from ddstructs.experiments.engine import Engine, open_engine

__all__ = ["Progress", "working"]


class Progress:
    """A bar with the number of completed runs, the time left, and the latest report of a worker."""

    def __init__(self) -> None:
        time = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
        columns = (BarColumn(), MofNCompleteColumn(), *time, TextColumn("{task.description}"))
        self.bars = Bars(*columns, console=Console(highlight=False), speed_estimate_period=24 * 3600)

    def print(self, text: str) -> None:
        """Print a line above the bar."""
        self.bars.console.print(escape(text), soft_wrap=True)

    def report(self, text: str) -> None:
        """Show the current work of a worker."""
        for bar in self.bars.task_ids[-1:]:
            self.bars.update(bar, description=escape(text))

    def track(self, lines: Iterable[str], completed: int, total: int) -> None:
        """Print a line for each completed run, and advance a new bar by one.

        Args:
            lines: The lines, generated as runs are completed.
            completed: Number of runs completed before.
            total: Total number of runs.
        """
        bar = self.bars.add_task("", total=total, completed=completed)
        for text in lines:
            self.print(text)
            self.bars.advance(bar)
        self.bars.update(bar, description="")


@contextmanager
def working(workers: int, scheduler: str | None) -> Iterator[tuple[Engine, Progress]]:
    """An engine, and its progress on the terminal; see `open_engine`."""
    quiet()
    progress = Progress()
    with open_engine(progress.report, quiet, workers, scheduler) as engine, progress.bars:
        if engine.dashboard:
            progress.print(f"Dashboard: {engine.dashboard}")
        yield engine, progress
