"""A callback that draws traces during training."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from pytorch_lightning import Callback, LightningModule, Trainer

from ddstructs.errors import InputError
from ddstructs.extras import install
from ddstructs.files import replacing
from ddstructs.registry.ranges import Size, check_ranges
from ddstructs.tasks import Batch, Task
from ddstructs.training.learner import Learner
from ddstructs.view.plot import plot_trace
from ddstructs.view.record import trace

__all__ = ["TraceCallback"]


class TraceCallback(Callback):
    """Draws a trace of the model during training: to TensorBoard if that is the logger, otherwise to PNG files.

    Files are written to `traces` in the folder of the logger, or to `folder`. On the command line, use
    `--trainer.callbacks+=TraceCallback`.

    Args:
        every_n_epochs: Number of epochs between pictures.
        text: Text to transduce; the first, and so the shortest, sequence of the validation set if not given.
        folder: Folder of the files; if given, files are written for every logger.

    Raises:
        InputError: If `every_n_epochs` is less than 1, or, at the start of training, if matplotlib is not installed.

    Example:
        >>> from pytorch_lightning import Trainer
        >>> from ddstructs import TraceCallback
        >>> trainer = Trainer(callbacks=[TraceCallback(every_n_epochs=5)], logger=False)
    """

    def __init__(self, every_n_epochs: Size = 1, text: str | None = None, folder: str | None = None) -> None:
        check_ranges(TraceCallback.__init__, locals())
        super().__init__()
        self.every_n_epochs = every_n_epochs
        self.text = text
        self.folder = folder

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if not find_spec("matplotlib"):
            raise InputError(f"a TraceCallback needs matplotlib: {install('plot')}")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        epoch = trainer.current_epoch
        if not trainer.is_global_zero or (epoch + 1) % self.every_n_epochs:
            return
        task: object = trainer.datamodule  # type: ignore[attr-defined]
        if not (isinstance(task, Task) and isinstance(pl_module, Learner)):
            raise TypeError("a TraceCallback needs a Controller or a SequenceModel that is trained on a Task")
        self._draw(trainer, pl_module, task, epoch)

    def _draw(self, trainer: Trainer, model: Learner, task: Task, epoch: int) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        source: str | Batch | None = self.text
        if source is None:
            source = Batch(*(part[:1] for part in next(iter(task.val_dataloader()))))
        recorded = trace(model, source, task=task, title=f"epoch {epoch}")
        steps = int(recorded.lengths[0])
        figure = Figure(figsize=(min(16, 2.2 + 0.24 * steps), 6), layout="tight")  # pyplot would never free it
        FigureCanvasAgg(figure)
        plot_trace(recorded, figure.add_subplot())
        add_figure = getattr(getattr(trainer.logger, "experiment", None), "add_figure", None)
        if self.folder is None and add_figure is not None:
            add_figure("trace", figure, global_step=trainer.global_step, close=False)
            return
        log_dir = trainer.log_dir or trainer.default_root_dir
        folder = Path(self.folder) if self.folder is not None else Path(log_dir) / "traces"
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / f"epoch_{epoch:04d}.png") as file:
            figure.savefig(file, format="png", dpi=80)
