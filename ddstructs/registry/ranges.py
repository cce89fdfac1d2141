"""Ranges of numeric arguments, declared once in the signature, and checked by constructors and the command line.

A signature has `width: Size = 64`, or `rate: Annotated[float, Range(0, 1)]`. The constructor checks its arguments with
`check_ranges`; the command line reads the same ranges from the source, before anything is imported.
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
    """The finite numbers in an interval.

    Attributes:
        low: Lower bound; unbounded if not given.
        high: Upper bound; unbounded if not given.
        open: Whether the bounds themselves are excluded.

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
        """The text that completes "a number"."""
        if self.high == math.inf:
            if self.low == -math.inf:
                return ""
            return f"above {self.low}" if self.open else f"of {self.low} or more"
        return f"between {self.low} and {self.high}" if self.open else f"from {self.low} to {self.high}"


@dataclass(frozen=True)
class Ascending:
    """Numbers in ascending order; equal neighbors are allowed.

    Attributes:
        low: Lower bound of the first.

    Example:
        >>> (1, 8) in Ascending(1), (8, 1) in Ascending(1)
        (True, False)
    """

    low: int

    def __contains__(self, numbers: tuple[int, ...]) -> bool:
        return all(a <= b for a, b in zip((self.low, *numbers), numbers, strict=False))

    def __str__(self) -> str:
        """The text that completes "a list of two whole numbers"."""
        return f"of {self.low} or more in ascending order"


LIMITS: dict[str, type[Range | Ascending]] = {"Range": Range, "Ascending": Ascending}
"""The limits that `Annotated` may contain, by name."""

SIZE = Range(1)

Size = Annotated[int, SIZE]
"""A number of things, at least one."""

Count = Annotated[int, Range(0)]
"""A number of things, possibly none."""

Finite = Annotated[float, Range()]
"""Any number except infinity and NaN."""

Positive = Annotated[float, Range(0, open=True)]
"""A rate, or an upper bound."""

Spread = Annotated[float, Range(0)]
"""A standard deviation or a weight."""

Share = Annotated[float, Range(0, 1, open=True)]
"""A fraction of a whole."""

Lengths = Annotated[tuple[int, int], Ascending(1)]
"""The shortest and the longest length."""


def check_ranges(function: Callable[..., Any], values: Mapping[str, Any]) -> None:
    """Refuse arguments outside the ranges in the signature of a function.

    Args:
        function: The function; for a constructor, its `__init__`.
        values: Its arguments by name, such as `locals()` in its first line. None and arguments without a range are not
            checked.

    Raises:
        InputError: If a number is outside its range.
        TypeError: If a value is not a number where one was expected.

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
    """A part of a type with a limit: a number, a tuple of numbers, or a sequence of any length."""

    kind: Any
    limit: Range | Ascending
    sequence: bool

    def fits(self, value: Any) -> bool:
        """Whether a value has the type: a number, or the right count of numbers."""
        several = self.sequence or self.kind not in (int, float)
        if several != isinstance(value, tuple | list) or not (self.sequence or not several or len(value) == self.size):
            return False
        kind = Real if self.kind is float else Integral
        return all(isinstance(each, kind) and not isinstance(each, bool) for each in (value if several else [value]))

    def holds(self, value: Any) -> bool:
        """Whether a value has the type and is within the limit."""
        return self.fits(value) and all(each in self.limit for each in (value if self.sequence else [value]))

    @property
    def size(self) -> int:
        return len(get_args(self.kind))

    def __str__(self) -> str:
        word = {int: "a whole number", float: "a finite number"}.get(self.kind, f"{self.size} whole numbers")
        word = f"a list, each {word}" if self.sequence else word
        return f"{word} {self.limit}".rstrip()


def _declared(hint: Any, sequence: bool = False) -> Iterator[_Declared]:
    """The parts of a type that have a limit."""
    if get_origin(hint) is Annotated:
        kind, *more = get_args(hint)
        yield from (_Declared(kind, each, sequence) for each in more if isinstance(each, Range | Ascending))
    else:
        for part in get_args(hint):
            yield from _declared(part, get_origin(hint) in (list, Sequence))
