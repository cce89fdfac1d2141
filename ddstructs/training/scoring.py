"""The scores of a model: the metrics of its task, and those of the signals of its memories."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any, NamedTuple, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torchmetrics import MeanMetric, Metric

from ddstructs.actions import mapped
from ddstructs.memory import Memory
from ddstructs.tasks.batch import IGNORE, Batch
from ddstructs.tasks.task import Split, Task
from ddstructs.training.metrics import SequenceAccuracy

__all__ = ["MemoryActions", "Scored", "Scoring", "metric_names"]


class MemoryActions(NamedTuple):
    """The actions of a memory in a sequence.

    Attributes:
        memory: The memory.
        actions: The actions, with one or more consecutive rows for each row of the batch.
    """

    memory: Memory
    actions: Any


class Scored(NamedTuple):
    """The scores of a batch.

    Attributes:
        loss: The mean cross entropy of the targets, in nats.
        output: The likeliest output symbols, with `IGNORE` in steps without a target, shape `(batch, time)`.
    """

    loss: Tensor
    output: Tensor


def metric_names(task: Task | None, memories: Sequence[Memory], split: Split) -> list[str]:
    """The names of the metrics of a split, see `Scoring`."""
    named = Task.metrics if task is None else task.metrics
    signals = (f"{name}_distance" for memory in memories for name, _ in memory.signals.labels)
    floor = ["excess"] if task is not None and task.knows_floor(split) else []
    return list(dict.fromkeys(["loss", *named, *signals, *floor]))


class Scoring(nn.Module):
    """The metrics of each split, and the loss.

    Args:
        task: The task, which names the metrics and knows the floor of the loss; if None, the metrics of `Task`.
        memories: The memories whose signals are measured; signals of one name share a metric.
    """

    def __init__(self, task: Task | None, memories: Sequence[Memory]) -> None:
        super().__init__()
        named = Task.metrics if task is None else task.metrics
        self.task = task
        self.floors: dict[Split, float | None] = {}
        self.named = tuple(named)
        self.sets = nn.ModuleDict()
        for split in get_args(Split):
            metrics = {
                name: _load(named[name]) if name in named else MeanMetric()
                for name in metric_names(task, memories, split)
            }
            self.sets[f"{split}_"] = nn.ModuleDict(metrics)  # `train` is the name of a method

    def metrics(self, split: Split) -> dict[str, Metric]:
        """The metrics of a split, by name."""
        return cast("dict[str, Metric]", dict(cast("nn.ModuleDict", self.sets[f"{split}_"])))

    def update(self, split: Split, logits: Tensor, batch: Batch) -> Scored:
        """Add a batch.

        Args:
            split: The set the batch is from.
            logits: Shape `(batch, time, output_symbols)`.
            batch: The batch.
        """
        asked = batch.targets != IGNORE
        loss = cross_entropy(logits[asked], batch.targets[asked])
        output = torch.where(asked, logits.argmax(dim=-1), IGNORE)
        metrics, floor = self.metrics(split), self._floor(split)
        metrics["loss"].update(loss.detach(), asked.sum())
        if floor is not None:
            metrics["excess"].update(loss.detach() - floor, asked.sum())
        for name in self.named:
            metrics[name].update(output, batch.targets)
        return Scored(loss, output)

    def _floor(self, split: Split) -> float | None:
        """The lowest loss of a set that any model can reach, computed on first use because it may take long."""
        if split not in self.floors:
            self.floors[split] = None if self.task is None else self.task.floor(split)
        return self.floors[split]

    def penalty(self, split: Split, used: Sequence[MemoryActions], batch: Batch) -> Tensor | None:
        """Add the signals of all steps before the padding, and return how undecided they are, in [0, 1].

        This is the only place that measures signals: the memory names them, and the action measures them.
        """
        metrics, fractions = self.metrics(split), []
        for memory, action in _real(used, batch):
            for name, numbers in memory.signals.named(action).items():
                metrics[f"{name}_distance"].update((numbers - numbers.round()).detach().abs())
            fractions.append(action.fractions().mean())
        return torch.stack(fractions).mean() if fractions and split == "train" else None

    def undecided(self, used: Sequence[MemoryActions], batch: Batch) -> bool:
        """Whether any signal of the steps before the padding is neither 0 nor 1."""
        return any(bool(action.fractions().any()) for _, action in _real(used, batch))


def _real(used: Sequence[MemoryActions], batch: Batch) -> Iterator[MemoryActions]:
    """The actions of the memories that have any, in the steps before the padding, shape `(steps, ...)`."""
    real = torch.arange(batch.inputs.shape[1], device=batch.inputs.device) < batch.lengths[:, None]
    for memory, actions in used:
        if memory.heads:
            rows = real.repeat_interleave(len(actions.value) // max(1, len(real)), dim=0)
            yield MemoryActions(memory, mapped(lambda part, rows=rows: part[rows], actions))


def _load(target: str) -> Metric:
    """A metric of the class at `package.module:Class`, for output aligned with its targets."""
    module, _, name = target.partition(":")
    kind = cast("type[Metric]", getattr(import_module(module), name))
    return kind(aligned=True) if issubclass(kind, SequenceAccuracy) else kind()
