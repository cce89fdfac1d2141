"""The recipe: from a file, the settings of each cell of the grid."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from ddstructs.errors import InputError
from ddstructs.registry import catalog

__all__ = ["RECIPE", "Settings", "read_recipe", "settings_of"]

RECIPE = Path(__file__).with_name("recipe.yaml")

Settings = dict[str, dict[str, Any]]

SECTIONS = ("memory", "model", "data", "training", "test")

OURS = {
    "training": {"max_updates", "validate_every", "validation_size", "validation_lengths"},
    "test": {"size", "lengths", "hard", "long"},
}
"""What the sections may say that are not the arguments of a class."""

NEEDED = {"training": OURS["training"], "test": {"size", "lengths"}}
"""What must have a value."""

NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
"""What looks like a number. YAML takes 5e-3, without a point, for text."""


def read_recipe(path: Path) -> dict[str, Any]:
    """Read a recipe, in the form of `recipe.yaml`.

    Raises:
        InputError: If there is none, or if it has another form.
    """
    try:
        recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read the recipe {path}: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"the recipe {path} is no YAML: {' '.join(str(error).split())}") from error
    try:
        return _check(recipe)
    except InputError as error:
        raise InputError(f"the recipe {path}: {error}") from error


def _check(recipe: Any) -> dict[str, Any]:
    """The recipe, if it has the right form."""
    if not (isinstance(recipe, dict) and isinstance(recipe.get("defaults"), dict)):
        raise InputError(f"there are no defaults, with the sections {', '.join(SECTIONS)}")
    defaults, exceptions = recipe["defaults"], recipe.get("exceptions") or []
    if missing := [section for section in SECTIONS if section not in defaults]:
        raise InputError(f"the defaults have no section {missing[0]}")
    _check_sections("the defaults", defaults)
    for section, needed in NEEDED.items():
        if absent := needed - defaults[section].keys():
            raise InputError(f"the {section} in the defaults does not say {min(absent)}")
    if not (isinstance(exceptions, list) and all(isinstance(exception, dict) for exception in exceptions)):
        raise InputError("exceptions is not a list, each with `where`, `because`, and sections")
    for exception in exceptions:
        for key in ("where", "because"):
            if not exception.get(key):
                raise InputError(f"an exception does not say {key}: {str(exception)[:60]}")
        _check_where(exception["where"])
        sections = {name: part for name, part in exception.items() if name not in ("where", "because")}
        _check_sections(f"the exception for {exception['where']}", sections)
    return {"defaults": defaults, "exceptions": exceptions}


def _check_sections(place: str, sections: dict[str, Any]) -> None:
    for section, part in sections.items():
        if section not in SECTIONS:
            raise InputError(f"there is no section {section} as in {place}: choose from {', '.join(SECTIONS)}")
        if not isinstance(part, dict):
            raise InputError(f"the {section} in {place} is {part!r}, but names and values were expected")
        if unknown := part.keys() - OURS.get(section, part.keys()):
            raise InputError(f"the {section} in {place} says {min(unknown)}, which there is not")
        if section == "model" and "cell" in part:
            raise InputError(f"the model in {place} says cell, which is part of the grid: use --cells")
        for name, value in part.items():
            if value is None and name in NEEDED.get(section, ()):
                raise InputError(f"{name} in {place} is null, but it must have a value")
            if isinstance(value, str) and re.fullmatch(NUMBER, value):
                raise InputError(f"{name} in {place} is text to YAML: write {float(value)!r} instead of {value}")


def _check_where(where: Any) -> None:
    known = {"task": catalog.TASKS, "memory": catalog.MEMORIES, "cell": catalog.CELLS}
    if not isinstance(where, dict) or (where.keys() - known.keys()):
        raise InputError(f"an exception is where {where!r}, but a task, memory or cell was expected, by these names")
    for key, name in where.items():
        if not isinstance(name, str) or not (name in known[key] or (key == "memory" and _is_plugin(name))):
            raise InputError(f"an exception is where {key} is {name!r}, but there is no such {key}")


def _is_plugin(memory: str) -> bool:
    from ddstructs.registry.plugins import load_memories  # imports torch, which takes seconds

    return memory in load_memories()


def settings_of(recipe: dict[str, Any], **cell: str) -> Settings:
    """The settings of a cell: the defaults, and what each exception that fits it says otherwise.

    Args:
        recipe: What `read_recipe` returns.
        cell: `task`, `memory` and `cell`, by name.

    Example:
        >>> from ddstructs.experiments.recipe import RECIPE, read_recipe, settings_of
        >>> settings_of(read_recipe(RECIPE), task="Copying", memory="Queue", cell="rnn")["memory"]
        {'width': 64}
    """
    settings = {section: dict(recipe["defaults"][section]) for section in SECTIONS}
    for exception in recipe["exceptions"]:
        if exception["where"].items() <= cell.items():
            for section in SECTIONS:
                settings[section] |= exception.get(section, {})
    return {
        section: {name: value for name, value in part.items() if value is not None}
        for section, part in settings.items()
    }
