"""Who works on what: any number of processes, on any number of machines with one file system, share the cells.

A cell belongs to the process that holds a lock on its file (`flock`). The kernel gives the lock up when the process
ends, in whatever way, so there are no stale claims; over NFS the server does, once the machine is gone. The cell is
worked on in a folder with another name, which gets its own when all is there: so a cell is done, or it is not.
"""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ddstructs.files import write_atomically

__all__ = ["attempt", "claim", "write_atomically"]


@contextmanager
def claim(path: Path, wait: bool = False) -> Iterator[bool]:
    """Hold the lock on a file, and say whether it was to be had.

    Args:
        path: The file. It says who held it last, and stays: to remove it could give two processes a lock each.
        wait: Whether to wait for it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            file.truncate(0)
            print(platform.node(), os.getpid(), file=file, flush=True)
            yield True


@contextmanager
def attempt(work: Path, folder: Path) -> Iterator[Path]:
    """A folder to work in, which is moved to where it belongs at the end; what an earlier one left is thrown away."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    yield work
    folder.parent.mkdir(parents=True, exist_ok=True)
    work.rename(folder)
