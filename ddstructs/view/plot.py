"""Plots of a trace, in the style of figure 1 of the paper. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from ddstructs.errors import InputError
from ddstructs.extras import install
from ddstructs.view.picture import MOST, WEAK, picture
from ddstructs.view.symbols import shown
from ddstructs.view.trace import Trace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axes._secondary_axes import SecondaryAxis
    from matplotlib.figure import Figure

__all__ = ["plot_lengths", "plot_signals", "plot_trace", "require_matplotlib"]

PUSH, POP = "#2a7f62", "#b3552d"
WINDOWS = ("#d1105a", "#2456c7", "#7a4fb5", "#8a6d00")
"""The color of the outline around the reads of each head."""


def plot_trace(trace: Trace, ax: Axes | None = None, row: int = 0) -> tuple[Figure, Axes]:
    """Draw the contents of the memory over time, in the style of figure 1 of the paper.

    Time runs to the right. Each value has a row, in the order of the contents; darker is stronger. Values being read
    are outlined; a thicker line is a larger weight. The input is below, the output above, and bars beneath show the
    signals, with pop downward. A run of more than 1,000 steps is drawn in 1,000 columns, with dots for the reads.

    Args:
        trace: The trace.
        ax: Axes to draw on; those of a new figure if not given.
        row: Row of the batch.

    Returns:
        The figure and the axes of the picture; the axes of the bars follow it in `figure.axes`.

    Raises:
        IndexError: If the batch has no such row.
    """
    require_matplotlib()
    from mpl_toolkits.axes_grid1 import make_axes_locatable

    steps = _steps(trace, row)
    grid, windows, names, left_out = picture(trace, row, steps)
    if ax is None:
        ax = _axes(min(16, 2.2 + 0.24 * steps), min(10, 2.6 + 0.2 * len(grid)))
    figure = _figure(ax)
    image = ax.pcolormesh(
        np.linspace(-0.5, steps - 0.5, grid.shape[1] + 1), np.linspace(0, len(names), len(grid) + 1), grid,
        cmap="Blues", vmin=0, vmax=max(1.0, float(grid.max(initial=0))), edgecolors="white",
        linewidth=0.4 if steps <= 120 else 0,
    )  # fmt: skip
    ax.set_ylim(0, max(1, len(names)))
    _windows(ax, windows, trace.heads, dots=steps > MOST)
    ax.set_ylabel("values" + (f" ({left_out} under {WEAK} left out)" if left_out else ""))
    ax.set_yticks([])
    if len(names) <= 80:
        ax.set_yticks([0.5 + slot for slot in range(len(names))], names, fontsize=8, parse_math=False)
    ax.tick_params(length=0)
    ax.set_title(shown(trace.title), parse_math=False, pad=22 if any(trace.output_text[row]) else 6)
    if any(trace.output_text[row]):
        above = ax.secondary_xaxis("top")
        _symbols(above, trace.output_text[row][:steps], steps)
        above.tick_params(length=0)
    divider = make_axes_locatable(ax)
    bars = divider.append_axes("bottom", size="22%" if len(grid) > 3 else "60%", pad=0.08, sharex=ax)
    _bars(bars, trace, row, steps)
    figure.colorbar(image, cax=divider.append_axes("right", size=0.08, pad=0.08), label="strength")
    ax.tick_params(axis="x", labelbottom=False)
    return figure, ax


def plot_signals(trace: Trace, ax: Axes | None = None, row: int = 0) -> tuple[Figure, Axes]:
    """Draw the signals of every head over time, such as push and pop, and the depth of the memory.

    Args:
        trace: The trace.
        ax: Axes to draw on; those of a new figure if not given.
        row: Row of the batch.

    Returns:
        The figure and the axes of the signals; the axes of the depth follow it in `figure.axes`.

    Raises:
        IndexError: If the batch has no such row.
    """
    steps = _steps(trace, row)
    ax = _axes(min(16, 2.2 + 0.24 * steps), 3) if ax is None else ax
    times = range(steps)
    for column, (signal, head) in sorted(enumerate(trace.labels), key=lambda label: label[1][1]):
        name = f" of head {head}" if trace.heads > 1 else ""
        numbers, style = trace.signals[row, :steps, column].numpy(), ("-", "--", ":", "-.")[head % 4]
        ax.plot(times, numbers, style, color=_color(signal, column), label=f"{signal}{name}")
    depth = ax.twinx()
    depth.fill_between(times, trace.depth[row, :steps].numpy(), color="#999999", alpha=0.25, linewidth=0)
    depth.set_ylabel("depth")
    depth.set_ylim(bottom=0)
    ax.set_zorder(depth.get_zorder() + 1)
    ax.patch.set_visible(False)
    ax.set_ylim(-0.03, 1.03)
    ax.set_xlim(-0.5, steps - 0.5)
    ax.set_ylabel("signal")
    ax.set_title(shown(trace.title), parse_math=False)
    if trace.heads:
        ax.legend(loc="center right", framealpha=0.8)
    _symbols(ax, trace.input_text[row][:steps], steps)
    return _figure(ax), ax


def plot_lengths(accuracy: Mapping[str, Mapping[int, float]], ax: Axes | None = None) -> tuple[Figure, Axes]:
    """Draw accuracy against the length of the source, one line per model or setting.

    Args:
        accuracy: For the name of each line, the accuracy in [0, 1] by length.
        ax: Axes to draw on; those of a new figure if not given.

    Returns:
        The figure and the axes.

    Example:
        >>> figure, ax = plot_lengths({"soft": {64: 1.0, 256: 0.99, 1000: 0.13}, "rounded": {64: 1.0, 1000: 1.0}})
        >>> ax.get_xlabel()
        'source length'
    """
    ax = _axes(6, 3.5) if ax is None else ax
    for name, points in accuracy.items():
        lengths = sorted(points)
        ax.plot(lengths, [points[length] for length in lengths], "o-", label=shown(name), markersize=4)
    if accuracy:
        ax.set_xscale("log", base=2)
        ticks = sorted({length for points in accuracy.values() for length in points})
        ax.set_xticks(ticks, [str(length) for length in ticks], rotation=45 if len(ticks) > 8 else 0)
        ax.minorticks_off()
        for text in ax.legend().get_texts():
            text.set_parse_math(False)
    ax.set_ylim(-0.03, 1.03)
    ax.set_xlabel("source length")
    ax.set_ylabel("accuracy")
    ax.grid(alpha=0.3)
    return _figure(ax), ax


def require_matplotlib() -> None:
    """Raise an error if matplotlib is not installed.

    Raises:
        InputError: If it is not installed.
    """
    if not find_spec("matplotlib"):
        raise InputError(f"a plot needs matplotlib: {install('plot')}")


def _axes(width: float, height: float) -> Axes:
    require_matplotlib()
    from matplotlib import pyplot

    return pyplot.subplots(figsize=(width, height), layout="tight")[1]


def _figure(ax: Axes) -> Figure:
    figure = ax.get_figure(root=True)
    assert figure is not None
    return figure


def _steps(trace: Trace, row: int) -> int:
    if not 0 <= row < len(trace.lengths):
        raise IndexError(f"no row {row}: the trace has {len(trace.lengths)}, counted from 0")
    return max(1, int(trace.lengths[row]))


def _windows(ax: Axes, windows: list[tuple[int, int, int, float]], heads: int, dots: bool) -> None:
    """Mark the values that each head reads: by an outline, or by a dot."""
    from matplotlib.patches import Rectangle

    for head in range(heads if dots else 0):
        at = np.array([(step, value) for step, reader, value, _ in windows if reader == head]).reshape(-1, 2)
        ax.plot(at[:, 0], at[:, 1] + 0.5, ".", color=WINDOWS[head % len(WINDOWS)], markersize=1.5)
    for step, head, value, weight in [] if dots else windows:
        inset = 0.06 + 0.1 * head  # keeps two heads on one value apart
        ax.add_patch(
            Rectangle(
                (step - 0.5 + inset, value + inset), 1 - 2 * inset, 1 - 2 * inset,
                fill=False, edgecolor=WINDOWS[head % len(WINDOWS)], linewidth=0.4 + 1.6 * weight,
            )
        )  # fmt: skip


def _bars(ax: Axes, trace: Trace, row: int, steps: int) -> None:
    """Draw signals as bars upward and pop as bars downward, with the heads side by side; as areas if there are many."""
    width, named = 0.8 / max(1, trace.heads), {name for name, _ in trace.labels}
    tops = np.zeros((trace.heads, steps))
    for column, (signal, head) in enumerate(trace.labels):
        at = np.arange(steps) - 0.4 + (head + 0.5) * width
        numbers, down = trace.signals[row, :steps, column].numpy(), signal == "pop"
        heights, bottom = (-numbers, np.zeros(steps)) if down else (numbers, tops[head].copy())
        name = f" {head}" if trace.heads > 1 else ""
        style: dict[str, Any] = {
            "color": _color(signal, column),
            "alpha": 1.0 if head == 0 else 0.55,
            "label": f"{signal}{name}",
        }
        if steps > MOST:
            ax.fill_between(at, bottom, bottom + heights, step="mid", linewidth=0, **style)
        else:
            ax.bar(at, heights, width, bottom=bottom, **style)
        tops[head] += 0 if down else numbers
    ax.axhline(0, color="#666666", linewidth=0.6)
    ax.set_ylim(-1.05, 1.05)
    if named <= {"push", "pop"}:
        ax.set_yticks([-0.5, 0.5], ["pop", "push"])
    else:
        ax.set_yticks([])
        ax.legend(fontsize=6, ncols=len(trace.labels), loc="lower left", framealpha=0.6)
    ax.tick_params(axis="y", length=0)
    _symbols(ax, trace.input_text[row][:steps], steps)


def _color(signal: str, column: int) -> str:
    """The color of a signal; push and pop have fixed colors."""
    return {"push": PUSH, "pop": POP}.get(signal, WINDOWS[column % len(WINDOWS)])


def _symbols(ax: Axes | SecondaryAxis, text: tuple[str, ...], steps: int) -> None:
    """Label the steps with symbols if there are any and they fit, otherwise with numbers."""
    if any(text) and steps <= 120:
        labels = ax.set_xticks(range(steps), [shown(symbol) for symbol in text])
        size = 9 if steps <= 60 else 6
        for tick in labels:
            tick.label1.set_parse_math(False)
            tick.label2.set_parse_math(False)
        ax.tick_params(axis="x", labelsize=size, length=2)
    else:
        ax.set_xlabel("step")
