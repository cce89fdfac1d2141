"""What every task is: a Lightning data module, and what a controller asks of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal, NamedTuple

from pytorch_lightning import LightningDataModule
from torch import Tensor

from ddstructs.tasks.batch import Batch
from ddstructs.tasks.curriculum import Curriculum

__all__ = ["Goal", "Split", "Task"]

Split = Literal["train", "val", "test"]


class Goal(NamedTuple):
    """The value that a metric must reach before a task counts as learned.

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
        """Whether the validation metrics reach it; a metric that was not measured does not."""
        came = metrics.get(f"val_{self.metric}")
        if came is None:
            return False
        return bool(came <= self.value if self.smaller else came >= self.value)


class Task(LightningDataModule, ABC):
    """A source of batches, with a training, a validation and a test set, and the way in which they are scored.

    A controller asks a task for what stands here and for nothing else. Of each batch it takes the cross entropy of the
    targets that are not `IGNORE`; the symbols that it gives in those steps go to the metrics.

    `Generated` draws sequences by length from a seed, and has the kinds `Transduction`, `BlankAnswer`,
    `LanguageModel` and `Recognition`. A task with data of its own derives from this class, and gives its loaders as
    any Lightning data module does.

    Attributes:
        stages: The curriculum; one that is finished if there is none.
    """

    metrics: ClassVar[Mapping[str, str]] = {
        "coarse": "ddstructs.training.metrics:CoarseAccuracy",
        "fine": "ddstructs.training.metrics:FineAccuracy",
    }
    """What is measured beside the loss, by name: classes whose `update` takes output symbols and targets, both of shape
    `(batch, time)`, with `IGNORE` where nothing was asked."""

    goal: ClassVar[Goal] = Goal("coarse", 0.9999)
    """When the task counts as learned. The default, every sequence right, leaves room for rounding alone."""

    score: ClassVar[str] = "fine"
    """The metric by which the best weights are chosen; `-loss` is the loss, the smaller the better."""

    feeds_back: ClassVar[bool] = False
    """Whether answers become the next inputs, so that `predict` decodes greedily, as `Controller.decode` does."""

    example: str | None = None
    """A source as text, for messages; None if the task takes no text."""

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
        """The name of an input symbol where it is shown."""
        return str(symbol)

    def output_name(self, symbol: int) -> str:
        """The name of an output symbol where it is shown."""
        return str(symbol)

    def answer(self, symbols: list[int]) -> str:
        """The text of the output symbols of a sequence."""
        return " ".join(map(self.output_name, symbols))

    def fresh_seed(self) -> int:
        """The seed of the weights of the next fresh start."""
        return self.stages.restarts

    def floor(self, split: Split) -> float | None:
        """The loss of the distribution that a set was drawn from, in nats a symbol, where it is known.

        With it the controller logs the `excess` of the loss over it.
        """
        return None

    def lengths(self, batch: Batch) -> Tensor:
        """The length of each sequence as the task counts it, shape `(batch,)`."""
        return batch.lengths

    @property
    def validated_lengths(self) -> tuple[int, int] | None:
        """The range of lengths in the validation set, where it is known."""
        return None
