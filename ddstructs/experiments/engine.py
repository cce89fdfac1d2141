"""Where runs are executed: in this process, or by the workers of a Dask cluster."""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from ddstructs.errors import InputError
from ddstructs.experiments.plain import one_line

if TYPE_CHECKING:
    from distributed import Client, Future, LocalCluster

__all__ = ["Cluster", "Engine", "Failure", "Report", "Serial", "open_engine"]

Report = Callable[[str], None]
"""Takes a few words on progress."""

TOPIC = "ddstructs-progress"

PATIENCE = 30
"""Seconds to wait for a scheduler, at the start and after the connection broke."""

ONE_AT_A_TIME = threading.Lock()
"""Runs in one process would share torch's random state, so a worker with several threads takes them in turn."""


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

    workers = 1

    def __init__(self, report: Report, setup: Callable[[], None]) -> None:
        self.report = report
        self.setup = setup
        self._calls: dict[Hashable, tuple[Callable[..., Any], tuple[Any, ...]]] = {}

    def submit(self, key: Hashable, function: Callable[..., Any], *arguments: Any) -> None:
        self._calls[key] = function, arguments

    def completed(self) -> Iterator[tuple[Any, Any]]:
        while self._calls:
            key = next(iter(self._calls))
            function, arguments = self._calls.pop(key)
            yield key, _attempt(function, arguments, self.setup, self.report)


class Cluster(Engine):
    """Executes calls on the workers of a Dask cluster.

    A call whose worker dies is given to another one; if it takes several workers with it, it becomes a `Failure`. If
    the scheduler is lost, what it had not returned is submitted again once there is one at the same address.

    Args:
        client: The connection.
        report: Receives the progress.
        setup: Called by a worker before each call.
    """

    def __init__(self, client: Client, report: Report, setup: Callable[[], None]) -> None:
        self.client = client
        self.dashboard = client.dashboard_link
        self.report = report
        self.setup = setup
        self._calls: dict[Hashable, tuple[Callable[..., Any], tuple[Any, ...]]] = {}
        self._keys: dict[Any, Hashable] = {}
        self._submitted = 0
        self._restart()
        client.subscribe_topic(TOPIC, lambda event: self.report(event[1]))

    @property
    def workers(self) -> int:
        return max(1, len(self.client.scheduler_info(n_workers=-1)["workers"]))

    def submit(self, key: Hashable, function: Callable[..., Any], *arguments: Any) -> None:
        self._calls[key] = function, arguments
        self._start(key)

    def completed(self) -> Iterator[tuple[Any, Any]]:
        from distributed import CancelledError, KilledWorker

        while self._calls:
            try:
                for future in self._futures:
                    key = self._keys.pop(future.key)
                    try:
                        result = future.result()
                    except (InputError, OSError, CancelledError):
                        raise
                    except KilledWorker as error:
                        result = Failure(f"the worker died {error.allowed_failures + 1} times during this run")
                    except Exception as error:  # what a call raises comes as a Failure, so this is of the cluster
                        raise InputError(
                            f"the cluster cannot execute a run ({type(error).__name__}: {one_line(error)[:150]}): "
                            "scheduler and workers need the same ddstructs and Dask as this command"
                        ) from error
                    future.release()  # else a worker that dies later takes the result along, and it is computed again
                    del self._calls[key]
                    yield key, result
            except CancelledError:
                self._wait_for_scheduler()
                self._restart()

    def _wait_for_scheduler(self) -> None:
        self.report("the connection to the scheduler broke; waiting for it to return")
        while self.client.status == "connecting":
            time.sleep(0.1)
        if self.client.status != "running":
            raise InputError("the connection to the scheduler broke: to go on, give the same command when it is back")

    def _restart(self) -> None:
        from distributed import as_completed

        self._futures = as_completed(loop=self.client.loop)
        self._keys.clear()
        for key in self._calls:
            self._start(key)

    def _start(self, key: Hashable) -> None:
        self._submitted += 1
        future: Future[Any] = self.client.submit(
            _on_worker, *self._calls[key], self.setup, pure=False, priority=-self._submitted
        )
        self._keys[future.key] = key
        self._futures.add(future)


@contextmanager
def open_engine(
    report: Report, setup: Callable[[], None], workers: int = 1, scheduler: str | None = None
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
    if workers < 1:
        raise InputError(f"--workers is {workers}, but it must be 1 or more")
    if scheduler and workers > 1:
        raise InputError("--workers and --scheduler exclude each other: the cluster has workers of its own")
    if workers == 1 and not scheduler:
        yield Serial(report, setup)
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise InputError("several workers need Dask: pip install ddstructs[experiments]") from error
    logging.getLogger("distributed").setLevel(logging.CRITICAL)

    with _address(workers, scheduler) as address:
        try:
            client = Client(address, timeout=PATIENCE, set_as_default=False)
        except (OSError, ValueError) as error:
            raise InputError(f"no Dask scheduler answers at {scheduler}: {one_line(error)}") from error
        with client:
            yield Cluster(client, report, setup)


@contextmanager
def _address(workers: int, scheduler: str | None) -> Iterator[str | LocalCluster]:
    """What to connect to: the scheduler, or new processes that end with this one."""
    if scheduler:
        yield scheduler
        return
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        memory_limit=0,
        security=True,  # a scheduler executes whatever it is sent, so other users of the machine may not connect
        dashboard_address="127.0.0.1:0",
        silence_logs=logging.CRITICAL,
    ) as cluster:
        yield cluster


def _on_worker(function: Callable[..., Any], arguments: tuple[Any, ...], setup: Callable[[], None]) -> Any:
    from distributed import get_worker

    worker = get_worker()
    with ONE_AT_A_TIME:
        return _attempt(function, arguments, setup, lambda words: worker.log_event(TOPIC, words))


def _attempt(
    function: Callable[..., Any], arguments: tuple[Any, ...], setup: Callable[[], None], report: Report
) -> Any:
    setup()
    try:
        return function(*arguments, report)
    except (InputError, OSError):
        raise
    except Exception as error:  # recorded with the results, so that the other calls go on
        reason = f"{type(error).__name__}: {one_line(error)}"[:300]
        return Failure("".join(letter if letter.isprintable() else "?" for letter in reason))
