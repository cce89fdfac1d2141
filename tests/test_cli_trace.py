"""`ddstructs trace`: the pages and files that it writes, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import Command, refusal

import ddstructs
import ddstructs.tasks


def test_trace_writes_a_page_and_diagnoses_the_memory(checkpoint: Path, tmp_path: Path, within: Command) -> None:
    options = [f"--ckpt_path={checkpoint}", "--text", "A <b>\nstring", "--out"]
    done = within("trace", *options, "trace.html", f"--other={checkpoint}")
    assert done.returncode == 0, done.stderr
    assert "push is 0." in done.stdout
    assert done.stdout.endswith("Written to trace.html\n")
    assert "Content-Security-Policy" in (tmp_path / "trace.html").read_text()
    assert within("trace", *options, "trace.json", "--hard").returncode == 0
    seen = ddstructs.Trace.load(tmp_path / "trace.json")
    assert seen.input_text[1][:7] == ("<s>", *"string")
    assert set(seen.push.flatten().tolist()) <= {0.0, 1.0}
    assert within("trace", *options, "trace.png").returncode == 0
    assert (tmp_path / "trace.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--text=abc"], "--ckpt_path"),
        (["--ckpt_path={}"], "give --text TEXT, or --file FILE"),
        (["--ckpt_path={}", "--text=a", "--file=b"], "give only one of them"),
        (["--ckpt_path={}", "--text=a", "--out=trace.txt"], ".html, .json, .png"),
        (["--ckpt_path={}", "--text=a", "--out=trace.png", "--other={}"], "--other needs a page"),
        (["--ckpt_path={}", "--text=naïve"], "outside ASCII"),
        (["--ckpt_path={}", "--text=a", "--out=/nowhere/trace.html"], "cannot write /nowhere/trace.html"),
        (["--ckpt_path={}", "--text=a", "--nonsense"], "--nonsense"),
        (["--ckpt_path=nowhere.ckpt", "--text=a"], "no checkpoint at nowhere.ckpt"),
    ],
)
def test_wrong_input_to_trace_gets_one_line(
    arguments: list[str],
    expected: str,
    checkpoint: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [argument.format(checkpoint) for argument in arguments]
    assert expected in refusal(capsys, "trace", *given)
