"""An engine on a Dask cluster, either a new local one or an existing one."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ddstructs.errors import InputError, one_line
from ddstructs.experiments.engine import Engine, Failure, Report, attempt
from ddstructs.extras import install

if TYPE_CHECKING:
    from distributed import Client, Future, LocalCluster

__all__ = ["Cluster", "check_address", "connect"]

TOPIC = "ddstructs-progress"

PATIENCE = 30
"""Seconds to wait for a scheduler, at the start and after a lost connection."""

SETTINGS: dict[str, Any] = {
    "distributed.worker.profile.enabled": False,
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None,
}
"""Dask's settings of a local cluster.

Its profiler looks at the stack of every worker a hundred times a second, which takes a twentieth of a core each; its
limit makes freed memory go back to the system, to be mapped again for the next batch, which costs a tenth of the speed.
"""

ONE_AT_A_TIME = threading.Lock()
"""Serializes the runs of a worker with several threads, because they share torch's random state."""


class Cluster(Engine):
    """Executes calls on the workers of a Dask cluster.

    A call whose worker dies is retried on another worker; after several deaths it becomes a `Failure`. If the
    connection to the scheduler is lost, pending calls are submitted again as soon as a scheduler answers at the same
    address.

    Args:
        client: The connection.
        report: Receives progress messages.
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
        from distributed.comm.core import CommClosedError

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
                    except (
                        Exception
                    ) as error:  # exceptions of calls arrive as a Failure, so this one is from the cluster
                        raise InputError(
                            f"the cluster cannot execute a run ({type(error).__name__}: {one_line(error)[:150]}): "
                            "scheduler and workers need the same ddstructs and Dask as this command"
                        ) from error
                    future.release()  # otherwise the result is recomputed if its worker dies later
                    del self._calls[key]
                    yield key, result
            except (CancelledError, CommClosedError):
                self._wait_for_scheduler()
                self._restart()

    def _wait_for_scheduler(self) -> None:
        self.report("the connection to the scheduler was lost; waiting for it to return")
        while self.client.status == "connecting":
            time.sleep(0.1)
        if self.client.status != "running":
            raise InputError("the connection to the scheduler was lost: run the same command again when it is back")

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


def check_address(scheduler: str) -> None:
    """Refuse a text that is not an address, for which a client of Dask would wait a minute when it is deleted.

    Raises:
        InputError: If it is not an address, or if Dask is not installed.
    """
    with _dask():
        from distributed.comm.addressing import get_address_host_port
    try:
        get_address_host_port(scheduler)
    except ValueError as error:
        raise InputError(
            f"no Dask scheduler answers at {scheduler or 'an empty address'}: {one_line(error)}; "
            "an address such as tcp://host:8786 was expected"
        ) from error


@contextmanager
def _dask() -> Iterator[None]:
    """Say how to install Dask, if importing it fails."""
    try:
        yield
    except ImportError as error:
        raise InputError(f"several workers need Dask: {install('experiments')}") from error


@contextmanager
def connect(report: Report, setup: Callable[[], None], workers: int, scheduler: str | None = None) -> Iterator[Cluster]:
    """Connect to a scheduler, or start a local cluster.

    Args:
        report: Receives progress messages.
        setup: Called by a worker before each call.
        workers: Number of workers of a local cluster, if no scheduler is given.
        scheduler: Address of an existing scheduler.

    Raises:
        InputError: If no scheduler answers at the address, or if Dask is not installed.
    """
    with _dask():
        from distributed import Client
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
    """The address of the scheduler, or a local cluster whose processes end with this one."""
    if scheduler is not None:
        yield scheduler
        return
    import dask
    from distributed import LocalCluster

    with (
        TemporaryDirectory(prefix="ddstructs-", ignore_cleanup_errors=True) as folder,
        dask.config.set(SETTINGS | {"temporary-directory": folder}),  # pyright: ignore[reportPrivateImportUsage]  # otherwise the scheduler leaves a folder behind
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            memory_limit=0,
            security=True,  # a scheduler executes whatever it is sent, so other users of the machine must not connect
            dashboard_address="127.0.0.1:0",
            local_directory=folder,
            silence_logs=logging.CRITICAL,
        ) as cluster,
    ):
        yield cluster  # pyright: ignore[reportReturnType]


def _on_worker(function: Callable[..., Any], arguments: tuple[Any, ...], setup: Callable[[], None]) -> Any:
    from distributed import get_worker

    worker = get_worker()
    with ONE_AT_A_TIME:
        return attempt(function, arguments, setup, lambda words: worker.log_event(TOPIC, words))
