"""Recipes whose runs take a fraction of a second."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from ddstructs import InputError
from ddstructs.experiments.recipe import Recipe, read_recipe
from ddstructs.experiments.runs import Run, every_run

__all__ = ["TINY", "TINY_SUITE", "changed", "recipe_of", "refused", "tiny_runs", "write_recipe"]

TINY: dict[str, Any] = {
    "defaults": {
        "memory": {"width": 4},
        "model": {"hidden_size": 8, "embedding_size": 8},
        "data": {"symbols": 4, "train_lengths": [1, 8], "batch_size": 4},
        "training": {"max_updates": 6, "validate_every": 3, "validation_size": 10, "validation_lengths": [1, 12]},
        "test": {"size": 20, "lengths": [9, 12], "hard": {20: 5}, "long": {30: 2}},
    },
    "exceptions": [
        {"where": {"memory": "NoMemory"}, "because": "no values", "memory": {"width": None}, "test": {"hard": {}}},
        {"where": {"cell": "lstm", "task": "Copying"}, "because": "it is slower", "model": {"learning_rate": 0.1}},
    ],
}

TINY_SUITE: dict[str, Any] = {
    "defaults": {
        "memory": {"width": 4},
        "model": {"hidden_size": 8, "embedding_size": 8},
        "data": {"train_lengths": [1, 8], "batch_size": 4, "eval_batch_size": 3},
        "training": {
            "max_updates": 6,
            "validate_every": 3,
            "validation_size": 10,
            "validation_lengths": [1, 12],
            "rounded": True,
        },
        "test": {"metric": "symbols", "size": 20, "lengths": [9, 15], "per_length": 5, "step": 3, "rounded": True},
    },
    "exceptions": [{"where": {"task": "EvenPairs, ReverseString"}, "because": "x", "model": {"learning_rate": 0.1}}],
    "budgets": {"small": {"test": {"per_length": 2}, "model": {"learning_rate": 0.2}}},
}
"""The recipe of a small suite, tested length by length."""


def changed(section: str, **values: Any) -> dict[str, Any]:
    """The recipe with other values in a section of the defaults."""
    recipe: dict[str, Any] = json.loads(json.dumps(TINY))
    recipe["defaults"][section] |= values
    return recipe


def write_recipe(path: Path, recipe: object) -> Path:
    """Write a recipe to a file."""
    path.write_text(yaml.safe_dump(recipe))
    return path


def recipe_of(folder: Path, recipe: object) -> Recipe:
    """Read a recipe back from a file."""
    return read_recipe(write_recipe(folder / "recipe.yaml", recipe))


def tiny_runs(folder: Path, seeds: int = 2, recipe: object = TINY) -> list[Run]:
    """Runs of copying and reversal with a stack."""
    return every_run(recipe_of(folder, recipe), ["Copying", "Reversal"], ["Stack"], ["rnn"], range(seeds))


def refused(function: Callable[[], object]) -> str | None:
    """The message with which a function refuses its input, or None if it accepts it."""
    try:
        function()
    except InputError as error:
        return str(error)
    return None
