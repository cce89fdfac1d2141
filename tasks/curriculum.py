"""The curriculum: training starts with short sequences."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PROGRESS", "Curriculum"]

PROGRESS = ("stage", "accuracy", "batches", "restarts", "finished")
"""The fields of a curriculum that change in training, and are saved in checkpoints."""


@dataclass
class Curriculum:
    """Stages of growing length: when the network has learned the current lengths, the maximum grows by half.

    Learning can fail in two ways, and both show as a stage that does not end. In a short stage the cell may remember
    the symbols on its own and never learn to use the memory; in a long stage learning may stall. The remedy for both is
    a fresh start with new weights. Every second fresh start doubles the patience, for networks that need more time.

    Attributes:
        longest: Length of the last stage.
        start: Length of the first stage.
        patience: Maximum number of batches in the first stage before a fresh start. Later stages, in which there is
            less left to learn, get half as many. Unlimited if None.
        growth: Factor by which the length grows from one stage to the next.
        threshold: Running accuracy that ends a stage: the share of correct symbols, or another `Task.mastery`.
        momentum: Weight of the past in the running accuracy.
        stage: Current maximum length.
        accuracy: Current running accuracy. Half of it is carried over to the next stage.
        batches: Batches seen in this stage.
        restarts: Number of fresh starts so far.
        finished: Whether the last stage has ended.

    Example:
        >>> curriculum = Curriculum(longest=8, start=4)
        >>> while not curriculum.finished:
        ...     curriculum.observe(1.0)
        >>> curriculum.stage
        8.0
    """

    longest: int
    start: int = 4
    patience: int | None = 150
    growth: float = 1.5
    threshold: float = 0.8
    momentum: float = 0.9
    stage: float = 0.0
    accuracy: float = 0.0
    batches: int = 0
    restarts: int = 0
    finished: bool = False

    def __post_init__(self) -> None:
        self.stage = self.stage or float(min(self.start, self.longest))

    @property
    def stalled(self) -> bool:
        """Whether this stage has exceeded its patience."""
        if self.patience is None or self.finished:
            return False
        patience = self.patience if self.stage <= self.start else self.patience / 2
        return self.batches >= patience * (1 << self.restarts // 2)

    def observe(self, accuracy: float) -> None:
        """Record the accuracy of one batch, in [0, 1], and move to the next stage if the threshold is reached."""
        self.accuracy = self.momentum * self.accuracy + (1 - self.momentum) * accuracy
        self.batches += 1
        if self.accuracy > self.threshold:
            self.finished = self.stage >= self.longest
            self.stage = min(float(self.longest), self.stage * self.growth)
            self.accuracy /= 2
            self.batches = 0

    def restart(self) -> None:
        """Go back to the first stage."""
        self.stage = float(min(self.start, self.longest))
        self.accuracy, self.batches, self.finished = 0.0, 0, False
        self.restarts += 1

    def lengths(self, shortest: int) -> tuple[int, int]:
        """The current range of lengths: `shortest` to `longest` in the last stage, proportionally shorter before."""
        high = max(1, int(self.stage))
        return max(1, min(high, round(shortest * self.stage / self.longest))), high
