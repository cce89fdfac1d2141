"""Short sequences first."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Curriculum"]


@dataclass
class Curriculum:
    """Stages of growing length: each time the network has learned the present lengths, the longest grows by half.

    Attributes:
        longest: Length at which the stages end.
        stage: Longest length now.
        growth: Factor from one stage to the next.
        threshold: Running accuracy, the share of symbols that are right, that ends a stage.
        momentum: Share of the past in the running accuracy.
        accuracy: Running accuracy now. It starts again from zero with each stage.

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
    accuracy: float = 0.0

    @property
    def done(self) -> bool:
        """Whether the last stage is reached."""
        return self.stage >= self.longest

    def observe(self, accuracy: float) -> None:
        """Take note of the accuracy of one batch, in [0, 1], and go on to the next stage if it is time."""
        self.accuracy = self.momentum * self.accuracy + (1 - self.momentum) * accuracy
        if self.accuracy > self.threshold and not self.done:
            self.stage = min(float(self.longest), self.stage * self.growth)
            self.accuracy = 0.0

    def lengths(self, shortest: int) -> tuple[int, int]:
        """The range to draw lengths from now: at the last stage from `shortest` to `longest`, before in proportion."""
        high = max(1, int(self.stage))
        return max(1, min(high, round(shortest * self.stage / self.longest))), high
