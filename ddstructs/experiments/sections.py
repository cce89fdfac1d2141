"""The sections of a recipe, as dataclasses."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from ddstructs.errors import InputError
from ddstructs.experiments.names import known
from ddstructs.registry.arguments import fit_arguments

__all__ = ["CLASSES", "SECTIONS", "Defaults", "Rule", "Testing", "Training", "Where", "read_section"]


@dataclass(frozen=True)
class Training:
    """The section `training`.

    Attributes:
        max_updates: Maximum number of updates.
        validate_every: Number of updates between two validations.
        validation_size: Number of sequences in the validation set.
        validation_lengths: Shortest and longest source in the validation set.
    """

    max_updates: int
    validate_every: int
    validation_size: int
    validation_lengths: tuple[int, int]

    def __post_init__(self) -> None:
        _check_counts(max_updates=self.max_updates, validate_every=self.validate_every)
        _check_counts(validation_size=self.validation_size)
        if self.max_updates % self.validate_every:
            raise InputError(
                f"max_updates is {self.max_updates}, but training can only end at a validation: choose a multiple "
                f"of validate_every, {self.validate_every}"
            )


@dataclass(frozen=True)
class Testing:
    """The section `test`.

    Attributes:
        size: Number of sequences in the test set.
        lengths: Shortest and longest source in the test set.
        hard: Number of sequences by length, for tests with push and pop rounded.
        long: The same for the additional tests of `--long`.
    """

    size: int
    lengths: tuple[int, int]
    hard: dict[int, int] = field(default_factory=dict)
    long: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_counts(size=self.size)
        for name, tests in (("hard", self.hard), ("long", self.long)):
            for length, size in tests.items():
                _check_counts(**{f"a length in {name}": length, f"the size of {name} at {length}": size})


@dataclass(frozen=True)
class Where:
    """The runs that an exception applies to: those of a task, memory or cell, or of a combination."""

    task: str | None = None
    memory: str | None = None
    cell: str | None = None

    def __post_init__(self) -> None:
        if not self.chosen:
            raise InputError("where is empty, but a task, a memory or a cell was expected")
        for kind, name in self.chosen.items():
            if name not in known(kind):
                raise InputError(f"where has the unknown {kind} {name}")

    @property
    def chosen(self) -> dict[str, str]:
        """The names that a run must match."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def __str__(self) -> str:
        return " ".join(self.chosen.values())


@dataclass(frozen=True)
class Defaults:
    """The default sections of all runs. A null value stands for the default of the class."""

    memory: dict[str, Any]
    model: dict[str, Any]
    data: dict[str, Any]
    training: dict[str, Any]
    test: dict[str, Any]


@dataclass(frozen=True)
class Rule:
    """An entry of `exceptions`: settings of some runs that differ from the defaults, with the reason."""

    where: Where
    because: str
    memory: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    test: dict[str, Any] = field(default_factory=dict)


SECTIONS = tuple(section.name for section in fields(Defaults))

CLASSES = ("memory", "model", "data")
"""The sections that are the arguments of a class."""


S = TypeVar("S", Training, Testing)


def read_section(kind: type[S], settings: dict[str, Any]) -> S:
    """The section `training` or `test` of a run.

    Raises:
        InputError: If its form is invalid.
    """
    return kind(**fit_arguments(kind, settings))


def _check_counts(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise InputError(f"{name} is {count}, but 1 or more was expected")
