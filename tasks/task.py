"""The abstract task: a Lightning data module, and what a controller needs to know of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal, NamedTuple

from pytorch_lightning import LightningDataModule
from torch import Tensor

from ddstructs.tasks.batch import IGNORE, Batch
from ddstructs.tasks.curriculum import Curriculum

__all__ = ["Goal", "Split", "Task"]

Split = Literal["train", "val", "test"]


class Goal(NamedTuple):
    """The metric, and the value it must reach for a task to count as learned.

    Attributes:
        metric: Name of the metric, without the split.
        value: The value to reach.
        smaller: Whether smaller values of the metric are better.

    Example:
        >>> Goal("coarse", 0.9999).reached({"val_coarse": 1.0})
        True
    """

    metric: str
    value: float
    smaller: bool = False

    def reached(self, metrics: Mapping[str, float]) -> bool:
        """Whether the validation metrics reach the goal; False if the metric was not measured."""
        value = metrics.get(f"val_{self.metric}")
        if value is None:
            return False
        return bool(value <= self.value if self.smaller else value >= self.value)


class Task(LightningDataModule, ABC):
    """A source of training, validation and test batches, and the metrics they are scored by.

    A controller uses only the attributes and methods below. Its loss is the cross entropy over all targets that are not
    `IGNORE`, plus `auxiliary_loss` in training, and the metrics score its outputs in these steps.

    `Generated` draws sequences by length from a seed; its kinds are `Transduction`, `BlankAnswer`, `LanguageModel` and
    `Recognition`. A task with its own data derives from this class and defines its loaders as any Lightning data module
    does.

    Attributes:
        stages: The curriculum; a finished one if the task has none.
    """

    metrics: ClassVar[Mapping[str, str]] = {
        "coarse": "ddstructs.training.metrics:CoarseAccuracy",
        "fine": "ddstructs.training.metrics:FineAccuracy",
    }
    """The metrics besides the loss, by name: class paths. Their `update` takes output symbols and targets, both of
    shape `(batch, time)`, with `IGNORE` in steps without an answer."""

    goal: ClassVar[Goal | None] = Goal("coarse", 0.9999)
    """The goal in validation; None if no value of a metric counts as learned. The default requires every sequence to be
    right, up to rounding."""

    score: ClassVar[str] = "fine"
    """The metric that selects the best weights; `-loss` selects the smallest loss."""

    feeds_back: ClassVar[bool] = False
    """Whether answers are the next inputs, so that `predict` decodes greedily; see `Controller.decode`."""

    example: str | None = None
    """A source as text, for error messages; None if the task takes no text."""

    stages: Curriculum

    @property
    @abstractmethod
    def input_symbols(self) -> int:
        """Number of input symbols."""

    @property
    @abstractmethod
    def output_symbols(self) -> int:
        """Number of output symbols."""

    def input_name(self, symbol: int) -> str:
        """The display name of an input symbol."""
        return str(symbol)

    def output_name(self, symbol: int) -> str:
        """The display name of an output symbol."""
        return str(symbol)

    def answer(self, symbols: list[int]) -> str:
        """The text of the output symbols of a sequence."""
        return " ".join(map(self.output_name, symbols))

    def fresh_seed(self) -> int:
        """The seed of the weights of the next fresh start."""
        return self.stages.restarts

    def knows_floor(self, split: Split) -> bool:
        """Whether `floor` is known for a set. Override this as well, if `floor` takes long."""
        return self.floor(split) is not None

    def floor(self, split: Split) -> float | None:
        """The loss of a perfect model of a set, in nats per symbol; None if unknown.

        If it is known, the controller also logs the `excess` of the loss over it.
        """
        return None

    def mastery(self, loss: Tensor, output: Tensor, batch: Batch) -> Tensor:
        """How much of a training batch is learned, in [0, 1]; a stage of the curriculum ends at its `threshold`.

        The share of correct symbols, unless a kind of task defines something else.

        Args:
            loss: The mean cross entropy of the targets, in nats.
            output: The likeliest output symbols, in the shape of the targets.
            batch: The batch.
        """
        return (output == batch.targets)[batch.targets != IGNORE].float().mean()

    def auxiliary_loss(self, logits: Tensor, batch: Batch) -> Tensor | None:
        """What a second objective adds to the loss in training; None if there is none. No metric includes it.

        Args:
            logits: Scores of the output symbols, shape `(batch, time, output_symbols)`.
            batch: The batch.
        """
        return None

    def lengths(self, batch: Batch) -> Tensor:
        """The length of each sequence by the task's own measure, shape `(batch,)`."""
        return batch.lengths

    @property
    def validated_lengths(self) -> tuple[int, int] | None:
        """The range of lengths in the validation set; None if unknown."""
        return None
