"""The command line for the tests: run in a process of its own, or refused in one line in this one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ddstructs.cli.main import main

__all__ = ["QUICK", "Command", "call", "refusal"]

QUICK = ["--data.batches_per_epoch=2", "--data.eval_size=4", "--trainer.max_epochs=1", "--trainer.accelerator=cpu"]
"""Options of a `fit` that takes a moment."""

Command = Callable[..., "subprocess.CompletedProcess[str]"]
"""Runs `ddstructs` with the arguments given, and returns its exit code and what it printed."""


def call(*arguments: str, cwd: Path, stdin: str = "", path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run `ddstructs` in a process of its own."""
    environment = os.environ | {"PYTHONWARNINGS": "default", "OMP_NUM_THREADS": "1", "COLUMNS": "120"}
    if path is not None:
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(path), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "ddstructs", *arguments]
    return subprocess.run(command, cwd=cwd, input=stdin, env=environment, capture_output=True, text=True, timeout=300)


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What `ddstructs` says, in this process, to input that it refuses with exit code 2."""
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1, "one line"
    assert said.err.startswith("ddstructs")
    return said.err
