"""A folder for results that cannot be written to is refused before anything is trained."""

from pathlib import Path

import pytest
from commands import refusal

FIT = ["fit", "--data=Reversal", "--model.memory=Stack"]
LOGGER = ["--trainer.logger=CSVLogger", "--trainer.default_root_dir=there"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--trainer.default_root_dir=file"], "--trainer.default_root_dir is file, but that is a file: give a folder"),
        (["--trainer.default_root_dir=file/x"], "--trainer.default_root_dir is file/x, but file is a file, not a "),
        ([*LOGGER, "--trainer.logger.save_dir=file"], "--trainer.logger.save_dir is file, but that is a file"),
        (
            ["--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.dirpath=file/x"],
            "--trainer.callbacks.dirpath is file/x, but file is a file",
        ),
    ],
)
def test_a_file_is_no_folder_for_a_run(
    options: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    assert message in refusal(capsys, *FIT, *options)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_url_is_left_to_lightning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "memory:").write_text("no folder")
    options = ["--trainer.default_root_dir=memory://runs", "--trainer.accelerator=none"]
    assert "default_root_dir" not in refusal(capsys, *FIT, *options)
