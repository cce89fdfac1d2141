"""The recipe: from a file, the settings of each cell of the grid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from ddstructs.errors import InputError

__all__ = ["RECIPE", "Settings", "read_recipe", "settings_of"]

RECIPE = Path(__file__).with_name("recipe.yaml")

Settings = dict[str, dict[str, Any]]

SECTIONS = ("memory", "model", "data", "training", "test")

OURS = {
    "training": {"max_updates", "validate_every", "validation_size", "validation_lengths"},
    "test": {"size", "lengths", "hard", "long"},
}
"""What the sections may say that are not the arguments of a class."""


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
    if not (isinstance(recipe, dict) and isinstance(recipe.get("defaults"), dict)):
        raise InputError(f"the recipe {path} has no defaults, with the sections {', '.join(SECTIONS)}")
    if missing := [section for section in SECTIONS if not isinstance(recipe["defaults"].get(section), dict)]:
        raise InputError(f"the defaults of the recipe {path} have no section {missing[0]}")
    for section, needed in {"training": OURS["training"], "test": {"size", "lengths"}}.items():
        if missing := needed - recipe["defaults"][section].keys():
            raise InputError(f"the {section} in the defaults of the recipe {path} does not say {min(missing)}")
    for part in (recipe["defaults"], *recipe.setdefault("exceptions", [])):
        for section, known in OURS.items():
            if unknown := part.get(section, {}).keys() - known:
                raise InputError(f"the {section} in the recipe {path} says {min(unknown)}, which there is not")
    for exception in recipe["exceptions"]:
        for key in ("where", "because"):
            if not exception.get(key):
                raise InputError(f"an exception in the recipe {path} does not say {key}: {str(exception)[:60]}")
        if unknown := exception.keys() - {"where", "because", *SECTIONS}:
            raise InputError(f"an exception in the recipe {path} has a section {min(unknown)}, which there is not")
        if unknown := exception["where"].keys() - {"task", "memory", "cell"}:
            raise InputError(f"an exception in the recipe {path} is where {min(unknown)}, not a task, memory or cell")
    return recipe


def settings_of(recipe: dict[str, Any], **cell: str) -> Settings:
    """The settings of a cell: the defaults, and what each exception that fits it says otherwise.

    Args:
        recipe: What `read_recipe` returns.
        cell: `task`, `memory` and `cell`, by name.

    Example:
        >>> from ddstructs.reproduce.recipe import RECIPE, read_recipe, settings_of
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
