"""The recipe: a file with the settings of every run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ddstructs.errors import InputError, one_line
from ddstructs.experiments.names import model_of
from ddstructs.experiments.sections import (
    CLASSES,
    SECTIONS,
    Budget,
    Defaults,
    Rule,
    Testing,
    Training,
    Where,
    read_section,
)
from ddstructs.registry.arguments import fit_arguments
from ddstructs.registry.data import load_yaml

__all__ = ["DEFAULT", "RECIPE", "Recipe", "Settings", "read_recipe"]

RECIPE = Path(__file__).with_name("recipe.yaml")

DEFAULT = "default"
"""The budget that changes nothing."""

NOT_HERE = {
    "seed": "which is that of the run: use --seeds",
    "val_lengths": "which is that of the run: use validation_lengths in training",
    "eval_size": "which is that of the run: use validation_size in training and size in test",
    "test_lengths": "which is that of the run: use lengths in test",
    "batches_per_epoch": "which is that of the run: use validate_every in training",
    "text": "which only `ddstructs predict` reads: leave it out",
    "file": "which only `ddstructs predict` reads: leave it out",
}
"""Arguments of a task that a recipe cannot set: the reason, and what to do."""

Settings = dict[str, dict[str, Any]]
"""The settings of a run by section: arguments of the memory, the controller, the task, `Training` and `Testing`."""


@dataclass(frozen=True)
class Recipe:
    """Default settings, exceptions for some runs, and budgets. Later ones of these override earlier ones."""

    defaults: Defaults
    exceptions: list[Rule] = field(default_factory=list)
    budgets: dict[str, Budget] = field(default_factory=dict)

    def settings(self, budget: str = DEFAULT, **run: str) -> Settings:
        """The settings of a run.

        Args:
            budget: The name of a budget.
            run: Its `task`, `memory` and `cell`, by name.

        Raises:
            InputError: If the recipe has no such budget.

        Example:
            >>> from ddstructs.experiments.recipe import RECIPE, read_recipe
            >>> read_recipe(RECIPE).settings(task="Copying", memory="Queue", cell="rnn")["memory"]
            {'width': 64}
        """
        if budget != DEFAULT and budget not in self.budgets:
            raise InputError(f"--budget is {budget}, but the recipe has {', '.join([DEFAULT, *self.budgets])}")
        spent = [] if budget == DEFAULT else [self.budgets[budget]]
        return self._merge([self.defaults, *self._rules_for(run | {"model": model_of(run["cell"])}), *spent])

    def exceptions_for(self, symbols: int | None = None, **run: str) -> Settings:
        """The settings of a run that differ from the defaults.

        Args:
            symbols: The number of symbols of the task, if it is not the one that the recipe sets.
            run: Its `task`, `memory` and `cell`, by name.
        """
        return self._merge(self._rules_for(run, symbols))

    def _rules_for(self, run: dict[str, str], symbols: int | None = None) -> list[Rule]:
        return [rule for rule in self.exceptions if rule.where.fits(run, symbols)]

    def _merge(self, parts: Sequence[Defaults | Rule | Budget]) -> Settings:
        settings: Settings = {}
        for section in SECTIONS:
            merged: dict[str, Any] = {}
            for part in parts:
                merged |= getattr(part, section)
            settings[section] = {name: value for name, value in merged.items() if value is not None}
        return settings

    def check(self) -> None:
        """Check the sections `training` and `test`, with and without the exceptions.

        Raises:
            InputError: If a section is invalid.
        """
        parts: dict[str, Rule | Budget] = {f"the exception for {rule.where}": rule for rule in self.exceptions}
        parts |= {f"the budget {name}": budget for name, budget in self.budgets.items()}
        for place, more in [("the defaults", self.defaults), *parts.items()]:
            settings, section = self._merge([self.defaults, more]), "training"
            try:
                read_section(Training, settings[section])
                section = "test"
                read_section(Testing, settings[section])
            except InputError as error:
                raise InputError(f"{section} in {place}: {error}") from error


def read_recipe(path: Path) -> Recipe:
    """Read a recipe, in the form of `recipe.yaml`.

    Raises:
        InputError: If it cannot be read, or if its form is invalid.
    """
    data = load_yaml(path, one_line(path))
    try:
        top = fit_arguments(Recipe, data, nested=("defaults", "exceptions", "budgets"))
        rules, budgets = _rules(top.get("exceptions") or []), _budgets(top.get("budgets") or {})
        recipe = Recipe(_defaults(top.get("defaults")), rules, budgets)
        recipe.check()
    except InputError as error:
        raise InputError(f"the recipe {path}: {error}") from error
    return recipe


def _defaults(data: object) -> Defaults:
    if not isinstance(data, dict):
        raise InputError(f"defaults is missing, or is not a mapping of the sections {', '.join(SECTIONS)}")
    try:
        defaults = Defaults(**fit_arguments(Defaults, data))
        _check_values(defaults)
    except InputError as error:
        raise InputError(f"the defaults: {error}") from error
    return defaults


def _rules(data: object) -> list[Rule]:
    if not isinstance(data, list):
        raise InputError("exceptions is not a list of mappings with `where`, `because` and sections")
    rules = []
    for number, entry in enumerate(data, 1):
        try:
            fields_ = fit_arguments(Rule, entry, nested=("where",))
            fields_["where"] = Where(**fit_arguments(Where, fields_.get("where") or {}))
            rule = Rule(**fields_)
            _check_values(rule)
        except InputError as error:
            raise InputError(f"exception {number}: {error}") from error
        rules.append(rule)
    return rules


def _budgets(data: object) -> dict[str, Budget]:
    if not isinstance(data, dict):
        raise InputError("budgets is not a mapping from a name to sections")
    budgets = {}
    for name, sections in data.items():
        if name == DEFAULT:
            raise InputError(f"a budget is named {DEFAULT}, which stands for no budget: give it another name")
        try:
            budgets[str(name)] = Budget(**fit_arguments(Budget, sections))
            _check_values(budgets[str(name)])
        except InputError as error:
            raise InputError(f"the budget {one_line(name)}: {error}") from error
    return budgets


def _check_values(part: Defaults | Rule | Budget) -> None:
    for section in SECTIONS:
        values = getattr(part, section)
        if not isinstance(values, dict):
            raise InputError(f"{section} is {values!r}, but names and values were expected")
        if section == "model" and "cell" in values:
            raise InputError("model sets cell, which is a separate option: use --cells")
        for name in NOT_HERE.keys() & values.keys() if section == "data" else ():
            raise InputError(f"data sets {name}, {NOT_HERE[name]}")
        for name, value in values.items():
            if isinstance(value, dict) and section in CLASSES:
                raise InputError(f"{name} in {section} is a mapping, but a number, a string or a list was expected")
