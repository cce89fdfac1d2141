"""The commands in the documents are accepted as they stand: their names, their options and their values."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest

from ddstructs.cli import lightning, reproduce, sweep
from ddstructs.cli.main import main
from ddstructs.cli.options import options
from ddstructs.registry.catalog import COMMANDS

ROOT = Path(__file__).parents[1]

OWN = {"ShortStack": "Stack"}
"""What a reader of the documents declares and registers, and what stands for it here."""

TRAINED = {
    "data": {"class_path": "Reversal"},
    "model": {
        "class_path": "Controller",
        "init_args": {"memory": {"class_path": "Stack", "init_args": {"width": 64}}},
    },
}
"""What a checkpoint says that an earlier line of a document would have written."""


class Accepted(Exception):
    """A command got past its options, and would now run."""


def commands(text: str) -> Iterator[str]:
    """Each line of a block that begins with `ddstructs `, and each command with options within a sentence."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    for block in blocks:
        yield from re.findall(r"^(?:\$ )?(ddstructs .*)$", block.replace("\\\n", " "), re.MULTILINE)
    yield from re.findall(r"`(ddstructs [^`]*--[^`]*)`", re.sub(r"\s*\n\s*", " ", text))


DOCUMENTS = ["README.md", "CONTRIBUTING.md", *sorted(str(page.relative_to(ROOT)) for page in ROOT.glob("docs/**/*.md"))]

DOCUMENTED = [
    pytest.param(line, id=f"{name}: {line}")
    for name in DOCUMENTS
    for line in dict.fromkeys(commands((ROOT / name).read_text(encoding="utf-8")))
]


def accept(*arguments: Any) -> NoReturn:
    raise Accepted


@contextmanager
def accept_workers(*arguments: Any) -> Iterator[Any]:
    raise Accepted
    yield


@pytest.mark.parametrize("line", DOCUMENTED)
def test_a_documented_command_is_accepted(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    monkeypatch.setattr(lightning, "read_checkpoint", lambda path, words: ({}, TRAINED))
    monkeypatch.setattr(lightning, "execute", accept)
    monkeypatch.setattr(reproduce, "_execute", accept)
    monkeypatch.setattr(sweep, "working", accept_workers)
    program, command, *arguments = [OWN.get(word, word) for word in shlex.split(line, comments=True)]
    assert program == "ddstructs"
    if command == "sweep":
        pytest.importorskip("optuna")
    if command in ("trace", "export"):
        assert options(COMMANDS[command], command, arguments), "its checkpoint is not there"
        return
    try:
        assert main([command, *arguments]) == 0
    except Accepted:
        return
    assert command == "list" or "--help" in arguments or "--print_config" in arguments, "any other would run"


@pytest.mark.parametrize(
    "line",
    [
        "ddstructs fit --data Reversl --model.memory Stack",
        "ddstructs reproduce --tasks Reversl",
        "ddstructs reproduce --seeds 9-0",
        "ddstructs sweep --task Copying --memory Dequeue --study runs/copying.journal",
        "ddstructs test --ckpt_path runs/version_0/checkpoints/best.ckpt --data.test_length [3,3]",
    ],
)
def test_a_command_with_a_mistake_would_be_found(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AssertionError):
        test_a_documented_command_is_accepted(line, tmp_path, monkeypatch)


def test_the_documents_have_commands() -> None:
    named = {line.split()[1] for each in DOCUMENTED if isinstance(line := each.values[0], str)}
    assert {"list", "fit", "test", "predict", "trace", "export", "reproduce", "sweep"} <= named
