"""The folder of the results. One command at a time writes to it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ddstructs.errors import InputError
from ddstructs.experiments.records import CONFIG, KEY, Record, curves_of, read_records
from ddstructs.experiments.runs import Run, folder_name
from ddstructs.files import check_folder, write_atomically

__all__ = ["CHECKPOINT", "PLOTS", "Store", "binned"]

BIN = 8
"""Number of lengths per point in the plot of accuracy against length."""

CHECKPOINT = "model/best.ckpt"
"""Path of the weights in the folder of a run."""

PLOTS = "success.png", "learning_curves.png", "lengths.png"
"""The plots of a suite."""


class Store:
    """The folder of the results: a folder for each run in `cells/`, and three summary files.

    The files have a JSON line for each run or config: `paper.jsonl`, or a file named after another suite, the records;
    `curves.jsonl` the data of the plots; `configs.jsonl` the settings behind each config. They can be kept without the
    folders, as in a repository: lines of runs without a folder are preserved.

    Args:
        out: The folder.
        suite: The name of the suite, and of the file of its records.
    """

    def __init__(self, out: Path, suite: str = "paper") -> None:
        self.out = out
        self.records = f"{suite}.jsonl"

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Lock the folder against other commands until the block ends.

        Raises:
            InputError: If another command holds the lock.
        """
        check_folder(self.out / "cells", "--out", self.out)
        self.out.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.out / ".lock", timeout=0):
                yield
        except Timeout as error:
            raise InputError(
                f"another command is writing to {self.out}: wait for it, or choose another --out"
            ) from error

    def check_folder(self) -> None:
        """Refuse a file where the folder should be."""
        check_folder(self.out, "--out", writing=False)

    def folder(self, run: Run) -> Path:
        """The folder of a run."""
        return self.out / "cells" / run.name

    def is_done(self, run: Run) -> bool:
        """Whether a run has been trained and tested, or has failed."""
        return (self.folder(run) / "record.json").exists()

    def lacks_long(self, run: Run) -> bool:
        """Whether a run is trained, but not tested at the lengths for `--long`."""
        folder = self.folder(run)
        wanted = bool(run.settings["test"].get("long")) and self.is_done(run)
        return wanted and not (folder / "long.json").exists() and (folder / CHECKPOINT).exists()

    def record(self, run: Run) -> Record:
        """The record of a completed run."""
        return _record(self.folder(run))

    def checkpoint(self, run: Run) -> bytes:
        """The weights of a trained run, as the bytes of the file."""
        return (self.folder(run) / CHECKPOINT).read_bytes()

    def add(self, run: Run, record: Record, files: dict[str, bytes]) -> None:
        """Add a run. Its folder appears atomically, after everything is written.

        Args:
            run: The run.
            record: Its record.
            files: Contents of the other files of its folder, by path.
        """
        partial, folder = self.out / "unfinished" / run.name, self.folder(run)
        shutil.rmtree(partial, ignore_errors=True)
        texts = {"settings.json": json.dumps(run.settings, indent=1), "record.json": json.dumps(record)}
        for name, content in {**files, **{name: f"{text}\n".encode() for name, text in texts.items()}}.items():
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            write_atomically(partial / name, content)
        folder.parent.mkdir(parents=True, exist_ok=True)
        if folder.exists():
            shutil.rmtree(folder)  # without a record, it is an incomplete run
        partial.rename(folder)

    def add_long(self, run: Run, scores: Record) -> None:
        """Add the scores of `--long` to a completed run."""
        write_atomically(self.folder(run) / "long.json", json.dumps(scores) + "\n")

    def forget_failures(self, runs: Sequence[Run]) -> None:
        """Delete the records of failed runs, so that these are tried again."""
        for run in runs:
            if self.is_done(run) and "error" in self.record(run):
                shutil.rmtree(self.folder(run))

    def check(self) -> None:
        """Read all files.

        Raises:
            InputError: If a file is damaged, or a folder is in the place of one that is to be written.
        """
        written = (self.records, "curves.jsonl", "configs.jsonl", "RESULTS.md", *PLOTS)
        if folder := next((self.out / name for name in written if (self.out / name).is_dir()), None):
            raise InputError(f"{folder} is a folder, but a file is written there: move it away")
        for name in (self.records, "curves.jsonl", "configs.jsonl"):
            self._lines(name)
        for folder in self._folders():
            _config(folder)
            _curve(folder)

    def collect(self) -> list[Record]:
        """Add all completed runs to the file of the records, and return its records."""
        before = [record for record in self._lines(self.records) if "error" not in record]
        return self._write(self.records, KEY, [*before, *map(_record, self._folders())])

    def explain(self) -> list[Record]:
        """Add all completed runs to `configs.jsonl` and `curves.jsonl`, and return the records of the latter."""
        folders = self._folders()
        configs = [*self._lines("configs.jsonl"), *map(_config, folders)]
        self._write("configs.jsonl", CONFIG, configs)
        curves = [curve for folder in folders for curve in _curve(folder)]
        return self._write("curves.jsonl", KEY, [*self._lines("curves.jsonl"), *curves])

    def _lines(self, name: str) -> list[Record]:
        return read_records(self.out / name) if (self.out / name).exists() else []

    def _folders(self) -> list[Path]:
        return [file.parent for file in (self.out / "cells").glob("*/record.json")]

    def _write(self, name: str, key: Sequence[str], records: Sequence[Record]) -> list[Record]:
        """Write JSON lines in order, keep the last of those with equal keys, and return them."""
        known = {tuple(record[part] for part in key): record for record in records}
        ordered = [known[key] for key in sorted(known)]
        write_atomically(self.out / name, "".join(json.dumps(record) + "\n" for record in ordered))
        return ordered


def _record(folder: Path) -> Record:
    """The record in the folder of a completed run.

    Raises:
        InputError: If it is damaged, or belongs to another run.
    """
    record: Record = read_records(folder / "record.json")
    if folder_name(record) != folder.name:
        raise InputError(f"{folder / 'record.json'} is the record of another run, {folder_name(record)}")
    return record | (read_records(folder / "long.json") if (folder / "long.json").exists() else {})


def _config(folder: Path) -> Record:
    """The settings of a completed run, as in `configs.jsonl`."""
    return {"config": _record(folder)["config"], "settings": read_records(folder / "settings.json")}


def _curve(folder: Path) -> list[Record]:
    """The plot data of a completed run, as in `curves.jsonl`; empty if the run failed."""
    record = _record(folder)
    if "error" in record:
        return []
    lines, lengths = (read_records(folder / name) for name in ("curve.jsonl", "lengths.json"))
    validated, tested = curves_of(lengths[0])
    points = [(at["updates"], round(at[validated], 4)) for at in lines]
    key = {name: value for name, value in record.items() if name in KEY}
    return [key | {validated: points, tested: binned(lengths, tested)}]


def binned(lines: Sequence[dict[str, float]], score: str = "coarse") -> list[tuple[float, float]]:
    """The center of each bin of lengths, and the mean of a score in the bin.

    Example:
        >>> from ddstructs.experiments.store import binned
        >>> binned([{"length": 8, "sequences": 1, "coarse": 1.0}, {"length": 5, "sequences": 3, "coarse": 0.0}])
        [(4.5, 0.25)]
    """
    bins: dict[int, list[tuple[float, float]]] = {}
    for at in lines:
        bins.setdefault(int(at["length"] - 1) // BIN, []).append((at["sequences"], at[score]))
    return [
        ((number + 0.5) * BIN + 0.5, round(sum(n * share for n, share in part) / sum(n for n, _ in part), 4))
        for number, part in sorted(bins.items())
    ]
