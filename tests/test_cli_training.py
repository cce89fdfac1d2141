"""Training and testing on the command line: what is run, what is printed, and when there is nothing to do."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from commands import QUICK, Command


@pytest.mark.parametrize("config", sorted((Path(__file__).parents[1] / "configs").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_config_trains(config: Path, tmp_path: Path, within: Command) -> None:
    assert yaml.safe_load(config.read_text())
    done = within("fit", f"--config={config}", *QUICK)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", ["test", "validate"])
def test_test_and_validate_need_only_a_checkpoint(
    command: str, checkpoint: Path, tmp_path: Path, within: Command
) -> None:
    done = within(command, f"--ckpt_path={checkpoint}")
    assert done.returncode == 0, done.stderr
    for metric in ("coarse", "fine", "loss", "push_distance", "pop_distance"):
        assert f"{command[:3].replace('tes', 'test')}_{metric}" in done.stdout
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("fit", "max_epochs"),
        ("fit", "max_steps"),
        ("fit", "limit_train_batches"),
        ("validate", "limit_val_batches"),
        ("test", "limit_test_batches"),
        ("predict", "limit_predict_batches"),
    ],
)
def test_a_command_that_has_nothing_to_do_says_so(
    command: str, option: str, checkpoint: Path, tmp_path: Path, within: Command
) -> None:
    given = ["--data=Reversal", "--model.memory=Stack"] if command == "fit" else [f"--ckpt_path={checkpoint}"]
    text = ["--data.text=abc"] if command == "predict" else []
    done = within(command, *given, *text, f"--trainer.{option}=0", "--trainer.enable_progress_bar=false")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"Nothing to do: --trainer.{option} is 0.\n"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--trainer.max_steps=1"], ["After 1 update: not validated", "The last checkpoint is", "last.ckpt"]),
        (["--trainer.max_epochs=1"], ["After 2 updates: coarse", "The best checkpoint is", "best.ckpt"]),
        (["--trainer.fast_dev_run=true"], ["After 1 update: ", "No checkpoint was written."]),
    ],
    ids=str,
)
def test_fit_ends_with_what_was_measured_and_with_the_checkpoint_there_is(
    options: list[str], expected: list[str], tmp_path: Path, within: Command
) -> None:
    quick = ["--data.batches_per_epoch=2", "--data.eval_size=4", "--trainer.enable_progress_bar=false"]
    done = within("fit", "--data=Reversal", "--model.memory=Stack", *quick, *options)
    assert done.returncode == 0, done.stderr
    for part in expected:
        assert part in done.stdout
    assert ("test --ckpt_path" in done.stdout) is ("No checkpoint" not in done.stdout)
