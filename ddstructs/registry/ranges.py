"""The numbers that an argument takes, declared once, in the signature: the constructor and the command line read them.

A signature says `width: Size = 64`, or `rate: Annotated[float, Range(0, 1)]`. The constructor refuses what lies outside
with `check_ranges`; the command line reads the same from the source, before anything is imported.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

from ddstructs.errors import InputError

__all__ = [
    "LIMITS",
    "SIZE",
    "Ascending",
    "Count",
    "Finite",
    "Lengths",
    "Positive",
    "Range",
    "Share",
    "Size",
    "Spread",
    "check_ranges",
]


@dataclass(frozen=True)
class Range:
    """Finite numbers from one to another.

    Attributes:
        low: The smallest; any if not given.
        high: The largest; any if not given.
        open: Whether the two ends are left out.

    Example:
        >>> 1 in Range(1), 0 in Range(0, open=True), float("nan") in Range(0)
        (True, False, False)
        >>> f"a number {Range(1)}", f"a number {Range(0, 1, open=True)}"
        ('a number of 1 or more', 'a number between 0 and 1')
    """

    low: float = -math.inf
    high: float = math.inf
    open: bool = False

    def __contains__(self, number: float) -> bool:
        inside = self.low < number < self.high if self.open else self.low <= number <= self.high
        return inside and abs(number) < math.inf

    def __str__(self) -> str:
        """What follows "a number"."""
        if self.high == math.inf:
            if self.low == -math.inf:
                return ""
            return f"above {self.low}" if self.open else f"of {self.low} or more"
        return f"between {self.low} and {self.high}" if self.open else f"from {self.low} to {self.high}"


@dataclass(frozen=True)
class Ascending:
    """Numbers of which none is smaller than the one before.

    Attributes:
        low: The smallest that the first may be.

    Example:
        >>> (1, 8) in Ascending(1), (8, 1) in Ascending(1)
        (True, False)
    """

    low: int

    def __contains__(self, numbers: tuple[int, ...]) -> bool:
        return all(a <= b for a, b in zip((self.low, *numbers), numbers, strict=False))

    def __str__(self) -> str:
        """What follows "a list of two whole numbers"."""
        return f"of {self.low} or more in ascending order"


LIMITS: dict[str, type[Range | Ascending]] = {"Range": Range, "Ascending": Ascending}
"""What may stand in `Annotated`, by name."""

SIZE = Range(1)

Size = Annotated[int, SIZE]
"""How many there are of something that there must be."""

Count = Annotated[int, Range(0)]
"""How many there are of something that there may be."""

Finite = Annotated[float, Range()]
"""Any number but infinity and NaN."""

Positive = Annotated[float, Range(0, open=True)]
"""A rate, or a bound that leaves something."""

Spread = Annotated[float, Range(0)]
"""A standard deviation, or a weight."""

Share = Annotated[float, Range(0, 1, open=True)]
"""A part of a whole."""

Lengths = Annotated[tuple[int, int], Ascending(1)]
"""The shortest and the longest."""


def check_ranges(function: Callable[..., Any], values: Mapping[str, Any]) -> None:
    """Refuse arguments that lie outside the ranges in the signature of a function.

    Args:
        function: The function; for a constructor, its `__init__`.
        values: Its arguments, by name, such as `locals()` at its first line. None is left alone, and so is whatever
            has no range.

    Raises:
        InputError: If a number is outside its range.
        TypeError: If something else stands where a number was expected.

    Example:
        >>> def wait(seconds: Positive) -> None:
        ...     check_ranges(wait, locals())
        >>> wait(-1)
        Traceback (most recent call last):
        ddstructs.errors.InputError: seconds is -1, but a finite number above 0 was expected
    """
    for name, hint in get_type_hints(function, include_extras=True).items():
        value = values.get(name)
        declared = [*_declared(hint)] if value is not None else []
        if declared and not any(each.holds(value) for each in declared):
            words = " or ".join(dict.fromkeys(str(each) for each in declared))
            fault = InputError if any(each.fits(value) for each in declared) else TypeError
            raise fault(f"{name} is {value!r}, but {words} {'were' if words[0].isdigit() else 'was'} expected")


class _Declared(NamedTuple):
    """A part of a type that has a limit: a number, a tuple of numbers, or a sequence of any length."""

    kind: Any
    limit: Range | Ascending
    sequence: bool

    def fits(self, value: Any) -> bool:
        """Whether there are numbers where numbers were expected, or one where one was."""
        several = self.sequence or self.kind not in (int, float)
        if several != isinstance(value, tuple | list) or not (self.sequence or not several or len(value) == self.size):
            return False
        wanted = Real if self.kind is float else Integral
        return all(isinstance(each, wanted) and not isinstance(each, bool) for each in (value if several else [value]))

    def holds(self, value: Any) -> bool:
        """Whether they also lie inside of the limit."""
        return self.fits(value) and all(each in self.limit for each in (value if self.sequence else [value]))

    @property
    def size(self) -> int:
        return len(get_args(self.kind))

    def __str__(self) -> str:
        word = {int: "a whole number", float: "a finite number"}.get(self.kind, f"{self.size} whole numbers")
        word = f"a list, each {word}" if self.sequence else word
        return f"{word} {self.limit}".rstrip()


def _declared(hint: Any, sequence: bool = False) -> Iterator[_Declared]:
    """What has a limit among the parts of a type."""
    if get_origin(hint) is Annotated:
        kind, *more = get_args(hint)
        yield from (_Declared(kind, each, sequence) for each in more if isinstance(each, Range | Ascending))
    else:
        for part in get_args(hint):
            yield from _declared(part, get_origin(hint) in (list, Sequence))
