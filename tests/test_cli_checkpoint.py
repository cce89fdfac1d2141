"""Checkpoints on the command line: written, resumed, changed by options, and refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from commands import QUICK, Command, call, refusal
from pytorch_lightning import Trainer

import ddstructs
import ddstructs.tasks
from ddstructs.cli.main import main


def test_fit_writes_a_checkpoint_of_weights_and_plain_data(checkpoint: Path) -> None:
    content = torch.load(checkpoint, weights_only=True)
    assert content["hyper_parameters"]["memory"] == {"class_path": "ddstructs.stack.Stack", "init_args": {"width": 8}}
    assert content["ddstructs_task"]["class_path"] == "ddstructs.tasks.reversal.Reversal"


def test_the_last_checkpoint_is_that_of_the_last_epoch_and_resumes_the_run(tmp_path: Path, within: Command) -> None:
    steady = ["--model.learning_rate=1e-12", "--trainer.enable_progress_bar=false"]  # so that no epoch is the best
    fit = ["fit", "--data=Reversal", "--model.memory=Stack", *QUICK, *steady, "--trainer.max_epochs=3"]
    assert within(*fit).returncode == 0
    last = tmp_path / "runs/version_0/checkpoints/last.ckpt"
    assert torch.load(last, weights_only=True)["global_step"] == 6
    done = within("fit", f"--ckpt_path={last}", "--trainer.max_epochs=4")
    assert done.returncode == 0, done.stderr
    assert torch.load(tmp_path / "runs/version_1/checkpoints/last.ckpt", weights_only=True)["global_step"] == 8


def test_a_run_that_has_learned_its_task_is_not_resumed_unless_more_epochs_are_asked_for(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    content = torch.load(checkpoint, weights_only=True)
    assert content["callbacks"]["Finished"] == {"learned": False}
    content["callbacks"]["Finished"]["learned"] = True
    torch.save(content, "learned.ckpt")
    fit = ["fit", "--ckpt_path=learned.ckpt", "--trainer.enable_progress_bar=false"]
    said = refusal(capsys, *fit)
    assert "the run is complete: its task was learned in epoch 1, after 2 updates" in said
    assert "give --trainer.min_epochs more than 1" in said
    longer = ["--trainer.min_epochs=3", "--trainer.max_epochs=3"]
    other = ["--data.train_lengths=[1,5]", "--trainer.max_epochs=2"]
    callbacks = ["--trainer.callbacks=[]", "--trainer.max_epochs=2"]
    for more, updates in ((longer, 6), (other, 4), (callbacks, 4)):
        assert main([*fit, *more]) == 0
        assert f"After {updates} updates" in capsys.readouterr().out, more


def test_options_override_the_checkpoint(checkpoint: Path, tmp_path: Path, within: Command) -> None:
    done = within("test", f"--ckpt_path={checkpoint}", "--model.hard=true", "--data.test_lengths=[3,3]")
    assert done.returncode == 0, done.stderr
    distance = next(line for line in done.stdout.splitlines() if "push_distance" in line)
    assert "0.0 " in distance, "hard signals are 0 or 1"


def test_a_checkpoint_with_a_module_for_a_cell_is_used(tmp_path: Path, within: Command) -> None:
    task = ddstructs.tasks.Reversal(eval_size=2)
    cell = torch.nn.GRUCell(64 + 8, 64)
    model = ddstructs.Controller(ddstructs.Stack(8), task.input_symbols, task.output_symbols, cell=cell)
    fitted = Trainer(max_steps=1, logger=False, enable_progress_bar=False, default_root_dir=tmp_path, accelerator="cpu")
    fitted.fit(model, task)
    fitted.save_checkpoint(tmp_path / "gru.ckpt")
    done = within("test", "--ckpt_path=gru.ckpt")
    assert done.returncode == 0, done.stderr


def test_a_checkpoint_of_another_task_is_refused(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refusal(capsys, "test", f"--ckpt_path={checkpoint}", "--data=Copying")
    assert "is for the task Reversal, but the data is Copying" in said


def test_a_damaged_checkpoint_is_refused(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cut = tmp_path / "cut.ckpt"
    cut.write_bytes(checkpoint.read_bytes()[:1000])
    assert "cut.ckpt" in refusal(capsys, "test", f"--ckpt_path={cut}")
    assert "no checkpoint at" in refusal(capsys, "test", "--ckpt_path", str(tmp_path / "nothing.ckpt"))


@pytest.mark.parametrize("command", ["test", "trace", "export"])
def test_a_folder_in_the_place_of_a_checkpoint_is_told_which_file_is_meant(
    command: str, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--text=a"] if command == "trace" else []
    for folder in [*checkpoint.parents][:3]:  # of its checkpoints, of the run, of all runs
        said = refusal(capsys, command, f"--ckpt_path={folder}", *more)
        assert said.endswith(f"{folder} is a folder: give a checkpoint in it, such as {checkpoint}\n")
    (tmp_path / "far" / "below" / "it").mkdir(parents=True)
    (tmp_path / "far" / "below" / "it" / "best.ckpt").touch()  # the root of a disk is not searched through
    assert f"no checkpoint at {tmp_path}\n" in refusal(capsys, command, f"--ckpt_path={tmp_path}", *more)


def test_a_checkpoint_cannot_name_a_class_of_its_own(checkpoint: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    (tmp_path / "evil.py").write_text(f"open({str(marker)!r}, 'w')\nclass Evil: pass\n")
    for key in ("hyper_parameters", "ddstructs_task"):
        content = torch.load(checkpoint, weights_only=True)
        if key == "hyper_parameters":
            content[key]["memory"] = {"class_path": "evil.Evil", "init_args": {}}
        else:
            content[key] = {"class_path": "evil.Evil", "init_args": {}}
        torch.save(content, tmp_path / "attack.ckpt")
        done = call("test", "--ckpt_path=attack.ckpt", cwd=tmp_path, path=tmp_path)
        assert done.returncode == 2
        assert "'evil.Evil' is refused" in done.stderr
        assert done.stderr.count("\n") == 1
    done = call("fit", "--data=Reversal", "--model.memory=evil.Evil", cwd=tmp_path, path=tmp_path)
    assert done.returncode == 2
    assert not marker.exists()


def test_a_checkpoint_cannot_name_another_class_for_its_task(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = torch.load(checkpoint, weights_only=True)
    for name in ("ddstructs.stack.Stack", "ddstructs.tasks.task.Task", "ddstructs.tasks.task.nothing", "evil.Task"):
        torch.save(content | {"ddstructs_task": {"class_path": name, "init_args": {}}}, tmp_path / "attack.ckpt")
        said = refusal(capsys, "trace", f"--ckpt_path={tmp_path / 'attack.ckpt'}", "--text=a")
        assert name in said
