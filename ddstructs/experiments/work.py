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
from ddstructs.cli.parser import quiet
from ddstructs.errors import InputError
from ddstructs.experiments.claims import attempt, claim, write_atomically
from ddstructs.experiments.grid import Cell
from ddstructs.experiments.results import Record

__all__ = ["PAUSE", "Grid", "Report", "binned", "commit", "read", "work"]

KEY = ("task", "memory", "cell", "config", "seed")
"""What tells one run from the others."""

CONFIG = ("config",)

BIN = 8
"""Lengths in one point of the accuracy against length."""

Report = Callable[[str], None]
"""Takes a few words on what a worker is at."""

PAUSE = 1.0
"""Seconds between two looks at what the other workers have done."""


class Grid:
    """The cells and the folder in which they are done.

    Args:
        cells: The cells.
        out: The folder. It has a folder for each cell that is done, in `cells/`, and what they come to, a JSON line for
            each: the records in `paper.jsonl`, what the plots are of in `curves.jsonl`, and the settings behind each
            config in `configs.jsonl`. These three stand by themselves, as in a repository: what they tell of cells
            whose folders are not there is kept.
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

    def check(self) -> None:
        """Refuse files of results that have something else in them.

        Raises:
            InputError: If one has.
        """
        for name, key in (("paper.jsonl", KEY), ("curves.jsonl", KEY), ("configs.jsonl", CONFIG)):
            _lines(self.out / name, key)

    def collect(self) -> list[Record]:
        """Add all that is done in the folder to `paper.jsonl`, and return its records."""
        with claim(self.out / "locks" / "paper.jsonl", wait=True):  # else an older one could be written last
            before = [record for record in _lines(self.out / "paper.jsonl", KEY) if "error" not in record]
            return self._write("paper.jsonl", KEY, [*before, *map(read, self._folders())])

    def explain(self) -> list[Record]:
        """Add all that is done to `configs.jsonl` and `curves.jsonl`, and return what the latter has."""
        with claim(self.out / "locks" / "curves.jsonl", wait=True):
            folders = self._folders()
            configs = [{"config": read(at)["config"], "settings": _json(at / "settings.json")} for at in folders]
            self._write("configs.jsonl", CONFIG, [*_lines(self.out / "configs.jsonl", CONFIG), *configs])
            curves = [_curve(at) for at in folders if (at / "lengths.json").exists()]
            return self._write("curves.jsonl", KEY, [*_lines(self.out / "curves.jsonl", KEY), *curves])

    def _folders(self) -> list[Path]:
        return [file.parent for file in (self.out / "cells").glob("*/record.json")]

    def _write(self, name: str, key: Sequence[str], records: Sequence[Record]) -> list[Record]:
        """Write JSON lines in order, of those with one key the last, and return them."""
        known = {tuple(record[part] for part in key): record for record in records}
        ordered = [known[key] for key in sorted(known)]
        self.out.mkdir(parents=True, exist_ok=True)
        write_atomically(self.out / name, "".join(json.dumps(record) + "\n" for record in ordered))
        return ordered


def read(folder: Path) -> Record:
    """The record of a cell that is done."""
    record: Record = _json(folder / "record.json")
    return record | (_json(folder / "long.json") if (folder / "long.json").exists() else {})


def _curve(folder: Path) -> Record:
    """What the plots are of, for a cell that is done."""
    key = {name: value for name, value in read(folder).items() if name in KEY}
    lines = (folder / "curve.jsonl").read_text(encoding="utf-8").splitlines()
    points = [(at["updates"], round(at["val_fine"], 4)) for at in map(json.loads, lines)]
    return key | {"val_fine": points, "coarse": binned(_json(folder / "lengths.json"))}


def binned(lines: Sequence[dict[str, float]]) -> list[tuple[float, float]]:
    """The middle of each bin of lengths, and the coarse accuracy in it.

    Example:
        >>> from ddstructs.experiments.work import binned
        >>> binned([{"length": 8, "sequences": 1, "coarse": 1.0}, {"length": 5, "sequences": 3, "coarse": 0.0}])
        [(4.5, 0.25)]
    """
    bins: dict[int, list[tuple[float, float]]] = {}
    for at in lines:
        bins.setdefault(int(at["length"] - 1) // BIN, []).append((at["sequences"], at["coarse"]))
    return [
        ((number + 0.5) * BIN + 0.5, round(sum(n * share for n, share in part) / sum(n for n, _ in part), 4))
        for number, part in sorted(bins.items())
    ]


def _json(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def _lines(file: Path, key: Sequence[str]) -> list[Record]:
    """The JSON lines of a file, each an object with some keys; none, if there is no file."""
    records = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines() if file.exists() else [], 1):
        try:
            record = json.loads(line)
            records.append(record | {name: record[name] for name in key})
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(
                f"{file}, line {number}: a JSON object with {', '.join(key)} was expected, but it is {line[:40]!r}"
            ) from error
    return records


def work(grid: Grid, report: Report = lambda words: None) -> None:
    """Do every cell that is left and that nobody else is at; then wait for those that somebody is.

    Should the worker of such a cell be killed, the cell is done here.

    Raises:
        InputError: If the recipe does not fit the classes it is for.
    """
    from ddstructs.experiments import train  # imports torch, which takes seconds

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
        changed = git("status", "--porcelain", "--", ":/ddstructs", ":/tasks", ":/pyproject.toml")
        return git("rev-parse", "--short=10", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return ddstructs.__version__
