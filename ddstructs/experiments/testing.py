"""The tests of a trained run."""

from __future__ import annotations

from pathlib import Path

import torch

from ddstructs.errors import InputError
from ddstructs.experiments.build import restore, task_of
from ddstructs.experiments.measure import by_length, measure, metric_of
from ddstructs.experiments.runs import Run
from ddstructs.experiments.sections import Testing
from ddstructs.training.learner import Learner

__all__ = ["at_each_length", "coarse_rounded", "of_the_paper", "stretches_of"]


def of_the_paper(run: Run, model: Learner, testing: Testing) -> tuple[dict[str, float], list[dict[str, float]]]:
    """Coarse and fine accuracy on the lengths of training and of the test, for the record, and at each length."""
    sets = {
        part: measure(model, task_of(run, test_lengths=lengths, eval_size=testing.size))
        for part, lengths in (("train", task_of(run).train_lengths), ("test", testing.lengths))
    }
    record: dict[str, float] = {}
    for part, score in sets.items():
        record |= {f"coarse_{part}": score.coarse, f"fine_{part}": score.fine}
    return record, by_length([*sets.values()])


def at_each_length(run: Run, model: Learner, testing: Testing) -> tuple[dict[str, float], list[dict[str, float]]]:
    """The metric of the suite, its mean over the lengths for the record, and at each length that sources have."""
    assert testing.metric is not None

    def at(lengths: tuple[int, int], size: int) -> float:
        return metric_of(model, task_of(run, test_lengths=lengths, eval_size=size), str(testing.metric))

    def mean_of(points: list[float]) -> float:
        return round(sum(points) / len(points), 6)

    record: dict[str, float] = {}
    stretches = stretches_of(run, testing)
    if testing.rounded:
        record["score_soft"] = mean_of([at(stretch, testing.per_length) for stretch in stretches])
        model.hard = True
    record["score_train"] = round(at(task_of(run).train_lengths, testing.size), 6)
    scores = [at(stretch, testing.per_length) for stretch in stretches]
    record["score_test"] = mean_of(scores)
    lengths = [
        {"length": sum(stretch) // 2, "sequences": testing.per_length, "score": round(score, 4)}
        for stretch, score in zip(stretches, scores, strict=True)
    ]
    return record, lengths


def stretches_of(run: Run, testing: Testing) -> list[tuple[int, int]]:
    """The stretches of lengths to test: those in which there are sources.

    Raises:
        InputError: If there are none.
    """
    task = task_of(run)
    stretches = [stretch for stretch in testing.each_length if task.has(stretch)]
    if not stretches:
        lengths = ", ".join(str(n) for n, _ in testing.each_length)
        raise InputError(f"the recipe does not fit {run.task}: it has no strings of the test lengths {lengths}")
    return stretches


def coarse_rounded(
    run: Run, checkpoint: Path, sizes: dict[int, int], device: torch.device | None = None
) -> dict[str, float]:
    """Coarse accuracy with push and pop rounded, for a number of sequences by length."""
    if not sizes:
        return {}
    model = restore(run, checkpoint, hard=True).to(device or "cpu")
    return {
        f"coarse_hard_{length}": measure(model, task_of(run, test_lengths=(length, length), eval_size=size)).coarse
        for length, size in sizes.items()
    }
