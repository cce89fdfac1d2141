"""The journal file of an Optuna study: locked by one command at a time, and validated when opened."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
from filelock import FileLock, Timeout
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from ddstructs.errors import InputError, one_line
from ddstructs.files import write_atomically

__all__ = ["open_journal", "writing"]

CREATE_STUDY = 0
"""The operation in the first line of a journal. Optuna itself skips lines that belong to no study."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Lock a journal against other commands until the block ends.

    Raises:
        InputError: If another command holds the lock.
    """
    _check_is_file(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(path.with_name(f"{path.name}.writing"), timeout=0):
            yield
    except Timeout as error:
        raise InputError(f"another command is searching in {path}: wait for it, or choose another --study") from error


def open_journal(path: Path) -> JournalStorage:
    """Open a journal, or create one if there is no file.

    A truncated last line, as after a power failure, is moved to a separate file.

    Raises:
        InputError: If the file is not a journal, or is damaged in any other way; it is left unchanged.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    _check_is_file(path)
    try:
        torn = _torn(path) if path.exists() else b""
        if torn:
            _set_aside(path, torn)
        return JournalStorage(JournalFileBackend(str(path), JournalFileOpenLock(str(path))))
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"cannot use {path} as a study: {error.strerror or error}") from error
    except Exception as error:  # Optuna raises many types of errors on unexpected JSON
        reason = f"{type(error).__name__}: {one_line(error)[:100]}"
        raise InputError(f"{path} is not the journal of a study, or it is damaged: {reason}") from error


def _torn(path: Path) -> bytes:
    """The truncated last line of a journal, after the last line end.

    Raises:
        InputError: If a complete line is not JSON.
    """
    *lines, rest = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if not isinstance(record, dict) or (number == 1 and record.get("op_code") != CREATE_STUDY):
            raise InputError(f"{path}, line {number}: it is not a line of a study's journal: {line[:40]!r}")
    if rest and not lines:
        raise InputError(f"{path} is not the journal of a study: it begins with {rest[:40]!r}")
    return rest


def _check_is_file(path: Path) -> None:
    if path.exists() and not path.is_file():
        raise InputError(f"--study: {path} is not a file, but the journal of a study was expected")


def _set_aside(path: Path, torn: bytes) -> None:
    """Move the truncated last line of a journal to a new file beside it."""
    number = 1
    while (aside := path.with_name(f"{path.name}.torn-{number}")).exists():
        number += 1
    write_atomically(aside, torn)
    write_atomically(path, path.read_bytes()[: -len(torn)])
    print(f"The last line of {path} was truncated; it was moved to {aside}, and its trial will be repeated.")
