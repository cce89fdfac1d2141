"""Engines: they execute runs, in this process or in others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from ddstructs.errors import InputError, one_line
from ddstructs.interrupts import check, signals_first
from ddstructs.registry.ranges import Size, check_ranges

__all__ = ["Engine", "Failure", "Report", "Serial", "attempt", "check_engine", "open_engine"]

Report = Callable[[str], None]
"""A function that receives progress messages."""


class Failure(NamedTuple):
    """A call that raised an exception.

    Attributes:
        reason: The exception in one line.
    """

    reason: str


class Engine(ABC):
    """Calls functions, one at a time on each worker, and yields their results in order of completion.

    Every function takes a `Report` as its last argument. An exception becomes a `Failure`, except that an `InputError`
    or an `OSError` (a full disk, a missing permission) affects all calls and is raised to the caller of `completed`.

    Attributes:
        dashboard: Address of the cluster's status page; None without one.
    """

    dashboard: str | None = None

    @property
    @abstractmethod
    def workers(self) -> int:
        """Number of calls that can run at once."""

    @abstractmethod
    def submit(self, key: Hashable, function: Callable[..., Any], *arguments: Any) -> None:
        """Schedule a call; allowed while results are collected.

        Args:
            key: A unique name for the call.
            function: A function at the top level of a module.
            arguments: Its arguments, without the final `Report`.
        """

    @abstractmethod
    def completed(self) -> Iterator[tuple[Any, Any]]:
        """The key and the result of each call, in order of completion."""


class Serial(Engine):
    """Executes calls in this process, one after another, in order of submission.

    Args:
        report: Receives progress messages.
        setup: Called once, before the first call.
    """

    def __init__(self, report: Report, setup: Callable[[], None]) -> None:
        self.report = report
        self.setup = setup
        self._calls: dict[Hashable, tuple[Callable[..., Any], tuple[Any, ...]]] = {}

    @property
    def workers(self) -> int:
        return 1

    def submit(self, key: Hashable, function: Callable[..., Any], *arguments: Any) -> None:
        self._calls[key] = function, arguments

    def completed(self) -> Iterator[tuple[Any, Any]]:
        while self._calls:
            key = next(iter(self._calls))
            function, arguments = self._calls.pop(key)
            yield key, attempt(function, arguments, self.setup, self.report)


def check_engine(workers: Size = 1, scheduler: str | None = None) -> None:
    """Refuse the arguments of `open_engine` that cannot be right, before anything is written.

    Raises:
        InputError: If a number is out of range, both are given, or the scheduler is not an address.
    """
    check_ranges(check_engine, locals())
    if scheduler is None:
        return
    if workers > 1:
        raise InputError("--workers and --scheduler exclude each other: a scheduler has its own workers")
    from ddstructs.experiments.cluster import check_address

    check_address(scheduler)


@contextmanager
def open_engine(
    report: Report, setup: Callable[[], None], workers: Size = 1, scheduler: str | None = None
) -> Iterator[Engine]:
    """Open an engine: this process, a local cluster, or an existing Dask cluster.

    Args:
        report: Receives progress messages.
        setup: Called by a worker before each call.
        workers: Number of processes; 1 is this process, without a cluster.
        scheduler: Address of an existing Dask scheduler, such as `tcp://host:8786`.

    Raises:
        InputError: If no scheduler answers at the address, or if Dask is not installed.
    """
    check_engine(workers, scheduler)
    if workers == 1 and scheduler is None:
        yield Serial(report, setup)
        return
    from ddstructs.experiments.cluster import connect

    with connect(report, setup, workers, scheduler) as cluster:
        yield cluster


def attempt(function: Callable[..., Any], arguments: tuple[Any, ...], setup: Callable[[], None], report: Report) -> Any:
    """Call a function; return its result, or a `Failure`."""
    setup()
    try:
        with signals_first():
            result = function(*arguments, report)
        check()
        return result
    except (InputError, OSError):
        raise
    except Exception as error:  # recorded with the results, so that other calls can continue
        reason = f"{type(error).__name__}: {one_line(error)}"[:300]
        return Failure("".join(letter if letter.isprintable() else "?" for letter in reason))
