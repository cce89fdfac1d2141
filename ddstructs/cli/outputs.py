"""Whether the folders that a command of Lightning writes to can be written to, checked before torch is imported."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ddstructs.cli.settings import Settings
from ddstructs.files import check_folder
from ddstructs.registry.spec import Spec

__all__ = ["check_outputs"]

FOLDERS = ("save_dir", "dirpath", "folder")
"""The arguments of loggers and callbacks that are folders."""


def check_outputs(settings: Settings, command: str) -> None:
    """Refuse folders for results in which nothing can be written.

    Args:
        settings: The settings of the run.
        command: `fit`, `validate`, `test` or `predict`.

    Raises:
        InputError: If there is one. The message names the option.
    """
    for option, folder in _folders(settings, command):
        if isinstance(folder, str | Path) and str(folder) and "://" not in str(folder):  # Lightning writes to URLs
            check_folder(Path(folder), option)


def _folders(settings: Settings, command: str) -> Iterator[tuple[str, object]]:
    """Each option that names a folder, and its value."""
    trainer = settings.sections["trainer"]
    if command == "fit":
        yield "--trainer.default_root_dir", trainer.get("default_root_dir")
    for name in ("logger", "callbacks"):
        given = trainer.get(name)
        for part in given if isinstance(given, list) else [given]:
            for argument in FOLDERS:
                if isinstance(part, Spec) and argument in part.arguments:
                    yield f"--trainer.{name}.{argument}", part.arguments[argument]
