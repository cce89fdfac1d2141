"""`ddstructs export`, and what `docs/export.md` shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from test_export import reverser

from ddstructs import Controller, OnnxRunner
from ddstructs.cli.main import main
from ddstructs.export import packages
from ddstructs.extras import install

for package in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(package)

ROOT = Path(__file__).parents[1]
CHECKPOINT = ROOT / "tests" / "data" / "stack_0.1.ckpt"


def test_the_page_runs_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    reverser(128).save_pretrained("reversal")
    page = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    assert len(blocks) == 4
    for block in blocks:
        exec(block, {})
    assert capsys.readouterr().out.splitlines() == re.findall(r"# (\S+</s>)$", page, flags=re.MULTILINE)


def test_a_checkpoint_becomes_a_file_and_nothing_else_is_said(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ddstructs", "export", f"--ckpt_path={CHECKPOINT}", "--capacity=9"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "Written to model.onnx\n", "")
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    runner = OnnxRunner(tmp_path / "model.onnx")
    model = Controller.load_from_checkpoint(CHECKPOINT, hard=True)
    symbols = torch.tensor([[0, 2, 3, 4, 5, 1, 6, 7, 8]])
    np.testing.assert_allclose(runner(symbols.numpy())[0], model(symbols).detach().numpy(), rtol=1e-5, atol=1e-5)
    assert (runner.capacity, runner.task) == (9, "Reversal")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ckpt_path=nowhere.ckpt"], "no checkpoint at nowhere.ckpt"),
        ([f"--ckpt_path={CHECKPOINT}", "--out=model.bin"], "--out is model.bin, but a file name ending in .onnx"),
        ([f"--ckpt_path={CHECKPOINT}", "--out=a/b.onnx"], "cannot write a/b.onnx"),
        ([f"--ckpt_path={CHECKPOINT}", "--out=folder.onnx"], "cannot write folder.onnx"),
        ([f"--ckpt_path={CHECKPOINT}", "--capacity=0"], "--capacity"),
        ([f"--ckpt_path={CHECKPOINT}", "--capacity=many"], "--capacity"),
        ([f"--ckpt_path={CHECKPOINT}", "--capacity=1000000000000"], "values of width 4 take at most"),
        ([], "--ckpt_path is required"),
        (["--ckpt_path=text.ckpt"], "text.ckpt"),
    ],
)
def test_what_cannot_be_exported_gets_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.onnx").mkdir()
    (tmp_path / "text.ckpt").write_text("no checkpoint")
    before = sorted(tmp_path.iterdir())
    assert main(["export", *arguments]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.count("\n") == 1
    assert error.startswith("ddstructs export: error: ")
    assert message in error
    assert sorted(tmp_path.iterdir()) == before


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(packages, "find_spec", lambda name: None if name == "onnxruntime" else name)
    assert main(["export", f"--ckpt_path={CHECKPOINT}"]) == 2
    expected = f"ddstructs export: error: ONNX files need onnxruntime: {install('onnx')}\n"
    assert capsys.readouterr().err == expected
