"""Training runs in a file with a line of JSON for each, which the same command goes on with after an interruption."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["Runs"]


class Runs:
    """The runs in a file, which need not exist yet.

    Args:
        path: The file.
        key: The fields that make a run another one.

    Attributes:
        lines: The runs, in the order in which they ended.
    """

    def __init__(self, path: Path, key: Sequence[str]) -> None:
        self.path, self.key = path, tuple(key)
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        self.lines: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]

    def __contains__(self, key: Sequence[Any]) -> bool:
        return any(tuple(line[name] for name in self.key) == tuple(key) for line in self.lines)

    def add(self, line: dict[str, Any]) -> None:
        """Append a run to the file."""
        self.lines.append(line)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
