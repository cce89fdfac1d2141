"""Atomic file writes: a file is replaced completely or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ddstructs.errors import InputError

__all__ = ["check_writable", "replacing", "write_atomically"]


@contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """Open a temporary file that replaces `path` when the block exits without an exception.

    The temporary file is in the same folder under a unique name, so two processes never write to one file. It is
    flushed to the disk before the rename: a reader, or the machine after a power failure, finds the complete old file
    or the complete new one. Symbolic links are followed, permissions are kept, and devices and pipes are written to
    directly.

    Args:
        path: The file to write.

    Raises:
        OSError: If the file cannot be written; the message names it. The previous file is left unchanged.

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
    name = path.name[:200]  # leaves room for the suffix within the 255 bytes that file systems allow
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
        raise OSError(error.errno, error.strerror, str(path)) from error  # name the caller's file


def write_atomically(path: str | Path, content: str | bytes | memoryview) -> None:
    """Write a file atomically; see `replacing`.

    Args:
        path: The file.
        content: The new content; text is encoded as UTF-8.

    Raises:
        OSError: If the file cannot be written. The previous file is left unchanged.
    """
    content = content.encode() if isinstance(content, str) else content
    with replacing(path) as file:
        file.write(content)


def check_writable(path: Path) -> None:
    """Refuse a path to which no file can be written, before the work whose result is to be written there.

    Raises:
        InputError: If the path is a folder, or if its folder does not exist.
    """
    if path.is_dir():
        raise InputError(f"cannot write {path}: it is a folder")
    if not path.parent.is_dir():
        raise InputError(f"cannot write {path}: the folder {path.parent} does not exist")


def _flush_folder(folder: Path) -> None:
    """Flush a folder to the disk, so that a new name in it survives a power failure, where the system supports it."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows cannot open folders
        return
    try:
        os.fsync(descriptor)
    except OSError:  # some network file systems cannot flush folders
        pass
    finally:
        os.close(descriptor)
