"""The progress bar of `fit`, on a terminal of 80 columns."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytorch_lightning import Trainer
from pytorch_lightning.loggers import CSVLogger
from rich import get_console

from ddstructs import Controller, Stack
from ddstructs.cli.bar import TrainingBar
from ddstructs.tasks import Reversal


class EveryChange(TrainingBar):
    """Draws every change at once; otherwise a thread draws ten times a second what has come by then."""

    def refresh(self, hard: bool = False) -> None:
        super().refresh(hard=True)


@pytest.fixture
def shared_console() -> Iterator[None]:
    """Restore the console of the process, on which all tables are printed too: a bar with arguments replaces it."""
    console = get_console()
    before = console.__dict__
    yield
    console.__dict__ = before


@pytest.mark.usefixtures("shared_console")
def test_the_bar_takes_a_line_for_the_epoch_and_one_for_the_validation(tmp_path: Path) -> None:
    screen = io.StringIO()
    bar = EveryChange({"file": screen, "width": 80, "force_terminal": True, "color_system": None})
    task = Reversal(train_lengths=(8, 64), batches_per_epoch=100, eval_size=4, eval_batch_size=2, batch_size=1)
    model = Controller(Stack(2), task.input_symbols, task.output_symbols, hidden_size=4, embedding_size=4)
    trainer = Trainer(
        max_epochs=100, max_steps=200, callbacks=[bar], logger=CSVLogger(tmp_path), accelerator="cpu",
        enable_checkpointing=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(model, task)
    drawn = screen.getvalue()
    assert "\x1b[1A" in drawn, "two lines are drawn again and again"
    assert "\x1b[1A\x1b[2K\x1b[1A" not in drawn, "and never three"
    lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[[^A-Za-z]*[A-Za-z]", "", drawn))
    assert max(map(len, lines)) <= 80
    shown = [line for line in lines if line.startswith("Epoch 1/99") and "val: " in line]
    assert re.search(r"100/100 .* length: 4 train: 0\.\d{3} val: 0\.\d{3}$", shown[-1].rstrip())
    assert "v_num" not in drawn
