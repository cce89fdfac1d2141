"""The input and output of `predict`: one line of output for each line of input, in order."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from ddstructs.errors import InputError, one_line, printable
from ddstructs.tasks import IGNORE, Task
from ddstructs.tasks.generated import Generated
from ddstructs.tasks.lines import place_of, read_lines

__all__ = ["PrintText", "take_lines"]


class PrintText(Callback):
    """Prints each prediction as a line of text, and an empty line for each input line that the task refused.

    Args:
        refused: The refused lines by number, counted from 1.
    """

    def __init__(self, refused: Mapping[int, str]) -> None:
        self.refused = refused
        self.line = 1

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        task: Task = trainer.datamodule  # type: ignore[attr-defined]  # set at run time; not declared by Lightning
        rows: Tensor = outputs
        for row in rows.tolist():
            self._skip()
            print(printable(task.answer([symbol for symbol in row if symbol != IGNORE])))
            self.line += 1

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._skip()

    def _skip(self) -> None:
        while self.line in self.refused:
            print()
            self.line += 1


def take_lines(task: Task, text: str | None, file: str | None) -> dict[int, str]:
    """Give a task the lines that it can read, and report the others on standard error.

    Args:
        task: The task.
        text: The lines as text.
        file: A file with the lines instead, or `-` for standard input.

    Returns:
        The reason for each refused line, by its number from 1.

    Raises:
        InputError: If there are no lines, or if the task cannot read any of them, or takes no text at all.
    """
    if not isinstance(task, Generated):
        if task.example is None:
            raise InputError(
                f"{type(task).__name__} takes no text, so there is nothing to predict: use `ddstructs test`"
            )
        task.text, task.file = text, file  # type: ignore[attr-defined]  # options of some tasks only
        return {}
    lines, place = read_lines(text, file), place_of(file)
    refused: dict[int, str] = {}
    for number, line in enumerate(lines, 1):
        try:
            task.encode(line)
        except InputError as error:
            refused[number] = str(error)
    if len(refused) == len(lines):
        first = refused[1]
        raise InputError(first if file is None and len(lines) == 1 else f"{place}, line 1: {first}")
    for number, reason in refused.items():
        print(f"ddstructs predict: {one_line(f'{place}, line {number}: {reason}')}", file=sys.stderr)
    task.text, task.file = "".join(f"{line}\n" for i, line in enumerate(lines, 1) if i not in refused), None
    return refused
