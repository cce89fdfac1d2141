"""The runs of an experiment in a fixed order, and the options that select them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from hashlib import sha256
from itertools import product
from typing import Any

from ddstructs.errors import InputError
from ddstructs.experiments.names import is_known, known
from ddstructs.experiments.recipe import DEFAULT, Recipe, Settings

__all__ = ["Run", "choose", "every_run", "folder_name", "parse_seeds"]

MOST_SEEDS = 10_000
LARGEST_SEED = 2**32 - 1


@dataclass(frozen=True)
class Run:
    """One training run.

    Attributes:
        task: Class name of the task.
        memory: Class name of the memory, or those of the members of a bank, joined by `+`.
        cell: Name of the recurrent cell, or `layers`.
        seed: Seed of the weights and of the training sequences.
        settings: Its settings in the recipe, by section.
    """

    task: str
    memory: str
    cell: str
    seed: int
    settings: Settings

    @property
    def config(self) -> str:
        """A hash of the settings."""
        return sha256(json.dumps(self.settings, sort_keys=True).encode()).hexdigest()[:8]

    @property
    def key(self) -> dict[str, Any]:
        """The fields that identify the run in the results."""
        return {
            "task": self.task,
            "memory": self.memory,
            "cell": self.cell,
            "seed": self.seed,
            "config": self.config,
        }

    @property
    def name(self) -> str:
        """The name of the run's folder."""
        return folder_name(self.key)

    def __str__(self) -> str:
        return f"{self.task}, {self.memory}, {self.cell}, seed {self.seed}"


def folder_name(key: dict[str, Any]) -> str:
    """The name of a run's folder, from its key or record."""
    return "{task}-{memory}-{cell}-{seed}-{config}".format(**key)


def every_run(
    recipe: Recipe,
    tasks: Sequence[str],
    memories: Sequence[str],
    cells: Sequence[str],
    seeds: Sequence[int],
    budget: str = DEFAULT,
) -> list[Run]:
    """Every combination, seed by seed, so that an interrupted experiment has some seeds of all combinations."""
    return [
        Run(task, memory, cell, seed, recipe.settings(budget, task=task, memory=memory, cell=cell))
        for seed, task, memory, cell in product(seeds, tasks, memories, cells)
    ]


def parse_seeds(text: str) -> list[int]:
    """Seeds from a list of numbers and ranges.

    Raises:
        InputError: If it is invalid or empty, or has more than `MOST_SEEDS` seeds.

    Example:
        >>> from ddstructs.experiments.runs import parse_seeds
        >>> parse_seeds("0-3"), parse_seeds("777"), parse_seeds("900,901,5-6")
        ([0, 1, 2, 3], [777], [900, 901, 5, 6])
    """
    seeds: dict[int, None] = {}
    for part in text.split(","):
        if not re.fullmatch(r"\d{1,10}(-\d{1,10})?", part.strip(), re.ASCII):
            raise InputError(f"--seeds is {text!r}, but a list of seeds and ranges such as 0-9,777 was expected")
        first, _, last = part.partition("-")
        span = range(int(first), int(last or first) + 1)
        if not span:
            raise InputError(f"--seeds is {text!r}, but the range {part} is empty: did you mean {last}-{first}?")
        if span[-1] > LARGEST_SEED:
            raise InputError(f"--seeds is {text!r}, but a seed is at most {LARGEST_SEED}")
        if len(seeds) + len(span) > MOST_SEEDS:
            raise InputError(f"--seeds is {text!r}, but at most {MOST_SEEDS} seeds were expected")
        seeds |= dict.fromkeys(span)
    return list(seeds)


def choose(kind: str, option: str, text: str) -> list[str]:
    """Parse a comma-separated list of names, and remove duplicates.

    Args:
        kind: `task`, `memory` or `cell`.
        option: The option, for error messages.
        text: The list.

    Raises:
        InputError: If a name is unknown, or if the list is empty.
    """
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    there = known(kind)
    for name in names:
        if not is_known(kind, name):
            close = get_close_matches(name, there, 1)
            hint = f"did you mean {close[0]}?" if close else f"choose from {', '.join(there)}"
            raise InputError(f"--{option}: unknown name {name!r}; {hint}")
    if not names:
        raise InputError(f"--{option} is empty, but one or more of {', '.join(there)} were expected")
    return names
