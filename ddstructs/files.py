"""Files that are replaced whole or not at all, whatever happens while they are written."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

__all__ = ["replacing", "write_atomically"]


@contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file for writing that takes the place of `path` when the block ends, and only if it ends well.

    It is written in the same folder, under a name of its own, so that two processes never write to one file. On its way
    in it is flushed to the disk: a reader, or a machine after a power failure, finds the old file or the new one,
    whole. A link is followed, permissions are kept, and a device or a pipe is written to directly.

    Args:
        path: The file to write.

    Raises:
        OSError: If it cannot be written, with its name in it. What was there before is still there.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     notes = Path(folder) / "notes"
        ...     with replacing(notes) as file:
        ...         _ = file.write(b"one")
        ...     notes.read_bytes()
        b'one'
    """
    path = Path(os.path.realpath(path))
    name = path.name[:200]  # with what is added, within the 255 bytes that file systems allow
    partial = path.with_name(f"{name}.{secrets.token_hex(4)}.partial")
    try:
        mode = path.stat().st_mode if path.exists() else None
        if mode is not None and not stat.S_ISREG(mode):
            with path.open("wb") as file:
                yield file
            return
        if mode is not None and not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        try:
            with partial.open("xb") as file:
                if mode is not None:
                    os.chmod(partial, stat.S_IMODE(mode))
                yield file
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        _flush_folder(path.parent)
    except OSError as error:
        if error.errno is None or error.filename not in (None, str(partial)):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error  # the file that the caller knows


def write_atomically(path: str | Path, content: str | bytes | memoryview) -> None:
    """Write a file so that a reader finds the old one or the new one, whole; see `replacing`.

    Args:
        path: The file.
        content: What to write; text is encoded as UTF-8.

    Raises:
        OSError: If it cannot be written. What was there before is still there.
    """
    content = content.encode() if isinstance(content, str) else content
    with replacing(path) as file:
        file.write(content)


def _flush_folder(folder: Path) -> None:
    """Make a new name in a folder last through a power failure, where the system can."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows opens no folders
        return
    try:
        os.fsync(descriptor)
    except OSError:  # some network file systems do not flush folders
        pass
    finally:
        os.close(descriptor)
