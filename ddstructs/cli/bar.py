"""The progress bar of `fit`: one line for the epoch, and a second one during validation."""

from __future__ import annotations

from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import RichProgressBar
from pytorch_lightning.callbacks.progress.rich_progress import BatchesProcessedColumn, CustomBarColumn, CustomTimeColumn
from rich.progress import TextColumn

__all__ = ["TrainingBar"]

SHORT = {"longest_source": "length", "train_coarse": "train", "val_coarse": "val"}
"""Short names of the figures, which must fit into a line of 80 columns."""


class TrainingBar(RichProgressBar):
    """Shows the epoch, the batches, the time and the progress of training.

    The latter is the longest source of the curriculum (`length`), the coarse accuracy in the last epoch (`train`) and
    in the last validation (`val`), and any other value that a model logs with `prog_bar=True`.

    Args:
        console: Arguments of rich's console, such as its width.
    """

    def __init__(self, console: dict[str, Any] | None = None) -> None:
        super().__init__(console_kwargs=console)

    def configure_columns(self, trainer: Trainer) -> list[Any]:
        return [
            TextColumn("{task.description}"),
            CustomBarColumn(
                bar_width=8,
                complete_style=self.theme.progress_bar,
                finished_style=self.theme.progress_bar_finished,
                pulse_style=self.theme.progress_bar_pulse,
            ),
            BatchesProcessedColumn(style=self.theme.batch_progress),
            CustomTimeColumn(style=self.theme.time),
        ]

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        found = super().get_metrics(trainer, pl_module)
        ordered = [*(name for name in SHORT if name in found), *(name for name in found if name not in SHORT)]
        return {SHORT.get(name, name): _figure(found[name]) for name in ordered if name != "v_num"}


def _figure(value: Any) -> Any:
    """Whole numbers without decimals; anything else unchanged."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() and value > 1 else value
