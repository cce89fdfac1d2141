"""Plots of the results. Needs matplotlib, which is the extra `plot`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ddstructs.experiments.records import Record, curves_of
from ddstructs.experiments.results import SUCCESS
from ddstructs.experiments.store import PLOTS
from ddstructs.files import replacing

__all__ = ["plot"]

DPI = 120

LABELS = {"val_fine": "fine accuracy", "coarse": "coarse accuracy", "val_score": "score", "score": "score"}

Panel = Callable[[Axes, list[Record]], None]


def plot(
    records: Sequence[Record],
    curves: Sequence[Record],
    out: Path,
    succeeds: Callable[[Record], bool] = lambda record: record.get("coarse_test", 0) >= SUCCESS,
    success: str = f"seeds at {SUCCESS} coarse or more, 65..128",
    longest: int = 64,
    bounded: bool = True,
) -> list[Path]:
    """Draw `success.png`, `learning_curves.png` and `lengths.png`, and return their paths.

    Args:
        records: One for each run, as in `paper.jsonl`.
        curves: The data of the curves, as in `curves.jsonl`.
        out: The folder of the results.
        succeeds: Whether a run counts as a success.
        success: What that means, in a few words.
        longest: The greatest length of training.
        bounded: Whether scores are from 0 to 1.
    """
    if all("error" in record for record in records):
        return []
    mpl.use("Agg")

    def learning(axes: Axes, runs: list[Record]) -> None:
        for run in runs:
            axes.plot(*zip(*run[validated], strict=True), lw=0.8, color=_color(run))

    def lengths(axes: Axes, runs: list[Record]) -> None:
        for run in runs:
            axes.plot(*zip(*run[tested], strict=True), lw=0.8, color=_color(run))
        axes.axvline(longest + 0.5, color="black", lw=0.5, ls=":")

    drawn = {PLOTS[0]: _success(records, succeeds, success)}
    if curves:
        validated, tested = curves_of(curves[0])
        validation = f"{LABELS[validated]} in validation"
        drawn[PLOTS[1]] = _panels(curves, learning, "updates", validation, bounded)
        drawn[PLOTS[2]] = _panels(curves, lengths, "length of the source", LABELS[tested], bounded)
    paths = []
    for name, figure in drawn.items():
        with replacing(out / name) as file:
            figure.savefig(
                file, format="png", dpi=DPI, metadata={"Software": None}
            )  # the same file for the same results
        paths.append(out / name)
    return paths


def _panels(records: Iterable[Record], panel: Panel, across: str, up: str, bounded: bool) -> Figure:
    """A panel for each task and memory; the runs of a cell have a color of their own."""
    records = list(records)
    tasks, memories = _names(records, "task"), _names(records, "memory")
    figure = Figure((2.4 * len(memories) + 1, 1.8 * len(tasks) + 1), layout="constrained")
    grid = figure.subplots(len(tasks), len(memories), sharex=True, sharey=True, squeeze=False)
    for i, task in enumerate(tasks):
        for j, memory in enumerate(memories):
            axes = grid[i, j]
            panel(axes, [record for record in records if (record["task"], record["memory"]) == (task, memory)])
            if bounded:
                axes.set_ylim(-0.05, 1.05)
            axes.set_title(f"{task}, {memory}", fontsize=8)
            axes.tick_params(labelsize=7)
    for cell in _names(records, "cell"):
        grid[0, 0].plot([], [], color=_color({"cell": cell}), label=cell)
    grid[0, 0].legend(fontsize=7)
    figure.supxlabel(across, fontsize=9)
    figure.supylabel(up, fontsize=9)
    return figure


def _success(records: Sequence[Record], succeeds: Callable[[Record], bool], success: str) -> Figure:
    """The share of seeds that succeed, a group of bars for each task; runs that ended in an error count as failures."""
    tasks = _names(records, "task")
    kinds = list(dict.fromkeys((record["memory"], record["cell"]) for record in records))
    figure = Figure((2 * len(tasks) + 2, 3), layout="constrained")
    axes, width = figure.subplots(), 1 / (len(kinds) + 1)
    for k, (memory, cell) in enumerate(kinds):
        for i, task in enumerate(tasks):
            key = (task, memory, cell)
            runs = [record for record in records if (record["task"], record["memory"], record["cell"]) == key]
            if runs:
                successes = sum(map(succeeds, runs))
                bars = axes.bar(i + k * width, successes / len(runs), 0.9 * width, color=f"C{k}")
                axes.bar_label(bars, [f"{successes}/{len(runs)}"], fontsize=6, rotation=90, padding=2)
        axes.bar(0, 0, width, color=f"C{k}", label=f"{memory}, {cell}")
    axes.set_xticks(np.arange(len(tasks)) + (len(kinds) - 1) / 2 * width, tasks)
    axes.set_ylim(0, 1.2)
    axes.set_yticks(np.linspace(0, 1, 6))
    axes.set_ylabel(success, fontsize=8)
    axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def _color(record: Record) -> str:
    return {"rnn": "C0", "lstm": "C1", "gru": "C2", "deep": "C3"}.get(record["cell"], "C4")


def _names(records: Iterable[Record], field: str) -> list[str]:
    return list(dict.fromkeys(record[field] for record in records))
