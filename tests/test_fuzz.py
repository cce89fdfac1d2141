"""Damaged checkpoints and traces are refused in one line, or used without a fault."""

from __future__ import annotations

import io
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import torch
from fuzz import Target, fuzz, mutate_bytes, mutate_json, mutate_torch, mutate_zip
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from pytorch_lightning import Trainer

from ddstructs import Action, Bank, Controller, Deque, InputError, Memory, MemoryRNN, NoMemory, Stack, Trace, trace
from ddstructs.__main__ import main
from ddstructs.registry.spec import build
from ddstructs.tasks import Reversal
from ddstructs.training.checkpoint import TASK, read
from ddstructs.training.resume import check_resumable, check_unfinished
from ddstructs.training.saving import with_safe_saving
from ddstructs.view.diagnose import diagnose
from ddstructs.view.player import page
from ddstructs.view.plot import plot_signals, plot_trace

QUIET: dict[str, Any] = {
    **dict.fromkeys(["logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"], False),
    "accelerator": "cpu",
    "limit_val_batches": 0,
}

SMALL: dict[str, Any] = {"eval_size": 2, "batch_size": 2, "batches_per_epoch": 2}


def targets(folder: Path) -> list[Target]:
    """The kinds of files, with valid ones to start from."""
    return [
        Target("checkpoint", _checkpoints(folder), (mutate_torch, mutate_torch, mutate_zip, mutate_bytes), _use),
        Target("resumed", _checkpoints(folder), (mutate_torch, mutate_torch, mutate_torch, mutate_zip), _resume),
        Target("commands", _checkpoints(folder), (mutate_torch, mutate_torch, mutate_torch, mutate_bytes), _command),
        Target("trace", _traces(), (mutate_json, mutate_json, mutate_json, mutate_bytes), _look),
    ]


def _checkpoints(folder: Path) -> list[bytes]:
    files = []
    kinds: list[tuple[Memory, dict[str, Any]]] = [
        (Stack(2), {}),
        (Bank([Deque(2), Stack(2)]), {"cell": "lstm", "decay_steps": 9}),
    ]
    for memory, settings in kinds:
        task = Reversal(
            symbols=3, eval_size=2, batch_size=2, batches_per_epoch=2, train_lengths=(1, 3), test_lengths=(1, 3), seed=1
        )
        model = Controller(memory, task.input_symbols, task.output_symbols, hidden_size=4, embedding_size=3, **settings)
        trainer = Trainer(max_steps=3, default_root_dir=folder, **QUIET)
        trainer.fit(model, task)
        trainer.save_checkpoint(folder / "good.ckpt", weights_only=False)
        files.append((folder / "good.ckpt").read_bytes())
    return files


def _use(path: Path) -> None:
    """Use a checkpoint as `test`, `predict` and `trace` do."""
    content = read(path)
    Controller.rehearse(content, path)
    model = Controller.load_from_checkpoint(path)
    task = build(content[TASK], "task")
    if (task.input_symbols, task.output_symbols) == (model.input_symbols, model.output_symbols):
        model(torch.zeros(2, 3, dtype=torch.int64))


def _resume(path: Path) -> None:
    """Use a checkpoint as `fit --ckpt_path` does."""
    content = read(path)
    Controller.rehearse(content, path)
    model = Controller.load_from_checkpoint(path)
    check_resumable(model, content, path)
    task = Reversal(symbols=3, train_lengths=(1, 3), seed=1, **SMALL)
    trainer = Trainer(max_steps=5, default_root_dir=path.parent, plugins=with_safe_saving(), **QUIET)
    check_unfinished(trainer, content)
    try:
        trainer.fit(model, task, ckpt_path=path, weights_only=True)
    except InputError:
        raise
    except Exception as error:  # as in the command: the run has not begun
        if trainer.global_step > content["global_step"]:
            raise
        raise InputError("no run can go on from this checkpoint") from error


COMMANDS = (
    ("test", "--trainer.limit_test_batches=1"),
    ("fit", "--trainer.max_steps=5", "--trainer.limit_val_batches=0", "--trainer.enable_progress_bar=false"),
)


def _command(path: Path) -> None:
    """Run the commands in this process: they exit with 0, or with one line and 2."""
    for command, *options in COMMANDS:
        words = ["ddstructs", command, f"--ckpt_path={path}", "--data.batch_size=2", "--data.eval_size=2", *options]
        said = io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()), redirect_stderr(said):
            patch.chdir(path.parent)
            patch.setattr(sys, "argv", [*words, "--trainer.accelerator=cpu"])
            code = main()
        text = said.getvalue()
        assert code in (0, 2), text
        if code:
            assert text.startswith(f"ddstructs {command}: error: "), text
            assert text.count("\n") == 1, text
            assert len(text) < 1000, text


def _traces() -> list[bytes]:
    torch.manual_seed(0)
    seen = [
        trace(Stack(2), Action(torch.rand(2, 3, 1), torch.rand(2, 3, 1), torch.randn(2, 3, 1, 2))),
        trace(MemoryRNN(2, 3, Bank([Deque(1), Stack(1)]), batch_first=True), torch.randn(1, 4, 2)),
        trace(MemoryRNN(2, 3, NoMemory(), batch_first=True), torch.randn(1, 2, 2)),
        trace(Controller(Stack(1), 18, 9, hidden_size=3, embedding_size=2), "ab", task=Reversal(symbols=8)),
    ]
    return [each.to_json().encode() for each in seen]


def _look(path: Path) -> None:
    """Use a trace in every way."""
    seen = Trace.load(path)
    for row in range(len(seen.lengths)):
        for plot in (plot_trace, plot_signals):
            figure = Figure(figsize=(3, 2))
            FigureCanvasAgg(figure)
            plot(seen, figure.add_subplot(), row)
            if row == len(seen.lengths) - 1:
                figure.savefig(io.BytesIO(), dpi=20)
    str(diagnose(seen))
    page(seen)
    for time in range(seen.push.shape[1]):
        seen.contents(time)
    assert Trace.from_json(seen.to_json()).to_json() == seen.to_json()


CASES = {"checkpoint": 250, "resumed": 60, "commands": 10, "trace": 150}


@pytest.mark.parametrize("kind", CASES)
def test_damaged_files_are_refused_in_one_line_or_used(kind: str, tmp_path: Path) -> None:
    with warnings.catch_warnings(action="ignore"):  # a damaged file may cause any warning
        target = next(target for target in targets(tmp_path) if target.name == kind)
        failures = list(fuzz(target, range(CASES[kind]), tmp_path))
    assert not failures, f"{len(failures)} faults, the first in case {failures[0].case}:\n{failures[0].reason}"
