"""The recipe: a file that gives the settings of each run."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ddstructs.errors import InputError
from ddstructs.experiments.plain import fit_arguments, load_yaml
from ddstructs.registry.plugins import names

__all__ = ["RECIPE", "Recipe", "Settings", "Testing", "Training", "read_recipe", "read_section"]

RECIPE = Path(__file__).with_name("recipe.yaml")

Settings = dict[str, dict[str, Any]]
"""The arguments of the memory, the controller and the task, and those of `Training` and `Testing`, by section."""

if TYPE_CHECKING:
    Section = dict[str, Any]
else:
    Section = dict  # the parser would read strings below Any as YAML


@dataclass(frozen=True)
class Training:
    """The section `training`.

    Attributes:
        max_updates: Updates after which training ends at the latest.
        validate_every: Updates between two validations.
        validation_size: Number of sequences in a validation.
        validation_lengths: Lengths of their sources, from and to.
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
        size: Number of sequences in a test.
        lengths: Lengths of their sources, from and to.
        hard: Tests with push and pop rounded: number of sequences by length.
        long: More of these, for `--long`.
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
    """The runs that an exception is for: those of one task, memory or cell, or of a combination."""

    task: str | None = None
    memory: str | None = None
    cell: str | None = None

    def __post_init__(self) -> None:
        if not self.chosen:
            raise InputError("where is empty, but a task, a memory or a cell was expected")
        for kind, name in self.chosen.items():
            if name not in names(kind):
                raise InputError(f"where is {kind}: {name}, but there is no such {kind}")

    @property
    def chosen(self) -> dict[str, str]:
        """The names that a run must have."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def __str__(self) -> str:
        return " ".join(self.chosen.values())


@dataclass(frozen=True)
class Defaults:
    """The sections of every run. A value of null stands for the default of the class."""

    memory: Section
    model: Section
    data: Section
    training: Section
    test: Section


@dataclass(frozen=True)
class Rule:
    """An entry of `exceptions`: settings of some runs that differ from the defaults, and the reason."""

    where: Where
    because: str
    memory: Section = field(default_factory=dict)
    model: Section = field(default_factory=dict)
    data: Section = field(default_factory=dict)
    training: Section = field(default_factory=dict)
    test: Section = field(default_factory=dict)


SECTIONS = tuple(section.name for section in fields(Defaults))

CLASSES = ("memory", "model", "data")
"""The sections that are the arguments of a class."""


@dataclass(frozen=True)
class Recipe:
    """Settings for all runs, and exceptions for some. Of several exceptions for a run the last one counts."""

    defaults: Defaults
    exceptions: list[Rule] = field(default_factory=list)

    def settings(self, **run: str) -> Settings:
        """The settings of a run.

        Args:
            run: Its `task`, `memory` and `cell`, by name.

        Example:
            >>> from ddstructs.experiments.recipe import RECIPE, read_recipe
            >>> read_recipe(RECIPE).settings(task="Copying", memory="Queue", cell="rnn")["memory"]
            {'width': 64}
        """
        return self._merge([rule for rule in self.exceptions if rule.where.chosen.items() <= run.items()])

    def _merge(self, rules: list[Rule]) -> Settings:
        settings: Settings = {}
        for section in SECTIONS:
            merged = dict(getattr(self.defaults, section))
            for rule in rules:
                merged |= getattr(rule, section)
            settings[section] = {name: value for name, value in merged.items() if value is not None}
        return settings

    def check(self) -> None:
        """Check the sections that are not the arguments of a task, a memory or the controller.

        Raises:
            InputError: If one is wrong, by itself or as an exception changes it.
        """
        for place, rules in [("the defaults", []), *((f"the exception for {r.where}", [r]) for r in self.exceptions)]:
            settings, section = self._merge(rules), "training"
            try:
                read_section(Training, settings[section])
                section = "test"
                read_section(Testing, settings[section])
            except InputError as error:
                raise InputError(f"{section} in {place}: {error}") from error


S = TypeVar("S", Training, Testing)


def read_section(kind: type[S], settings: dict[str, Any]) -> S:
    """The section `training` or `test` of a run.

    Raises:
        InputError: If it has another form.
    """
    return kind(**fit_arguments(kind, settings))


def read_recipe(path: Path) -> Recipe:
    """Read a recipe, in the form of `recipe.yaml`.

    Raises:
        InputError: If it cannot be read, or if it has another form.
    """
    data = load_yaml(path)
    try:
        top = fit_arguments(Recipe, data, nested=("defaults", "exceptions"))
        recipe = Recipe(_defaults(top.get("defaults")), _rules(top.get("exceptions") or []))
        recipe.check()
    except InputError as error:
        raise InputError(f"the recipe {path}: {error}") from error
    return recipe


def _defaults(data: object) -> Defaults:
    if not isinstance(data, dict):
        raise InputError(f"it has no defaults, with the sections {', '.join(SECTIONS)}")
    try:
        defaults = Defaults(**fit_arguments(Defaults, data))
        _check_values(defaults)
    except InputError as error:
        raise InputError(f"the defaults: {error}") from error
    return defaults


def _rules(data: object) -> list[Rule]:
    if not isinstance(data, list):
        raise InputError("exceptions is not a list, each with `where`, `because`, and sections")
    rules = []
    for number, entry in enumerate(data, 1):
        try:
            fields_ = fit_arguments(Rule, entry, nested=("where",))
            rule = Rule(**fields_ | {"where": Where(**fit_arguments(Where, fields_.get("where") or {}))})
            _check_values(rule)
        except InputError as error:
            raise InputError(f"exception {number}: {error}") from error
        rules.append(rule)
    return rules


def _check_values(part: Defaults | Rule) -> None:
    for section in SECTIONS:
        values = getattr(part, section)
        if not isinstance(values, dict):
            raise InputError(f"{section} is {values!r}, but names and values were expected")
        if section == "model" and "cell" in values:
            raise InputError("the model says cell, which is an option of its own: use --cells")
        for name, value in values.items():
            if isinstance(value, dict) and section in CLASSES:
                raise InputError(f"{name} in {section} is a mapping, but a number, a string or a list was expected")


def _check_counts(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise InputError(f"{name} is {count}, but 1 or more was expected")
