"""A good checkpoint survives a full disk and a killed process."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from ddstructs import Controller, InputError
from ddstructs.training.checkpoint import read
from ddstructs.training.saving import SafeCheckpointIO, with_safe_saving

PROGRAM = """
import resource, sys
from pathlib import Path
from typing import Any
from pytorch_lightning import Trainer
from ddstructs import Controller, Stack
from ddstructs.tasks import Reversal
from ddstructs.training.saving import with_safe_saving

folder, room = Path(sys.argv[1]), int(sys.argv[2])
task = Reversal(symbols=8, eval_size=2, batches_per_epoch=1)
model = Controller(Stack(4), task.input_symbols, task.output_symbols, hidden_size=512)
quiet = dict.fromkeys(["logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"], False)
trainer = Trainer(accelerator="cpu", max_steps=1, default_root_dir=folder, plugins=with_safe_saving(), **quiet)
trainer.fit(model, task)
trainer.save_checkpoint(folder / "last.ckpt")
size = (folder / "last.ckpt").stat().st_size
print(size, flush=True)
if room:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, size // 2))
else:
    (folder / "ballast").write_bytes(bytes(int(sys.argv[3]) - 3 * size // 2))
for _ in range(2):
    try:
        trainer.save_checkpoint(folder / "last.ckpt")
    except OSError as error:
        print(error)
"""


def run(folder: Path, *arguments: object) -> list[str]:
    """Save a checkpoint, then twice more without space, and check the temporary folder."""
    temporary = Path(tempfile.mkdtemp(dir=folder.parent))
    environment = os.environ | {"TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, str(folder), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stderr
    assert not list(temporary.iterdir()), "nothing is left in the temporary folder"
    return done.stdout.splitlines()


def check_survived(folder: Path, size: int) -> None:
    assert (folder / "last.ckpt").stat().st_size == size
    assert {path.name for path in folder.iterdir()} <= {"last.ckpt", "ballast"}
    Controller.load_from_checkpoint(folder / "last.ckpt")
    assert "optimizer_states" in read(folder / "last.ckpt")


def test_a_checkpoint_survives_a_limit_on_the_size_of_files(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    size, *errors = run(folder, 1)
    assert errors == [f"[Errno 27] File too large: '{folder / 'last.ckpt'}'"] * 2
    check_survived(folder, int(size))


ROOM = 2**26


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"NO SMALL DISK CAN BE MADE HERE, SO NONE WAS FILLED: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_checkpoint_survives_a_full_disk(small_disk: Path) -> None:
    size, *errors = run(small_disk, 0, ROOM)
    assert errors == [f"[Errno 28] No space left on device: '{small_disk / 'last.ckpt'}'"] * 2
    check_survived(small_disk, int(size))


def test_a_checkpoint_is_read_as_data(tmp_path: Path) -> None:
    class Attack:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "marker",)

    path = tmp_path / "model.ckpt"
    torch.save({"x": Attack()}, path)
    with pytest.raises(InputError, match="could run code"):
        SafeCheckpointIO().load_checkpoint(path)
    assert not (tmp_path / "marker").exists()


def test_a_handler_of_the_users_own_stays(tmp_path: Path) -> None:
    own = TorchCheckpointIO()
    assert with_safe_saving(own) == [own]
    assert with_safe_saving(["a", own]) == ["a", own]
    assert [type(plugin) for plugin in with_safe_saving()] == [SafeCheckpointIO]
    assert [type(plugin) for plugin in with_safe_saving("a")] == [str, SafeCheckpointIO]


def test_fit_without_room_ends_in_one_line_and_leaves_nothing_behind(tmp_path: Path) -> None:
    command = ["fit", "--data=Reversal", "--model.memory=Stack", "--data.batches_per_epoch=1", "--data.eval_size=2"]
    quiet = ["--trainer.max_epochs=1", "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"]
    program = (
        "import resource, sys; from ddstructs.__main__ import command_line\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)); sys.exit(command_line())"
    )
    (tmp_path / "temporary").mkdir()
    environment = os.environ | {"TMPDIR": str(tmp_path / "temporary"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program, *command, *quiet],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, env=environment,
    )  # fmt: skip
    assert done.returncode == 2
    assert "File too large" in done.stderr
    assert "best.ckpt" in done.stderr or "last.ckpt" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not [*tmp_path.rglob("*.partial"), *tmp_path.rglob("*.ckpt"), *(tmp_path / "temporary").iterdir()]
