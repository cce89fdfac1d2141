"""How a command ends on a signal, on a closed pipe, and on a full disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from controllers import controller, reversal, trainer
from pytorch_lightning import Trainer
from tiny import tiny_runs

from ddstructs import Stack, interrupts
from ddstructs.cli.main import main
from ddstructs.cli.report import how_to_resume
from ddstructs.errors import InputError
from ddstructs.experiments import train
from ddstructs.tasks.lines import read_lines
from ddstructs.training.stopping import Stopping

COMMAND = [sys.executable, "-m", "ddstructs"]

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "120"}

FIT = ["fit", "--data=Reversal", "--model.memory=Stack", "--trainer.accelerator=cpu"]

REPRODUCE = ["reproduce", "--tasks=Reversal", "--memories=Stack", "--cells=rnn", "--seeds=5"]


@pytest.mark.parametrize(
    ("arguments", "sign", "number", "code", "word"),
    [
        (FIT, "runs/version_0/config.yaml", signal.SIGTERM, 143, "terminated"),
        (FIT, "runs/version_0/config.yaml", signal.SIGINT, 130, "interrupted"),
        (REPRODUCE, "runs/reproduce", signal.SIGTERM, 143, "terminated"),
    ],
    ids=["fit, terminated", "fit, interrupted", "reproduce, terminated"],
)
def test_a_signal_ends_a_command_with_its_code_and_a_line(
    arguments: list[str], sign: str, number: int, code: int, word: str, tmp_path: Path
) -> None:
    with (tmp_path / "out").open("w") as out, (tmp_path / "err").open("w") as err:
        process = subprocess.Popen([*COMMAND, *arguments], cwd=tmp_path, env=ENVIRONMENT, stdout=out, stderr=err)
        while process.poll() is None and not (tmp_path / sign).exists():
            time.sleep(0.05)
        process.send_signal(number)
        process.wait(timeout=120)
    said = (tmp_path / "err").read_text()
    assert process.returncode == code, said
    assert f"ddstructs: {word}" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("arguments", [["list"], ["fit", "--help"], [*FIT, "--print_config"]], ids=" ".join)
def test_output_that_cannot_be_written_is_reported_in_a_line(arguments: list[str], tmp_path: Path) -> None:
    def run(shell: str, **more: str) -> subprocess.CompletedProcess[str]:
        command = ["bash", "-c", shell, "bash", *COMMAND, *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=ENVIRONMENT | more, capture_output=True, text=True, timeout=120
        )

    closed = run('"$@" | true; exit "${PIPESTATUS[0]}"')
    assert (closed.returncode, closed.stderr) in [(141, ""), (0, "")], "what fits into the pipe may get through"
    full = run('exec "$@" >/dev/full')
    assert (full.returncode, full.stderr.count("\n")) == (2, 1), full.stderr
    assert "No space left on device" in full.stderr
    none = run('exec "$@" >&-')
    assert (none.returncode, none.stderr) == (2, "ddstructs: error: standard output is closed\n")
    assert run('exec "$@"', PYTHONIOENCODING="ascii").returncode == 0
    assert run('exec "$@" 2>&-').returncode == 0


def test_closed_standard_input_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InputError, match="standard input is closed"):
        read_lines(None, "-")


def interrupted(tmp_path: Path, sign: str, *options: str, command: Sequence[str] = COMMAND) -> str:
    """What `fit` says when it is interrupted once a file exists."""
    with (tmp_path / "out").open("w") as out, (tmp_path / "err").open("w") as err:
        process = subprocess.Popen([*command, *options], cwd=tmp_path, env=ENVIRONMENT, stdout=out, stderr=err)
        while process.poll() is None and not (tmp_path / sign).exists():
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        process.wait(timeout=120)
    said = (tmp_path / "err").read_text()
    assert process.returncode == 130, said
    return said


NOTHING = "no checkpoint was written yet, so there is nothing to resume"

SLOW = [*FIT, "--trainer.max_epochs=1000", "--data.batch_size=2", "--data.eval_size=2", "--model.hidden_size=4"]


def test_an_interrupted_run_says_the_command_that_resumes_it(tmp_path: Path) -> None:
    said = interrupted(tmp_path, "runs/version_0/checkpoints/last.ckpt", *SLOW, "--data.batches_per_epoch=2")
    *_, first, command = said.splitlines()
    assert first == "ddstructs: interrupted; resume with"
    files = "--config runs/version_0/config.yaml --ckpt_path runs/version_0/checkpoints/last.ckpt"
    assert command == f"  ddstructs fit {files}"
    arguments = [*command.split()[1:], "--trainer.max_epochs=1001", "--trainer.limit_train_batches=1"]
    again = interrupted(tmp_path, "runs/version_1/checkpoints/last.ckpt", *arguments)
    assert again.splitlines()[-1] == command.replace("version_0", "version_1")


@pytest.mark.parametrize("command", ["fit", "validate", "test"])
def test_a_signal_whose_exception_is_dropped_ends_the_command_at_its_next_batch(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interrupts, "_received", [])
    task = reversal()
    trained = trainer(tmp_path, max_steps=1, callbacks=[Stopping()])
    getattr(trained, command)(controller(task, Stack(4)), task)
    with suppress(interrupts.Stopped):
        interrupts.stop(signal.SIGTERM, None)
    with pytest.raises(interrupts.Stopped) as caught:
        getattr(trainer(tmp_path, max_steps=1, callbacks=[Stopping()]), command)(controller(task, Stack(4)), task)
    assert caught.value.number == signal.SIGTERM


def test_a_signal_whose_exception_is_dropped_ends_a_run_at_its_next_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, *_ = tiny_runs(tmp_path)
    monkeypatch.setattr(interrupts, "_received", [signal.SIGTERM])
    with pytest.raises(interrupts.Stopped):
        train.fit(run, tmp_path, print)
    assert not (tmp_path / "curve.jsonl").exists()


def test_a_refusal_after_a_signal_does_not_hide_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["test", "--ckpt_path", str(tmp_path / "no.ckpt")]
    assert main(arguments) == 2
    monkeypatch.setattr(interrupts, "_received", [signal.SIGINT])
    with pytest.raises(interrupts.Stopped):
        main(arguments)


def test_a_run_that_is_interrupted_at_once_says_that_nothing_was_written(tmp_path: Path) -> None:
    said = interrupted(tmp_path, "runs/version_0/config.yaml", *SLOW, "--data.batches_per_epoch=1000000")
    assert said.splitlines()[-1] == f"ddstructs: interrupted; {NOTHING}"


FAILING = """
import sys

from pytorch_lightning.loggers import CSVLogger

from ddstructs.cli.main import command_line


def fail(self, status):
    raise ValueError("half a file")


CSVLogger.finalize = fail
sys.exit(command_line())
"""
"""The command with a logger that fails when a run is interrupted."""


def test_an_error_after_a_signal_does_not_hide_it(tmp_path: Path) -> None:
    options = [*SLOW, "--data.batches_per_epoch=1000000"]
    said = interrupted(tmp_path, "runs/version_0/config.yaml", *options, command=[sys.executable, "-c", FAILING])
    assert said.splitlines()[-1] == f"ddstructs: interrupted; {NOTHING}"
    assert "Traceback" not in said


def test_a_resumed_run_without_a_new_checkpoint_goes_on_from_the_old_one(tmp_path: Path) -> None:
    trainer = Trainer(logger=False, default_root_dir=tmp_path, enable_progress_bar=False, enable_model_summary=False)
    assert how_to_resume(trainer, None) == NOTHING
    first, command = how_to_resume(trainer, "a b.ckpt").splitlines()
    assert first == "no checkpoint was written since; resume with the options of this run and"
    assert command == "  ddstructs fit --ckpt_path 'a b.ckpt'"
