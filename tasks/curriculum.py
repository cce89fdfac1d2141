"""Short sequences first."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PROGRESS", "Curriculum"]

PROGRESS = ("stage", "accuracy", "batches", "restarts", "finished")
"""What changes in a curriculum as it goes on."""


@dataclass
class Curriculum:
    """Stages of growing length: each time the network has learned the present lengths, the longest grows by half.

    Learning fails in one of two ways, and both show as a stage that does not end. At a short one the cell remembers the
    symbols by itself, and never comes to use the memory; at a long one nothing moves. Then it is best to start afresh,
    with other weights. Every second one doubles the patience, so that what needs its time is given it.

    Attributes:
        longest: Length of the last stage.
        start: Length of the first stage.
        patience: Most batches in the first stage, before a fresh start, and twice as many as in any other: what is left
            to learn there is less. Any number of them if None.
        growth: Factor from one stage to the next.
        threshold: Running accuracy, the share of symbols that are right, that ends a stage.
        momentum: Share of the past in the running accuracy.
        stage: Longest length now.
        accuracy: Running accuracy now. Half of it is carried over to the next stage.
        batches: Batches seen in this stage.
        restarts: Fresh starts so far.
        finished: Whether the last stage has ended too.

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
        """Whether this stage has lasted too long."""
        if self.patience is None or self.finished:
            return False
        patience = self.patience if self.stage <= self.start else self.patience / 2
        return self.batches >= patience * (1 << self.restarts // 2)

    def observe(self, accuracy: float) -> None:
        """Take note of the accuracy of one batch, in [0, 1], and go on to the next stage if it is time."""
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
        self.accuracy, self.batches = 0.0, 0
        self.restarts += 1

    def lengths(self, shortest: int) -> tuple[int, int]:
        """The range to draw lengths from now: at the last stage from `shortest` to `longest`, before in proportion."""
        high = max(1, int(self.stage))
        return max(1, min(high, round(shortest * self.stage / self.longest))), high
