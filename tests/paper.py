"""The equations of Grefenstette et al. 2015, section 3, one number at a time: slow, but obviously correct.

Nothing here is shared with the library. A number carries its derivatives with it (forward mode), and `maximum` and
`minimum` follow the paper: "at equality in max or min the derivative of the left argument is used".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from ddstructs import Action

Name = tuple[str, int, int]


@dataclass
class Ties:
    """The smallest distance from a tie whose two sides have different derivatives."""

    margin: float = float("inf")


@dataclass
class Number:
    """A value, and its derivative by each named input that it depends on."""

    value: float
    slope: dict[Name, float] = field(default_factory=dict)

    def __add__(self, other: Number) -> Number:
        names = self.slope.keys() | other.slope.keys()
        slope = {name: self.slope.get(name, 0.0) + other.slope.get(name, 0.0) for name in names}
        return Number(self.value + other.value, slope)

    def __mul__(self, factor: float) -> Number:
        return Number(self.value * factor, {name: slope * factor for name, slope in self.slope.items()})

    def __sub__(self, other: Number) -> Number:
        return self + other * -1.0


ZERO, ONE = Number(0.0), Number(1.0)


def total(numbers: Sequence[Number]) -> Number:
    """The sum, from left to right."""
    result = ZERO
    for number in numbers:
        result = result + number
    return result


def maximum(left: Number, right: Number, ties: Ties) -> Number:
    """The larger one; the left one at equality."""
    watch(left, right, ties)
    return left if left.value >= right.value else right


def minimum(left: Number, right: Number, ties: Ties) -> Number:
    """The smaller one; the left one at equality."""
    watch(left, right, ties)
    return left if left.value <= right.value else right


def watch(left: Number, right: Number, ties: Ties) -> None:
    difference = left - right
    if any(difference.slope.values()):
        ties.margin = min(ties.margin, abs(difference.value))


def pop(s: list[Number], u: Number, ties: Ties) -> list[Number]:
    """Equation 2, first case, for slots counted from the end that is popped."""
    return [maximum(ZERO, s[i] - maximum(ZERO, u - total(s[:i]), ties), ties) for i in range(len(s))]


def read(s: list[Number], ties: Ties) -> list[Number]:
    """The weights of equation 3, for slots counted from the end that is read."""
    return [minimum(s[i], maximum(ZERO, ONE - total(s[:i]), ties), ties) for i in range(len(s))]


@dataclass
class Result:
    """The result for one row of a batch.

    Attributes:
        weights: For each step and head, the weight of each slot that is read, under the (step, head) that pushed it.
        strengths: The slots at the end, in the order of the contents, under the (step, head) that pushed each.
        margin: The distance from the nearest tie.
    """

    weights: list[list[dict[tuple[int, int], Number]]]
    strengths: list[tuple[tuple[int, int], Number]]
    margin: float


def run(line: str, actions: Action, row: int) -> Result:
    """Run one row of a sequence of actions through a "stack", a "queue" or a "deque"."""
    d, u = named("push", actions.push[row]), named("pop", actions.pop[row])
    ties, weights = Ties(), []
    names: list[tuple[int, int]] = []
    s: list[Number] = []
    for t in range(len(d)):
        if line == "stack":
            s = [*pop(s[::-1], u[t][0], ties)[::-1], d[t][0]]
            names = [*names, (t, 0)]
            reads = [read(s[::-1], ties)[::-1]]
        elif line == "queue":
            s = [*pop(s, u[t][0], ties), d[t][0]]
            names = [*names, (t, 0)]
            reads = [read(s, ties)]
        else:
            s = pop(s[::-1], u[t][0], ties)[::-1]
            s = pop(s, u[t][1], ties)
            s = [d[t][1], *s, d[t][0]]
            names = [(t, 1), *names, (t, 0)]
            reads = [read(s[::-1], ties)[::-1], read(s, ties)]
        weights.append([dict(zip(names, weight, strict=True)) for weight in reads])
    return Result(weights, list(zip(names, s, strict=True)), ties.margin)


def named(name: str, signal: Tensor) -> list[list[Number]]:
    """Named inputs, each with derivative one by itself; signal `(time, heads)`."""
    return [
        [Number(number, {(name, t, h): 1.0}) for h, number in enumerate(numbers)]
        for t, numbers in enumerate(signal.tolist())
    ]
