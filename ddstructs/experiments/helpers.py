"""More processes for the same work, which end when the one that started them does."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import connection
from typing import Any

from ddstructs.errors import InputError

__all__ = ["helpers"]


@contextmanager
def helpers(count: int, work: Callable[..., None], *arguments: Any) -> Iterator[None]:
    """Have as many processes do the same work meanwhile. They are fresh ones, not forks of this one.

    Raises:
        InputError: If the number of workers, this process and them, is less than one.
    """
    if count < 0:
        raise InputError(f"--workers is {count + 1}, but it must be 1 or more")
    start = multiprocessing.get_context("spawn").Process
    processes = [start(target=_follow, args=(work, *arguments)) for _ in range(count)]
    try:
        for process in processes:
            process.start()
        yield
    finally:
        for process in processes:
            if process.pid is not None:
                process.terminate()
                process.join()


def _follow(work: Callable[..., None], *arguments: Any) -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    try:
        work(*arguments)
    except (KeyboardInterrupt, InputError):  # the first process meets the same, and says so
        sys.exit(1)
