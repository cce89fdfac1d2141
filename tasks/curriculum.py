"""Short sequences first."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Curriculum"]


@dataclass
class Curriculum:
    """Stages of growing length: when the network has learned the present lengths, the longest grows by half.

    It also grows when the network has not learned them after a while. A stage so short that the cell can remember the
    symbols by itself may never end otherwise: longer ones leave it no choice but to use the memory.

    Attributes:
        longest: Length at which the stages end.
        stage: Longest length now.
        growth: Factor from one stage to the next.
        threshold: Running accuracy, the share of symbols that are right, that ends a stage.
        momentum: Share of the past in the running accuracy.
        patience: Most batches in a stage.
        accuracy: Running accuracy now. It starts again from zero with each stage.
        batches: Batches seen in this stage.

    Example:
        >>> curriculum = Curriculum(longest=8, stage=4)
        >>> while not curriculum.done:
        ...     curriculum.observe(1.0)
        >>> curriculum.stage
        8.0
    """

    longest: float
    stage: float = 4.0
    growth: float = 1.5
    threshold: float = 0.8
    momentum: float = 0.9
    patience: int = 40
    accuracy: float = 0.0
    batches: int = 0

    @property
    def done(self) -> bool:
        """Whether the last stage is reached."""
        return self.stage >= self.longest

    def observe(self, accuracy: float) -> None:
        """Take note of the accuracy of one batch, in [0, 1], and go on to the next stage if it is time."""
        self.accuracy = self.momentum * self.accuracy + (1 - self.momentum) * accuracy
        self.batches += 1
        if (self.accuracy > self.threshold or self.batches >= self.patience) and not self.done:
            self.stage = min(float(self.longest), self.stage * self.growth)
            self.accuracy, self.batches = 0.0, 0

    def lengths(self, shortest: int) -> tuple[int, int]:
        """The range to draw lengths from now: at the last stage from `shortest` to `longest`, before in proportion."""
        high = max(1, int(self.stage))
        return max(1, min(high, round(shortest * self.stage / self.longest))), high
