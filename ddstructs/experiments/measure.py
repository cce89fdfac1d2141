"""The accuracy of a model on each sequence of a test set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ddstructs.errors import InputError
from ddstructs.tasks.batch import IGNORE, SEPARATOR
from ddstructs.tasks.task import Task
from ddstructs.training.learner import Learner
from ddstructs.training.metrics import CoarseAccuracy, FineAccuracy
from ddstructs.training.scoring import Scoring, metric_names

__all__ = ["Scores", "answers", "by_length", "check_metric", "measure", "metric_of"]


STEPS = 1 << 14
"""Steps of a piece of a long sequence; going on from a full memory copies it, so that pieces must not be short."""


class Scores(NamedTuple):
    """The scores of a set of sequences.

    Attributes:
        lengths: Length of each source, shape `(sequences,)`.
        right: 1 for each sequence without an error, 0 for the others, shape `(sequences,)`.
        prefix: Share of each sequence before its first error, in [0, 1], shape `(sequences,)`.
    """

    lengths: Tensor
    right: Tensor
    prefix: Tensor

    @property
    def coarse(self) -> float:
        """Coarse accuracy."""
        return round(float(self.right.double().mean()), 4)

    @property
    def fine(self) -> float:
        """Fine accuracy."""
        return round(float(self.prefix.double().mean()), 4)


@torch.no_grad()
def measure(model: Learner, task: Task) -> Scores:
    """Test a model on the test set of a task."""
    model.eval()
    coarse, fine = CoarseAccuracy(), FineAccuracy()
    rows = []
    for inputs, targets, _ in task.test_dataloader():
        output = torch.where(targets != IGNORE, answers(model, inputs.to(model.device)).cpu(), IGNORE)
        lengths = (inputs == SEPARATOR).int().argmax(dim=1) - 1
        rows.append(Scores(lengths, coarse.score(output, targets), fine.score(output, targets)))
    return Scores(*(torch.cat(part) for part in zip(*rows, strict=True)))


@torch.no_grad()
def answers(model: Learner, inputs: Tensor, steps: int = STEPS) -> Tensor:
    """The likeliest output symbol of each step, read piece by piece with the state carried over.

    Only the memory's contents grow with the length of a sequence, so that one of a million symbols can be tested.

    Args:
        model: The model.
        inputs: Input symbols, shape `(batch, time)`.
        steps: Number of steps of a piece.
    """
    pieces, state = [], None
    for piece in inputs.split(steps, dim=1):
        run = model.run(piece, state)
        pieces.append(run.logits.argmax(dim=-1))
        state = run.state
    return torch.cat(pieces, dim=1)


@torch.no_grad()
def metric_of(model: Learner, task: Task, name: str) -> float:
    """A metric of a model on the test set of a task.

    Args:
        model: The model.
        task: The task.
        name: One of the metrics of the task, `loss`, or `excess`.

    """
    model.eval()
    scoring = Scoring(task, model.memories).to(model.device)
    for drawn in task.test_dataloader():
        batch = model.transfer_batch_to_device(drawn, model.device, 0)
        scoring.update("test", model(batch.inputs), batch)
    return float(scoring.metrics("test")[name].compute())


def check_metric(model: Learner, task: Task, name: str) -> None:
    """Check that a task has a metric.

    Raises:
        InputError: If it does not.
    """
    names = metric_names(task, model.memories, "test")
    if name not in names:
        raise InputError(f"{type(task).__name__} has no metric {name}: choose from {', '.join(names)}")


def by_length(scores: Sequence[Scores]) -> list[dict[str, float]]:
    """Number of sequences and both accuracies for each length."""
    lengths, right, prefix = (torch.cat(part) for part in zip(*scores, strict=True))
    return [
        {
            "length": length,
            "sequences": int((lengths == length).sum()),
            "coarse": round(float(right[lengths == length].mean()), 4),
            "fine": round(float(prefix[lengths == length].mean()), 4),
        }
        for length in lengths.unique().tolist()
    ]
