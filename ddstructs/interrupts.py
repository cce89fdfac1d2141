"""The end of a command by a signal of the operating system, such as Ctrl-C."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

__all__ = ["Stopped", "check", "signals_first", "stop"]

_received: list[int] = []


class Stopped(BaseException):
    """Raised by a signal that ends the command."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def stop(number: int, frame: FrameType | None) -> NoReturn:
    """Handle a signal by raising `Stopped`."""
    _received.append(number)
    raise Stopped(number)


def check() -> None:
    """Raise `Stopped` if a signal was handled, and yet the command goes on.

    Python code that C code calls, to look up an attribute for instance, may be where a signal is handled, and C code
    may drop what it raises.
    """
    if _received:
        raise Stopped(_received[0])


@contextmanager
def signals_first() -> Iterator[None]:
    """Turn an error that follows a signal into `Stopped`.

    Such an error hides the signal. Python itself raises a `RuntimeError` where a class that is being created is
    interrupted, and code may fail as it cleans up, for instance a logger that writes a file it had only begun.
    """
    try:
        yield
    except Stopped:
        raise
    except BaseException:
        check()
        raise
