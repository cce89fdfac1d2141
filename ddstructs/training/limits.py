"""Sizes that no real model has: a few bytes in a checkpoint must not ask for all of a machine."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ddstructs.errors import InputError

__all__ = ["BATCH", "LARGEST", "SET", "check_sizes"]

LARGEST = 1_000_000
"""Most of anything that a task from a checkpoint counts in memory."""

SET = 2**25
"""Most symbols in the validation or test set of such a task."""

BATCH = 2**22
"""Most symbols in one of its batches."""

FREE = ("seed", "patience", "batches_per_epoch")
"""Numbers that take no memory."""


def check_sizes(arguments: Mapping[str, Any], path: str | Path, given: Collection[str] = ()) -> None:
    """Refuse the arguments of a task in a checkpoint that ask for more memory than any real task does.

    Args:
        arguments: The arguments of the task.
        path: The checkpoint, for the error.
        given: Arguments that the user gives, and so are not taken from it.

    Raises:
        InputError: If one is too large; it says how to ask for as much all the same.
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
    """The largest whole number in a value."""
    if isinstance(value, list | tuple):
        return max(map(_largest, value), default=0)
    return value if isinstance(value, int) else 0


def _refusal(name: str, size: int, most: int, path: str | Path, option: str | None = None) -> str:
    return f"{name} is {size} in {path}, more than {most}: if that is meant, give --data.{option or name} yourself"
