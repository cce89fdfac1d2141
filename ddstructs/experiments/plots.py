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

ALPHA = 0.6
"""Opacity of a line, which may lie on another."""

COLUMNS = 5
"""Panels in a row, where only some memories were run on each task, and cells in a row of the legend."""

LABELS = {"val_fine": "fine accuracy", "coarse": "coarse accuracy", "val_score": "score", "score": "score"}

Panel = Callable[[Axes, list[Record]], None]


@mpl.rc_context({"text.parse_math": False})  # the text of a record is drawn as it is
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
            axes.plot(*zip(*run[validated], strict=True), lw=0.8, alpha=ALPHA, color=_color(run))

    def lengths(axes: Axes, runs: list[Record]) -> None:
        for run in runs:
            axes.plot(*zip(*run[tested], strict=True), lw=0.8, alpha=ALPHA, color=_color(run))
        axes.axvline(longest + 0.5, color="black", lw=0.5, ls=":")

    drawn = {PLOTS[0]: _success(records, succeeds, success)}
    if curves:
        validated, tested = curves_of(curves[0])
        validation = f"{LABELS[validated]} in validation"
        drawn[PLOTS[1]] = _panels(curves, learning, "updates", validation, bounded, shared=False)
        drawn[PLOTS[2]] = _panels(curves, lengths, "length of the source", LABELS[tested], bounded)
    paths = []
    for name, figure in drawn.items():
        with replacing(out / name) as file:
            figure.savefig(
                file, format="png", dpi=DPI, metadata={"Software": None}
            )  # the same file for the same results
        paths.append(out / name)
    return paths


def _panels(
    records: Iterable[Record], panel: Panel, across: str, up: str, bounded: bool, shared: bool = True
) -> Figure:
    """A panel for each task and memory that were run together; the runs of a cell have a color of their own.

    Args:
        records: The data of the curves.
        panel: Draws those of a panel.
        across: Name of the horizontal axis.
        up: Name of the vertical axis.
        bounded: Whether the vertical axis is from 0 to 1.
        shared: Whether the panels have the same horizontal axis.
    """
    records = list(records)
    pairs = list(dict.fromkeys((record["task"], record["memory"]) for record in records))
    tasks, memories = _names(records, "task"), _names(records, "memory")
    columns = len(memories) if len(pairs) == len(tasks) * len(memories) else min(COLUMNS, len(pairs))
    rows = -(-len(pairs) // columns)
    figure = Figure((2.4 * columns + 1, 1.9 * rows + 1), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=shared, sharey=True, squeeze=False).ravel()
    for axes, pair in zip(grid, pairs, strict=False):
        panel(axes, [record for record in records if (record["task"], record["memory"]) == pair])
        if bounded:
            axes.set_ylim(-0.05, 1.05)
        axes.set_title("\n".join(pair), fontsize=8)
        axes.tick_params(labelsize=7)
    for axes in grid[len(pairs) :]:
        axes.remove()
    for axes in grid[max(0, len(pairs) - columns) : len(pairs)]:  # the lowest of each column
        axes.tick_params(labelbottom=True)
    for cell in _names(records, "cell"):
        grid[0].plot([], [], color=_color({"cell": cell}), label=cell)
    figure.legend(*grid[0].get_legend_handles_labels(), fontsize=7, loc="outside upper center", ncols=COLUMNS)
    figure.supxlabel(across, fontsize=9)
    figure.supylabel(up, fontsize=9)
    return figure


def _success(records: Sequence[Record], succeeds: Callable[[Record], bool], success: str) -> Figure:
    """The share of seeds that succeed, a group of bars for each task; runs that ended in an error count as failures."""
    groups: dict[str, dict[tuple[str, str], list[Record]]] = {}
    for record in records:
        kinds = groups.setdefault(record["task"], {})
        kinds.setdefault((record["memory"], record["cell"]), []).append(record)
    lines = sum(len(kinds) + 1 for kinds in groups.values())  # one for the name of the task
    figure = Figure((7, 0.17 * lines + 0.8), layout="constrained")
    axes, at, ticks = figure.subplots(), 0, {}
    for task, kinds in groups.items():
        axes.text(0, at, task, fontsize=8, weight="bold", va="center")
        for (memory, cell), runs in kinds.items():
            at += 1
            ticks[at] = f"{memory}, {cell}"
            successes = sum(map(succeeds, runs))
            bars = axes.barh(at, successes / len(runs), 0.8, color=_color({"cell": cell}))
            axes.bar_label(bars, [f"{successes}/{len(runs)}"], fontsize=7, padding=2)
        at += 1
    axes.set_yticks([*ticks], [*ticks.values()], fontsize=7)
    axes.set_ylim(at - 0.4, -0.8)
    axes.set_xlim(0, 1.1)
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.set_xlabel(f"share of {success}", fontsize=8)
    axes.tick_params(axis="x", labelsize=7)
    return figure


def _color(record: Record) -> str:
    return {"rnn": "C0", "lstm": "C1", "gru": "C2", "deep": "C3"}.get(record["cell"], "C4")


def _names(records: Iterable[Record], field: str) -> list[str]:
    return list(dict.fromkeys(record[field] for record in records))
