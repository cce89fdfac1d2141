"""The sections of a recipe, as dataclasses."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from ddstructs.errors import InputError
from ddstructs.experiments.names import LAYERS, is_known, model_of
from ddstructs.registry.arguments import fit_arguments

__all__ = [
    "CLASSES",
    "CONTROLLER",
    "SECTIONS",
    "Budget",
    "Defaults",
    "Rule",
    "Testing",
    "Training",
    "Where",
    "read_section",
]

CONTROLLER = "Controller"
"""The model of a run unless its cell is `layers`."""


@dataclass(frozen=True)
class Training:
    """The section `training`.

    Attributes:
        max_updates: Maximum number of updates.
        validate_every: Number of updates between two validations.
        validation_size: Number of sequences in the validation set.
        validation_lengths: Shortest and longest source in the validation set.
        rounded: Whether to round the signals in validation.
        rounded_every: Which training batches after the curriculum have rounded signals too, with a straight-through
            gradient, if validation has: every second one for 2; none if not given.
        fresh_after: Number of updates after which a start has failed if its validation score was always below
            `fresh_below`; training then begins afresh, with new weights. Only the curriculum decides if not given.
        fresh_below: The bound, for `fresh_after`: a share of symbols or strings, or for a language model its loss in
            nats with a minus sign, so that larger is better.
    """

    max_updates: int
    validate_every: int
    validation_size: int
    validation_lengths: tuple[int, int]
    rounded: bool = False
    rounded_every: int | None = None
    fresh_after: int | None = None
    fresh_below: float | None = None

    def __post_init__(self) -> None:
        _check_counts(rounded_every=1 if self.rounded_every is None else self.rounded_every)
        _check_counts(max_updates=self.max_updates, validate_every=self.validate_every)
        _check_counts(validation_size=self.validation_size)
        if self.rounded_every is not None and not self.rounded:
            raise InputError(
                f"rounded_every is {self.rounded_every}, but validation is not rounded: set rounded to true, too"
            )
        if (self.fresh_after is None) != (self.fresh_below is None):
            raise InputError(
                f"fresh_after is {self.fresh_after} and fresh_below is {self.fresh_below}: set both, or neither"
            )
        if self.fresh_below is not None and not math.isfinite(self.fresh_below):
            raise InputError(f"fresh_below is {self.fresh_below}, but a finite score was expected")
        if self.fresh_after is not None and self.fresh_after < self.validate_every:
            raise InputError(
                f"fresh_after is {self.fresh_after}, before the first validation: choose at least validate_every, "
                f"{self.validate_every}"
            )
        if self.max_updates % self.validate_every:
            raise InputError(
                f"max_updates is {self.max_updates}, but training can only end at a validation: choose a multiple "
                f"of validate_every, {self.validate_every}"
            )


@dataclass(frozen=True)
class Testing:
    """The section `test`.

    The paper tests one set of sequences, of lengths drawn from a range, and long ones with push and pop rounded. The
    suites test each length by itself, if `metric` is given: the score is the mean of the metric over the lengths.

    Attributes:
        size: Number of sequences in the test set.
        lengths: Shortest and longest source in the test set.
        hard: Number of sequences by length, for tests with push and pop rounded.
        long: The same for the additional tests of `--long`.
        metric: Metric to measure at each test length separately: one of the task's, or `excess`.
        per_length: Number of sequences of each length.
        step: Difference between successive test lengths.
        stretch: Number of successive lengths that are tested together, as one.
        rounded: Whether to round all signals. The score without rounding is recorded as well.
    """

    size: int
    lengths: tuple[int, int]
    hard: dict[int, int] = field(default_factory=dict)
    long: dict[int, int] = field(default_factory=dict)
    metric: str | None = None
    per_length: int = 512
    step: int = 1
    stretch: int = 1
    rounded: bool = False

    @property
    def each_length(self) -> list[tuple[int, int]]:
        """The lengths of a test length by length: the shortest and longest of each stretch."""
        low, high = self.lengths
        return [(n, min(high, n + self.stretch - 1)) for n in range(low, high + 1, self.step)]

    def __post_init__(self) -> None:
        _check_counts(size=self.size, per_length=self.per_length, step=self.step, stretch=self.stretch)
        if self.rounded and self.metric is None:
            raise InputError(
                "rounded is true, but without a metric only the tests of hard and long round: set metric, too"
            )
        for name, tests in (("hard", self.hard), ("long", self.long)):
            for length, size in tests.items():
                _check_counts(**{f"a length in {name}": length, f"the size of {name} at {length}": size})


@dataclass(frozen=True)
class Where:
    """The runs that an exception applies to: those of a task, memory or cell, or of a combination.

    Several names of a kind are separated by commas; `Queue+Queue` is a bank of two queues. With `symbols`, only tasks
    with at most that many symbols: `settings_for` and `fit` ask about them, and no run of `reproduce` does. An
    exception that names no model is for a `Controller`; the model of a run whose cell is `layers` is a `SequenceModel`.
    """

    task: str | None = None
    memory: str | None = None
    cell: str | None = None
    model: str = CONTROLLER
    symbols: int | None = None

    def __post_init__(self) -> None:
        if not self.chosen and self.model == CONTROLLER:
            raise InputError("where is empty, but a task, a memory or a cell was expected")
        if not is_known("model", self.model):
            raise InputError(f"where has the unknown model {self.model}")
        for kind, names in self.chosen.items():
            for name in names:
                if not name:
                    raise InputError(f"where has an empty name among those of {kind}: separate names by single commas")
                if not is_known(kind, name):
                    raise InputError(f"where has the unknown {kind} {name}")
        if self.symbols is not None:
            _check_counts(**{"symbols in where": self.symbols})
        for cell in self.chosen.get("cell", []):
            if (cell == LAYERS) != (self.model == model_of(LAYERS)):
                raise InputError(
                    f"where has the cell {cell} and the model {self.model}, which no run has together: "
                    f"{LAYERS} is for {model_of(LAYERS)}, and other cells are not"
                )

    @property
    def chosen(self) -> dict[str, list[str]]:
        """The names that a run may have, by kind."""
        kinds = {"task": self.task, "memory": self.memory, "cell": self.cell}
        return {kind: [name.strip() for name in names.split(",")] for kind, names in kinds.items() if names is not None}

    def fits(self, run: Mapping[str, str], symbols: int | None = None) -> bool:
        """Whether the exception applies to a run.

        Args:
            run: Its `task`, `memory` and `cell`, by name, and its `model` if that is no `Controller`.
            symbols: The number of symbols of the task, if it is not the one that the recipe sets.
        """
        few = self.symbols is None or (symbols is not None and symbols <= self.symbols)
        return (
            few
            and run.get("model", CONTROLLER) == self.model
            and all(run[kind] in names for kind, names in self.chosen.items())
        )

    def __str__(self) -> str:
        names = " ".join(", ".join(names) for names in self.chosen.values())
        names = names if self.model == CONTROLLER else f"{names} {self.model}".strip()
        return names if self.symbols is None else f"{names} with at most {self.symbols} symbols"


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


@dataclass(frozen=True)
class Budget:
    """An entry of `budgets`: settings of every run that go before all others, to spend less on it, or more."""

    model: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    test: dict[str, Any] = field(default_factory=dict)
    memory: dict[str, Any] = field(default_factory=dict)


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
