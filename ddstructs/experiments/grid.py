"""The cells of the grid, in a fixed order."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from difflib import get_close_matches
from hashlib import sha256
from itertools import product
from typing import Any

from ddstructs.errors import InputError
from ddstructs.experiments.recipe import Settings, settings_of
from ddstructs.registry.catalog import MEMORIES

__all__ = ["Cell", "choose", "choose_memories", "grid", "parse_seeds"]

MOST = 10_000
"""How many seeds can be asked for by a count."""


@dataclass(frozen=True)
class Cell:
    """One training run: what is trained, from which seed, and how.

    Attributes:
        task: Class name of the task.
        memory: Class name of the memory.
        cell: Name of the recurrent cell.
        seed: Seed of the weights and of the training sequences.
        settings: What the recipe says of it, by section.
    """

    task: str
    memory: str
    cell: str
    seed: int
    settings: Settings

    @property
    def config(self) -> str:
        """The hash of the settings."""
        return sha256(json.dumps(self.settings, sort_keys=True).encode()).hexdigest()[:8]

    @property
    def name(self) -> str:
        """What its folder is called."""
        return folder_name(self.key)

    @property
    def key(self) -> dict[str, Any]:
        """What tells it from the others."""
        return {
            "task": self.task,
            "memory": self.memory,
            "cell": self.cell,
            "seed": self.seed,
            "config": self.config,
        }


def folder_name(key: dict[str, Any]) -> str:
    """What the folder of a cell is called, by its key or its record."""
    return "{task}-{memory}-{cell}-{seed}-{config}".format(**key)


def grid(
    recipe: dict[str, Any], tasks: list[str], memories: list[str], cells: list[str], seeds: list[int]
) -> list[Cell]:
    """Every combination, seed after seed: a grid that is cut short has some seeds of everything."""
    return [
        Cell(task, memory, cell, seed, settings_of(recipe, task=task, memory=memory, cell=cell))
        for seed, task, memory, cell in product(seeds, tasks, memories, cells)
    ]


def parse_seeds(text: str) -> list[int]:
    """Seeds from a count or a list of them.

    Raises:
        InputError: If it is neither.

    Example:
        >>> from ddstructs.experiments.grid import parse_seeds
        >>> parse_seeds("3"), parse_seeds("900,901"), parse_seeds("7,")
        ([0, 1, 2], [900, 901], [7])
    """
    if not re.fullmatch(r"\d+(,\d+)*,?", text, re.ASCII):
        raise InputError(f"--seeds is {text!r}, but a count such as 10 or a list such as 900,901 was expected")
    if "," not in text:
        if int(text) > MOST:
            raise InputError(f"--seeds is {text!r}, a count beyond {MOST}; for this one seed write {text},")
        seeds = list(range(int(text)))
    else:
        seeds = list(dict.fromkeys(int(seed) for seed in text.rstrip(",").split(",")))
    if not seeds or max(seeds) >= 2**32:
        raise InputError(f"--seeds is {text!r}, but one seed or more was expected, each below 2**32")
    return seeds


def choose(option: str, text: str, known: list[str]) -> list[str]:
    """Names from a list with commas, each once.

    Raises:
        InputError: If there is no such name.
    """
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names:
        if name not in known:
            close = get_close_matches(name, known, 1)
            hint = f"did you mean {close[0]}?" if close else f"choose from {', '.join(known)}"
            raise InputError(f"--{option} {name}: there is no such name; {hint}")
    if not names:
        raise InputError(f"--{option} is empty, but one or more of {', '.join(known)} were expected")
    return names


def choose_memories(option: str, text: str) -> list[str]:
    """Names of memories, those of other packages among them; these are imported only if one is meant."""
    known = [name for name in MEMORIES if name != "Bank"]  # of a bank one must say what is in it
    if not {name.strip() for name in text.split(",")} <= {*known, ""}:
        from ddstructs.registry.plugins import load_memories

        known += load_memories()
    return choose(option, text, known)
