"""A worker: it takes one cell after another, until all of the grid is done."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import ddstructs
from ddstructs.command import quiet
from ddstructs.errors import InputError
from ddstructs.reproduce.claims import attempt, claim, write_atomically
from ddstructs.reproduce.grid import Cell

__all__ = ["PAUSE", "Grid", "Report", "commit", "read", "work"]

Report = Callable[[str], None]
"""Takes a few words on what a worker is at."""

PAUSE = 1.0
"""Seconds between two looks at what the other workers have done."""


class Grid:
    """The cells and the folder in which they are done.

    Args:
        cells: The cells.
        out: The folder. It has a folder for each cell that is done, in `cells/`, and `paper.jsonl`, a line for each.
        long: Whether the longest tests are wanted, too.
    """

    def __init__(self, cells: Sequence[Cell], out: Path, long: bool = False) -> None:
        self.cells = cells
        self.out = out
        self.long = long

    def folder(self, cell: Cell) -> Path:
        """The folder of a cell; it is there once the cell is done."""
        return self.out / "cells" / cell.name

    def lock(self, cell: Cell) -> Path:
        """The file whose lock is the right to work on a cell."""
        return self.out / "locks" / cell.name

    def done(self, cell: Cell) -> bool:
        """Whether nothing is left to do for a cell."""
        return self.folder(cell).is_dir() and not self.lacks_long(cell)

    def lacks_long(self, cell: Cell) -> bool:
        """Whether the longest tests are wanted of a cell that is trained."""
        folder = self.folder(cell)
        wanted = self.long and bool(cell.settings["test"].get("long"))
        return wanted and not (folder / "long.json").exists() and (folder / "model").is_dir()

    def retry(self) -> None:
        """Forget what failed, so that it is tried again."""
        for cell in self.cells:
            with claim(self.lock(cell)) as mine:
                if mine and self.folder(cell).is_dir() and "error" in read(self.folder(cell)):
                    shutil.rmtree(self.folder(cell))

    def collect(self) -> list[dict[str, Any]]:
        """Add all that is done in the folder to `paper.jsonl`, and return its records.

        What the file tells of good runs whose folders are not there is kept: in a repository it may lie by itself.
        """
        file = self.out / "paper.jsonl"
        with claim(self.out / "locks" / "paper.jsonl", wait=True):  # else an older one could be written last
            lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
            records = {_order(record): record for record in map(json.loads, lines) if "error" not in record}
            for folder in (self.out / "cells").glob("*/record.json"):
                record = read(folder.parent)
                records[_order(record)] = record
            self.out.mkdir(parents=True, exist_ok=True)
            ordered = [records[key] for key in sorted(records)]
            write_atomically(file, "".join(json.dumps(record) + "\n" for record in ordered))
        return ordered


def read(folder: Path) -> dict[str, Any]:
    """The record of a cell that is done."""
    record: dict[str, Any] = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    long = folder / "long.json"
    return record | (json.loads(long.read_text(encoding="utf-8")) if long.exists() else {})


def _order(record: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(record[name] for name in ("task", "memory", "cell", "config", "seed"))


def work(grid: Grid, report: Report = lambda words: None) -> None:
    """Do every cell that is left and that nobody else is at; then wait for those that somebody is.

    Should the worker of such a cell be killed, the cell is done here.

    Raises:
        InputError: If the recipe does not fit the classes it is for.
    """
    from ddstructs.reproduce import train  # imports torch, which takes seconds

    quiet()
    train.check(grid.cells)
    version = commit()
    while left := [cell for cell in grid.cells if not grid.done(cell)]:
        if not [cell for cell in left if _take(cell, grid, version, train, report)]:
            report("waiting for the cells of other workers")
            time.sleep(PAUSE)
    grid.collect()


def _take(cell: Cell, grid: Grid, version: str, train: ModuleType, report: Report) -> bool:
    """Do a cell, unless it is done or somebody else is at it; and say whether it was done here."""

    def tell(words: str) -> None:
        report(f"{cell.task}, {cell.memory}, {cell.cell}, seed {cell.seed}: {words}")

    folder = grid.folder(cell)
    with claim(grid.lock(cell)) as mine:
        if not mine or grid.done(cell):
            return False
        if folder.is_dir():
            tell("testing long sequences")
            write_atomically(folder / "long.json", json.dumps(train.run_long(cell, folder)) + "\n")
        else:
            with attempt(grid.out / "unfinished" / cell.name, folder) as unfinished:
                try:
                    record = train.run(cell, unfinished, tell)
                except InputError:
                    raise
                except Exception as error:  # whatever it is, it is told in the results, and the others go on
                    shutil.rmtree(unfinished / "model", ignore_errors=True)  # half trained, of no use to anybody
                    record = cell.key | {"error": f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]}
                settings = json.dumps(cell.settings, indent=1)
                (unfinished / "settings.json").write_text(settings + "\n", encoding="utf-8")
                record["commit"] = version
                (unfinished / "record.json").write_text(json.dumps(record) + "\n", encoding="utf-8")
    grid.collect()
    return True


def commit() -> str:
    """The commit of the code that runs, with a `+` if it was changed since; the version if there is no repository."""
    code = Path(ddstructs.__file__).parent

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(code), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")
        return git("rev-parse", "--short=10", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return ddstructs.__version__
