"""Limits on the sizes in a checkpoint, so that a few bytes cannot claim all memory of a machine."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ddstructs.errors import InputError

__all__ = ["BATCH", "LARGEST", "SET", "check_sizes"]

LARGEST = 1_000_000
"""Maximum of any argument of a task from a checkpoint that is a size in memory."""

SET = 2**25
"""Maximum number of symbols in the validation or test set of such a task."""

BATCH = 2**22
"""Maximum number of symbols in one of its batches."""

FREE = ("seed", "patience", "batches_per_epoch")
"""Arguments that do not affect memory."""


def check_sizes(arguments: Mapping[str, Any], path: str | Path, given: Collection[str] = ()) -> None:
    """Raise an error if the task of a checkpoint would need more memory than any real task does.

    Args:
        arguments: The arguments of the task.
        path: The checkpoint, for the error message.
        given: Arguments that the user overrides, and that are not checked.

    Raises:
        InputError: If an argument is too large. The message names the option that overrides it.
    """
    sizes = {name: _largest(value) for name, value in arguments.items() if name not in (*FREE, *given)}
    for name, size in sizes.items():
        if size > LARGEST:
            raise InputError(_refusal(name, size, LARGEST, path))
    for rows, lengths, most in (
        ("eval_size", "test_lengths", SET),
        ("eval_size", "val_lengths", SET),
        ("eval_size", "train_lengths", SET),
        ("eval_batch_size", "test_lengths", BATCH),
        ("eval_batch_size", "val_lengths", BATCH),
        ("eval_batch_size", "train_lengths", BATCH),
        ("batch_size", "train_lengths", BATCH),
    ):
        if sizes.get(rows, 0) * sizes.get(lengths, 0) > most:
            raise InputError(_refusal(f"{rows} * {lengths}", sizes[rows] * sizes[lengths], most, path, rows))


def _largest(value: object) -> int:
    """The largest integer in a value."""
    if isinstance(value, list | tuple):
        return max(map(_largest, value), default=0)
    return value if isinstance(value, int) else 0


def _refusal(name: str, size: int, most: int, path: str | Path, option: str | None = None) -> str:
    return f"{name} is {size} in {path}, but at most {most} was expected: to allow it, set --data.{option or name}"
