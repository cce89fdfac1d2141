"""`ddstructs predict`: a line of text in, a line of text out."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import Command, refusal

from ddstructs.cli.main import main


def test_predict_prints_a_line_of_text_for_each_line(checkpoint: Path, tmp_path: Path, within: Command) -> None:
    done = within("predict", f"--ckpt_path={checkpoint}", "--data.text", "Dear Sir: [a string]")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    done = within("predict", f"--ckpt_path={checkpoint}", "--data.file=-", stdin="one\ntwo\nthree\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 3


@pytest.mark.parametrize("batch", [1, 250])
def test_an_unreadable_line_is_reported_and_the_others_are_answered(
    batch: int, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given, whole = tmp_path / "given", tmp_path / "whole"
    given.write_text("naïve\none\n\n日本\ntwo\né\n", encoding="utf-8")
    whole.write_text("one\n\ntwo\n")
    predict = ["predict", f"--ckpt_path={checkpoint}", f"--data.eval_batch_size={batch}", "--data.file"]
    assert main([*predict, str(whole)]) == 0
    first, second, third = capsys.readouterr().out.splitlines()
    assert main([*predict, str(given)]) == 2
    said = capsys.readouterr()
    assert said.out.split("\n") == ["", first, second, "", third, "", ""]
    lines = said.err.splitlines()
    assert [line.partition(":")[2].partition(":")[0] for line in lines[:-1]] == [
        f" {given}, line {n}" for n in (1, 4, 6)
    ]
    assert lines[-1] == "ddstructs predict: error: 3 lines could not be read: their output lines are empty"
    given.write_text("é\né\n", encoding="utf-8")
    assert f"{given}, line 1: " in refusal(capsys, *predict, str(given))


@pytest.mark.parametrize("text", ["naïve", "日本"])
def test_text_outside_ascii_is_refused(text: str, checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "outside ASCII" in refusal(capsys, "predict", f"--ckpt_path={checkpoint}", f"--data.text={text}")
