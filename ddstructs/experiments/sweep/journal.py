"""The file of a study, which Optuna keeps as a journal: opened by one command at a time, and checked first."""

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
"""The operation that the first line of a journal records. Optuna passes over lines that belong to no study."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Keep other commands from writing to a journal, until this one ends in whatever way.

    Raises:
        InputError: If another one writes to it.
    """
    _check_is_file(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(path.with_name(f"{path.name}.writing"), timeout=0):
            yield
    except Timeout as error:
        raise InputError(f"another command is searching in {path}: wait for it, or choose another --study") from error


def open_journal(path: Path) -> JournalStorage:
    """Open a journal, a new one if there is no file.

    A last line that was cut short, as after a power failure, is set aside in a file of its own.

    Raises:
        InputError: If the file is anything else, or damaged in any other way; it is left as it is.
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
    except Exception as error:  # lines of JSON may tell Optuna anything, and it fails in as many ways
        reason = f"{type(error).__name__}: {one_line(error)[:100]}"
        raise InputError(f"{path} is not the journal of a study, or it is damaged: {reason}") from error


def _torn(path: Path) -> bytes:
    """What follows the last line end of a journal whose lines are whole.

    Raises:
        InputError: If one of them is not JSON.
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
        raise InputError(f"{path} is not a file, but the journal of a study was expected")


def _set_aside(path: Path, torn: bytes) -> None:
    """Take what follows the last line end out of a journal, into a new file beside it."""
    number = 1
    while (aside := path.with_name(f"{path.name}.torn-{number}")).exists():
        number += 1
    write_atomically(aside, torn)
    write_atomically(path, path.read_bytes()[: -len(torn)])
    print(f"The last line of {path} was cut short; it is now in {aside}, and its trial is repeated.")
