"""Runs that a machine cannot run, too large for its memory or on an accelerator that it lacks, are refused."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import sys
from pathlib import Path

import pytest
import torch
from commands import QUICK, refusal

import ddstructs
import ddstructs.tasks
from ddstructs.cli import machine, requirements
from ddstructs.cli.main import main
from ddstructs.cli.settings import Settings
from ddstructs.errors import InputError
from ddstructs.registry import catalog

LARGE = [
    ("fit", ["--model.hidden_size=1000000000"], "--model.hidden_size 1000000000 needs at least"),
    ("fit", ["--model.memory.width=1000000000000"], "--model.memory.width 1000000000000 needs at least"),
    ("fit", ["--data.batch_size=1000000000000"], "--data.batch_size 1000000000000 with --data.train_lengths up to 64"),
    ("fit", ["--data.train_lengths=[8,1000000000000]"], "--data.batch_size 16 with --data.train_lengths up to 1000000"),
    ("fit", ["--data.val_lengths=[8,1000000000000]"], "--data.eval_size 1000 with --data.val_lengths up to 1000000000"),
    ("fit", ["--data.eval_size=1000000000000"], "--data.eval_size 1000000000000 with --data.train_lengths up to 64"),
    ("validate", ["--data.val_lengths=[8,1000000000000]"], "--data.eval_size 4 with --data.val_lengths up to 10000000"),
    ("test", ["--data.test_lengths=[8,1000000000000]"], "--data.eval_size 4 with --data.test_lengths up to 1000000000"),
]


@pytest.mark.parametrize(
    ("command", "options", "expected"), LARGE, ids=lambda part: " ".join(part) if isinstance(part, list) else part[:8]
)
def test_a_run_that_would_need_more_memory_than_there_is_gets_one_line(
    command: str, options: list[str], expected: str, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--data=Reversal", "--model.memory=Stack"] if command == "fit" else [f"--ckpt_path={checkpoint}"]
    said = refusal(capsys, command, *given, *options)
    assert expected in said
    assert re.search(r"needs at least \S+ TB of memory, but this machine has \S+ GB: use a smaller number", said)


def test_the_memory_of_a_container_is_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "memory.max").write_text("max\n")
    monkeypatch.setattr(requirements, "CGROUPS", (str(tmp_path / "memory.max"), str(tmp_path / "none")))
    if hasattr(os, "sysconf"):
        assert (requirements.machine_memory() or 0) > 1_000_000
        (tmp_path / "memory.max").write_text("1000000\n")
        assert requirements.machine_memory() == 1_000_000
    monkeypatch.delattr(os, "sysconf", raising=False)
    assert requirements.machine_memory() is None


def test_every_task_and_memory_fits_into_a_small_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "machine_memory", lambda: 200_000_000)
    for task in catalog.TASKS:
        for memory in ("Stack", "Deque", "NoMemory", "Tape"):
            settings = Settings()
            settings.layer({"data": task, "model": {"memory": memory}}, "")
            for command in ("fit", "validate", "test", "predict"):
                requirements.check_memory(settings, command)


def test_a_failed_allocation_of_torch_gets_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ddstructs.tasks.Reversal, "draw", lambda *_: torch.empty(2**60))
    said = refusal(
        capsys, "fit", "--data=Reversal", "--model.memory=Stack", *QUICK, "--trainer.enable_progress_bar=false"
    )
    assert "out of memory: use smaller batches (--data.batch_size), or shorter lengths" in said


@pytest.mark.parametrize(
    ("name", "reason"),
    [("tpu", "torch_xla is not installed"), ("mps", "MPS is part of macOS"), ("gpu", "no GPU"), ("cuda", "no GPU")],
)
def test_a_missing_accelerator_is_refused_before_torch_is_imported(
    name: str, reason: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(machine, "find_spec", lambda name: None)
    monkeypatch.setattr(machine, "DEVICES", ())
    monkeypatch.setitem(sys.modules, "ddstructs.cli.lightning", None)  # importing it fails
    fit = ["fit", "--data=Reversal", "--model.memory=Stack", f"--trainer.accelerator={name}"]
    test = ["test", "--ckpt_path=nowhere.ckpt", f"--trainer.accelerator={name}"]
    for arguments in (fit, test):
        said = refusal(capsys, *arguments)
        assert f"--trainer.accelerator is {name}, but " in said
        assert reason in said
    assert main([*fit, "--print_config"]) == 0, "the settings of another machine"


def test_reproduce_refuses_a_missing_gpu_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(machine, "DEVICES", ())
    said = refusal(capsys, "reproduce", f"--out={tmp_path / 'out'}", "--accelerator=gpu")
    assert "--accelerator is gpu, but this machine has no GPU: use cpu" in said
    assert "auto" not in said
    assert not (tmp_path / "out").exists()
    asked = ["reproduce", f"--out={tmp_path / 'out'}", "--accelerator=gpu"]
    assert "--summarize needs results" in refusal(capsys, *asked, "--summarize=true"), "which trains nothing"
    assert "no Dask scheduler answers" in refusal(capsys, *asked, "--scheduler=nowhere"), "its workers may have GPUs"


@pytest.mark.parametrize(("cuda", "hip"), [("None", "None"), ("'12.8'", "None"), ("None", "'6.4'")])
def test_a_gpu_needs_a_torch_that_supports_it(
    cuda: str, hip: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch/__init__.py").touch()
    text = f"from typing import Optional\ncuda: Optional[str] = {cuda}\nhip: Optional[str] = {hip}\n"
    (tmp_path / "torch/version.py").write_text(text)
    spec = importlib.util.spec_from_file_location("torch", tmp_path / "torch/__init__.py")
    monkeypatch.setattr(machine, "find_spec", lambda name: spec)
    monkeypatch.setattr(sys, "platform", "win32")
    with contextlib.ExitStack() as stack:
        if cuda == hip:
            stack.enter_context(pytest.raises(InputError, match="torch is installed without GPU support"))
        machine.check_accelerator("cuda")
