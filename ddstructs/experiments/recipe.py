"""The recipe: a file with the settings of every run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ddstructs.errors import InputError, one_line
from ddstructs.experiments.sections import (
    CLASSES,
    SECTIONS,
    Defaults,
    Rule,
    Testing,
    Training,
    Where,
    read_section,
)
from ddstructs.registry.arguments import fit_arguments
from ddstructs.registry.data import load_yaml

__all__ = ["RECIPE", "Recipe", "Settings", "read_recipe"]

RECIPE = Path(__file__).with_name("recipe.yaml")

Settings = dict[str, dict[str, Any]]
"""The settings of a run by section: arguments of the memory, the controller, the task, `Training` and `Testing`."""


@dataclass(frozen=True)
class Recipe:
    """Default settings, and exceptions for some runs. Later exceptions override earlier ones."""

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
        return self._merge([self.defaults, *self._rules_for(run)])

    def exceptions_for(self, **run: str) -> Settings:
        """The settings of a run that differ from the defaults.

        Args:
            run: Its `task`, `memory` and `cell`, by name.
        """
        return self._merge(self._rules_for(run))

    def _rules_for(self, run: dict[str, str]) -> list[Rule]:
        return [rule for rule in self.exceptions if rule.where.chosen.items() <= run.items()]

    def _merge(self, parts: Sequence[Defaults | Rule]) -> Settings:
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
        for place, rules in [("the defaults", []), *((f"the exception for {r.where}", [r]) for r in self.exceptions)]:
            settings, section = self._merge([self.defaults, *rules]), "training"
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
        top = fit_arguments(Recipe, data, nested=("defaults", "exceptions"))
        recipe = Recipe(_defaults(top.get("defaults")), _rules(top.get("exceptions") or []))
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


def _check_values(part: Defaults | Rule) -> None:
    for section in SECTIONS:
        values = getattr(part, section)
        if not isinstance(values, dict):
            raise InputError(f"{section} is {values!r}, but names and values were expected")
        if section == "model" and "cell" in values:
            raise InputError("model sets cell, which is a separate option: use --cells")
        for name, value in values.items():
            if isinstance(value, dict) and section in CLASSES:
                raise InputError(f"{name} in {section} is a mapping, but a number, a string or a list was expected")
