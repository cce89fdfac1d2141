"""Where runs are executed: an engine calls functions, in this process or in others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from ddstructs.errors import InputError, one_line
from ddstructs.registry.ranges import Size, check_ranges

__all__ = ["Engine", "Failure", "Report", "Serial", "attempt", "open_engine"]

Report = Callable[[str], None]
"""Takes a few words on progress."""


class Failure(NamedTuple):
    """A call that raised.

    Attributes:
        reason: The exception, in one line.
    """

    reason: str


class Engine(ABC):
    """Calls functions, one at a time on each worker, and yields what they return as it comes.

    Every function takes a `Report` after its own arguments. An exception becomes a `Failure`; but an `InputError` or
    an `OSError` (a full disk, a missing permission) concerns all calls, and is raised where results are collected.

    Attributes:
        dashboard: Address of a page that shows the workers, if there is one.
    """

    dashboard: str | None = None

    @property
    @abstractmethod
    def workers(self) -> int:
        """Number of calls that can be executed at once."""

    @abstractmethod
    def submit(self, key: Hashable, function: Callable[..., Any], *arguments: Any) -> None:
        """Schedule a call, also while results are collected.

        Args:
            key: The name of the call, not in use by another.
            function: A function at the top level of a module.
            arguments: Its arguments but the last, which is a `Report`.
        """

    @abstractmethod
    def completed(self) -> Iterator[tuple[Any, Any]]:
        """The key and the result of each call, in the order of completion."""


class Serial(Engine):
    """Executes calls in this process, one after another, in the order of submission.

    Args:
        report: Receives the progress.
        setup: Called once, before the first.
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


@contextmanager
def open_engine(
    report: Report, setup: Callable[[], None], workers: Size = 1, scheduler: str | None = None
) -> Iterator[Engine]:
    """An engine, with a cluster of its own unless there is one to connect to.

    Args:
        report: Receives the progress.
        setup: Called by a worker before each call.
        workers: Number of processes; one worker is this process itself, and needs no cluster.
        scheduler: Address of a Dask scheduler, such as `tcp://host:8786`, whose workers are used instead.

    Raises:
        InputError: If there is no scheduler at the address, or if Dask is not installed.
    """
    check_ranges(open_engine, locals())
    if scheduler and workers > 1:
        raise InputError("--workers and --scheduler exclude each other: the cluster has workers of its own")
    if workers == 1 and not scheduler:
        yield Serial(report, setup)
        return
    from ddstructs.experiments.cluster import connect

    with connect(report, setup, workers, scheduler) as cluster:
        yield cluster


def attempt(function: Callable[..., Any], arguments: tuple[Any, ...], setup: Callable[[], None], report: Report) -> Any:
    """Call a function, and return what it returns, or a `Failure`."""
    setup()
    try:
        return function(*arguments, report)
    except (InputError, OSError):
        raise
    except Exception as error:  # recorded with the results, so that the other calls go on
        reason = f"{type(error).__name__}: {one_line(error)}"[:300]
        return Failure("".join(letter if letter.isprintable() else "?" for letter in reason))
