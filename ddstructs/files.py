"""Atomic file writes: a file is replaced completely or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ddstructs.errors import InputError

__all__ = ["check_checkpoint", "check_file", "check_file_name", "check_folder", "replacing", "write_atomically"]


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


def check_file(path: str, option: str) -> Path:
    """Refuse a path to which no file can be written, before the work whose result is to be written there.

    Args:
        path: The path, as the user gave it.
        option: The option, for the error.

    Raises:
        InputError: If the path names a folder, or if its folder does not exist or cannot be written to.
    """
    file = check_file_name(path, option)
    if file.is_dir():
        raise InputError(f"{option}: cannot write {path}: it is a folder")
    if file.exists() and not file.is_file():  # a device or a pipe
        return file
    folder = file.parent
    if not folder.is_dir():
        reason = f"{folder} is a file, not a folder" if folder.exists() else f"the folder {folder} does not exist"
        raise InputError(f"{option}: cannot write {path}: {reason}")
    check_folder(folder, option, path)
    return file


def check_file_name(path: str, option: str) -> Path:
    """Refuse a path that ends like that of a folder where a file was expected.

    Raises:
        InputError: If it ends with a separator.
    """
    if path.endswith(("/", os.sep)):
        raise InputError(f"{option} is {path}, but that names a folder: name a file in it")
    return Path(path)


def check_checkpoint(path: str | Path) -> None:
    """Refuse a path at which there is no file of a checkpoint.

    Args:
        path: The path, as the user gave it.

    Raises:
        InputError: If there is none. If it is the folder of the checkpoints, of a run or of several runs, the error
            names one of them; no other folders are searched, since there may be millions.
    """
    place = Path(path)
    if place.is_file():
        return
    found = (file for pattern in ("", "checkpoints/", "*/checkpoints/") for file in place.glob(f"{pattern}*.ckpt"))
    inside = sorted(found, key=lambda file: (file.name != "best.ckpt", file))
    if not inside:
        raise InputError(f"no checkpoint at {path}")
    raise InputError(f"{path} is a folder: give a checkpoint in it, such as {inside[0]}")


def check_folder(folder: Path, option: str, path: object = None, *, writing: bool = True) -> None:
    """Refuse a folder that cannot be created or written to, before the work whose results it is to hold.

    Args:
        folder: The folder; it is not created.
        option: The option, for the error.
        path: What the option was given, for the error; the folder if not given.
        writing: Whether to try to write to it, or to the nearest folder above it that exists.

    Raises:
        InputError: If there is a file in its place or above it, or if nothing can be written.
    """
    path, place = folder if path is None else path, folder
    try:
        while not place.exists() and place != place.parent:
            place = place.parent
        if not place.is_dir():
            if path == place:
                raise InputError(f"{option} is {path}, but that is a file: give a folder")
            raise InputError(f"{option} is {path}, but {place} is a file, not a folder")
        if writing:
            os.rmdir(tempfile.mkdtemp(prefix=".ddstructs-", dir=place))
    except OSError as error:
        raise InputError(f"{option}: cannot write {path}: {error.strerror or error}") from error


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
