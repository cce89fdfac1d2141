"""Plots show the trace, in any axes, and at intervals of epochs during training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import torch
from kinds import EVERYTHING
from matplotlib import pyplot
from matplotlib.collections import QuadMesh
from matplotlib.patches import Rectangle
from pytorch_lightning import Trainer
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ddstructs import (
    Action,
    Controller,
    InputError,
    NoMemory,
    Queue,
    Stack,
    TraceCallback,
    plot_lengths,
    plot_signals,
    plot_trace,
    trace,
)
from ddstructs.tasks import Reversal
from ddstructs.view.events import dense
from ddstructs.view.picture import MOST, WEAK, picture

mpl.use("Agg")

PUSH = torch.tensor([1.0, 0.5, 0.0, 0.0])[None, :, None]
POP = torch.tensor([0.0, 0.0, 0.5, 1.0])[None, :, None]


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    pyplot.close("all")


def seen(**settings: object):  # type: ignore[no-untyped-def]
    return trace(Stack(2), Action(PUSH, POP, torch.randn(1, 4, 1, 2)), **settings)  # type: ignore[arg-type]


def test_the_picture_has_a_row_for_each_value_and_a_column_for_each_step() -> None:
    _, ax = plot_trace(seen(input_text=[["a", "$b", "_", "^"]], output_text=[["", "", "x", " "]], title="a $ sign"))
    mesh = next(part for part in ax.collections if isinstance(part, QuadMesh))
    array = mesh.get_array()
    assert array is not None
    assert array.tolist() == [[1.0, 1.0, 1.0, 0.0], [0.0, 0.5, 0.0, 0.0]]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "$b"]
    bars = ax.figure.axes[1]
    assert [label.get_text() for label in bars.get_xticklabels()] == ["a", "$b", "_", "^"]
    assert [patch.get_height() for patch in bars.patches if isinstance(patch, Rectangle)] == [
        1.0, 0.5, 0.0, 0.0, 0.0, 0.0, -0.5, -1.0
    ]  # fmt: skip
    ax.figure.canvas.draw()


@pytest.mark.parametrize(("stack", "steps"), [(True, 2500), (False, 10_000)])
def test_the_picture_of_a_long_run_is_limited(stack: bool, steps: int) -> None:
    generator = torch.Generator().manual_seed(0)
    push, pop = torch.rand(2, 1, steps, 1, generator=generator)
    memory = Stack(1) if stack else Queue(1)
    drawn = trace(memory, Action(push, pop * (0.5 if stack else 1.0), torch.randn(1, steps, 1, 1)))
    grid, _, names, left_out = picture(drawn, 0, steps)
    assert len(names) + left_out == len(drawn.pushes[0]) > MOST, "values with a strength"
    assert grid.shape == (MOST, MOST)
    if steps < 5000:
        strengths = dense(drawn.life.of_row(0), steps).numpy()
        strengths = strengths[(strengths >= WEAK).any(axis=1)]
        cell = [np.arange(count) * MOST // count for count in strengths.shape]
        expected = np.zeros((MOST, MOST))
        np.maximum.at(expected, (cell[0][:, None], cell[1]), strengths)
        assert (grid == expected).all(), "the strongest of those that a cell stands for"
    figure, ax = plot_trace(drawn)
    mesh = next(part for part in ax.collections if isinstance(part, QuadMesh))
    array = mesh.get_array()
    assert array is not None
    assert array.shape == (MOST, MOST)
    assert sum(len(each.patches) + len(each.lines) for each in figure.axes) < 10, "no artist for each step"
    figure.canvas.draw()


def test_what_is_read_is_outlined() -> None:
    _, ax = plot_trace(seen())
    cells = {(round(patch.get_x()), int(patch.get_y())) for patch in ax.patches if isinstance(patch, Rectangle)}
    assert cells == {(0, 0), (1, 0), (1, 1), (2, 0)}, "half of each in the second step"


@pytest.mark.parametrize("kind", [*EVERYTHING, "none"])
def test_every_memory_has_its_pictures(kind: str) -> None:
    memory = NoMemory() if kind == "none" else EVERYTHING[kind](2)
    logits = torch.randn(2, 30, memory.signals.size)
    drawn = trace(memory, memory.signals.action(logits, torch.randn(2, 30, memory.heads, memory.width)))
    for plot in (plot_trace, plot_signals):
        figure, _ = plot(drawn, row=1)
        figure.canvas.draw()


def test_pictures_go_into_axes_that_are_given() -> None:
    figure, axes = pyplot.subplots(1, 3, figsize=(12, 4))
    plots = plot_trace(seen(), axes[0]), plot_signals(seen(), axes[1]), plot_lengths({"a": {8: 1.0, 64: 0.5}}, axes[2])
    for ax, (its, came) in zip(axes, plots, strict=True):
        assert its is figure
        assert came is ax
    figure.canvas.draw()


def test_signals_and_lengths_are_drawn_unchanged() -> None:
    _, ax = plot_signals(seen())
    assert [np.asarray(line.get_ydata()).tolist() for line in ax.lines] == [
        PUSH.flatten().tolist(),
        POP.flatten().tolist(),
    ]
    _, ax = plot_lengths({"$x": {64: 0.5, 8: 1.0}, "none": {}})
    assert np.asarray(ax.lines[0].get_xdata()).tolist() == [8, 64]
    assert np.asarray(ax.lines[0].get_ydata()).tolist() == [1.0, 0.5]
    ax.figure.canvas.draw()
    plot_lengths({})[0].canvas.draw()


def test_a_missing_row_is_refused() -> None:
    for plot in (plot_trace, plot_signals):
        for row in (-1, 1):
            with pytest.raises(IndexError, match=f"no row {row}"):
                plot(seen(), row=row)


def fit(callback: TraceCallback, logger: object, folder: Path) -> None:
    task = Reversal(batches_per_epoch=1, eval_size=4, val_lengths=(3, 5), train_lengths=(2, 4), seed=0)
    model = Controller(Stack(4), task.input_symbols, task.output_symbols, hidden_size=8, embedding_size=8)
    trainer = Trainer(
        max_epochs=4, callbacks=[callback], logger=logger, default_root_dir=folder, accelerator="cpu",  # type: ignore[arg-type]
        enable_progress_bar=False, enable_checkpointing=False, enable_model_summary=False, log_every_n_steps=1,
    )  # fmt: skip
    trainer.fit(model, task)


def test_a_training_writes_a_picture_every_so_many_epochs(tmp_path: Path) -> None:
    fit(TraceCallback(every_n_epochs=2), CSVLogger(tmp_path, name="run"), tmp_path)
    assert [path.name for path in sorted((tmp_path / "run/version_0/traces").iterdir())] == [
        "epoch_0001.png", "epoch_0003.png"
    ]  # fmt: skip
    fit(TraceCallback(every_n_epochs=4, text="abc", folder=str(tmp_path / "here")), False, tmp_path)
    assert [path.read_bytes()[:4] for path in (tmp_path / "here").iterdir()] == [b"\x89PNG"]


def test_tensorboard_gets_the_picture(tmp_path: Path) -> None:
    fit(TraceCallback(every_n_epochs=2), TensorBoardLogger(tmp_path, name="run"), tmp_path)
    events = EventAccumulator(str(tmp_path / "run/version_0"))
    events.Reload()
    assert [event.step for event in events.Images("trace")] == [2, 4]


def test_no_training_is_changed_by_being_watched(tmp_path: Path) -> None:
    weights = []
    for callbacks in ([], [TraceCallback(folder=str(tmp_path))]):
        task = Reversal(batches_per_epoch=2, eval_size=4, val_lengths=(3, 5), train_lengths=(2, 4), seed=0)
        torch.manual_seed(0)
        model = Controller(Stack(4), task.input_symbols, task.output_symbols, hidden_size=8, embedding_size=8)
        trainer = Trainer(
            max_epochs=2, callbacks=[*callbacks], logger=False, accelerator="cpu", enable_progress_bar=False,
            enable_checkpointing=False, enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(model, task)
        weights.append(torch.cat([part.flatten() for part in model.parameters()]))
    assert torch.equal(*weights)


def test_a_callback_that_never_draws_is_refused() -> None:
    with pytest.raises(ValueError, match="every_n_epochs is 0"):
        TraceCallback(every_n_epochs=0)


def test_without_matplotlib_a_training_that_is_to_be_drawn_does_not_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ddstructs.view.callback.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"a TraceCallback needs matplotlib: pip install 'matplotlib>="):
        fit(TraceCallback(), False, tmp_path)
